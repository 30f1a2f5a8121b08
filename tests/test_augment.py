"""Augmentation: ours and the published one, each step against an independent statement of it."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

from scipy import signal as scipy_signal
from scipy import stats

from ecgedge.datasets import nstdb
from ecgedge.errors import DataError
from ecgedge.training import augment, noise, published
from ecgedge.training import recipe as recipes

SHIPPED = "efficientecg-s"
QUIET = {"polarity": 0.0, "noise": 0.0, "wander": 0.0, "cut_out": 0.0}


def options(**changes: float) -> recipes.AugmentationOptions:
    given = recipes.load(SHIPPED).augmentation
    assert given is not None
    return dataclasses.replace(given, **changes)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def gaussian(n: int, seed: int = 0) -> np.ndarray:
    return generator(seed).normal(size=n).astype(np.float32)


@functools.cache
def synthetic_noise() -> noise.Noise:
    """Two kinds of noise of unlike size, and two tones."""
    t = np.arange(9000) / 100.0
    kinds = [[gaussian(9000, 1), 3 * gaussian(9000, 2)], [gaussian(9000, 3).cumsum()]]
    return noise.Noise(kinds, [np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (11.0, 13.0)])


def augmented(x: np.ndarray, rng: np.random.Generator, **changes: float) -> np.ndarray:
    return augment.augment(x, 100.0, options(**{**QUIET, **changes}), rng, synthetic_noise())


# ---- ours: crops


@pytest.mark.parametrize("size", [900, 2999, 3000, 3001, 6000])
def test_crops_keep_within_their_bounds(size: int) -> None:
    x, rng = generator().normal(size=size).astype(np.float32), generator(1)
    lengths = [augment.random_crop(x, 3000, 900, options(short_crop=0.5), rng).size for _ in range(300)]
    assert max(lengths) <= 3000
    assert min(lengths) >= 900 / 1.16, "the shortest record, stretched"
    if size >= 6000:
        assert min(lengths) < 1500
        assert lengths.count(3000) + lengths.count(2999) > 100


def test_a_crop_without_stretch_is_a_piece_of_the_signal() -> None:
    x, rng = np.arange(5000, dtype=np.float32), generator()
    for _ in range(20):
        crop = augment.random_crop(x, 3000, 900, options(stretch=0.0, short_crop=0.0), rng)
        assert crop.dtype == np.float32
        np.testing.assert_allclose(crop, crop[0] + np.arange(3000), atol=1e-2)


def test_stretching_changes_the_rate_of_a_sine_by_at_most_its_share() -> None:
    x, rng, crossings = np.sin(np.arange(6000) / 100 * 2 * np.pi).astype(np.float32), generator(), []
    for _ in range(200):
        crop = augment.random_crop(x, 3000, 900, options(stretch=0.15, short_crop=0.0), rng)
        crossings.append(np.count_nonzero(np.diff(np.signbit(crop))) / 2)
    assert 25 <= min(crossings) < 27
    assert 33 < max(crossings) <= 35


# ---- ours: what follows the crop


@pytest.mark.parametrize("size", [100, 900, 3000])
def test_augmentation_keeps_shape_and_stays_finite(size: int) -> None:
    rng = generator()
    everything = options(gain=0.3, mains=0.5, sensor_noise=1.0)
    for x in (gaussian(size), np.zeros(size), np.full(size, 1e6), gaussian(size) * 1e-6):
        given = x.astype(np.float32)
        kept = given.copy()
        for _ in range(20):
            out = augment.augment(given, 100.0, everything, rng, synthetic_noise())
            assert out.shape == (size,)
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
        np.testing.assert_array_equal(given, kept, "the record itself must not change")


def test_with_everything_off_the_z_score_is_left() -> None:
    x = gaussian(3000) * 40 + 7
    np.testing.assert_allclose(augmented(x, generator()), stats.zscore(x), atol=1e-4)


def test_equal_luck_gives_equal_crops() -> None:
    plan = recipes.load(SHIPPED)
    make = augment.Augmenter(options(gain=0.2, mains=0.3, sensor_noise=0.5), plan.spec, synthetic_noise())
    x = gaussian(5000)
    for seed in range(10):
        one, same, other = make(x, generator(seed)), make(x, generator(seed)), make(x, generator(seed + 1))
        np.testing.assert_array_equal(one, same)
        assert one.size != other.size or not np.array_equal(one, other)
        assert one.size <= 3000


@pytest.mark.parametrize(("polarity", "sign"), [(0.0, 1.0), (1.0, -1.0)])
def test_polarity(polarity: float, sign: float) -> None:
    x = gaussian(3000)
    out = augmented(x, generator(), polarity=polarity)
    np.testing.assert_allclose(out, sign * (x - x.mean()) / x.std(), atol=1e-4)


def test_polarity_turns_about_the_share_it_says() -> None:
    x, rng = np.arange(1000, dtype=np.float32), generator()
    turned = sum(bool(augmented(x, rng, polarity=0.3)[-1] < 0) for _ in range(1000))
    assert stats.binomtest(turned, 1000, 0.3).pvalue > 1e-4


def test_gain_drifts_within_its_bounds_and_slowly() -> None:
    x, rng = np.tile([1.0, -1.0], 1500).astype(np.float32), generator()
    ends = []
    for _ in range(200):
        factor = np.abs(augmented(x, rng, gain=0.3))
        ends += [factor.min(), factor.max()]
        # Between knots some 5 s apart it is a straight line, so from sample to sample it hardly moves.
        assert np.abs(np.diff(factor)).max() < 0.6 / 350
    assert 0.7 - 1e-4 <= min(ends) < 0.72
    assert 1.28 < max(ends) <= 1.3 + 1e-4


def test_wander_is_a_slow_sine_of_up_to_its_strength() -> None:
    rng, heights = generator(), []
    x = np.zeros(6000, dtype=np.float32)
    for _ in range(300):
        out = augmented(x, rng, wander=0.4).astype(np.float64)
        spectrum = np.abs(np.fft.rfft(out * scipy_signal.windows.hann(6000)))
        if spectrum.max() > 1e-6:
            frequency = np.fft.rfftfreq(6000, 0.01)[spectrum.argmax()]
            assert 0.2 - 0.02 <= frequency <= 1.0 + 0.02
        heights.append(np.abs(out).max())
    assert 0.35 < max(heights) <= 0.4
    assert 0.35 < np.mean(np.array(heights) < 1e-6) < 0.65, "half of them have none"


def test_mains_is_one_of_the_tones_at_up_to_its_strength() -> None:
    rng, x, found, heights = generator(), np.zeros(6000, dtype=np.float32), set(), []
    for _ in range(200):
        out = augmented(x, rng, mains=0.5).astype(np.float64)
        if out.any():
            spectrum = np.abs(np.fft.rfft(out))
            found.add(float(np.fft.rfftfreq(6000, 0.01)[spectrum.argmax()]))
            heights.append(np.abs(out).max())
    assert found == {11.0, 13.0}
    assert 0.4 < max(heights) <= 0.5
    assert 60 < len(heights) < 140


@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 12.0, 24.0])
def test_sensor_noise_comes_at_the_stated_ratio(snr_db: float) -> None:
    x, rng = gaussian(3000, 9), generator()
    for _ in range(30):
        out = augmented(x, rng, sensor_noise=1.0, snr_low_db=snr_db, snr_high_db=snr_db)
        clean = stats.zscore(x.astype(np.float64))
        assert 10 * np.log10(clean.var() / (out - clean).var()) == pytest.approx(snr_db, abs=0.05)


def test_sensor_noise_draws_its_ratio_evenly_and_as_often_as_said() -> None:
    x, rng, ratios = gaussian(2000, 9), generator(), []
    clean = stats.zscore(x.astype(np.float64))
    for _ in range(1000):
        power = (augmented(x, rng, sensor_noise=0.6, snr_low_db=0.0, snr_high_db=20.0) - clean).var()
        if power > 1e-9:
            ratios.append(10 * np.log10(1 / power))
    assert stats.binomtest(len(ratios), 1000, 0.6).pvalue > 1e-4
    assert stats.kstest(ratios, stats.uniform(0, 20).cdf).pvalue > 1e-4


def test_every_kind_of_noise_is_as_likely_whatever_its_leads() -> None:
    rng, mix = generator(), synthetic_noise()
    pieces = [mix.draw_sensor(500, rng) for _ in range(1000)]
    # The second kind is a random walk: neighbours are nearly equal.
    walks = sum(bool(np.corrcoef(p[1:], p[:-1])[0, 1] > 0.5) for p in pieces)
    assert stats.binomtest(walks, 1000, 0.5).pvalue > 1e-4


def test_flat_noise_adds_nothing() -> None:
    assert not augment.at_snr(gaussian(100), np.full(100, 3.0, dtype=np.float32), 0.0).any()


# ---- noise of real sensors, and mains, as the model would see them


def wanting(**changes: float) -> recipes.Recipe:
    return dataclasses.replace(recipes.load(SHIPPED), augmentation=options(**changes))


def test_a_recipe_that_wants_no_noise_reads_none(tmp_path: Path) -> None:
    assert noise.load(tmp_path, recipes.load(SHIPPED)) == noise.Noise()
    with pytest.raises(DataError, match="nstdb") as caught:
        noise.load(tmp_path, wanting(sensor_noise=0.5))
    assert "\n" not in str(caught.value)


def test_the_conditioning_takes_from_the_mains_what_it_takes_from_a_signal() -> None:
    """The shipped low-pass (40 Hz) leaves hardly any; a wide one leaves all."""
    for tone in noise.mains(wanting(mains=1.0)):
        assert tone.size == 6000
        assert np.abs(tone[500:-500]).max() < 0.1
    wide = dataclasses.replace(
        recipes.load(SHIPPED),
        preprocessing={"version": 1, "rate_hz": 300.0, "highpass_hz": 0.5, "lowpass_hz": 100.0},
    )
    assert pytest.approx((50, 60), abs=0.05) == noise.MAINS_HZ
    for hz, tone in zip(noise.MAINS_HZ, noise.mains(wide), strict=True):
        t = np.arange(tone.size) / 300.0
        np.testing.assert_allclose(tone[900:-900], np.sin(2 * np.pi * hz * t)[900:-900], atol=0.03)


def test_noise_of_real_sensors_is_heard_up_to_half_its_length(data_dir: Path) -> None:
    mixed = noise.load(data_dir, wanting(sensor_noise=0.5, mains=0.1))
    assert [len(leads) for leads in mixed.sensor] == [2, 2, 2]
    assert len(mixed.mains) == 2
    for leads, record in zip(mixed.sensor, nstdb.records(data_dir), strict=True):
        for lead, raw in zip(leads, record.signal.T, strict=True):
            assert lead.dtype == np.float32
            assert lead.size == pytest.approx(raw.size / 2 / 3.6, abs=2)
            # Filtered and resampled by scipy, without phase, it is the same but at the ends.
            sections = scipy_signal.butter(4, [0.7, 30.0], "bandpass", output="sos", fs=360.0)
            theirs = scipy_signal.resample_poly(
                scipy_signal.sosfiltfilt(sections, raw[: raw.size // 2]), 5, 18
            )
            ours = scipy_signal.sosfiltfilt(
                scipy_signal.butter(4, [0.7, 30.0], "bandpass", output="sos", fs=100.0), lead.astype(float)
            )
            n = min(ours.size, theirs.size)
            assert np.corrcoef(ours[1000 : n - 1000], theirs[1000 : n - 1000])[0, 1] > 0.98


# ---- the published eight steps


WIDE = {"version": 1, "rate_hz": 300.0, "highpass_hz": 0.5, "lowpass_hz": 100.0}


@functools.cache
def steps(faithful: bool = False, p: float = 0.2, length_s: float = 60.0) -> published.Published:
    plan = recipes.load(SHIPPED)
    window = dataclasses.replace(plan.window, length_s=length_s)
    return published.Published(
        recipes.PublishedOptions(p, faithful),
        dataclasses.replace(plan, preprocessing=WIDE, window=window).spec,
    )


def one_step(name: str, faithful: bool = False):
    return steps(faithful).steps[name]


def test_the_steps_and_their_order() -> None:
    """As the paper's table has them."""
    assert list(steps().steps) == [
        "cutout",
        "drop",
        "random_resample",
        "resample",
        "scale",
        "shift",
        "sine",
        "band_pass",
    ]


