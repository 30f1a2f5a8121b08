"""The window rule: hop, provisional windows, the last window, any chunking."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ecgedge.errors import BundleError
from ecgedge.windows import Windower, WindowSpec

SPEC = WindowSpec(rate_hz=100.0, length_s=30.0, hop_s=10.0, minimum_s=9.0)


def cut(seconds: float, chunk: int = 10_000):
    n = round(seconds * 100)
    signal = np.arange(n, dtype=np.float32)
    windower = Windower(SPEC, first=1000, time_s=4.0, rate_in_hz=250.0)
    out = []
    for i in range(0, n, chunk):
        piece = signal[i : i + chunk]
        out += windower.push(piece)
    return out + windower.finish()


def spans(windows):
    return [(float(w.signal[0]) / 100, w.seconds, w.provisional) for w in windows]


def test_long_stretch() -> None:
    early = [(0.0, 9.0, True), (0.0, 19.0, True), (0.0, 29.0, True)]
    full = [(0.0, 30.0, False), (10.0, 30.0, False), (20.0, 30.0, False), (30.0, 30.0, False)]
    assert spans(cut(60.0)) == early + full
    assert spans(cut(61.0)) == [*early, *full, (31.0, 30.0, False)]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (8.99, []),
        (9.0, [(0.0, 9.0, True), (0.0, 9.0, False)]),
        (20.0, [(0.0, 9.0, True), (0.0, 19.0, True), (0.0, 20.0, False)]),
        (30.0, [(0.0, 9.0, True), (0.0, 19.0, True), (0.0, 29.0, True), (0.0, 30.0, False)]),
    ],
)
def test_short_stretch(seconds, expected) -> None:
    assert spans(cut(seconds)) == expected


@pytest.mark.parametrize("chunk", [1, 7, 250, 4096])
def test_any_chunking(chunk: int) -> None:
    whole, pieces = cut(73.21), cut(73.21, chunk)
    assert [(w.first, w.last, w.time_s) for w in pieces] == [(w.first, w.last, w.time_s) for w in whole]
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(whole, pieces, strict=True))


def test_windows_carry_stream_samples() -> None:
    window = cut(45.0)[-1]
    assert (window.first, window.last) == (1000 + 15 * 250, 1000 + 45 * 250)
    assert window.time_s == 4.0 + 15.0
    assert window.signal[0] == 1500.0


def test_a_window_tells_which_share_of_it_bridges_gaps() -> None:
    windower, shares = Windower(SPEC, 0, 0.0, 250.0), []
    for at in range(0, 6000, 100):
        if at == 3100:
            windower.bridge(3110, 3140)
        shares += [w.filled for w in windower.push(np.zeros(100, dtype=np.float32))]
    assert shares == [0.0, 0.0, 0.0, 0.0, 0.01, 0.01, 0.01]


def test_memory_is_bounded() -> None:
    windower = Windower(SPEC, 0, 0.0, 250.0)
    for _ in range(1000):
        windower.push(np.zeros(1000, dtype=np.float32))
    assert windower._signal.size <= 4000


def test_what_is_due_comes_with_the_sample_that_was_told() -> None:
    windower, came = Windower(SPEC, first=0, time_s=0.0, rate_in_hz=250.0), 0
    for n in range(1, 6001):
        due = windower.due
        came += len(windower.push(np.zeros(1, dtype=np.float32)))
        assert (windower.due > due) == (n == due)
    assert came == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"hop_s": 0.009},
        {"hop_s": 0.0},
        {"hop_s": -1.0},
        {"hop_s": 30.01},
        {"minimum_s": 0.004},
        {"minimum_s": 31.0},
        {"length_s": 3600.01},
        {"rate_hz": 0.0},
        {"rate_hz": -100.0},
        *(
            {name: odd}
            for name in ("rate_hz", "length_s", "hop_s", "minimum_s")
            for odd in (math.nan, math.inf)
        ),
    ],
)
def test_figures_that_no_window_can_have_are_refused(changes) -> None:
    with pytest.raises(BundleError, match="hop and minimum from one sample to the length"):
        replace(SPEC, **changes)


def test_the_shortest_hop_is_one_sample() -> None:
    spec = WindowSpec(rate_hz=100.0, length_s=0.03, hop_s=0.01, minimum_s=0.01)
    windower = Windower(spec, first=0, time_s=0.0, rate_in_hz=100.0)
    windows = windower.push(np.arange(6, dtype=np.float32))
    assert [w.signal.tolist() for w in windows if not w.provisional] == [[k, k + 1, k + 2] for k in range(4)]
