"""Sample numbers, times, rates and gaps, on streams whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecgedge.clock import Clock
from ecgedge.errors import UsageError
from ecgedge.messages import Board, Gap, SampleBlock, Segment
from ecgedge.rate import OVER_S, measure_rate

BOARD = Board("bench", 250.0, 1.0, 16, 1)
TEXT = Board("text")


def ramp(first: int, n: int, arrival_s: float, indexed: bool = True) -> SampleBlock:
    """A block whose values are its own sample numbers, so that a shift shows as a number."""
    counts = np.arange(first, first + n, dtype=np.float64)[:, None]
    device_us = first * 4000 if indexed else None
    return SampleBlock(first, counts, arrival_s, indexed=indexed, device_us=device_us)


def run(clock: Clock, messages: list[Board | SampleBlock]) -> list[Segment | SampleBlock | Gap]:
    out = [y for message in messages for y in clock.push(message)]
    return out + clock.finish()


def check_contiguous(out: list[Segment | SampleBlock | Gap]) -> int:
    """Blocks and gaps follow each other without hole or overlap; returns the end."""
    at = 0
    for message in out:
        assert message.first == at
        if not isinstance(message, Segment):
            at += message.n
    return at


def frames(numbers: range, n: int = 25, rate: float = 250.0) -> list[Board | SampleBlock]:
    return [ramp(i * n, n, (i + 1) * n / rate) for i in numbers]


def test_declared_rate_opens_a_segment_and_rebases_to_zero() -> None:
    clock = Clock()
    out = run(clock, [BOARD, *frames(range(40, 50))])
    segment = out[0]
    assert isinstance(segment, Segment)
    assert (segment.rate_hz, segment.source, segment.first, segment.board) == (250.0, "declared", 0, BOARD)
    assert check_contiguous(out) == 250
    assert out[1].counts[0, 0] == 1000.0  # type: ignore[union-attr]
    assert clock.time_s(125) == 0.5


def test_given_rate_wins() -> None:
    segment = run(Clock(200.0), [BOARD, *frames(range(3))])[0]
    assert isinstance(segment, Segment)
    assert (segment.rate_hz, segment.source) == (200.0, "given")


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_senseless_given_rate_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="sampling rate"):
        Clock(rate)


def test_index_jump_is_an_exact_loss() -> None:
    clock = Clock()
    messages = frames(range(20))
    del messages[5:8], messages[10]
    out = run(clock, [BOARD, *messages])
    gaps = [m for m in out if isinstance(m, Gap)]
    assert [(g.first, g.n, g.cause, g.estimated) for g in gaps] == [
        (125, 75, "lost", False),
        (325, 25, "lost", False),
    ]
    assert (gaps[0].time_s, gaps[0].seconds) == (0.5, 0.3)
    assert check_contiguous(out) == 500
    assert (clock.lost, clock.lost_estimated) == (100, 0)
    for message in out:  # every value still stands at its own number
        if isinstance(message, SampleBlock):
            assert message.counts[0, 0] == message.first


def test_duplicates_and_overlaps_are_dropped_and_counted() -> None:
    clock = Clock()
    out = run(clock, [BOARD, ramp(0, 100, 0.4), ramp(50, 50, 0.5), ramp(80, 40, 0.6), ramp(120, 10, 0.7)])
    assert check_contiguous(out) == 130
    values = np.concatenate([m.counts[:, 0] for m in out if isinstance(m, SampleBlock)])
    assert np.array_equal(values, np.arange(130))
    trimmed = next(m for m in out if isinstance(m, SampleBlock) and m.first == 100)
    assert trimmed.device_us == 100 * 4000


@pytest.mark.parametrize("hello", [True, False])
def test_restart_opens_a_segment_after_an_estimated_gap(hello: bool) -> None:
    clock = Clock()
    before = frames(range(40))  # 4 s
    after = [ramp(i * 25, 25, 7.0 + (i + 1) * 0.1) for i in range(10)]  # 3 s away
    out = run(clock, [BOARD, *before, *([BOARD] if hello else []), *after])
    gap = next(m for m in out if isinstance(m, Gap))
    assert (gap.first, gap.n, gap.cause, gap.estimated) == (1000, 750, "reset", True)
    segments = [m for m in out if isinstance(m, Segment)]
    assert [(s.first, s.time_s) for s in segments] == [(0, 0.0), (1750, 7.0)]
    assert check_contiguous(out) == 2000
    assert clock.lost_estimated == 750


def test_restart_within_the_first_second_is_told_by_the_hello() -> None:
    out = run(Clock(), [BOARD, ramp(0, 50, 0.2), BOARD, ramp(0, 50, 0.4)])
    assert [type(m) for m in out] == [Segment, SampleBlock, Segment, SampleBlock]
    assert check_contiguous(out) == 100


def test_absurd_jump_is_a_restart() -> None:
    out = run(Clock(), [BOARD, ramp(0, 250, 1.0), ramp(2_000_000_000, 250, 2.0)])
    assert not any(isinstance(m, Gap) for m in out)
    assert check_contiguous(out) == 500


def test_new_rate_opens_a_segment_and_time_goes_on() -> None:
    clock = Clock()
    fast = Board("bench", 500.0, 1.0, 16, 1)
    out = run(clock, [BOARD, ramp(0, 250, 1.0), fast, ramp(250, 500, 2.0)])
    segments = [m for m in out if isinstance(m, Segment)]
    assert [(s.first, s.time_s, s.rate_hz) for s in segments] == [(0, 0.0, 250.0), (250, 1.0, 500.0)]
    assert clock.time_s(100) == 0.4
    assert clock.time_s(750) == 2.0


def test_repeated_hello_without_restart_changes_nothing() -> None:
    out = run(Clock(), [BOARD, ramp(0, 250, 1.0), BOARD, ramp(250, 250, 2.0)])
    assert [type(m) for m in out] == [Segment, SampleBlock, SampleBlock]


def bursts(
    rate: float, seconds: float, period_s: float, seed: int = 0, start_s: float = 3.0
) -> list[Board | SampleBlock]:
    """Samples at an exact rate, handed over at uneven times as a USB bridge does."""
    rng = np.random.default_rng(seed)
    out: list[Board | SampleBlock] = []
    done, t = 0, 0.0
    while t < seconds:
        t += period_s * rng.uniform(0.5, 1.5)
        ready = int(t * rate)
        if ready > done:
            out.append(ramp(done, ready - done, start_s + t + rng.exponential(0.002), indexed=False))
            done = ready
    return out


@pytest.mark.parametrize(
    ("rate", "expected"), [(250.0, 250.0), (128.0, 128.0), (501.3, 500.0), (125.4, 125.0)]
)
@pytest.mark.parametrize("period_s", [0.001, 0.016, 0.1])
def test_measured_rate_snaps_to_a_usual_one(rate: float, expected: float, period_s: float) -> None:
    out = run(Clock(), [TEXT, *bursts(rate, 8.0, period_s)])
    assert isinstance(out[0], Segment)
    assert (out[0].rate_hz, out[0].source) == (expected, "measured")


def test_odd_rate_is_measured_within_half_a_per_cent() -> None:
    for seed in range(10):
        segment = run(Clock(), [TEXT, *bursts(194.3, 8.0, 0.016, seed)])[0]
        assert isinstance(segment, Segment)
        assert segment.rate_hz == pytest.approx(194.3, rel=0.005)


def test_nothing_comes_before_the_rate_is_known_and_finish_releases_it() -> None:
    clock = Clock()
    messages = bursts(200.0, 4.0, 0.02)
    assert [y for m in [TEXT, *messages] for y in clock.push(m)] == []
    out = clock.finish()
    assert isinstance(out[0], Segment)
    assert out[0].rate_hz == 200.0
    assert check_contiguous(out) == sum(m.n for m in messages if isinstance(m, SampleBlock))


def test_one_arrival_time_tells_no_rate() -> None:
    assert run(Clock(), [TEXT, ramp(0, 100, 1.0, indexed=False)]) == []
    assert measure_rate([1.0, 1.0], [10, 20]) is None


def test_a_stall_while_measuring_does_no_harm() -> None:
    """Two seconds of samples delivered at once after a stall leave the rate where it is."""
    messages = bursts(250.0, 9.0, 0.016)
    stalled: list[Board | SampleBlock] = []
    for m in messages:
        assert isinstance(m, SampleBlock)
        late = 6.0 if 4.0 < m.arrival_s < 6.0 else m.arrival_s
        stalled.append(ramp(m.first, m.n, late, indexed=False))
    out = run(Clock(), [TEXT, *stalled])
    assert isinstance(out[0], Segment)
    assert out[0].rate_hz == 250.0
    assert not any(isinstance(m, Gap) for m in out)


def test_a_loss_while_measuring_is_a_gap_and_leaves_the_rate() -> None:
    """A board that resets when its port is opened is silent for two seconds after a few lines."""
    early = bursts(250.0, 0.5, 0.016)
    n = sum(m.n for m in early if isinstance(m, SampleBlock))
    late = [
        ramp(m.first + n, m.n, m.arrival_s + 2.5, indexed=False)
        for m in bursts(250.0, 8.0, 0.016, seed=1)
        if isinstance(m, SampleBlock)
    ]
    out = run(Clock(), [TEXT, *early, *late])
    assert isinstance(out[0], Segment)
    assert out[0].rate_hz == 250.0
    gaps = [m for m in out if isinstance(m, Gap)]
    assert len(gaps) == 1
    assert gaps[0].seconds == pytest.approx(2.0, abs=0.1)


def test_pause_without_numbers_is_an_estimated_gap() -> None:
    clock = Clock()
    messages = [m for m in bursts(200.0, 20.0, 0.016) if isinstance(m, SampleBlock)]
    kept = [m for m in messages if not 13.0 < m.arrival_s < 16.0]  # three seconds never came
    out = run(clock, [TEXT, *kept])
    gaps = [m for m in out if isinstance(m, Gap)]
    assert [(g.cause, g.estimated) for g in gaps] == [("silent", True)]
    assert gaps[0].seconds == pytest.approx(3.0, abs=0.1)
    assert gaps[0].time_s == pytest.approx(10.0, abs=0.1)
    assert clock.lost_estimated == gaps[0].n
    assert check_contiguous(out) == sum(m.n for m in kept) + gaps[0].n


def test_backlog_after_a_pause_is_no_gap() -> None:
    messages = [m for m in bursts(200.0, 20.0, 0.016) if isinstance(m, SampleBlock)]
    late = [
        ramp(m.first, m.n, 16.0 if 13.0 < m.arrival_s < 16.0 else m.arrival_s, indexed=False)
        for m in messages
    ]
    out = run(Clock(), [TEXT, *late])
    assert not any(isinstance(m, Gap) for m in out)
    assert check_contiguous(out) == sum(m.n for m in messages)


def test_result_depends_on_times_not_on_how_blocks_were_cut() -> None:
    messages = [m for m in bursts(194.0, 20.0, 0.05) if isinstance(m, SampleBlock)]
    messages = [m for m in messages if not 13.0 < m.arrival_s < 15.0]
    cut = [
        ramp(m.first + k, min(3, m.n - k), m.arrival_s, indexed=False)
        for m in messages
        for k in range(0, m.n, 3)
    ]

    def essence(out: list[Segment | SampleBlock | Gap]) -> tuple[object, ...]:
        values = np.concatenate([m.counts[:, 0] for m in out if isinstance(m, SampleBlock)])
        return values.tobytes(), [m for m in out if not isinstance(m, SampleBlock)]

    assert essence(run(Clock(), [TEXT, *messages])) == essence(run(Clock(), [TEXT, *cut]))


def test_not_a_number_passes_through() -> None:
    block = SampleBlock(0, np.array([[1.0], [np.nan], [3.0]]), 0.1, indexed=True)
    out = run(Clock(), [BOARD, block])
    assert isinstance(out[1], SampleBlock)
    assert np.isnan(out[1].counts[1, 0])


def test_an_empty_numbered_block_tells_where_the_sender_stands() -> None:
    """Loss before the first and after the last data frame is exact, and no empty block goes on."""
    clock = Clock()
    out = clock.push(Board("b", 250.0, 1.0, 16, 1))
    for first, n in ((100, 0), (150, 25), (175, 0), (200, 0)):
        out += clock.push(SampleBlock(first, np.zeros((n, 1)), first / 250, indexed=True))
    assert [(m.first, m.n) for m in out if isinstance(m, SampleBlock)] == [(50, 25)]
    gaps = [(m.first, m.n, m.cause, m.estimated) for m in out if isinstance(m, Gap)]
    assert gaps == [(0, 50, "lost", False), (75, 25, "lost", False)]
    assert (clock.lost, clock.sample) == (75, 100)


def test_damage_that_an_unnumbered_sender_tells_of_keeps_the_time() -> None:
    """Three samples of every 100 are damaged: told as an estimate, and neither rate nor time slips."""
    clock, out = Clock(), []
    for k in range(40):
        block = ramp(100 * k + 3 * (k > 0), 100 - 3 * (k > 0), 5.0 + 0.4 * (k + 1), indexed=False)
        out += clock.push(replace(block, estimated=k > 0))
    out += clock.finish()
    assert [s.rate_hz for s in out if isinstance(s, Segment)] == [250.0]
    gaps = [g for g in out if isinstance(g, Gap)]
    assert [(g.first, g.n, g.estimated) for g in gaps] == [(100 * k, 3, True) for k in range(1, 40)]
    assert clock.lost_estimated == 117
    assert clock.sample == 4000


def test_damage_in_a_pause_is_not_counted_twice() -> None:
    clock, out = Clock(250.0), []
    for k in range(100):
        late = 2.0 if k >= 50 else 0.0  # 500 samples never came, and 20 of them are known of
        block = ramp(25 * k + (20 if k >= 50 else 0), 25, 5.0 + 0.1 * (k + 1) + late, indexed=False)
        out += clock.push(replace(block, estimated=k == 50))
    out += clock.finish()
    gaps = [g for g in out if isinstance(g, Gap)]
    assert sum(g.n for g in gaps) == 500
    assert sorted(g.n for g in gaps) == [20, 480]


# -- a connection that was lost -------------------------------------------------------------------------


def printed(seconds: float, rate: float, at_s: float, first: int = 0) -> list[SampleBlock]:
    """What a board without numbers sends, 10 samples a time."""
    n = round(seconds * rate / 10)
    return [ramp(first + 10 * k, 10, at_s + 10 * (k + 1) / rate, indexed=False) for k in range(n)]


def play(clock: Clock, *parts: list[Board | SampleBlock]) -> list[Segment | SampleBlock | Gap]:
    """Parts of a stream between which the connection was lost."""
    out: list[Segment | SampleBlock | Gap] = []
    for k, part in enumerate(parts):
        out += clock.cut() if k else []
        out += [y for message in part for y in clock.push(message)]
    return out + clock.finish()


def test_numbers_that_went_on_tell_exactly_what_was_missed() -> None:
    out = play(Clock(), [BOARD, *frames(range(40))], [BOARD, *frames(range(70, 90))])
    gap = next(m for m in out if isinstance(m, Gap))
    assert (gap.first, gap.n, gap.cause, gap.estimated) == (1000, 750, "unplugged", False)
    assert [m.first for m in out if isinstance(m, Segment)] == [0]
    assert check_contiguous(out) == 2250
    for message in out:
        if isinstance(message, SampleBlock):
            assert message.counts[0, 0] == message.first


@pytest.mark.parametrize("start", [0, 5000, 2**31])
@pytest.mark.parametrize("before_s", [0.1, 4.0])
def test_numbers_that_began_anew_leave_it_to_the_arrival_times(start: int, before_s: float) -> None:
    again = [ramp(start + 25 * k, 25, before_s + 3.0 + 0.1 * (k + 1)) for k in range(20)]
    out = play(Clock(), [BOARD, *frames(range(round(before_s * 10)))], [BOARD, *again])
    (gap,) = [m for m in out if isinstance(m, Gap)]
    assert (gap.n, gap.cause, gap.estimated) == (750, "unplugged", True)
    assert check_contiguous(out) == round(before_s * 250) + 750 + 500


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("size", [1, 16, 250])
def test_the_gap_of_a_lost_connection_does_not_depend_on_cuts(size: int, indexed: bool) -> None:
    """A second of signal has piled up when the connection is back, 3 s after it was lost."""
    before = [ramp(k, 25, (k + 25) / 250, indexed) for k in range(0, 2500, 25)]
    came = [ramp(k, min(size, 250 - k), 14.0, indexed) for k in range(0, 250, size)]
    after = [ramp(250 + k, 25, 14.0 + (k + 25) / 250, indexed) for k in range(0, 500, 25)]
    clock = Clock(250.0)
    out = play(clock, [TEXT, *before], [TEXT, *came, *after])
    check_contiguous(out)
    gaps = [m for m in out if isinstance(m, Gap)]
    assert [(g.first, g.cause, g.estimated) for g in gaps] == [(2500, "unplugged", True)]
    assert gaps[0].n == 750


@pytest.mark.parametrize("rate", [250.0, 200.0])
def test_after_a_loss_an_undeclared_rate_is_measured_anew(rate: float) -> None:
    clock = Clock()
    out = play(clock, [TEXT, *printed(20, 250.0, 0.0)], [TEXT, *printed(20, rate, 30.0)])
    segments = [m for m in out if isinstance(m, Segment)]
    assert [s.rate_hz for s in segments] == ([250.0] if rate == 250.0 else [250.0, 200.0])
    (gap,) = [m for m in out if isinstance(m, Gap)]
    assert (gap.n, gap.cause, gap.estimated) == (2500, "unplugged", True)
    assert clock.time_s(check_contiguous(out)) == pytest.approx(50.0, abs=0.02)


def test_a_connection_too_short_to_tell_its_rate_keeps_the_one_before() -> None:
    out = play(Clock(), [TEXT, *printed(20, 250.0, 0.0)], [TEXT, *printed(0.5, 200.0, 30.0)])
    assert [m.rate_hz for m in out if isinstance(m, Segment)] == [250.0]
    assert check_contiguous(out) == pytest.approx(5000 + 2500 + 100, abs=3)


def test_a_first_connection_too_short_to_tell_its_rate_counts_as_lost() -> None:
    clock = Clock()
    out = play(clock, [TEXT, *printed(0.5, 250.0, 0.0)], [TEXT, *printed(20, 250.0, 3.0)])
    assert [m.rate_hz for m in out if isinstance(m, Segment)] == [250.0]
    assert (check_contiguous(out), clock.lost) == (5000, 120)


def uneven(rates: list[tuple[float, float]], seed: int = 0, every_s: float = 0.016) -> list[SampleBlock]:
    """Unnumbered blocks at one rate after the other (Hz, seconds), late as behind a USB adapter."""
    rng = np.random.default_rng(seed)
    out: list[SampleBlock] = []
    sent, taken, last, begin_s = 0, 0.0, 0.0, 0.0
    for rate, seconds in rates:
        for poll in np.arange(every_s, seconds + every_s / 2, every_s):
            late = rng.exponential(0.002) + (rng.uniform(0, 0.3) if rng.random() < 0.02 else 0.0)
            last = max(last, begin_s + float(poll) + late)
            n = int(taken + poll * rate) - sent
            if n > 0:
                out.append(ramp(sent, n, last, indexed=False))
                sent += n
        taken += rate * seconds
        begin_s += seconds
    return out


@pytest.mark.parametrize(("before", "after"), [(250, 125), (125, 250), (250, 200), (360, 500), (860, 250)])
@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_a_measured_rate_opens_a_segment(before: float, after: float, seed: int) -> None:
    clock = Clock()
    out = run(clock, [TEXT, *uneven([(before, 60.0), (after, 60.0)], seed)])
    first, second = (m for m in out if isinstance(m, Segment))
    assert (first.rate_hz, second.rate_hz, second.source) == (before, after, "measured")
    assert before * 60 < second.first <= before * 60 + after * (OVER_S + 4)
    assert check_contiguous(out) == before * 60 + after * 60
    assert clock.time_s(second.first + round(after)) - second.time_s == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_no_step_opens_no_segment(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = uneven([(250.0, 30.0), (257.0, 30.0), (245.0, 30.0), (250.0, 210.0)], seed)
    kept, lost_until = [], 0.0
    for block in blocks:  # now and then up to 0.8 s are lost in silence, or come late and together
        if block.arrival_s > 10 and rng.random() < 0.004:
            lost_until = block.arrival_s + rng.uniform(0.1, 0.8)
            loses = rng.random() < 0.5
        if block.arrival_s >= lost_until:
            kept.append(block)
        elif not loses:
            kept.append(replace(block, arrival_s=lost_until))
    arrivals = np.maximum.accumulate([block.arrival_s for block in kept]).tolist()
    kept = [replace(block, arrival_s=at) for block, at in zip(kept, arrivals, strict=True)]
    out = run(Clock(), [TEXT, *kept])
    assert [m.rate_hz for m in out if isinstance(m, Segment)] == [250.0]


def test_a_rate_measured_amid_losses_is_set_right() -> None:
    blocks = [b for b in uneven([(250.0, 60.0)]) if b.arrival_s > 5 or b.arrival_s % 1 > 0.3]
    first, last = (m for m in run(Clock(), [TEXT, *blocks]) if isinstance(m, Segment))
    assert first.rate_hz < 240
    assert last.rate_hz == 250


@pytest.mark.parametrize("board", [BOARD, replace(TEXT, rate_hz=250.0)])
def test_a_declared_or_given_rate_stands(board: Board) -> None:
    blocks = uneven([(250.0, 30.0), (125.0, 30.0)])
    for clock, first in ((Clock(), board), (Clock(250.0), TEXT)):
        segments = [m for m in run(clock, [first, *blocks]) if isinstance(m, Segment)]
        assert [segment.rate_hz for segment in segments] == [250.0]


def test_where_a_step_is_seen_does_not_depend_on_how_blocks_were_cut() -> None:
    blocks = uneven([(250.0, 30.0), (125.0, 30.0)])
    singles = [
        replace(block, first=block.first + k, counts=block.counts[k : k + 1])
        for block in blocks
        for k in range(block.n)
    ]
    found = [[m for m in run(Clock(), [TEXT, *bs]) if isinstance(m, Segment)] for bs in (blocks, singles)]
    assert found[0] == found[1]
    assert len(found[0]) == 2