@pytest.mark.parametrize("name", list(steps().steps))
def test_no_step_changes_what_it_is_given(name: str) -> None:
    x, rng = np.ones(9000), generator()
    for _ in range(5):
        out = one_step(name)(x, rng)
        assert out.ndim == 1
        assert out.dtype == np.float64
        assert (x == 1).all()


def test_cutout() -> None:
    x, rng, starts = np.ones(9000), generator(), []
    for _ in range(500):
        zeros = np.flatnonzero(one_step("cutout")(x, rng) == 0)
        assert zeros.size == 450
        assert zeros[-1] - zeros[0] == 449
        starts.append(zeros[0])
    assert stats.kstest(starts, stats.uniform(0, 8551).cdf).pvalue > 1e-4


@pytest.mark.parametrize(("size", "dropped"), [(9000, 270), (100, 3), (20, 1)])
def test_drop(size: int, dropped: int) -> None:
    rng = generator()
    outs = np.array([one_step("drop")(np.ones(size), rng) for _ in range(200)])
    assert ((outs == 0).sum(axis=1) == dropped).all()
    assert stats.chisquare((outs == 0).sum(axis=0)).pvalue > 1e-4, "every sample is as likely"


def test_random_resample_bends_the_time_axis_by_at_most_its_share() -> None:
    n, rng, furthest, offsets = 11 * 745 + 1, generator(), [], []
    ramp = np.arange(n, dtype=np.float64)
    for _ in range(300):
        bent = one_step("random_resample")(ramp, rng)
        assert bent.size == n
        moved = bent - ramp
        furthest.append(np.abs(moved).max() / n)
        # Straight between 12 equidistant knots: the second differences vanish elsewhere.
        inside = (bent > 0) & (bent < n - 1)
        inside = inside[:-2] & inside[1:-1] & inside[2:]
        kinks = np.flatnonzero((np.abs(np.diff(moved, 2)) > 1e-6) & inside)
        knots = np.arange(12) * 745
        assert all(np.abs(knots - k - 1).min() <= 1.5 for k in kinks)
        offsets += (moved[knots[1:-1]] / (n - 1)).tolist()  # no end of the record is in reach of these
    # 0.075 of a half length is 3.75 % of the length.
    assert 0.03 < max(furthest) <= 0.0375 + 1e-9
    assert stats.kstest(offsets, stats.uniform(-0.0375, 0.075).cdf).pvalue > 1e-4, "as far back as forth"


