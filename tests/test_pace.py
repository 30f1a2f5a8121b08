"""The pace of a stream: told when it is not the rate that the stream goes by, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ecgedge.messages import Board, Segment, Status
from ecgedge.pace import PaceWatch

SEGMENT = Segment(0, 0.0, 250.0, "declared", Board("b", 250.0))


def blocks(
    true_hz: float, seconds: float, seed: int = 0, after_s: float = 0.0, first: int = 0
) -> list[tuple[float, int]]:
    """Behind a USB adapter: handed on every 16 ms, some milliseconds late, at times up to 0.3 s."""
    rng = np.random.default_rng(seed)
    out, sent, last = [], 0, 0.0
    for poll in np.arange(0.016, seconds, 0.016):
        n = int(poll * true_hz) - sent
        late = rng.exponential(0.002) + (rng.uniform(0, 0.3) if rng.random() < 0.01 else 0.0)
        last = max(last, after_s + float(poll) + late)
        if n:
            sent += n
            out.append((last, first + sent))
    return out


def notices(watch: PaceWatch, sent: list[tuple[float, int]]) -> list[str]:
    return [text for point in sent if (text := watch.push(*point))]


@pytest.mark.parametrize("true_hz", [250.0, 250.02, 249.0, 252.0])
@pytest.mark.parametrize("seed", range(3))
def test_ordinary_oscillators_and_jitter_are_no_news(true_hz: float, seed: int) -> None:
    watch = PaceWatch()
    watch.begin(SEGMENT)
    assert notices(watch, blocks(true_hz, 400, seed)) == []


@pytest.mark.parametrize(("true_hz", "per_cent"), [(262.5, "+5.0 %"), (237.5, "-5.0 %"), (256.0, "+2.4 %")])
def test_a_wrong_rate_is_told_once_with_its_size(true_hz: float, per_cent: str) -> None:
    watch = PaceWatch()
    watch.begin(SEGMENT)
    (text,) = notices(watch, blocks(true_hz, 600))
    assert f"samples arrive at {true_hz:.1f} a second, not 250 (declared)" in text
    assert per_cent in text


def test_a_step_and_its_end_are_told() -> None:
    watch = PaceWatch()
    watch.begin(SEGMENT)
    assert notices(watch, blocks(250, 200)) == []
    (there,) = notices(watch, blocks(262.5, 300, after_s=200, first=50_000))
    (gone,) = notices(watch, blocks(250, 300, after_s=500, first=150_000))
    assert "samples arrive at 262" in there
    assert gone == "samples arrive at 250 a second again"


def test_another_segment_begins_anew() -> None:
    watch = PaceWatch()
    watch.begin(SEGMENT)
    assert len(notices(watch, blocks(262.5, 200))) == 1
    watch.begin(Segment(0, 200.0, 262.5, "given", Board("b")))
    assert notices(watch, blocks(262.5, 300, after_s=200, first=60_000)) == []


@pytest.mark.parametrize("back_s", [-3600.0, 3600.0])
def test_a_jump_of_the_arrival_times_is_no_wrong_rate_for_long(back_s: float) -> None:
    watch = PaceWatch()
    watch.begin(SEGMENT)
    sent = blocks(250, 100) + blocks(250, 400, after_s=100 + back_s, first=25_000)
    assert notices(watch, sent) == []


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_the_stream_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.pulled_board import PulledBoard
    from ecgedge import open_stream, pace

    monkeypatch.setattr(pace, "OVER_S", 4.0)  # not two minutes
    board = PulledBoard(tmp_path / "ttyECG", pace=1.1)
    try:
        with open_stream(str(board.name)) as stream:  # a machine that stands still costs it some measurements
            text = next(m.text for m in stream if isinstance(m, Status) and "arrive" in m.text)
    finally:
        board.close()
    assert float(text.split()[3]) == pytest.approx(275, rel=0.05)
    assert "not 250 (declared)" in text
