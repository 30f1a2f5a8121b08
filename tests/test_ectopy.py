"""Ectopic events: each gate, rows of beats, books by hand; and a patient whose early beats are known."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise, takewhile

import numpy as np
import pytest
from stand_ins import BeatRules, Looker

from ecgedge.accounts import Accounts
from ecgedge.classifier import open_models
from ecgedge.coverage import Coverage, ground, uncovered
from ecgedge.ectopy import Ectopy
from ecgedge.errors import UsageError
from ecgedge.heads import Heads
from ecgedge.messages import (
    ApcWindow,
    Beat,
    BeatClass,
    Board,
    Ectopic,
    EctopicRun,
    EctopyCount,
    Hrv,
    Likeness,
    Message,
    Quality,
    SampleBlock,
    Scores,
    Verdict,
)
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import RATE_HZ, SimulatedPatient

RATE = 250.0
LEAST = {"S": 0.5, "V": 0.5}


def window(begin: float, readable: bool = True, af: float = 0.05, seconds: float = 30.0) -> Verdict:
    first, last = round(begin * RATE), round((begin + seconds) * RATE)
    scores = Scores("m", first, last, begin, seconds, {"N": 1 - af, "A": af}, "N", provisional=False)
    return Verdict(scores, "sinus", (), Quality(1.0), 1 - af, af, None, readable)


def classes(story: str, rr_s: float = 0.8, early: float = 0.6, start_s: float = 1.0) -> list[BeatClass]:
    """Beats in the letters of their classes: S and V come early, ``|`` is a gap, small letters are unsure.

    The QRS of a V is odd, and the P wave of an S.
    """
    out: list[BeatClass] = []
    at, follows = start_s, False
    for letter in story:
        if letter == "|":
            at, follows = at + 5.0, False
            continue
        label = letter.upper()
        step = early * rr_s if label in "SV" else rr_s
        at += step if follows else 0.0
        p = 0.4 if letter.islower() else 0.9
        scores = dict.fromkeys("NSVF", (1 - p) / 3) | {label: p}
        beat = Beat(round(at * RATE), at, step if follows else None, 1.0, True)
        likeness = Likeness(0.3 if label == "S" else 0.9, 0.5 if label == "V" else 0.98)
        out.append(BeatClass("b", beat, scores, label, likeness))
        follows = True
    return out


def told(story: list[BeatClass], windows: list[Verdict] | None = None) -> list[Ectopic | EctopicRun]:
    """Events of beats under clean windows, or under those given; all at once, as at a stretch's end."""
    if windows is None:
        windows = [window(10.0 * k) for k in range(int(story[-1].beat.time_s / 10) + 1)]
    stage = Ectopy("b", LEAST)
    out: list[Ectopic | EctopicRun] = []
    for message in [*story, *windows]:
        out += stage.push(message)
    return out + stage.interrupt()


def events(found: list[Ectopic | EctopicRun]) -> list[str]:
    return [f"{e.kind}@{e.beat.time_s:.1f}" for e in found if isinstance(e, Ectopic)]


# -- gates --------------------------------------------------------------------------------------------


def test_an_early_supraventricular_beat_is_an_apc() -> None:
    (event,) = told(classes("NNNNNNSNNN"))
    assert isinstance(event, Ectopic)
    assert (event.kind, event.model, event.confirmed) == ("APC", "b", None)
    assert event.probability == 0.9
    assert event.prematurity == pytest.approx(0.6)


def test_one_that_comes_in_time_is_none() -> None:
    assert told(classes("NNNNNNSNNN", early=0.95)) == []
    assert events(told(classes("NNNNNNVNNN", early=1.2))) == ["PVC@6.0"]  # its shape speaks for itself