def test_random_resample_faithfully_tapers() -> None:
    ones = one_step("random_resample", faithful=True)(np.ones(1001), generator())
    np.testing.assert_allclose(ones, scipy_signal.windows.triang(2001)[::2] * 0.5 + 0.5, atol=2e-3)
    np.testing.assert_allclose(one_step("random_resample")(np.ones(1001), generator()), 1.0)


def test_resample() -> None:
    x, rng, sizes = np.sin(2 * np.pi * np.arange(9000) / 300), generator(), []
    for _ in range(300):
        out = one_step("resample")(x, rng)
        sizes.append(out.size / 9000)
        crossings = np.count_nonzero(np.diff(np.signbit(out))) / 2
        assert crossings == pytest.approx(30, abs=1), "the same beats in more or less time"
    assert stats.kstest(sizes, stats.uniform(0.8, 0.4).cdf).pvalue > 1e-4


def test_scale() -> None:
    rng = generator()
    factors = [float(one_step("scale")(np.ones(2), rng)[0]) for _ in range(500)]
    assert stats.kstest(factors, stats.uniform(0.85, 0.3).cdf).pvalue > 1e-4


@pytest.mark.parametrize(("size", "most"), [(9000, 4000), (2714, 2714)])
def test_shift(size: int, most: int) -> None:
    rng, leads = generator(), []
    for _ in range(500):
        out = one_step("shift")(np.arange(1.0, size + 1), rng)
        leads.append(out.size - size)
        assert not out[: leads[-1]].any()
        np.testing.assert_array_equal(out[leads[-1] :], np.arange(1.0, size + 1))
    assert max(leads) < most
    assert stats.kstest(leads, stats.uniform(0, most).cdf).pvalue > 1e-4


