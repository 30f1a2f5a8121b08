"""Clipping: found where a converter cut the signal, not where flat tops have another reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgedge.clipping import Clipping, clipped_share
from ecgedge.messages import Window

RNG_SEED = 31


def raw(rate: float, seconds: float = 30.0, noise: float = 0.01) -> np.ndarray:
    """Millivolt: P, QRS, T of varying height on a wandering baseline."""
    rng = np.random.default_rng(RNG_SEED)
    t = np.arange(round(seconds * rate)) / rate
    x = rng.normal(0, noise, t.size) + 0.1 * np.sin(2 * np.pi * 0.21 * t)
    for at in np.arange(0.5, seconds, 0.83):
        tall = rng.uniform(0.9, 1.1)
        for height, delay, width in ((0.12, -0.16, 0.02), (1.0, 0.0, 0.012), (0.3, 0.3, 0.05)):
            x += tall * height * np.exp(-(((t - at - delay) / width) ** 2) / 2)
    return x


def steps(x: np.ndarray, bits: int, range_mv: float = 5.0) -> np.ndarray:
    """What a converter of so many bits makes of millivolt."""
    return np.rint(x * 2**bits / range_mv)


@pytest.mark.parametrize("rate", [125.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("at", [0.6, 0.8])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_cut_signal_is_found(rate: float, at: float, sign: int) -> None:
    cut = sign * np.minimum(raw(rate), at)
    truth = float(np.mean(cut == sign * at))
    assert clipped_share(cut, rate) == pytest.approx(truth, rel=1e-9)
    assert clipped_share(steps(cut, 12), rate) == pytest.approx(truth, rel=0.3)
    assert clipped_share(0.37 * steps(cut, 16) - 12.5, rate) > 0  # any unit, any offset


@pytest.mark.parametrize("rate", [125.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("bits", [8, 10, 12, 16, 24])
def test_a_whole_signal_is_not(rate: float, bits: int) -> None:
    x = raw(rate)
    assert clipped_share(x, rate) == 0.0
    assert clipped_share(steps(x, bits), rate) == 0.0
    assert clipped_share(steps(-x, bits), rate) == 0.0
    assert clipped_share(steps(raw(rate, noise=0.0), bits), rate) == 0.0


@pytest.mark.parametrize("times", [2, 4, 8])
def test_samples_sent_several_times_over_are_no_clipping(times: int) -> None:
    assert clipped_share(np.repeat(steps(raw(125.0), 12), times), 125.0 * times) == 0.0
    cut = np.repeat(steps(np.minimum(raw(125.0), 0.6), 12), times)
    assert clipped_share(cut, 125.0 * times) > 0


def test_lines_of_zeros_are_no_clipping() -> None:
    """Samples that a sender has put to zero while it had none."""
    x = steps(raw(250.0) + 2.0, 12)
    for at in (1000, 3000, 5000):
        x[at : at + 500] = 0
    assert clipped_share(x, 250.0) == 0.0
    assert clipped_share(np.zeros(7500), 250.0) == 0.0


def test_a_square_wave_without_levels_in_between_tells_nothing() -> None:
    assert clipped_share(np.sign(np.sin(2 * np.pi * 3 * np.arange(7500) / 250)), 250.0) == 0.0


@pytest.mark.parametrize("chunk", [7, 250, 100_000])
def test_the_raw_samples_of_every_window_are_at_hand(chunk: int) -> None:
    """A window is asked for after the push that ended it, however much that brought."""
    rate = 250.0
    x = steps(np.where(np.arange(22500) < 11250, raw(rate, 90.0), np.minimum(raw(rate, 90.0), 0.6)), 12)
    meter = Clipping(5.0, rate, 40.0)
    due = [0.0, 10.0, 45.0, 60.0]
    for at in range(0, x.size, chunk):
        meter.push(x[at : at + chunk])
        while due and (at + chunk) / rate >= due[0] + 30:
            begin = due.pop(0)
            window = Window(0, 0, 5.0 + begin, 30.0, np.zeros(3000, np.float32), 100.0, 0.0, False)
            whole = clipped_share(x[round(begin * rate) : round((begin + 30) * rate)], rate)
            assert meter.share(window) == whole
            assert (whole > 0) == (begin >= 45)
    assert not due


def test_no_real_recording_of_cinc_is_clipped_until_it_is_cut(data_dir: Path) -> None:
    from ecgedge.datasets.cinc2017 import RATE_HZ, published_split, records

    names = published_split(data_dir)[0][::175]
    found = cut = 0
    for record in records(data_dir, names):
        counts = np.rint(1000 * record.signal.ravel())
        rail = 0.5 * float(np.percentile(np.abs(counts), 99.9))
        found += clipped_share(counts, RATE_HZ) > 0
        cut += clipped_share(np.clip(counts, -np.rint(rail), np.rint(rail)), RATE_HZ) > 0
    assert found == 0
    assert cut >= 0.8 * len(names)