def test_the_qrs_of_an_apc_is_the_usual_one_and_that_of_a_pvc_is_not() -> None:
    story = classes("NNNNNNSNNNVNNN")
    assert events(told(story)) == ["APC@5.5", "PVC@8.4"]
    swapped = [replace(m, likeness=Likeness(0.3, 0.98 if m.label == "V" else 0.5)) for m in story]
    assert told(swapped) == []


def test_an_unsure_class_is_none() -> None:
    assert told(classes("NNNNNNsNNvNN")) == []


@pytest.mark.parametrize(
    ("windows", "found"),
    [
        ([window(0.0), window(10.0)], ["APC@5.5", "PVC@6.8"]),
        ([window(0.0, af=0.9), window(10.0)], ["PVC@6.8"]),  # AF: no APC, but a PVC
        ([window(0.0, readable=False), window(10.0)], []),
        ([], []),  # no window: nothing says that there is a signal
        ([window(0.0, readable=False), window(2.0), window(3.0)], ["APC@5.5", "PVC@6.8"]),  # most can be read
        ([window(0.0), window(2.0, readable=False)], []),  # half of them
        ([window(0.0, af=0.9), window(2.0, af=0.2), window(3.0, af=0.2)], ["APC@5.5", "PVC@6.8"]),
        ([window(0.0, af=0.9), window(2.0, readable=False, af=0.0), window(3.0, af=0.2)], ["PVC@6.8"]),
        ([replace(window(0.0), scores=replace(window(0.0).scores, provisional=True))], []),
    ],
)
def test_windows_over_a_beat_decide(windows: list[Verdict], found: list[str]) -> None:
    assert events(told(classes("NNNNNNSNVNNNN"), windows)) == found


def test_a_beat_is_told_when_no_window_can_cover_it_any_more() -> None:
    stage = Ectopy("b", LEAST)
    for message in classes("NNNNNNSNNNNNNNNNN"):
        assert stage.push(message) == []
    assert stage.push(window(0.0)) == []
    assert events(stage.push(window(10.0))) == ["APC@5.5"]
    assert stage.push(window(20.0)) == []


def test_a_class_that_comes_after_its_windows_counts_as_well() -> None:
    stage = Ectopy("b", LEAST)
    for k in range(4):
        assert stage.push(window(10.0 * k)) == []
    out = [event for message in classes("NNNNNNSNNN") for event in stage.push(message)]
    assert events(out) == ["APC@5.5"]


def test_what_is_usual_is_told_by_normal_beats_and_by_all_while_these_are_rare() -> None:
    # Bigeminy from the start: no two normal beats in a row; the first intervals say what is usual.
    assert len(events(told(classes("NS" * 10, early=0.6)))) == 7
    # A long run of early beats does not become what is usual, not even in two minutes.
    assert len(events(told(classes("NNNNNN" + "S" * 300, early=0.6)))) == 300
    # After minutes of another rhythm its intervals count, not those of the normal beats before.
    story = classes("N" * 20, rr_s=0.5) + classes("V" * 90, rr_s=1.0, early=1.0, start_s=20.0)
    last = story[-1].beat.time_s
    found = told([*story, *classes("SSS", rr_s=0.6, early=1.0, start_s=last + 0.6)])
    assert (
        len([event for event in events(found) if event.startswith("APC")]) == 2
    )  # the first has no interval


def test_nothing_is_early_after_a_gap() -> None:
    assert events(told(classes("NNNNNN|SNNNN"))) == []


# -- rows ---------------------------------------------------------------------------------------------


def rows(story: str) -> list[str]:
    found = [e for e in told(classes(story)) if isinstance(e, EctopicRun)]
    return [f"{e.of} {e.kind} {e.beats} {e.state}" for e in found]