@pytest.mark.parametrize(("faithful", "most"), [(True, 1.0), (False, 2 * np.pi)])
def test_sine(faithful: bool, most: float) -> None:
    t, rng, found = np.arange(18000) / 300.0, generator(), []
    for _ in range(200):
        out = one_step("sine", faithful)(np.zeros(18000), rng)
        # The analytic signal of a sine a sin(w t + p) is a exp(i (w t + p - pi / 2)).
        whole = scipy_signal.hilbert(out)[3000:-3000]
        phase = np.unwrap(np.angle(whole)) + np.pi / 2
        slope, offset = np.polyfit(t[3000:-3000], phase, 1)
        found.append((np.abs(whole).mean(), slope / 2 / np.pi, offset % (2 * np.pi)))
    amplitude, hz, phase = np.array(found).T
    assert stats.kstest(amplitude, stats.uniform(0, 0.3).cdf).pvalue > 1e-4
    assert stats.kstest(hz, stats.uniform(0.2, 0.8).cdf).pvalue > 1e-4
    near_zero = phase > 6.2  # estimates just below 0
    assert stats.kstest(np.where(near_zero & faithful, 0, phase), stats.uniform(0, most).cdf).pvalue > 1e-4


def test_band_pass_is_the_butterworth_of_the_books() -> None:
    """|H|^2 = 1 / (1 + W^20), W the band-pass transform of the pre-warped frequency; it is causal."""
    impulse = np.zeros(2**17)
    impulse[0] = 1.0
    response = np.abs(np.fft.rfft(one_step("band_pass")(impulse, generator())))
    hz = np.fft.rfftfreq(impulse.size, 1 / 300.0)
    warped, low, high = (np.tan(np.pi * f / 300.0) for f in (hz[1:-1], 0.2, 45.0))
    w = (warped**2 - low * high) / (warped * (high - low))
    theory = 1 / np.sqrt(1 + w**20)
    np.testing.assert_allclose(response[1:-1], theory, atol=2e-3)
    delayed = np.zeros(500)
    delayed[100] = 1.0
    assert not one_step("band_pass")(delayed, generator())[:100].any()


