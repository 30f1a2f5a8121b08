"""Heart rate from beats."""

from __future__ import annotations

import pytest

from ecgedge.hrv import HeartRate
from ecgedge.messages import Beat


def beats(intervals: list[float | None], start_s: float = 0.0) -> HeartRate:
    rate, t = HeartRate(), start_s
    for rr in intervals:
        t += rr or 0.0
        rate.push(Beat(round(t * 250), t, rr, 1.0, False))
    return rate


def test_steady_rate() -> None:
    assert beats([None, *[0.8] * 20]).bpm(16.0) == pytest.approx(75.0)


def test_one_missed_and_one_extra_beat_do_not_move_it() -> None:
    assert beats([None, 0.8, 0.8, 1.6, 0.8, 0.8, 0.3, 0.5, 0.8, 0.8]).bpm(8.0) == pytest.approx(75.0)


def test_only_the_last_ten_seconds_count() -> None:
    assert beats([None, *[1.0] * 30, *[0.5] * 20]).bpm(40.0) == pytest.approx(120.0)


@pytest.mark.parametrize("intervals", [[], [None], [None, 0.8]])
def test_too_few_beats_give_none(intervals: list[float | None]) -> None:
    assert beats(intervals).bpm(1.0) is None


def test_stale_after_five_seconds_and_not_before() -> None:
    rate = beats([None, *[1.0] * 10])
    assert rate.bpm(15.0) == pytest.approx(60.0)
    assert rate.bpm(15.1) is None


def test_a_gap_starts_anew() -> None:
    rate = beats([None, *[1.0] * 5])
    rate.push(Beat(1500, 6.0, None, 1.0, False))
    rate.push(Beat(1600, 6.5, 0.5, 1.0, False))
    assert rate.bpm(6.5) is None
    rate.push(Beat(1700, 7.0, 0.5, 1.0, False))
    assert rate.bpm(7.0) == pytest.approx(120.0)


def test_beats_yet_to_come_do_not_count() -> None:
    rate = beats([None, *[1.0] * 10, *[0.5] * 10])
    assert rate.bpm(10.0) == pytest.approx(60.0)


def test_memory_is_bounded() -> None:
    rate = beats([None, *[0.3] * 100_000])
    assert rate.bpm(30_000.0) == pytest.approx(200.0)
    assert len(rate._beats) <= 256