@pytest.mark.parametrize(
    ("story", "found"),
    [
        ("NNNNVNNNN", []),
        ("NNNNVVNNNN", ["PVC couplet 2 closed"]),
        ("NNNNVVVVNNN", ["PVC run 3 open", "PVC run 4 closed"]),
        ("NNNNSSSNNN", ["APC run 3 open", "APC run 3 closed"]),
        ("NNNNVNVNNN", []),
        ("NNNNVNVNVNVNNN", ["PVC bigeminy 3 open", "PVC bigeminy 4 closed"]),
        ("NNNNVNNVNNVNNNNN", ["PVC trigeminy 3 open", "PVC trigeminy 3 closed"]),
        ("NNNNVNNNVNNNVNNN", []),
        ("NNNNVSVNNNN", []),
        ("NNNNVVSSNNN", ["PVC couplet 2 closed", "APC couplet 2 closed"]),
        ("NNNNVNVNVVNN", ["PVC bigeminy 3 open", "PVC bigeminy 3 closed", "PVC couplet 2 closed"]),
        ("NNNNVV|VVNNN", ["PVC couplet 2 closed", "PVC couplet 2 closed"]),
        ("NNNNVVV", ["PVC run 3 open", "PVC run 3 closed"]),  # ends with the stretch
    ],
)
def test_rows(story: str, found: list[str]) -> None:
    assert rows(story) == found


def test_a_row_tells_its_beats_and_rate() -> None:
    story = classes("NNNNVVVNNN")
    run = told(story)[-1]
    assert isinstance(run, EctopicRun)
    assert (run.onset, run.offset) == (story[4].beat.sample, story[6].beat.sample)
    assert run.bpm == pytest.approx(60 / 0.48)


def test_unreadable_signal_ends_a_row() -> None:
    story = classes("NNNNVVVVVVNNNN")
    cut = story[6].beat.time_s
    seen = [window(0.0, seconds=cut - 0.01), window(cut - 0.01, readable=False, seconds=0.1)]
    found = told(story, [*seen, window(cut + 0.09)])
    assert [e.beats for e in found if isinstance(e, EctopicRun) and e.kind == "couplet"] == [2]
    assert [e.beats for e in found if isinstance(e, EctopicRun) and e.state == "closed"] == [2, 3]


def test_random_rows_are_those_of_a_plain_search() -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        story = "NNNN" + "".join(rng.choice(list("NNVVS"), 40)) + "NNNN"
        runs = [e for e in told(classes(story)) if isinstance(e, EctopicRun) and e.state == "closed"]
        plain: Counter[str] = Counter()
        for of, letter in (("PVC", "V"), ("APC", "S")):
            lengths = [len(part) for part in "".join(x if x == letter else " " for x in story).split()]
            plain[f"{of} couplet"] = sum(n == 2 for n in lengths)
            plain[f"{of} run"] = sum(n > 2 for n in lengths)
        counted = Counter(f"{e.of} {e.kind}" for e in runs if e.kind in ("couplet", "run"))
        assert counted == +plain, story


# -- books --------------------------------------------------------------------------------------------


def books(messages: list[Message], end_s: float) -> list[EctopyCount]:
    accounts = Accounts(("m",), 150.0, "b")
    order = sorted(messages, key=lambda m: m.beat.time_s if hasattr(m, "beat") else 0.0)
    out: list[object] = []
    for message in order:
        accounts.push(message)
    for at in range(10, int(end_s) + 1, 10):
        out += accounts.advance(round(at * RATE), float(at))
    return [m for m in [*out, *accounts.finish()] if isinstance(m, EctopyCount)]


