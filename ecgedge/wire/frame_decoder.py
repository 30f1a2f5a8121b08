"""Bytes of a board that speaks ecgedge frames -> Board, SampleBlock, Status (``PROTOCOL.md`` 3, 4, 6)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status
from ecgedge.wire import cobs
from ecgedge.wire.frames import (
    DATA,
    DATA_HEAD,
    DATA_PLACE,
    DATA_PLACE_AT,
    FORM,
    HELLO,
    HELLO_HEAD,
    MAX_BODY,
    MAX_LEADS,
    MAX_NAME,
    VERSION,
    open_frame,
)
from ecgedge.wire.unwrap import Unwrapper

HOLD_S = 10.0
"""How long data frames wait for a hello."""
HOLD_FRAMES = 4096
_NO_HELLO_S = 3.0
_NOTICE_EVERY_S = 10.0
_INT16 = np.dtype("<i2")


@dataclass(frozen=True, slots=True)
class _Hello:
    board: Board
    boot: int
    next_index: int
    streaming: bool


def _parse_hello(content: bytes) -> _Hello | None:
    if len(content) < HELLO_HEAD.size:
        return None
    _, _, rate, scale, bits, leads, flags, boot, next_index, _, length = HELLO_HEAD.unpack_from(content)
    name = content[HELLO_HEAD.size : HELLO_HEAD.size + length]
    # Bytes behind the name are a later revision's and are skipped (clause 3.9).
    if len(name) != length or length > MAX_NAME or not 1 <= leads <= MAX_LEADS or bits > 32:
        return None
    if not 0 <= scale <= 3.4028235e38:  # false for not-a-number, too
        return None
    # The name goes to terminals and logs: nothing in it may steer them.
    text = "".join(c if c.isprintable() else "?" for c in name.decode(errors="replace"))
    board = Board(text, rate / 1000 if rate else None, scale or None, bits or None, leads)
    return _Hello(board, boot, next_index, bool(flags & 1))


@dataclass(slots=True)
class _Run:
    """Data frames that came together and follow each other: they become one block."""

    first: int
    device_us: int
    n: int
    form: tuple[int, int, int]
    """Leads, bytes a count, bits of leads whose electrode is off."""
    parts: list[bytes]
    alone: bool
    """Whether nothing may be joined to it."""

    def block(self, arrival_s: float) -> SampleBlock:
        """Samples, not-a-number for a lead whose electrode is off while others are on
        (``SampleBlock.leads_off`` speaks of all leads)."""
        leads, width, off = self.form
        raw = b"".join(self.parts)
        if width == 2:
            counts = np.frombuffer(raw, _INT16).astype(np.float64)
        else:
            wide = np.zeros((len(raw) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
            counts = (wide.view("<i4")[:, 0] >> 8).astype(np.float64)
        counts = counts.reshape(-1, leads)
        all_off = off == (1 << leads) - 1
        if off and not all_off:
            counts[:, [lead for lead in range(leads) if off >> lead & 1]] = np.nan
        return SampleBlock(self.first, counts, arrival_s, all_off, indexed=True, device_us=self.device_us)


@dataclass(slots=True)
class _Tally:
    """Counters under way."""

    bytes: int = 0
    discarded: int = 0
    frames: int = 0
    bad: int = 0
    samples: int = 0
    lost: int = 0
    leads_off: int = 0


@dataclass(slots=True)
class _Waiting:
    """Data frames that came before the first hello."""

    blocks: deque[SampleBlock] = field(default_factory=deque)
    since_s: float | None = None
    said_s: float | None = None


class FrameDecoder:
    """Bytes of a board that speaks ecgedge frames -> Board, SampleBlock, Status.

    Data frames that came together and follow each other become one block: the boundaries of blocks follow
    the chunks, the samples do not.

    Every byte is either part of a frame with a right checksum (its delimiter and bare delimiters
    included), or held for an unfinished frame, or counted in ``discarded_bytes``. ``bad_frames`` counts
    frames with a wrong checksum or size and those with a right checksum but a type, version or length
    that is not understood; what stands before the first delimiter is not held against the sender.
    Holds at most 255 bytes, and at most 10 s of data frames while no hello has come.
    """

    def __init__(self) -> None:
        self.protocol: str | None = None
        self._splitter = cobs.Splitter(cobs.DELIMITER, MAX_BODY + 1)
        self._tally = _Tally()
        self._in_step = False
        self._board: Board | None = None
        self._boot = 0
        self._hello_last: _Hello | None = None
        self._announced = False  # by a hello that said "streaming"
        self._position = Unwrapper()
        self._run: _Run | None = None
        self._like = b"", 0  # form and length of the last data frame that was sound
        self._n, self._form = 0, (0, 0, 0)  # the same read
        self._expected: int | None = None  # index after the last frame
        self._waiting = _Waiting()
        self._start_s: float | None = None
        self._arrival_s = 0.0
        self._version_said_s: float | None = None

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far."""
        t = self._tally
        return Counters(
            bytes=t.bytes,
            discarded_bytes=t.discarded + self._splitter.thrown,
            frames=t.frames,
            bad_frames=t.bad,
            samples=t.samples,
            lost=t.lost,
            leads_off=t.leads_off,
        )

    def push(self, chunk: Chunk) -> list[Board | SampleBlock | Status]:
        """What the bytes up to here say."""
        out: list[Board | SampleBlock | Status] = []
        if self._start_s is None:
            self._start_s = chunk.arrival_s
        self._tally.bytes += len(chunk.data)
        self._arrival_s = chunk.arrival_s
        for unit in self._splitter.push(chunk.data):
            self._unit(unit, chunk.arrival_s, out)
            self._in_step = True
        self._end_run(out)
        if self._board is None:
            self._wait_for_hello(chunk.arrival_s, out)
        return out

    def finish(self) -> list[Board | SampleBlock | Status]:
        """The stream has ended: what is unfinished is discarded, what never got its hello is lost."""
        self._tally.discarded += self._splitter.flush()
        while self._waiting.blocks:
            self._tally.lost += self._waiting.blocks.popleft().n
        out: list[Board | SampleBlock | Status] = []
        hello = self._hello_last
        if hello is not None and not hello.streaming:  # what a stopped board has not sent never comes
            self._tell_missed(hello.next_index, self._arrival_s, out)
        return out

    def _unit(self, unit: bytes | None, now: float, out: list[Board | SampleBlock | Status]) -> None:
        if unit == b"":
            return  # a bare delimiter
        content = None if unit is None else open_frame(unit)
        if content is None:
            self._tally.discarded += 1 + (0 if unit is None else len(unit))
            self._tally.bad += 1 if self._in_step else 0
        elif content[1] != VERSION and content[0] in (HELLO, DATA):
            self._tally.bad += 1
            self._end_run(out)
            self._other_version(content[1], now, out)
        elif content[0] == HELLO and (hello := _parse_hello(content)) is not None:
            self._tally.frames += 1
            self.protocol = "frames"
            self._hello(hello, out)
        elif content[0] == DATA and self._data(content, now, out):
            self._tally.frames += 1
            self.protocol = "frames"
        else:
            self._tally.bad += 1

    def _hello(self, hello: _Hello, out: list[Board | SampleBlock | Status]) -> None:
        before, position = self._board, self._position
        # An index that fell behind has already told of the restart; the hello then only confirms it.
        restarted = position.behind(hello.next_index) or (
            before is not None and hello.boot != self._boot and not position.went_back
        )
        if hello.board != before or restarted:  # what says nothing new parts nothing
            self._end_run(out)
            self._like = b"", 0
        self._board = hello.board
        if before is None:
            out.append(hello.board)
            self._release(out)
        if (before is not None and hello.board != before) or restarted:
            out.append(hello.board)
        if restarted:
            position.restart()
            self._announced = True  # how long it was away the clock estimates, first samples included
        position.went_back = False
        self._boot = hello.boot
        self._hello_last = hello
        if not self._announced:
            position.announce(hello.next_index)
            self._announced = hello.streaming

    def _is_sound(self, content: bytes) -> bool:
        """Whether a data frame's form and length can be; they are remembered then, for those that follow."""
        if len(content) < DATA_HEAD.size:
            return False
        _, _, _, _, n, leads, width, off = DATA_HEAD.unpack_from(content)
        if n == 0 or not 1 <= leads <= MAX_LEADS or width not in (2, 3) or off >> leads:
            return False
        if len(content) != DATA_HEAD.size + n * leads * width:
            return False
        if self._board is not None and leads != self._board.leads:
            return False
        self._like, self._n, self._form = (content[FORM], len(content)), n, (leads, width, off)
        return True

    def _data(self, content: bytes, now: float, out: list[Board | SampleBlock | Status]) -> bool:
        if (content[FORM], len(content)) != self._like and not self._is_sound(content):
            return False
        index, device_us = DATA_PLACE.unpack_from(content, DATA_PLACE_AT)
        n, form = self._n, self._form
        rate = None if self._board is None else self._board.rate_hz
        if self._position.next_index is None:
            self._tell_missed(index, now, out)
        first, time_us = self._position.data(index, device_us, n, rate)
        run, packed = self._run, content[DATA_HEAD.size :]
        # The first frame after a loss or restart stays alone: how long a board was away is reckoned from its
        # length, which must not depend on what else came in the same read.
        anew, self._expected = first != self._expected, first + n
        follows = run is not None and run.form == form and not (anew or run.alone)
        if run is not None and follows and self._board is not None:  # one that waits may yet be refused
            run.parts.append(packed)
            run.n += n
        else:
            if run is not None:
                self._end_run(out)
            self._run = _Run(first, time_us, n, form, [packed], anew)
        return True

    def _end_run(self, out: list[Board | SampleBlock | Status]) -> None:
        """What comes next does not belong to the block that was begun."""
        if self._run is None:
            return
        block, self._run = self._run.block(self._arrival_s), None
        if self._board is None:
            self._hold(block)
        else:
            self._deliver(block, out)

    def _deliver(self, block: SampleBlock, out: list[Board | SampleBlock | Status]) -> None:
        n = block.n
        self._tally.samples += n
        if block.leads_off:
            self._tally.leads_off += n
        out.append(block)

    def _tell_missed(self, stands_at: int, now: float, out: list[Board | SampleBlock | Status]) -> None:
        """Empty blocks at the index from which samples are missing and at that where the board stands.

        Only hellos tell of samples that were lost before the first data frame or after the last.
        """
        since = self._position.missed(stands_at)
        if since is not None and self._board is not None:
            empty = np.empty((0, self._board.leads))
            end = since + (stands_at - since) % (1 << 32)
            out += [SampleBlock(first, empty, now, indexed=True) for first in (since, end)]

    def _hold(self, block: SampleBlock) -> None:
        waiting = self._waiting
        if waiting.since_s is None:
            waiting.since_s = block.arrival_s
        blocks = waiting.blocks
        blocks.append(block)
        while block.arrival_s - blocks[0].arrival_s > HOLD_S or len(blocks) > HOLD_FRAMES:
            self._tally.lost += blocks.popleft().n

    def _release(self, out: list[Board | SampleBlock | Status]) -> None:
        while self._waiting.blocks:
            block = self._waiting.blocks.popleft()
            if self._board is not None and block.counts.shape[1] == self._board.leads:
                self._deliver(block, out)
            else:
                self._tally.frames -= 1
                self._tally.bad += 1

    def _wait_for_hello(self, now: float, out: list[Board | SampleBlock | Status]) -> None:
        waiting = self._waiting
        if waiting.since_s is None or now - waiting.since_s < _NO_HELLO_S:
            return
        if waiting.said_s is None or now - waiting.said_s >= _NOTICE_EVERY_S:
            waiting.said_s = now
            out.append(
                self._status(
                    "waiting",
                    "data frames arrive, but no hello frame tells their rate and scale; expected one "
                    "every 5 s. Reset the board, or check that its sketch sends hello frames",
                    now,
                )
            )

    def _other_version(self, version: int, now: float, out: list[Board | SampleBlock | Status]) -> None:
        if self._version_said_s is not None and now - self._version_said_s < _NOTICE_EVERY_S:
            return
        self._version_said_s = now
        mend = "Update ecgedge" if version > VERSION else "Update the board's firmware"
        text = f"the board speaks version {version} of the frame protocol; expected version {VERSION}. {mend}"
        out.append(self._status("unrecognised", text, now))

    def _status(self, state: Literal["waiting", "unrecognised"], text: str, now: float) -> Status:
        start = now if self._start_s is None else self._start_s
        return Status(self._tally.samples, now - start, state, text, counters=self.counters)
