"""Quality of windows: synthetic faults, invariances, and the noisy class of real recordings."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ecgedge.conditioning import Conditioner
from ecgedge.messages import Window
from ecgedge.quality import assess, measure

RATE = 100.0
SPEC = {"version": 1, "rate_hz": RATE, "highpass_hz": 0.5, "lowpass_hz": 40.0}
RNG_SEED = 20


def conditioned(raw: np.ndarray, rate_in: float) -> np.ndarray:
    chain = Conditioner(SPEC, rate_in)
    parts = [chain.push(raw, np.zeros(raw.size, dtype=bool))[0], chain.finish()[0]]
    return np.concatenate(parts)[: int(30 * RATE)]


def window(signal: np.ndarray) -> Window:
    seconds = signal.size / RATE
    return Window(0, signal.size, 0.0, seconds, signal.astype(np.float32), RATE, 0.0, False)


def ecg(seconds: float = 30.0, bpm: float = 70.0, seed: int = RNG_SEED) -> np.ndarray:
    """QRS and T as Gaussian bumps of 1 and 0.25 mV with a little noise, at 100 Hz."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    x = rng.normal(0, 0.01, t.size)
    at = 0.5
    while at < seconds:
        for height, delay, width in ((1.0, 0.0, 0.012), (-0.2, 0.03, 0.012), (0.25, 0.28, 0.05)):
            x += height * np.exp(-(((t - at - delay) / width) ** 2) / 2)
        at += 60 / bpm * rng.uniform(0.95, 1.05)
    return conditioned(x, RATE)


def test_a_clean_ecg_is_usable_and_has_nothing_to_complain_of() -> None:
    quality = assess(window(ecg()))
    assert quality.index > 0.9
    assert quality.reasons == ()
    assert quality.usable


@pytest.mark.parametrize("bpm", [40.0, 110.0, 160.0])
def test_heart_rate_is_no_fault(bpm: float) -> None:
    assert assess(window(ecg(bpm=bpm))).index > 0.7


@pytest.mark.parametrize("seconds", [10.0, 12.3, 60.0])
def test_other_window_lengths(seconds: float) -> None:
    assert assess(window(ecg(60.0)[: round(seconds * RATE)])).usable


@pytest.mark.parametrize("gain", [1e-1, 1e2, 1e5])
def test_scale_does_not_matter(gain: float) -> None:
    plain, scaled = assess(window(ecg())), assess(window(gain * ecg()))
    assert scaled.index == pytest.approx(plain.index, abs=1e-3)
    assert scaled.reasons == plain.reasons


def test_polarity_does_not_matter() -> None:
    assert assess(window(-ecg())).index == pytest.approx(assess(window(ecg())).index, abs=1e-6)


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_flat_line(level: float) -> None:
    rng = np.random.default_rng(RNG_SEED)
    quality = assess(window(level * rng.normal(size=3000)))
    assert (quality.index, quality.reasons, quality.usable) == (0.0, ("flat line",), False)


def test_mostly_flat() -> None:
    signal = ecg()
    signal[1000:] = signal[1000]
    quality = assess(window(signal))
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
    quality = assess(replace(clean, **{field: share}))
    assert quality.usable is usable
    assert quality.reasons == (word,)
    assert quality.index < assess(clean).index


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
    quality = assess(window(conditioned(raw, 250.0)))
    assert not quality.usable
    assert quality.index <= 0.1
    assert "no heartbeats to be seen" in quality.reasons


def test_noise_lowers_the_index_step_by_step() -> None:
    rng = np.random.default_rng(RNG_SEED)
    noise = conditioned(rng.normal(size=3000), RATE)
    noise /= noise.std()
    indexes = [assess(window(ecg() + level * noise)).index for level in (0.0, 0.05, 0.15, 0.5)]
    assert indexes == sorted(indexes, reverse=True)
    assert indexes[0] - indexes[-1] > 0.5


def test_slow_and_fast_noise_are_named() -> None:
    t = np.arange(3000) / RATE
    assert "baseline wander" in assess(window(ecg() + np.sin(2 * np.pi * 0.7 * t))).reasons
    assert any("fast noise" in r for r in assess(window(ecg() + 0.1 * np.sin(2 * np.pi * 33 * t))).reasons)


def test_too_short_and_not_finite() -> None:
    assert assess(window(ecg()[:150])).reasons == ("too short to judge",)
    broken = ecg()
    broken[7] = np.nan
    assert not assess(window(broken)).usable


def test_measures_of_a_clean_window() -> None:
    m = measure(window(ecg()))
    assert m.agreement > 0.95
    assert m.silence < 0.15
    assert m.flat == 0.0


def test_real_noisy_recordings_rank_below_the_others(data_dir: Path) -> None:
    """CinC 2017, records of the published validation list, which the weights have not seen."""
    archive = data_dir / "cinc2017.zip"
    split = data_dir / "splits" / "cinc2017_dualnet.json"
    if not archive.is_file() or not split.is_file():
        pytest.skip("needs cinc2017.zip and splits/ in the folder that ECGEDGE_DATA names")
    names = json.loads(split.read_text())["validation"]
    with zipfile.ZipFile(archive) as z:
        with z.open("training2017/REFERENCE.csv") as raw:
            labels = dict(csv.reader(io.TextIOWrapper(raw)))
        noisy = [n for n in names if labels[n] == "~"][:25]
        rest = [n for n in names if labels[n] != "~"][:75]
        index, usable = {}, {}
        for name in noisy + rest:
            counts = scipy.io.loadmat(io.BytesIO(z.read(f"training2017/{name}.mat")))["val"][0]
            quality = assess(window(conditioned(counts / 1000.0, 300.0)))
            index[name], usable[name] = quality.index, quality.usable
    wins = np.mean([[index[r] > index[n] for r in rest] for n in noisy])
    assert wins > 0.9  # area under the ROC curve
    assert sum(not usable[r] for r in rest) <= 1