def test_each_step_comes_with_its_probability() -> None:
    made, counts, rng = copy.copy(steps(p=0.2)), dict.fromkeys(steps().steps, 0), generator()

    def counting(name: str):
        def step(x: np.ndarray, _: np.random.Generator) -> np.ndarray:
            counts[name] += 1
            return x

        return step

    made.steps = {name: counting(name) for name in made.steps}
    for _ in range(2000):
        made(gaussian(3000), rng)
    for name, count in counts.items():
        assert stats.binomtest(count, 2000, 0.2).pvalue > 1e-5, name


def test_the_corrected_order_takes_the_z_score_first() -> None:
    x = gaussian(9000) * 0.2 + 5
    expected = (x.astype(np.float64) - x.mean(dtype=np.float64)) / x.std(ddof=1, dtype=np.float64)
    np.testing.assert_allclose(steps(p=0.0)(x, generator()), expected, atol=1e-5)


def test_the_faithful_order_works_on_counts() -> None:
    """1000 a millivolt: there a sine of 0.3 is nothing, and z-scored it is a third of the signal."""
    x = gaussian(9000) * 0.2
    np.testing.assert_allclose(steps(True, p=0.0)(x, generator()), x * 1000, rtol=1e-6)


@pytest.mark.parametrize("faithful", [True, False])
def test_published_crops_fit_the_window_repeat_and_leave_the_record(faithful: bool) -> None:
    make, lengths = steps(faithful, p=0.5, length_s=30.0), []
    for size in (2714, 9000, 18286):
        x = gaussian(size) * 0.2
        kept = x.copy()
        for seed in range(20):
            out, again = make(x, generator(seed)), make(x, generator(seed))
            np.testing.assert_array_equal(out, again)
            assert out.dtype == np.float32
            assert np.isfinite(out).all()
            lengths.append(out.size)
        np.testing.assert_array_equal(x, kept)
    assert max(lengths) <= 9000
    assert min(lengths) >= 0.8 * 2714 - 1


