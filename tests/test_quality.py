"""Quality of windows: synthetic faults, invariances, and the noisy class of real recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgedge.conditioning import Conditioner
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import Board, SampleBlock, Segment, Window
from ecgedge.ports.patient import PROGRAMME, SimulatedPatient
from ecgedge.ports.patient import RATE_HZ as PATIENT_HZ
from ecgedge.quality import GATE, assess, measure
from ecgedge.windows import WindowSpec

RATE = 100.0
SPEC = {"version": 1, "rate_hz": RATE, "highpass_hz": 0.5, "lowpass_hz": 40.0}
RNG_SEED = 20


def conditioned(raw: np.ndarray, rate_in: float) -> np.ndarray:
    chain = Conditioner(SPEC, rate_in)
    parts = [chain.push(raw), chain.finish()]
    return np.concatenate(parts)[: int(30 * RATE)]


def window(signal: np.ndarray) -> Window:
    seconds = signal.size / RATE
    return Window(0, signal.size, 0.0, seconds, signal.astype(np.float32), RATE, 0.0, False)


def r_peaks(seconds: float = 30.0, bpm: float = 70.0, seed: int = RNG_SEED) -> np.ndarray:
    rr = 60 / bpm * np.random.default_rng(seed).uniform(0.95, 1.05, 1000)
    times = 0.5 + np.concatenate(([0.0], np.cumsum(rr)))
    return times[times < seconds]


def ecg(seconds: float = 30.0, bpm: float = 70.0, odd: tuple[int, int] = (0, 1)) -> np.ndarray:
    """QRS and T as Gaussian bumps of 1 and 0.25 mV with a little noise, at 100 Hz.

    Of every ``odd[1]`` beats, the first ``odd[0]`` are wide and point down.
    """
    t = np.arange(round(seconds * RATE)) / RATE
    x = np.random.default_rng(RNG_SEED + 1).normal(0, 0.01, t.size)
    for k, at in enumerate(r_peaks(seconds, bpm)):
        normal = (1.0, 0.0, 0.012), (-0.2, 0.03, 0.012), (0.25, 0.28, 0.05)
        wide = (-1.2, 0.0, 0.04), (0.5, 0.3, 0.07)
        for height, delay, width in wide if k % odd[1] < odd[0] else normal:
            x += height * np.exp(-(((t - at - delay) / width) ** 2) / 2)
    return conditioned(x, RATE)


def judged(raw: np.ndarray, rate: float, uv_per_count: float = 1000.0) -> list[Prepared]:
    """Full windows of a raw signal, with the beats that the detector finds in it."""
    frontend = Frontend((Consumer("m", SPEC, WindowSpec(RATE, 30.0, 10.0, 9.0), []),))
    out = frontend.push(Segment(0, 0.0, rate, "declared", Board("b", rate, uv_per_count, 16)))
    out += frontend.push(SampleBlock(0, raw[:, None].astype(np.float64), 0.0))
    out += frontend.finish()
    return [item for item in out if isinstance(item, Prepared) and not item.window.provisional]


def test_a_clean_ecg_is_usable_and_has_nothing_to_complain_of() -> None:
    quality = assess(window(ecg()), r_peaks())
    assert quality.index > 0.9
    assert quality.reasons == ()
    assert quality.usable


@pytest.mark.parametrize("bpm", [40.0, 110.0, 160.0])
def test_heart_rate_is_no_fault(bpm: float) -> None:
    assert assess(window(ecg(bpm=bpm)), r_peaks(bpm=bpm)).index > 0.7


@pytest.mark.parametrize("seconds", [10.0, 12.3, 60.0])
def test_other_window_lengths(seconds: float) -> None:
    assert assess(window(ecg(60.0)[: round(seconds * RATE)]), r_peaks(seconds)).usable


@pytest.mark.parametrize("gain", [1e-1, 1e2, 1e5])
def test_scale_does_not_matter(gain: float) -> None:
    plain, scaled = assess(window(ecg()), r_peaks()), assess(window(gain * ecg()), r_peaks())
    assert scaled.index == pytest.approx(plain.index, abs=1e-3)
    assert scaled.reasons == plain.reasons


def test_polarity_does_not_matter() -> None:
    assert assess(window(-ecg()), r_peaks()).index == pytest.approx(
        assess(window(ecg()), r_peaks()).index, abs=1e-6
    )


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_flat_line(level: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    quality = assess(window(level * rng.normal(size=3000)), np.empty(0))
    assert (quality.index, quality.reasons, quality.usable) == (0.0, ("flat line",), False)


def test_mostly_flat() -> None:
    signal = ecg()
    signal[1000:] = signal[1000]
    quality = assess(window(signal), r_peaks(10.0))
    assert not quality.usable
    assert quality.reasons[0].startswith("flat line for 6")


@pytest.mark.parametrize(
    ("field", "share", "usable", "word"),
    [
        ("filled", 0.04, True, "4 % of the samples bridge gaps"),
        ("filled", 0.06, False, "6 % of the samples bridge gaps"),
    ],
)
def test_shares_that_the_window_brings_along(field: str, share: float, usable: bool, word: str) -> None:
    clean = window(ecg())
    quality = assess(replace(clean, **{field: share}), r_peaks())
    assert quality.usable is usable
    assert quality.reasons == (word,)
    assert quality.index < assess(clean, r_peaks()).index


@pytest.mark.parametrize("kind", ["white", "walk", "hum", "square", "bytes"])
def test_what_is_no_ecg_is_not_usable(kind: str) -> None:
    rng = np.random.default_rng(RNG_SEED)
    t = np.arange(7500) / 250.0
    raw = {
        "white": rng.normal(size=t.size),
        "walk": np.cumsum(rng.normal(size=t.size)),
        "hum": np.sin(2 * np.pi * 12 * t),
        "square": np.sign(np.sin(2 * np.pi * 6 * t)),
        "bytes": rng.integers(0, 256, t.size).astype(float),
    }[kind]
    quality = judged(raw, 250.0)[0].quality
    assert not quality.usable
    assert quality.index <= 0.1
    assert quality.reasons[0] in ("no heartbeats to be seen", "too noisy to read")


def test_noise_lowers_the_index_step_by_step() -> None:
    rng = np.random.default_rng(RNG_SEED)
    noise = conditioned(rng.normal(size=3000), RATE)
    noise /= noise.std()
    indexes = [assess(window(ecg() + level * noise), r_peaks()).index for level in (0.0, 0.05, 0.15, 0.5)]
    assert indexes == sorted(indexes, reverse=True)
    assert indexes[0] - indexes[-1] > 0.5


def test_slow_and_fast_noise_are_named() -> None:
    t = np.arange(3000) / RATE
    assert "baseline wander" in assess(window(ecg() + np.sin(2 * np.pi * 0.7 * t)), r_peaks()).reasons
    fast = assess(window(ecg() + 0.1 * np.sin(2 * np.pi * 33 * t)), r_peaks())
    assert any("fast noise" in r for r in fast.reasons)


def test_too_short_and_not_finite() -> None:
    assert assess(window(ecg()[:150]), r_peaks(1.5)).reasons == ("too short to judge",)
    broken = ecg()
    broken[7] = np.nan
    assert not assess(window(broken), r_peaks()).usable


def test_measures_of_a_clean_window() -> None:
    m = measure(window(ecg()), r_peaks())
    assert m.alike == 1.0
    assert m.residue < 0.05
    assert m.silence < 0.15
    assert m.flat == 0.0


@pytest.mark.parametrize("every", [2, 3, 6])
def test_ectopic_beats_are_no_noise(every: int) -> None:
    """Bigeminy has two shapes in equal shares; no median of all beats looks like either."""
    quality = assess(window(ecg(odd=(1, every))), r_peaks())
    assert quality.usable
    assert quality.index > 0.9
    assert "beats that do not resemble each other" not in quality.reasons


def test_noise_in_a_part_of_the_window_stops_the_verdict_only_when_most_is_lost() -> None:
    rng = np.random.default_rng(RNG_SEED)
    noise = conditioned(rng.normal(size=3000), RATE)
    noise *= 1.5 / noise.std()
    found = []
    for seconds in (5, 10, 25):
        dirty = ecg() + np.where(np.arange(3000) < seconds * RATE, noise, 0.0)
        found.append(assess(window(dirty), r_peaks()))
    assert [q.usable for q in found] == [True, True, False]
    assert found[0].index > found[1].index > GATE > found[2].index
    assert found[2].reasons[0] == "too noisy to read"


def test_a_line_without_beats_is_not_usable() -> None:
    rng = np.random.default_rng(RNG_SEED)
    quality = assess(window(conditioned(rng.normal(0, 0.02, 3000), RATE)), r_peaks(1.5))
    assert not quality.usable
    assert quality.reasons[0] == "no heartbeats to be seen"


def test_clipping_is_told_and_stops_the_verdict_where_much_is_lost() -> None:
    clean = window(ecg())
    told = assess(clean, r_peaks(), clipped=0.02)
    assert told.usable
    assert told.reasons == ("2 % of the samples clipped (amplifier or converter at its limit)",)
    assert not assess(clean, r_peaks(), clipped=0.2).usable


def test_the_noise_of_the_simulated_patient_is_inconclusive_and_the_rest_is_not() -> None:
    starts = dict(zip((part for _, part in PROGRAMME), (0.0, *(end for end, _ in PROGRAMME)), strict=False))
    for seed in range(3):
        raw = np.concatenate([piece.counts for piece in SimulatedPatient(seed).pieces()])
        for item in judged(raw[: round(starts["loose"] * PATIENT_HZ)], PATIENT_HZ, 0.5):
            begin, end = item.window.time_s, item.window.time_s + item.window.seconds
            if end <= starts["noise"]:
                assert item.quality.usable
            elif end - starts["noise"] >= 20 and begin < starts["noise"]:
                assert item.quality.reasons[0] == "too noisy to read"
                assert not item.quality.usable


def test_real_noisy_recordings_rank_below_the_others(data_dir: Path) -> None:
    """CinC 2017, records of the published validation list, which the weights have not seen."""
    from ecgedge.datasets.archive import Archive
    from ecgedge.datasets.cinc2017 import CLASSES, RATE_HZ, labels, published_split, records

    with Archive(data_dir, "cinc2017") as archive:
        known = labels(archive)
    names = published_split(data_dir)[1]
    noisy = [n for n in names if CLASSES[known[n]] == "~"][:25]
    rest = [n for n in names if CLASSES[known[n]] != "~"][:75]
    found = {r.name: judged(r.signal.ravel(), RATE_HZ)[0].quality for r in records(data_dir, noisy + rest)}
    wins = np.mean([[found[r].index > found[n].index for r in rest] for n in noisy])
    assert wins > 0.93  # area under the ROC curve
    assert sum(not found[r].usable for r in rest) <= 3
    assert sum(not found[n].usable for n in noisy) >= 0.5 * len(noisy)