def test_an_hour_by_hand() -> None:
    """Half an hour can be read, ten minutes of it AF; ten more minutes cannot; the rest has no window."""
    windows: list[Message] = []
    for at in range(0, 2400, 10):
        windows.append(
            window(float(at), readable=at < 1800, af=0.9 if 600 <= at < 1200 else 0.1, seconds=10.0)
        )
    beats = classes("N" * 3000, rr_s=1.0)
    apc, pvc = Ectopic("APC", "b", beats[100].beat, 0.9, 0.7), Ectopic("PVC", "b", beats[700].beat, 0.9, 0.7)
    late = Ectopic("PVC", "b", Beat(1, 3601.0, 1.0, 1.0, True), 0.9, 0.7)
    run = EctopicRun("run", "closed", "PVC", "b", 0, 10, 100.0, 102.0, 5)
    found = books([*windows, *beats, apc, pvc, late, run, replace(run, onset=9, onset_s=3700.0)], 4000.0)
    hour = found[0]
    assert (hour.span, hour.model, hour.time_s, hour.seconds) == ("hour", "b", 0.0, 3600.0)
    assert hour.judged_s == pytest.approx(1800.0)
    assert hour.af_s == pytest.approx(600.0)
    assert hour.inconclusive == pytest.approx(600 / 2400)
    assert hour.beats == 1799  # from second 1 on
    assert (hour.apc.count, hour.apc.per_hour) == (1, pytest.approx(3.0))  # in 20 minutes
    assert (hour.pvc.count, hour.pvc.per_hour) == (1, pytest.approx(2.0))  # in 30
    assert hour.pvc.burden == pytest.approx(1 / 1799)
    assert (hour.pvc.runs, hour.pvc.longest_run, hour.apc.runs) == (1, 5, 0)
    assert [f.span for f in found] == ["hour", "hour", "day", "stream"]
    assert found[1].pvc.count == 1
    assert found[1].pvc.per_hour is None
    assert found[3].pvc.count == 2
    assert found[3].pvc.runs == 2
    assert found[3].judged_s == hour.judged_s


def test_a_run_that_is_still_going_on_when_its_hour_is_told_counts_once() -> None:
    accounts = Accounts(("m",), 150.0, "b")
    run = EctopicRun("run", "open", "PVC", "b", 250, 750, 3500.0, 3502.0, 3)
    accounts.push(run)
    hour = [m for m in accounts.advance(1_000_000, 4000.0) if isinstance(m, EctopyCount)]
    assert (hour[0].pvc.runs, hour[0].pvc.longest_run) == (1, 3)
    accounts.push(replace(run, state="closed", offset_s=4000.0, beats=900))
    stream = accounts.finish()[-1]
    assert isinstance(stream, EctopyCount)
    assert (stream.pvc.runs, stream.pvc.longest_run) == (1, 900)


def test_beats_of_other_classes_leave_the_normal_intervals() -> None:
    """Regular in time and alike in height, so that nothing else tells them."""
    beats = classes("NNNNN" * 60, rr_s=0.8)
    plain, told_by_class = Accounts(("m",), 0.0), Accounts(("m",), 0.0, "b")
    for accounts in (plain, told_by_class):
        for k, message in enumerate(beats):
            accounts.push(message.beat)
            if accounts is told_by_class:
                accounts.push(replace(message, label="S") if k in (100, 101, 200) else message)
        accounts.advance(round(300 * RATE), 300.0)
    without, with_it = (next(m for m in a.finish() if isinstance(m, Hrv)) for a in (plain, told_by_class))
    assert without.nn_intervals == 299
    assert with_it.nn_intervals == 299 - 3 - 2  # two beats in a row touch three intervals, one touches two
    assert with_it.rr_intervals == without.rr_intervals


# -- coverage -----------------------------------------------------------------------------------------


def test_coverage_of_overlapping_windows() -> None:
    coverage: Coverage[bool] = Coverage(lambda votes: "odd" if 2 * sum(votes) >= len(votes) else "even")
    for begin, vote in ((0.0, True), (10.0, True), (20.0, False), (30.0, False), (100.0, True)):
        coverage.push(begin, begin + 30.0, vote)
    coverage.settle(1000.0)
    # 30 to 40 s: one of three is odd
    assert coverage.spans == [(0.0, 30.0, "odd"), (30.0, 60.0, "even"), (100.0, 130.0, "odd")]
    assert [coverage.word(t) for t in (0.0, 29.9, 30.0, 60.0, 99.0, 129.0)] == [
        *("odd", "odd", "even", None, None, "odd")
    ]


