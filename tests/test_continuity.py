"""Stretches of one lead: what is bridged, what breaks, and what is told of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge.continuity import Continuity
from ecgedge.errors import UsageError
from ecgedge.messages import Board, Gap, Piece, SampleBlock, Segment, Stretch, StretchEnd

RATE = 100.0
BOARD = Board("bench", RATE, 2.0, 16, 2)


def segment(first: int = 0, board: Board = BOARD) -> Segment:
    return Segment(first, first / RATE, RATE, "declared", board)


def block(first: int, values: np.ndarray, leads_off: bool = False) -> SampleBlock:
    counts = np.column_stack((values, -values)).astype(np.float64)
    return SampleBlock(first, counts, 0.0, leads_off=leads_off, indexed=True)


def ramp(first: int, n: int, leads_off: bool = False) -> SampleBlock:
    return block(first, np.arange(first, first + n, dtype=np.float64), leads_off)


def lost(first: int, n: int) -> Gap:
    return Gap(first, n, first / RATE, n / RATE, "lost")


def run(messages: list, **options) -> list:  # type: ignore[no-untyped-def, type-arg]
    stage = Continuity(**options)
    return [y for m in messages for y in stage.push(m)] + stage.finish()


def joined(out: list) -> tuple[np.ndarray, np.ndarray, list]:  # type: ignore[type-arg]
    """All values, all marks, and the other messages."""
    pieces = [m for m in out if isinstance(m, Piece)]
    rest = [m for m in out if not isinstance(m, Piece)]
    if not pieces:
        return np.empty(0), np.empty(0, dtype=bool), rest
    marks = [np.arange(p.values.size) < p.bridged for p in pieces]
    return np.concatenate([p.values for p in pieces]), np.concatenate(marks), rest


def test_plain_signal_is_one_stretch_in_millivolt() -> None:
    values, filled, rest = joined(run([segment(), ramp(0, 50), ramp(50, 50)]))
    assert rest == [Stretch(0, 0.0, RATE, True), StretchEnd(100)]
    assert np.array_equal(values, np.arange(100) * 2e-3)
    assert not filled.any()


def test_unknown_scale_leaves_counts_and_the_lead_is_chosen() -> None:
    values, _, rest = joined(run([segment(board=Board("text", RATE, leads=2)), ramp(0, 5)], lead=1))
    assert rest[0] == Stretch(0, 0.0, RATE, False)
    assert np.array_equal(values, -np.arange(5.0))


def test_a_lead_is_found_by_its_name_wherever_it_stands() -> None:
    before, after = (Board("text", RATE, leads=2, lead_names=names) for names in (("a", "ECG"), ("ECG", "a")))
    parts = [segment(board=before), ramp(0, 5), segment(first=5, board=after), ramp(5, 5)]
    values, _, _ = joined(run(parts, lead="ecg"))
    assert np.array_equal(values, [*-np.arange(5.0), *np.arange(5.0, 10.0)])


@pytest.mark.parametrize(
    ("lead", "said"),
    [
        (2, "lead number 2; expected 0 to 1"),
        (-1, "lead number -1; expected 0 to 1"),
        ("ECG", "lead 'ECG'; expected a number from 0"),
        ("7", "lead number 7"),
    ],
)
def test_a_lead_that_is_not_there_changes_nothing(lead: int | str, said: str) -> None:
    continuity = Continuity(lead)
    with pytest.raises(UsageError, match=said):
        continuity.push(segment(board=Board("text", RATE, leads=2)))
    assert continuity.finish() == []


def test_short_gap_is_bridged_by_a_straight_line() -> None:
    values, filled, rest = joined(run([segment(), ramp(0, 50), lost(50, 50), ramp(100, 50)]))
    assert [type(m) for m in rest] == [Stretch, Gap, StretchEnd]
    np.testing.assert_allclose(values, np.arange(150) * 2e-3, rtol=1e-12)
    assert np.array_equal(np.flatnonzero(filled), np.arange(50, 100))


def test_one_sample_more_breaks() -> None:
    values, filled, rest = joined(run([segment(), ramp(0, 50), lost(50, 51), ramp(101, 50)]))
    assert rest == [
        Stretch(0, 0.0, RATE, True),
        lost(50, 51),
        StretchEnd(50),
        Stretch(101, 1.01, RATE, True),
        StretchEnd(151),
    ]
    assert values.size == 100
    assert not filled.any()


def test_the_run_counts_as_a_whole_whatever_its_causes() -> None:
    nan = np.full(20, np.nan)
    messages = [segment(), ramp(0, 50), lost(50, 20), ramp(70, 20, leads_off=True), block(90, nan)]
    _, filled, rest = joined(run([*messages, ramp(110, 10)]))
    causes = [(m.cause, m.first, m.n) for m in rest if isinstance(m, Gap)]
    assert causes == [("lost", 50, 20), ("leads_off", 70, 20), ("lost", 90, 20)]
    assert StretchEnd(50) in rest
    assert not filled.any()


def test_not_a_number_and_infinity_are_lost() -> None:
    values = np.arange(30, dtype=np.float64)
    values[[3, 4, 10]] = np.nan, np.inf, -np.inf
    joined_values, filled, rest = joined(run([segment(), block(0, values)]))
    np.testing.assert_allclose(joined_values, np.arange(30) * 2e-3, rtol=1e-12)
    assert np.flatnonzero(filled).tolist() == [3, 4, 10]
    assert [(m.first, m.n) for m in rest if isinstance(m, Gap)] == [(3, 2), (10, 1)]


def test_long_leads_off_is_one_gap() -> None:
    messages = [segment(), *(ramp(i * 25, 25, leads_off=i >= 4) for i in range(40)), ramp(1000, 25)]
    _, _, rest = joined(run(messages))
    assert [m for m in rest if isinstance(m, Gap)] == [Gap(100, 900, 1.0, 9.0, "leads_off")]
    assert [m.last for m in rest if isinstance(m, StretchEnd)] == [100, 1025]


def test_electrode_off_from_the_start_gives_no_stretch() -> None:
    _, _, rest = joined(run([segment(), ramp(0, 200, leads_off=True)]))
    assert rest == [Gap(0, 200, 0.0, 2.0, "leads_off")]


def test_trailing_missing_samples_are_not_made_up() -> None:
    values, _, rest = joined(run([segment(), ramp(0, 50), ramp(50, 10, leads_off=True)]))
    assert values.size == 50
    assert rest[-1] == StretchEnd(50)


def test_new_segment_breaks_even_without_a_gap() -> None:
    _, _, rest = joined(run([segment(), ramp(0, 50), segment(50, Board("b", RATE, 1.0)), ramp(50, 5)]))
    ends_and_starts = [m for m in rest if not isinstance(m, Gap)]
    assert [type(m) for m in ends_and_starts] == [Stretch, StretchEnd, Stretch, StretchEnd]


@settings(max_examples=40)
@given(st.data())
def test_result_does_not_depend_on_how_blocks_are_cut(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    n = 600
    values = rng.normal(size=n)
    for start in rng.integers(0, n, 6):
        values[start : start + int(rng.integers(1, 90))] = np.nan
    cuts = data.draw(st.lists(st.integers(1, n - 1), max_size=30))
    bounds = [0, *sorted(set(cuts)), n]
    parts = [block(a, values[a:b]) for a, b in pairwise(bounds)]
    whole, whole_filled, whole_rest = joined(run([segment(), block(0, values)]))
    cut, cut_filled, cut_rest = joined(run([segment(), *parts]))
    assert whole.tobytes() == cut.tobytes()
    assert np.array_equal(whole_filled, cut_filled)
    assert sorted(map(repr, whole_rest)) == sorted(map(repr, cut_rest))
    assert np.isfinite(whole).all()


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_every_sample_is_told_of_exactly_once(seed: int) -> None:
    """Pieces and gaps together cover all stream samples; bridges lie inside gaps."""
    rng = np.random.default_rng(seed)
    stage = Continuity()
    at, out = 0, list(stage.push(segment()))
    for _ in range(30):
        n = int(rng.integers(1, 80))
        kind = rng.choice(["good", "good", "off", "lost", "nan"])
        if kind == "lost":
            out += stage.push(lost(at, n))
        elif kind == "nan":
            out += stage.push(block(at, np.full(n, np.nan)))
        else:
            out += stage.push(ramp(at, n, leads_off=kind == "off"))
        at += n
    out += stage.finish()
    covered = np.zeros(at, dtype=int)
    for message in out:
        if isinstance(message, Gap):
            covered[message.first : message.first + message.n] += 1
        elif isinstance(message, Piece):
            covered[message.first + message.bridged : message.first + message.values.size] += 1
    assert (covered == 1).all()
