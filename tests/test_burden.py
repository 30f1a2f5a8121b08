"""AF burden by hour, day and stream: hand-worked, over gaps and borders, at a stream's end, for a week."""

from __future__ import annotations

import pytest

from ecgedge.accounts import Accounts
from ecgedge.burden import Burden
from ecgedge.messages import Beat, Episode, Hrv, Message, Period, Quality, Scores, Verdict

RATE = 100
DELAY_S = 150.0
HOUR = 3600.0


def verdict(
    begin: float, said: str = "sinus", model: str = "m", seconds: float = 30.0, early: bool = False
) -> Verdict:
    first = round(begin * RATE)
    scores = Scores(model, first, first + round(seconds * RATE), begin, seconds, {"N": 1.0}, "N", early)
    return Verdict(scores, said, (), Quality(0.9), 1.0)


def windows(begin: float, end: float, said: str = "sinus", model: str = "m") -> list[Verdict]:
    """Every ten seconds, as long as they fit."""
    return [verdict(begin + 10 * i, said, model) for i in range(int((end - begin - 30) // 10) + 1)]


def af(onset: float, offset: float, state: str = "closed", model: str = "m") -> Episode:
    return Episode("AF", state, model, round(onset * RATE), round(offset * RATE), onset, offset, 0.9)  # type: ignore[arg-type]


def run(messages: list[Message], end: float, models: tuple[str, ...] = ("m",)) -> list[Hrv | Period]:
    """Give messages when they would come: a window at its end, an episode at its end."""

    def due(m: Message) -> float:
        if isinstance(m, Verdict):
            return m.scores.time_s + m.scores.seconds
        return m.offset_s if isinstance(m, Episode) else m.time_s + 1.0  # type: ignore[union-attr]

    accounts = Accounts(models, DELAY_S)
    out: list[Hrv | Period] = []
    waiting = sorted(messages, key=due)
    at = 0.0
    while at < end:
        at = min(at + 1.0, end)
        while waiting and due(waiting[0]) <= at:
            accounts.push(waiting.pop(0))
        out += accounts.advance(round(at * RATE), at)
    for message in waiting:
        accounts.push(message)
    return out + accounts.finish()


def periods(out: list[Hrv | Period], span: str | None = None, model: str = "m") -> list[Period]:
    return [p for p in out if isinstance(p, Period) and p.model == model and span in (None, p.span)]


def test_ten_minutes_by_hand() -> None:
    """600 s judged; 60-180 s AF; 300-400 s inconclusive; all of it one hour, one day, one stream."""
    said = {t: "inconclusive" if 300 <= t <= 370 else "sinus" for t in range(0, 571, 10)}
    out = run([*(verdict(t, s) for t, s in said.items()), af(60, 120, "open"), af(60, 180)], 600.0)
    assert [p.span for p in periods(out)] == ["hour", "day", "stream"]
    for p in periods(out):
        assert (p.first, p.last, p.time_s, p.seconds) == (0, 60000, 0.0, 600.0)
        assert p.judged_s == pytest.approx(600.0)
        assert p.af_s == pytest.approx(120.0)
        assert p.burden == pytest.approx(0.2)
        # Windows from 300 to 400; of the three over 300-310 one says so, of those over 310-320 two.
        assert p.inconclusive == pytest.approx((390 - 310) / 600)
        assert p.episodes == 1


def test_a_gap_is_neither_judged_nor_in_the_burden() -> None:
    """Signal for 900 s, none for 1800 s, signal for 900 s; AF for the whole of the first 900 s."""
    out = run([*windows(0, 900), *windows(2700, 3600), af(0, 900)], 3600.0)
    (hour,) = periods(out, "hour")
    assert hour.seconds == 3600.0
    assert hour.judged_s == pytest.approx(1800.0)
    assert hour.burden == pytest.approx(0.5)
    assert hour.inconclusive == 0.0


def test_an_episode_that_bridges_a_gap_counts_whole() -> None:
    out = run([*windows(0, 300), *windows(320, 600), af(100, 500)], 600.0)
    stream = periods(out, "stream")[0]
    assert stream.af_s == pytest.approx(400.0)
    assert stream.judged_s == pytest.approx(600.0)  # 580 under windows, 20 in the episode alone


def test_inconclusive_time_inside_an_episode_is_the_episodes() -> None:
    out = run([*windows(0, 600, "inconclusive"), af(100, 500)], 600.0)
    stream = periods(out, "stream")[0]
    assert stream.burden == pytest.approx(400 / 600)
    assert stream.inconclusive == pytest.approx(200 / 600)


def test_an_episode_over_the_border_of_two_hours_is_split() -> None:
    out = run([*windows(0, 7200), af(3000, 3060, "open"), af(3000, 4500)], 7200.0)
    first, second = periods(out, "hour")
    assert (first.af_s, second.af_s) == (pytest.approx(600.0), pytest.approx(900.0))
    assert (first.last, second.first) == (360000, 360000)
    assert (first.episodes, second.episodes) == (1, 1)
    stream = periods(out, "stream")[0]
    assert (stream.af_s, stream.episodes) == (pytest.approx(1500.0), 1)


def test_an_episode_still_open_at_the_border_counts_up_to_it() -> None:
    out = run([*windows(0, 4000), af(3500, 3560, "open"), af(3500, 4000)], 4000.0)
    first, second = periods(out, "hour")
    assert (first.af_s, second.af_s) == (pytest.approx(100.0), pytest.approx(400.0))


def test_an_episode_told_after_the_hours_end_is_in_the_hour() -> None:
    """It began in the last seconds of the hour, which is therefore not told at once."""
    accounts = Accounts(("m",), DELAY_S)
    for window in windows(0, 3700):
        accounts.push(window)
    assert not periods(accounts.advance(370000, 3700.0))
    accounts.push(af(3580, 3640, "open"))
    (hour,) = periods(accounts.advance(375000, 3750.0))
    assert hour.af_s == pytest.approx(20.0)


def test_nothing_judged_has_no_burden() -> None:
    out = run([verdict(0, seconds=9.0, early=True)], 20.0)
    for p in periods(out):
        assert (p.judged_s, p.af_s, p.burden, p.inconclusive) == (0.0, 0.0, None, None)


def test_a_stream_without_a_sample_has_no_books() -> None:
    assert Accounts(("m",), DELAY_S).finish() == []


def test_each_model_has_its_own_books() -> None:
    out = run([*windows(0, 600), *windows(0, 600, model="n"), af(0, 300, model="n")], 600.0, ("m", "n"))
    assert periods(out, "stream", "m")[0].burden == 0.0
    assert periods(out, "stream", "n")[0].burden == pytest.approx(0.5)


def test_days_are_24_hours_and_add_up() -> None:
    """26 hours, AF in the last half hour of each; told in order, the second day at the end."""
    accounts = Accounts(("m",), DELAY_S)
    out: list[Hrv | Period] = []
    for second in range(10, 26 * 3600 + 1, 10):
        if second >= 30:
            accounts.push(verdict(second - 30))
        if second % 3600 == 1900:
            accounts.push(af(second - 100, second - 40, "open"))
        if second % 3600 == 0:
            accounts.push(af(second - 1800, second))
        out += accounts.advance(second * RATE, float(second))
    out += accounts.finish()
    hours, days, (stream,) = periods(out, "hour"), periods(out, "day"), periods(out, "stream")
    assert [h.time_s for h in hours] == [HOUR * i for i in range(26)]
    assert all(h.burden == pytest.approx(0.5) and h.seconds == HOUR for h in hours)
    assert [(d.time_s, d.seconds, d.episodes) for d in days] == [(0.0, 86400.0, 24), (86400.0, 7200.0, 2)]
    assert sum(d.af_s for d in days) == pytest.approx(stream.af_s) == pytest.approx(26 * 1800)
    assert stream.episodes == 26


def test_a_stream_that_ends_with_an_hour_or_a_day_has_no_empty_one_after_it() -> None:
    assert [p.span for p in periods(run(list(windows(0, 3600)), 3600.0))] == ["hour", "day", "stream"]


def test_heart_rate_of_an_hour() -> None:
    """75 a minute, but 120 for one minute: mean of all intervals, extremes of the ten-second medians."""
    beats: list[Message] = []
    at, before = 0.0, None
    while at < 3590:
        rr = 0.5 if 1000 <= at < 1060 else 0.8
        beats.append(Beat(round(at * RATE), at, before, 1.0, True))
        at, before = at + rr, rr
    (hour,) = periods(run([*beats, *windows(0, 3600)], 3600.0), "hour")
    intervals = [b.rr_s for b in beats if isinstance(b, Beat) and b.rr_s]
    assert hour.heart_rate_bpm == pytest.approx(60 * len(intervals) / sum(intervals))
    assert (hour.lowest_bpm, hour.highest_bpm) == (pytest.approx(75.0), pytest.approx(120.0))


def test_a_long_gap_gives_its_empty_hours_at_once() -> None:
    accounts = Accounts(("m",), DELAY_S)
    for window in windows(0, 600):
        accounts.push(window)
    out = accounts.advance(60000, 600.0)
    out += accounts.advance(60000 + 10 * 360000, 600.0 + 10 * HOUR)
    out += accounts.finish()
    hours = periods(out, "hour")
    assert [h.judged_s for h in hours] == [pytest.approx(600.0), *[0.0] * 10]
    assert [h.first for h in hours] == [360000 * i for i in range(11)]
    assert hours[-1].seconds == pytest.approx(600.0)


def test_a_week_needs_bounded_memory() -> None:
    burden, most = Burden("m", DELAY_S), 0
    for i in range(60_480):
        at = 10.0 * i
        burden.push(verdict(at, "inconclusive" if i % 7 < 3 else "sinus"))
        if i % 12 == 0:
            burden.push(af(at - 60, at))
        if i and at % HOUR == 0:
            burden.edge(round(at), at)
        burden.advance(at)
        coverage = burden._coverage
        held = len(coverage.spans) + len(coverage._open) + len(burden._episodes)
        most = max(most, held)
    assert most < 200