def test_long_records_begin_anywhere_and_faithfully_at_their_start() -> None:
    x = np.arange(18000, dtype=np.float32)
    faithful = {float(steps(True, 0.0, 30.0)(x, generator(s))[0]) for s in range(20)}
    slopes = steps(False, 0.0, 30.0)
    assert faithful == {0.0}
    # Z-scores of a ramp say nothing of where it began: a step does.
    stairs = np.where(np.arange(18000) < 9000, 0.0, 1.0).astype(np.float32)
    shares = {float((slopes(stairs, generator(s)) > 0).mean()) for s in range(20)}
    assert len(shares) > 15


def test_a_rate_too_low_for_the_band_is_refused() -> None:
    plan = dataclasses.replace(
        recipes.load(SHIPPED),
        preprocessing={"version": 1, "rate_hz": 80.0, "highpass_hz": 0.5, "lowpass_hz": 30.0},
    )
    with pytest.raises(DataError, match="80 Hz"):
        published.Published(recipes.PublishedOptions(0.2), plan.spec)


# ---- recipes


def recipe_with(table: str) -> str:
    text = (recipes.RECIPES / f"{SHIPPED}.toml").read_text(encoding="utf-8")
    head, mark, _ = text.partition("[augmentation]")
    assert mark
    return head + table


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("", "one only"),
        ("[published_augmentation]\np = 1.5\n", "p = 1.5"),
        ("[published_augmentation]\nq = 0.2\n", r"keys \['p', 'q'\]"),
        ("[published_augmentation]\np = 0.2\nfaithful = 1\n", "faithful = 1"),
    ],
)
def test_an_augmentation_that_cannot_be_is_refused_by_name(tmp_path: Path, table: str, match: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(recipe_with(table), encoding="utf-8")
    with pytest.raises(DataError, match=match) as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "sensor_noise = 1.5",
        "gain = 1.0",
        "mains = -0.1",
        "snr_low_db = 30.0",
    ],
)
def test_strengths_that_cannot_be_are_refused_by_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.toml"
    text = (recipes.RECIPES / f"{SHIPPED}.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("[augmentation]\n", f"[augmentation]\n{line}\n"), encoding="utf-8")
    with pytest.raises(DataError, match=line.split()[0]):
        recipes.load(str(path))


def test_the_published_augmentation_stands_in_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(recipe_with("[published_augmentation]\np = 0.2\n"), encoding="utf-8")
    plan = recipes.load(str(path))
    assert plan.augmentation is None
    assert plan.published_augmentation == recipes.PublishedOptions(0.2, faithful=False)
