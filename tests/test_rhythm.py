"""Episodes from constructed verdicts whose answer can be worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest

from ecgedge.errors import BundleError, UsageError
from ecgedge.messages import Episode, Quality, Scores, Verdict
from ecgedge.rhythm import AfEpisodes

RATE = 250
HOP = 10.0
GOOD = Quality(1.0)


def verdict(
    start_s: float,
    probability: float | None,
    seconds: float = 30.0,
    provisional: bool = False,
) -> Verdict:
    """A window's verdict; ``probability`` None: inconclusive (with a misleading score)."""
    p = 0.99 if probability is None else probability
    first, last = round(start_s * RATE), round((start_s + seconds) * RATE)
    scores = Scores("net", first, last, start_s, seconds, {"N": 1 - p, "A": p}, "A", provisional)
    word = "inconclusive" if probability is None else ("AF" if p >= 0.5 else "sinus")
    return Verdict(scores, word, (), GOOD, p, p, None, readable=probability is not None)


def stage(**options: float) -> AfEpisodes:
    return AfEpisodes("net", hop_s=HOP, on=0.6, off=0.4, **options)


def run(probabilities: list[float | None], start_s: float = 0.0, **options: float) -> list[Episode]:
    af = stage(**options)
    out = [e for i, p in enumerate(probabilities) for e in af.push(verdict(start_s + i * HOP, p))]
    return out + af.finish()


def spans(out: list[Episode]) -> list[tuple[str, float, float]]:
    return [(e.state, e.onset_s, e.offset_s) for e in out]


def test_steady_af_opens_at_the_minimum_and_closes_at_the_end() -> None:
    out = run([0.9] * 10)  # windows cover 0-120 s
    assert spans(out) == [("open", 0.0, 30.0), ("closed", 0.0, 120.0)]
    assert [(e.kind, e.model, e.onset, e.offset) for e in out] == [
        ("AF", "net", 0, 30 * RATE),
        ("AF", "net", 0, 120 * RATE),
    ]
    assert out[1].probability == pytest.approx(0.9)


def test_interval_is_the_mean_over_the_windows_that_cover_it() -> None:
    """One window of three at 0.9, the others at 0: mean 0.3, never 0.6, so nothing."""
    assert run([0.0, 0.0, 0.9, 0.0, 0.0]) == []
    # Two of three at 0.9 give 0.6, exactly the threshold, on the two intervals that both share.
    out = run([0.0, 0.0, 0.9, 0.9, 0.0, 0.0], minimum_s=10.0)
    assert spans(out)[-1] == ("closed", 30.0, 50.0)


def test_an_interval_is_decided_as_soon_as_no_later_window_covers_it() -> None:
    af = stage(minimum_s=10.0)
    assert spans(af.push(verdict(0.0, 0.9))) == [("open", 0.0, 10.0)]  # 0-10 s belongs to it alone
    assert af.push(verdict(10.0, 0.0)) == []  # 10-20 s: mean 0.45, between the thresholds
    assert spans(af.push(verdict(20.0, 0.0))) == [("closed", 0.0, 20.0)]  # 20-30 s: mean 0.3


def test_hysteresis() -> None:
    """0.5 neither begins an episode nor ends one."""
    assert run([0.5] * 10) == []
    out = run([0.9] * 5 + [0.5] * 10 + [0.0] * 5)
    assert [e.state for e in out] == ["open", "closed"]
    assert out[-1].offset_s >= 130.0


def test_runs_shorter_than_the_minimum_are_no_episodes() -> None:
    assert run([0.9, 0.0, 0.0, 0.0]) == []
    assert spans(run([0.9] * 4, minimum_s=60.0)) == [("open", 0.0, 60.0), ("closed", 0.0, 60.0)]
    assert run([0.9] * 4, minimum_s=60.1) == []


def test_two_episodes_with_sinus_rhythm_between() -> None:
    out = run([0.9] * 6 + [0.0] * 6 + [0.9] * 6)
    assert [e.state for e in out] == ["open", "closed", "open", "closed"]
    assert out[1].offset_s < out[2].onset_s


