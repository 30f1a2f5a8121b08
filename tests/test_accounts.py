"""The books of a whole stream, through the real pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge.classifier import open_models
from ecgedge.messages import Board, Episode, Hrv, Message, Period, SampleBlock, Status
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import RATE_HZ, SimulatedPatient

SECONDS = 1000
BOARD = Board("b", RATE_HZ, 0.5, 16)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    patient = SimulatedPatient(seed=3, duration_s=float(SECONDS))
    return np.concatenate([piece.counts for piece in patient.pieces()]).astype(np.float64)


def told(counts: np.ndarray, block: int, jump: int = 0) -> list[Message]:
    """All messages; ``jump`` samples are lost in the middle."""
    pipeline = Pipeline(open_models(("efficientecg-s",)))
    out = pipeline.push(BOARD)
    middle = counts.size // 2
    for at in range(0, counts.size, block):
        late = jump if at >= middle else 0
        out += pipeline.push(
            SampleBlock(at + late, counts[at : at + block, None], (at + late) / RATE_HZ, indexed=True)
        )
    return out + pipeline.finish()


def books(messages: list[Message]) -> list[Message]:
    return [m for m in messages if isinstance(m, Hrv | Period)]


@pytest.fixture(scope="module")
def whole(counts: np.ndarray) -> list[Message]:
    return told(counts, 25)


def test_books_do_not_depend_on_blocks(counts: np.ndarray, whole: list[Message]) -> None:
    assert books(told(counts, 5000)) == books(whole)


def test_spans_of_a_stream(whole: list[Message]) -> None:
    assert [(m.span, m.time_s, m.first, m.last) for m in whole if isinstance(m, Hrv)] == [
        ("5 min", 0.0, 0, 75000),
        ("5 min", 300.0, 75000, 150000),
        ("5 min", 600.0, 150000, 225000),
        ("5 min", 900.0, 225000, 250000),
        ("stream", 0.0, 0, 250000),
    ]
    assert [m.span for m in whole if isinstance(m, Period)] == ["hour", "day", "stream"]
    assert isinstance(whole[-1], Status)
    assert whole[-1].state == "ended"


def test_burden_is_that_of_the_closed_episodes(whole: list[Message]) -> None:
    closed = [m for m in whole if isinstance(m, Episode) and m.state == "closed"]
    stream = next(m for m in whole if isinstance(m, Period) and m.span == "stream")
    assert closed
    assert stream.episodes == len(closed)
    assert stream.af_s == pytest.approx(sum(e.offset_s - e.onset_s for e in closed))
    assert stream.burden == pytest.approx(stream.af_s / stream.judged_s)


def test_hrv_is_that_of_the_sinus_rhythm_alone(whole: list[Message]) -> None:
    """The programme's sinus rhythm breathes by a few per cent; intervals in AF scatter by 150 ms."""
    total = next(m for m in whole if isinstance(m, Hrv) and m.span == "stream")
    assert total.sdnn_ms is not None
    assert 15 < total.sdnn_ms < 80
    assert 0.25 < total.coverage < 0.65


def test_a_gap_is_in_the_stream_but_not_judged(counts: np.ndarray, whole: list[Message]) -> None:
    """Two hours are lost in the middle: hours are told in order, each with its share of nothing."""
    jump = int(2 * 3600 * RATE_HZ) - 1000
    messages = told(counts, 25, jump)
    hours = [m for m in messages if isinstance(m, Period) and m.span == "hour"]
    assert [h.time_s for h in hours] == [0.0, 3600.0, 7200.0]
    assert hours[1].judged_s == 0.0
    assert hours[1].burden is None
    stream = messages[-2]
    assert isinstance(stream, Period)
    before = next(m for m in whole if isinstance(m, Period) and m.span == "stream")
    assert stream.seconds == pytest.approx(SECONDS + jump / RATE_HZ)
    assert stream.judged_s == pytest.approx(before.judged_s, abs=60)