def test_what_is_left_of_a_span() -> None:
    assert uncovered((0.0, 10.0), []) == [(0.0, 10.0)]
    assert uncovered((0.0, 10.0), [(-5.0, 2.0), (4.0, 6.0), (9.0, 20.0)]) == [(2.0, 4.0), (6.0, 9.0)]
    assert uncovered((0.0, 10.0), [(0.0, 10.0)]) == []


def test_ground() -> None:
    assert ground([(False, 0.0)]) == "unreadable"
    assert ground([(True, 0.1), (False, 0.9)]) == "unreadable"
    assert ground([(True, 0.1), (True, 0.1), (False, 0.9)]) == "judged"
    assert ground([(True, 0.9), (True, 0.2), (False, 0.0)]) == "AF"


# -- a patient whose early beats are known --------------------------------------------------------------


@pytest.fixture(scope="module")
def patient() -> tuple[np.ndarray, list[float]]:
    """Counts of ten minutes of the demo, and the times of its APCs."""
    simulated = SimulatedPatient(seed=5, duration_s=600.0)
    counts = np.concatenate([piece.counts for piece in simulated.pieces()])
    beats = takewhile(lambda beat: beat.time_s < 600.0, SimulatedPatient(seed=5, duration_s=600.0).beats())
    return counts, [beat.time_s for beat in beats if beat.kind == "apc"]


def stream(counts: np.ndarray, block: int, *models: object, **options: bool) -> list[Message]:
    pipeline = Pipeline((*open_models(("efficientecg-s",)), *models), **options)  # type: ignore[arg-type]
    out = pipeline.push(Board("demo", RATE_HZ, 0.5, 16))
    for first in range(0, counts.size, block):
        piece = counts[first : first + block, None].astype(float)
        out += pipeline.push(SampleBlock(first, piece, first / RATE_HZ, indexed=True))
    return out + pipeline.finish()


@pytest.fixture(scope="module")
def whole(patient: tuple[np.ndarray, list[float]]) -> list[Message]:
    return stream(patient[0], patient[0].size, BeatRules())


def test_every_beat_has_its_class_once_and_in_order(whole: list[Message]) -> None:
    beats = [m.sample for m in whole if isinstance(m, Beat)]
    assert len(beats) > 600
    assert [m.beat.sample for m in whole if isinstance(m, BeatClass)] == beats


def test_apcs_are_found_where_they_are_and_nowhere_else(
    patient: tuple[np.ndarray, list[float]], whole: list[Message]
) -> None:
    found = np.array([m.beat.time_s for m in whole if isinstance(m, Ectopic) and m.kind == "APC"])
    true = np.array(patient[1])
    raw = np.array([m.beat.time_s for m in whole if isinstance(m, BeatClass) and m.label == "S"])
    assert len(raw) > 2 * len(true)  # AF is full of early beats
    near = np.abs(found[:, None] - true)
    assert (near.min(axis=1) < 0.1).mean() > 0.95  # what is told is true
    inside = (true % 300 > 190) & (true % 300 < 215)  # away from AF before them, and from noise behind
    assert inside.sum() > 10
    assert (near.min(axis=0)[inside] < 0.1).mean() > 0.95


@pytest.mark.parametrize("block", [25, 777, 20_000])
def test_nothing_of_it_depends_on_blocks(
    patient: tuple[np.ndarray, list[float]], whole: list[Message], block: int
) -> None:
    assert stream(patient[0], block, BeatRules()) == whole


