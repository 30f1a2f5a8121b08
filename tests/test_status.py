"""The status of a stream: a heart rate where there is a signal to count it in, and only there."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from ecgedge.classifier import open_models
from ecgedge.errors import UsageError
from ecgedge.hrv import HeartRate
from ecgedge.messages import Beat, Board, Message, SampleBlock, Segment, Status, Verdict
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import RATE_HZ, SimulatedPatient

BOARD = Board("b", RATE_HZ, 0.5, 16)


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """A minute of sinus rhythm, 80 s of broad noise over it, and a minute that is clear again."""
    patient = SimulatedPatient(seed=5, duration_s=300.0)
    counts = np.concatenate([piece.counts for piece in patient.pieces()]).astype(float)
    second = round(RATE_HZ)
    story = np.concatenate([counts[: 60 * second], counts[: 80 * second], counts[: 60 * second]])
    noise = np.random.default_rng(1).normal(0.0, 4000.0, 80 * second)
    story[60 * second : 140 * second] = np.rint(story[60 * second : 140 * second] + noise)
    return story


def told(counts: np.ndarray, block: int) -> list[Message]:
    pipeline = Pipeline(open_models(("efficientecg-s",)))
    out = pipeline.push(BOARD)
    for at in range(0, counts.size, block):
        out += pipeline.push(SampleBlock(at, counts[at : at + block, None], at / RATE_HZ, indexed=True))
    return out + pipeline.finish()


@pytest.fixture(scope="module")
def whole(counts: np.ndarray) -> list[Message]:
    return told(counts, 25)


def test_no_rate_is_counted_in_noise(whole: list[Message]) -> None:
    rate, verdict = HeartRate(), None
    clear = noisy = 0
    for message in whole:
        if isinstance(message, Beat):
            rate.push(message)
        elif isinstance(message, Verdict):
            verdict = message
        elif isinstance(message, Status):
            if verdict is not None and not verdict.readable:
                assert message.heart_rate_bpm is None
                noisy += rate.bpm(message.time_s) is not None  # beats were found all the same
            else:
                assert message.heart_rate_bpm == rate.bpm(message.time_s)
                clear += message.heart_rate_bpm is not None
    assert noisy > 30
    assert clear > 60


def test_the_rate_is_back_when_the_signal_is(whole: list[Message]) -> None:
    rates = {round(m.time_s): m.heart_rate_bpm for m in whole if isinstance(m, Status) and not m.text}
    assert rates[50] == pytest.approx(72.0, abs=8.0)
    assert rates[110] is None
    assert rates[195] == pytest.approx(72.0, abs=8.0)


@pytest.mark.parametrize("block", [250, 5000])
def test_statuses_do_not_depend_on_blocks(counts: np.ndarray, whole: list[Message], block: int) -> None:
    def statuses(messages: list[Message]) -> list[Message]:
        return [m for m in messages if isinstance(m, Status)]

    assert statuses(told(counts, block)) == statuses(whole)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Board("slow", 15.0, 0.5, 16, 2), "a sampling rate of 15 Hz"),
        (Board("b", RATE_HZ, 0.5, 16), "lead number 1"),
    ],
)
def test_a_board_that_becomes_unreadable_does_not_end_the_stream(
    counts: np.ndarray, other: Board, said: str
) -> None:
    pipeline = Pipeline(open_models(("efficientecg-s",)), lead=1)
    two = np.column_stack((counts, counts))
    both = dataclasses.replace(BOARD, leads=2)
    n = 20 * round(RATE_HZ)
    out: list[Message] = []
    for at, board in ((0, both), (n, other), (2 * n, both)):
        out += pipeline.push(board)
        block = two[at : at + n, : board.leads]
        for k in range(0, n, 25):
            out += pipeline.push(SampleBlock(at + k, block[k : k + 25], (at + k) / RATE_HZ, indexed=True))
    out += pipeline.finish()
    segments = [m for m in out if isinstance(m, Segment)]
    assert [s.first for s in segments] == [0, n, 2 * n]
    ends = [s.time_s for s in segments] + [out[-1].time_s]
    beats = [[m for m in out if isinstance(m, Beat) and a <= m.time_s < b] for a, b in pairwise(ends)]
    assert len(beats[0]) > 15
    assert beats[1] == []
    assert len(beats[2]) > 15
    assert [m.text for m in out if isinstance(m, Status) and said in m.text] == [
        m.text for m in out if isinstance(m, Status) and m.text
    ]
    assert out[-1].state == "ended"
    assert out[-1].counters.samples == 3 * n
    assert [m for m in out if isinstance(m, Verdict)], "windows before and after"


def test_a_stream_that_begins_unreadable_is_the_mistake_of_who_began_it() -> None:
    pipeline = Pipeline((), lead=1)
    pipeline.push(BOARD)
    with pytest.raises(UsageError, match="lead number 1; expected 0"):
        pipeline.push(SampleBlock(0, np.zeros((25, 1)), 0.0, indexed=True))