def test_inconclusive_windows_do_not_vote() -> None:
    assert run([None] * 10) == []
    out = run([0.9] * 5 + [None] * 3 + [0.9] * 5)
    assert spans(out) == [("open", 0.0, 30.0), ("closed", 0.0, 150.0)]
    assert out[-1].probability == pytest.approx(0.9)


def test_time_without_votes_bridges_thirty_seconds_at_most() -> None:
    """Windows cover 0-70 s; the next vote comes at 70 + gap."""
    for unvoted, whole in ((5, True), (6, False)):  # 5 silent windows leave 70-100 s, 6 leave 70-110 s
        out = run([0.9] * 5 + [None] * unvoted + [0.9] * 5)
        assert (len(out) == 2) is whole
    assert spans(out)[1] == ("closed", 0.0, 70.0)
    assert spans(out)[2][1] == 110.0


@pytest.mark.parametrize(("away_s", "episodes"), [(0.4, 1), (29.0, 1), (31.0, 2), (3600.0, 2)])
def test_a_break_in_the_signal(away_s: float, episodes: int) -> None:
    af = stage()
    out = [e for i in range(5) for e in af.push(verdict(i * HOP, 0.9))]
    out += af.interrupt(70 * RATE, 70.0)
    for i in range(5):
        out += af.push(verdict(70.0 + away_s + i * HOP, 0.9))
    out += af.finish()
    assert len([e for e in out if e.state == "closed"]) == episodes
    if episodes == 1:
        assert out[-1].offset_s == pytest.approx(140.0 + away_s)
        assert out[-1].offset == round((140.0 + away_s) * RATE)


def test_an_open_episode_ends_while_nothing_comes() -> None:
    af = stage()
    for i in range(5):
        af.push(verdict(i * HOP, 0.9))
    assert af.interrupt(70 * RATE, 70.0) == []
    assert af.interrupt(90 * RATE, 90.0) == []
    assert spans(af.interrupt(101 * RATE, 101.0)) == [("closed", 0.0, 70.0)]
    assert af.finish() == []


def test_provisional_verdicts_are_passed_over() -> None:
    af = stage()
    assert af.push(verdict(0.0, 0.9, seconds=10.0, provisional=True)) == []
    assert spans(af.push(verdict(0.0, 0.9)) + af.finish()) == [("open", 0.0, 30.0), ("closed", 0.0, 30.0)]


def test_a_short_or_ragged_last_window() -> None:
    """The end of an episode is never beyond the signal."""
    af = stage()
    out = [e for i in range(3) for e in af.push(verdict(i * HOP, 0.9))]
    out += af.push(verdict(30.0, 0.9, seconds=23.0)) + af.finish()
    assert spans(out)[-1] == ("closed", 0.0, 53.0)
    assert out[-1].offset == 53 * RATE
    short = stage(minimum_s=10.0)
    assert spans(short.push(verdict(0.0, 0.9, seconds=12.0)) + short.finish())[-1] == ("closed", 0.0, 12.0)


def test_samples_after_a_late_start() -> None:
    out = run([0.9] * 4, start_s=1000.0)
    assert [(e.onset, e.offset) for e in out] == [(250_000, 257_500), (250_000, 265_000)]


@pytest.mark.parametrize(
    "options", [{"on": 0.4, "off": 0.6}, {"on": 1.5, "off": 0.4}, {"hop_s": 0.0}, {"minimum_s": -1.0}]
)
def test_senseless_figures_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        AfEpisodes("net", **({"hop_s": HOP, "on": 0.6, "off": 0.4} | options))


def test_a_model_without_a_class_for_af_is_named() -> None:
    without = dataclasses.replace(verdict(0.0, 0.9), af_probability=None)
    with pytest.raises(BundleError, match="N, A; expected a class for AF"):
        AfEpisodes("net", hop_s=HOP, on=0.6, off=0.4).push(without)
