"""Counts and arrival times -> stream samples, their times, the rate of a Segment, and Gaps.

Arrival time is data here: nothing reads a clock. Where the sender numbers its samples, loss is read from
the numbers and is exact; elsewhere it is estimated from pauses and marked as an estimate. The rate is
fixed for a Segment; drift of the sender's crystal never moves a sample. A rate that was measured and then
makes a step opens a new Segment some seconds after the step; one that was declared or given stands.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite

import numpy as np

from ecgedge.errors import UsageError
from ecgedge.messages import Board, Gap, SampleBlock, Segment
from ecgedge.rate import RateSteps, measure_rate

MEASURE_S = 5.0
"""Arrival time over which an undeclared rate is measured; samples are held back till then."""
MEASURE_LIMIT_S = 15.0
"""Arrival time after which a rate is measured from whatever came, pauses included."""
PAUSE_S = 1.0
"""An arrival this late is looked at: a stall of the host delivers the backlog at once, a loss does not."""
BACKLOG_S = 0.3
"""Time a backlog may take to arrive after a pause."""
DUPLICATE_S = 1.0
"""Numbers that go back by no more than this repeat what was received; further back, the board restarted."""
GOES_ON_S = 0.5
"""After a lost connection, numbers that went on by what the arrival times say, to so many seconds, are those
of a board that was never off."""
LONGEST_LOSS_S = 3600.0
"""A jump ahead of more than this is no loss but a restart with other numbers."""
_MAX_HELD = 1_000_000
_MAX_SEGMENTS = 256

Out = Segment | SampleBlock | Gap


class Clock:
    """One stream's sample numbers and times.

    Parameters
    ----------
    rate_hz : sampling rate given by the user; None: the board's, or measured from arrival times

    Raises
    ------
    UsageError
        If the given rate is not a positive number.
    """

    def __init__(self, rate_hz: float | None = None) -> None:
        if rate_hz is not None and not (isfinite(rate_hz) and rate_hz > 0):
            raise UsageError(f"a sampling rate of {rate_hz} Hz", "a positive number", "Check --fs.")
        self.lost = 0
        """Samples known to be lost, by the sender's own numbers."""
        self.lost_estimated = 0
        """Samples believed lost, from timing."""
        self.sample = 0
        """One past the last stream sample given out."""
        self._given = rate_hz
        self._board = Board("unknown")
        self._new_board = True  # a Board came since the last block
        self._segment: Segment | None = None
        self._starts: list[int] = []
        self._segments: list[Segment] = []
        self._index: int | None = None  # sender's number of the next sample, or the decoder's count
        self._arrival: float | None = None
        self._held: list[SampleBlock] = []  # until the rate is measured, or after a pause
        self._held_n = 0
        self._run_start = 0  # first held block after the last pause
        self._resumed_s: float | None = None  # arrival of the first block after a pause under study
        self._backlog: deque[tuple[float, float]] = deque()  # (arrival, samples behind), recent minima
        self._cut = False  # the connection was lost since the last block that was given out
        self._measured: float | None = None  # rate, until the connection is lost or another rate holds
        self._steps = RateSteps()

    def time_s(self, sample: int) -> float:
        """Seconds since the first stream sample. Before the first Segment everything is at 0."""
        if not self._segments:
            return 0.0
        segment = self._segments[max(0, bisect_right(self._starts, sample) - 1)]
        return segment.time_s + (sample - segment.first) / segment.rate_hz

    def push(self, message: Board | SampleBlock) -> list[Out]:
        """Take what a decoder gave; return what is certain."""
        if isinstance(message, Board):
            out = self._release()
            self._board = message
            self._new_board = True
            return out
        if self._goes_on(message):
            self._index = message.first + message.n
            return self._give(message)
        if message.n == 0 and not message.indexed:
            return []
        if self._nominal() is None:
            return self._measure(message)
        if self._cut:
            return self._reconnected(message)
        self._watch_rate(message)
        if message.indexed:
            return self._numbered(message)
        return self._unnumbered(message)

    def _goes_on(self, block: SampleBlock) -> bool:
        """Whether a block follows on the one before by the sender's numbers, and nothing else is new."""
        if block.first != self._index or not block.indexed or self._new_board or self._cut:
            return False
        return self._segment is not None and self._segment.source != "measured"

    def cut(self) -> list[Out]:
        """The connection was lost and made again: what comes next follows a gap, and may be another board.

        Samples of a first connection too short to tell their rate count as lost.
        """
        if self._segment is None and self._held and not self._measurable(self._held):
            self.lost += self._held_n
            self._forget()
        out = self._release()
        self._cut, self._measured = self._segment is not None, None
        return out

    def finish(self) -> list[Out]:
        """Give out what was held back. Samples whose rate cannot be told at all are dropped."""
        return self._release()

    def _nominal(self) -> tuple[float, str] | None:
        if self._given is not None:
            return self._given, "given"
        rate = self._board.rate_hz
        if rate is not None and isfinite(rate) and rate > 0:
            return rate, "declared"
        return None if self._measured is None else (self._measured, "measured")

    def _release(self) -> list[Out]:
        """Settle the rate and any pause with what has arrived so far."""
        out: list[Out] = []
        if self._held and self._nominal() is None:
            out = self._settle_rate(self._held, self._held)
        return out + (self._settle_return() if self._cut else self._settle_pause())

    # -- an undeclared rate -------------------------------------------------------------------------

    def _measure(self, block: SampleBlock) -> list[Out]:
        """Hold blocks until ``MEASURE_S`` without a pause have arrived, then measure and replay them."""
        held = self._held
        out: list[Out] = []
        if held:
            run = held[self._run_start :]
            since, total = block.arrival_s - run[0].arrival_s, block.arrival_s - held[0].arrival_s
            if total >= MEASURE_LIMIT_S or self._held_n > _MAX_HELD:
                out = self._settle_rate(held, held)
            elif since >= MEASURE_S:
                out = self._settle_rate(run, held)
            elif block.arrival_s - held[-1].arrival_s > PAUSE_S:
                self._run_start = len(held)
        if self._measured is not None:
            return out + self.push(block)
        self._held.append(block)
        self._held_n += block.n
        return out

    def _measurable(self, held: list[SampleBlock]) -> bool:
        return held[-1].arrival_s - held[0].arrival_s >= MEASURE_S / 2

    def _forget(self) -> None:
        self._held, self._held_n, self._run_start = [], 0, 0

    def _settle_rate(self, run: list[SampleBlock], held: list[SampleBlock]) -> list[Out]:
        damaged = [b.first - a.first - a.n if b.estimated else 0 for a, b in pairwise(run)]
        counts = np.cumsum([b.n + max(0, lost) for b, lost in zip(run, [0, *damaged], strict=True)]).tolist()
        rate = measure_rate([b.arrival_s for b in run], counts)
        if rate is None and len(run) < len(held):
            return self._settle_rate(held, held)
        self._forget()
        if self._segment is not None and (rate is None or not self._measurable(run)):
            rate = self._segment.rate_hz  # of the connection before: better than what so little tells
        if rate is None:
            return []
        self._measured = rate
        out: list[Out] = []
        for block in held:
            out += self.push(block)
        return out

    def _watch_rate(self, block: SampleBlock) -> None:
        """Take another rate from this block on, where a measured one holds no longer."""
        segment, before_s = self._segment, self._arrival
        if segment is None or segment.source != "measured" or self._resumed_s is not None:
            return
        if before_s is not None and block.arrival_s > before_s:  # of blocks that come together all are there
            rate = self._steps.push(before_s, self.sample, segment.rate_hz)
            self._measured = self._measured if rate is None else rate

    # -- segments -----------------------------------------------------------------------------------

    def _open(self, rate: float, source: str) -> Segment:
        assert source in ("declared", "given", "measured")
        self._segment = Segment(self.sample, self.time_s(self.sample), rate, source, self._board)  # type: ignore[arg-type]
        if self._starts and self._starts[-1] == self.sample:
            self._starts.pop()
            self._segments.pop()
        self._starts.append(self.sample)
        self._segments.append(self._segment)
        if len(self._starts) > _MAX_SEGMENTS:  # a board that restarts for ever must not fill the memory
            del self._starts[0], self._segments[0]
        self._new_board = False
        self._backlog.clear()
        self._steps.restart()
        return self._segment

    def _follow_board(self, restarted: bool) -> list[Out]:
        """Open a Segment at the start, after a restart, and where the board's description changed."""
        segment, nominal = self._segment, self._nominal()
        assert nominal is not None, "blocks are held until there is a rate"
        if segment is not None and not restarted:
            same = not self._new_board or segment.board == self._board
            if same and (segment.rate_hz, segment.source) == nominal:
                self._new_board = False
                return []
        return [self._open(*nominal)]

    def _gap(self, n: int, cause: str, estimated: bool) -> Gap:
        assert self._segment is not None
        self._steps.restart()
        first = self.sample
        self.sample += n
        if estimated:
            self.lost_estimated += n
        else:
            self.lost += n
        seconds = n / self._segment.rate_hz
        return Gap(first, n, self.time_s(first), seconds, cause, estimated)  # type: ignore[arg-type]

    def _give(self, block: SampleBlock) -> list[Out]:
        self._arrival = block.arrival_s
        if block.n == 0:  # it only told where the sender stands
            return []
        out = block if block.first == self.sample else replace(block, first=self.sample)
        self.sample += block.n
        return [out]

    def _reconnected(self, block: SampleBlock) -> list[Out]:
        """After a lost connection blocks wait for a backlog, since how it was cut must not count."""
        if self._held and block.arrival_s > self._held[0].arrival_s + BACKLOG_S:
            return self._settle_return() + self.push(block)
        self._held.append(block)
        return []

    def _settle_return(self) -> list[Out]:
        """The gap of a lost connection is as long as the arrival times say, and exact where the sender's
        numbers went on by about as much."""
        if not self._held:
            return []
        assert self._segment is not None
        assert self._arrival is not None
        held, self._held, self._cut = self._held, [], False
        rate, nominal = self._segment.rate_hz, self._nominal()
        assert nominal is not None
        block, came, away_s = held[0], 0, inf
        for each in held:
            came = max(came + each.n, each.first + each.n - block.first)
            away_s = min(away_s, each.arrival_s - self._arrival - came / nominal[0])
        n = max(0, round(away_s * rate))
        jump = block.first - self._index if block.indexed and self._index is not None else -1
        exact = jump >= 0 and abs(jump - n) <= GOES_ON_S * rate and not block.estimated
        n = jump if exact else n
        out: list[Out] = [self._gap(n, "unplugged", estimated=not exact)] if n else []
        out += self._follow_board(restarted=False)
        self._backlog.clear()
        self._index = block.first if block.indexed else None
        for each in held:
            out += self._numbered(each) if each.indexed else self._deliver(each)
        return out

    # -- streams with the sender's own numbers --------------------------------------------------------

    def _numbered(self, block: SampleBlock) -> list[Out]:
        if self._index is None or self._segment is None:
            out = self._follow_board(restarted=False)
            self._index = block.first + block.n
            return [*out, *self._give(block)]
        rate = self._segment.rate_hz
        jump = block.first - self._index
        back_limit = 0.0 if self._new_board else DUPLICATE_S * rate
        if jump > LONGEST_LOSS_S * rate or jump < -back_limit:
            return self._restart(block)
        out = self._follow_board(restarted=False) if jump == 0 else []
        if jump < 0:
            known = min(-jump, block.n)
            if known == block.n:
                return []
            rate_us = 1e6 * known / rate
            device_us = None if block.device_us is None else block.device_us + round(rate_us)
            block = replace(
                block, first=block.first + known, counts=block.counts[known:], device_us=device_us
            )
        elif jump > 0:
            out.append(self._gap(jump, "lost", estimated=block.estimated))
            out += self._follow_board(restarted=False)
        self._index = block.first + block.n
        return [*out, *self._give(block)]

    def _restart(self, block: SampleBlock) -> list[Out]:
        """The board's numbers began again: how long it was away only the arrival times tell."""
        assert self._segment is not None
        rate = self._segment.rate_hz
        away_s = 0.0 if self._arrival is None else block.arrival_s - self._arrival
        n = round(max(0.0, away_s * rate - block.n))
        out: list[Out] = [self._gap(n, "reset", estimated=True)] if n else []
        out += self._follow_board(restarted=True)
        self._index = block.first + block.n
        return [*out, *self._give(block)]

    # -- streams without numbers ----------------------------------------------------------------------

    def _unnumbered(self, block: SampleBlock) -> list[Out]:
        out: list[Out] = []
        if self._resumed_s is not None and block.arrival_s > self._resumed_s + BACKLOG_S:
            out = self._settle_pause()
        late = self._arrival is not None and block.arrival_s - self._arrival > PAUSE_S
        if self._resumed_s is None and late and self._backlog:
            self._resumed_s = block.arrival_s
        if self._resumed_s is not None:
            self._held.append(block)
            return out
        return out + self._deliver(block)

    def _damaged(self, block: SampleBlock, index: int | None) -> int:
        """Samples in front of a block that the decoder believes lost."""
        if index is None or self._segment is None or not block.estimated:
            return 0
        return max(0, min(block.first - index, round(LONGEST_LOSS_S * self._segment.rate_hz)))

    def _behind(self, arrival_s: float, sample: int) -> float:
        """How many samples the stream is behind a sender that never pauses, up to a constant."""
        assert self._segment is not None
        return (arrival_s - self._segment.time_s) * self._segment.rate_hz - (sample - self._segment.first)

    def _deliver(self, block: SampleBlock) -> list[Out]:
        out: list[Out] = []
        if damaged := self._damaged(block, self._index):
            out.append(self._gap(damaged, "lost", estimated=True))
        self._index = block.first + block.n
        out += self._follow_board(restarted=False)
        given = self._give(block)
        behind = self._behind(block.arrival_s, self.sample)
        recent = self._backlog  # minima of the last seconds, oldest first, so that [0] is the least
        while recent and recent[-1][1] >= behind:
            recent.pop()
        recent.append((block.arrival_s, behind))
        while recent[0][0] < block.arrival_s - MEASURE_S:
            recent.popleft()
        return [*out, *given]

    def _settle_pause(self) -> list[Out]:
        """After a pause: what the backlog did not make up for is taken as never sent."""
        if self._resumed_s is None:
            return []
        held, self._held, self._resumed_s = self._held, [], None
        assert self._segment is not None
        sample, least, index = self.sample, inf, self._index
        for block in held:
            sample += self._damaged(block, index) + block.n
            index = block.first + block.n
            least = min(least, self._behind(block.arrival_s, sample))
        n = round(least - self._backlog[0][1])
        out: list[Out] = []
        if n >= PAUSE_S / 2 * self._segment.rate_hz:
            out.append(self._gap(n, "silent", estimated=True))
            self._backlog.clear()
        for block in held:
            out += self._deliver(block)
        return out