def test_a_beat_is_told_at_once_and_its_class_soon_after(whole: list[Message]) -> None:
    """Between two statuses a second passes: what a reader of the lines has to wait."""
    second = 0
    beat_at: dict[int, float] = {}
    waited = []
    for message in whole:
        if isinstance(message, Beat):
            beat_at[message.sample] = second
            assert second - message.time_s < 1.5 or second < 5  # the detector learns first
        elif isinstance(message, BeatClass):
            waited.append(second - beat_at[message.beat.sample])
        elif hasattr(message, "state") and hasattr(message, "counters"):
            second = message.time_s
    assert np.median(waited) < 10


# -- a second opinion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("says", [True, False])
def test_a_model_of_windows_is_asked_where_an_apc_was_seen_and_there_alone(
    patient: tuple[np.ndarray, list[float]], whole: list[Message], says: bool
) -> None:
    looker = Looker(says)
    out = stream(patient[0], 5000, BeatRules(), looker)
    asked = [m for m in out if isinstance(m, ApcWindow)]
    apcs = [m for m in out if isinstance(m, Ectopic) and m.kind == "APC"]
    assert [m.beat for m in apcs] == [m.beat for m in whole if isinstance(m, Ectopic) and m.kind == "APC"]
    assert len(asked) == looker.asked == len({w.first for w in asked})
    assert 0 < len(asked) < 40  # of 118
    assert all(w.called is says and w.attention is None for w in asked)
    seen = 0
    for event in apcs:
        over = [w for w in asked if w.time_s + 0.3 <= event.beat.time_s <= w.time_s + w.seconds - 0.3]
        assert event.confirmed is (says if over else None)
        seen += bool(over)
    assert seen > 0.9 * len(apcs)
    assert all(m.confirmed is None for m in out if isinstance(m, Ectopic) and m.kind == "PVC")
    # The window's own line comes before the event that asked for it.
    order = [m for m in out if isinstance(m, (ApcWindow, Ectopic))]
    assert isinstance(order[0], ApcWindow) or order[0].kind == "PVC"


def test_attention_is_told_where_it_was_asked_for(patient: tuple[np.ndarray, list[float]]) -> None:
    out = stream(patient[0], 5000, BeatRules(), Looker(True), attention=True)
    asked = [m for m in out if isinstance(m, ApcWindow)]
    assert asked
    for item in asked:
        assert item.attention is not None
        assert item.attention.shape == (1500,)
        assert item.rate_hz == 150.0
        # It looks at the QRS: the R peaks of the window are where its weights are largest.
        inside = [m for m in out if isinstance(m, Beat) and item.time_s + 1 < m.time_s < item.time_s + 9]
        at = [round((b.time_s - item.time_s) * 150) for b in inside]
        assert np.mean([item.attention[k - 8 : k + 9].max() for k in at]) > 3 * item.attention.mean()


# -- which models go together ---------------------------------------------------------------------------


def test_models_that_do_not_go_together_are_refused() -> None:
    rhythm = open_models(("efficientecg-xs",))
    for models, said in (
        ((BeatRules(),), "rules without one of the task rhythm"),
        ((*rhythm, Looker(True)), "looker without one of the task beats"),
        ((*rhythm, BeatRules(), BeatRules()), "2 models of the task beats"),
    ):
        with pytest.raises(UsageError, match=said):
            Heads(models, 30.0)


def test_a_stretch_too_short_for_a_window_has_classes_and_no_events() -> None:
    counts = np.concatenate([p.counts for p in SimulatedPatient(seed=1, duration_s=8.0).pieces()])
    out = stream(counts, 500, BeatRules(early=2.0))
    labels = [m.label for m in out if isinstance(m, BeatClass)]
    assert len(labels) == sum(isinstance(m, Beat) for m in out) > 5
    assert "S" in labels
    assert not any(isinstance(m, Ectopic) for m in out)
    (count,) = [m for m in out if isinstance(m, EctopyCount) and m.span == "stream"]
    assert (count.judged_s, count.beats, count.apc.per_hour) == (0.0, 0, None)
    assert all(a.time_s <= b.time_s for a, b in pairwise(m.beat for m in out if isinstance(m, BeatClass)))
