"""A virtual board: a simulated patient or a recording, over a real pseudo-terminal.

The board runs in a thread and speaks as hardware would, in ecgedge frames or in the voice of another kind
of board; where the system has no pseudo-terminals, an in-process pipe takes their place, and at full speed
board and host take turns. Arrival times are virtual: each byte carries the time at which a board in the real
world would have sent it, whatever the pace.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ecgedge.errors import EcgedgeError, PortError
from ecgedge.messages import Chunk
from ecgedge.ports.base import Port
from ecgedge.ports.links import BATCH, CutError, DirectLink, Life, Link, PipeLink, PtyLink

if TYPE_CHECKING:
    from ecgedge.ports.sources import Source
    from ecgedge.ports.voice import Voice

HELLO_EVERY_S = 5.0
_LARGE_BATCH = 16384
"""Bytes handed over at once at full speed. Only for boards that tell their rate: that of others is measured
from when their bytes arrive."""
_TICK_S = 0.1


class VirtualBoard:
    """A board: plays a source once, at ``speed`` times real time, and obeys commands.

    While stopped, a paced board samples on and sends nothing (as clause 5 of the protocol has it); at
    full speed, where time is what the host takes, it stands still.
    """

    def __init__(self, source: Source, voice: Voice, link: Link, speed: float) -> None:
        self._source, self._voice, self._link, self._speed = source, voice, link, speed
        self._rate_hz = source.board.rate_hz or 1.0
        self._started = self._streaming = not voice.silent
        self._next_index = 0
        self._batch = bytearray()
        self._closing = threading.Event()
        self.written = 0
        """Bytes sent or about to be."""
        self.done = False
        """Set before the last bytes are sent."""
        self.error: EcgedgeError | None = None
        self.times: deque[tuple[int, float]] = deque()
        """Position behind each piece sent, with its virtual time in seconds."""

    def start(self) -> None:
        """Power on."""
        self._link.run(self._life())

    def stop(self) -> None:
        """Power off; returns when it is."""
        self._closing.set()
        self._link.join()

    def _life(self) -> Life:
        """All that it does."""
        with contextlib.suppress(CutError):  # the link was cut: nobody is left to tell
            try:
                yield from self._play()
                self._streaming = False  # nothing before this hello's index will come any more
                self._say_hello()
            except EcgedgeError as error:
                self.error = error
            except (ArithmeticError, ValueError) as error:  # a dead board would leave the host waiting
                self.error = PortError(f"the virtual board cannot play this: {error}")
            self.done = True
            self._flush()

    def _play(self) -> Life:
        self._queue(self._voice.banner, 0.0)
        self._flush()
        while not (self._started or self._closing.is_set()):
            self._listen(_TICK_S)
            yield not self._started
        paced, rate_hz = math.isfinite(self._speed), self._rate_hz
        begin_s, hello_s = time.monotonic(), HELLO_EVERY_S
        try:
            for piece, end in (p for run in self._source.runs() for p in self._voice.pieces(run)):
                if self._closing.is_set():
                    return
                time_s = end / rate_hz
                if paced:
                    self._sleep_until(begin_s + time_s / self._speed)
                self._next_index = end
                if self._streaming:
                    self._queue(piece, time_s)
                if time_s >= hello_s:
                    self._say_hello()
                    hello_s = time_s + HELLO_EVERY_S
                if paced or len(self._batch) > self._link.batch - 256:
                    self._flush()
                    yield False
                    self._listen(0.0)
                    while not (paced or self._streaming or self._closing.is_set()):
                        yield True
                        self._listen(_TICK_S)
            self._next_index = self._source.n_samples
        finally:
            self._flush()

    def _say_hello(self) -> None:
        hello = self._voice.hello(self._next_index, self._streaming)
        self._queue(hello, self._next_index / self._rate_hz)

    def _sleep_until(self, moment_s: float) -> None:
        while not self._closing.is_set():
            left_s = moment_s - time.monotonic()
            if left_s <= 0:
                return
            self._listen(min(left_s, _TICK_S))

    def _listen(self, timeout_s: float) -> None:
        """Take and answer the host's commands."""
        heard = self._voice.hear(self._link.board_read(timeout_s))
        if heard.start:
            self._started = self._streaming = True
        elif heard.stop:
            self._streaming = False
        if heard.hello:
            self._say_hello()
        self._queue(heard.answer, self._next_index / self._rate_hz)
        if heard.hello or heard.answer:
            self._flush()

    def _queue(self, data: bytes, time_s: float) -> None:
        if not data:
            return
        # Announced before it is sent, so that the host never has bytes it knows nothing of.
        self._batch += data
        self.times.append((self.written + len(data), time_s))
        self.written += len(data)

    def _flush(self) -> None:
        rest = bytes(self._batch)
        self._batch.clear()
        while rest and not self._closing.is_set():
            rest = rest[self._link.board_write(rest) :]


class VirtualPort(Port):
    """The host's end of a virtual board."""

    live = False

    def __init__(
        self, name: str, source: Source, link: Link, speed: float, voice: Voice | None = None
    ) -> None:
        if voice is None:
            from ecgedge.ports.framed import FramesVoice

            voice = FramesVoice(source.board)
            self.lead_names = source.lead_names
        self.name, self.protocol = name, voice.protocol
        self._link = link
        self._board = VirtualBoard(source, voice, link, speed)
        self._read = 0
        self._time_s = 0.0
        self._closed = False
        self._board.start()

    @property
    def ended(self) -> bool:
        """True when the source is exhausted and all its bytes were read."""
        board = self._board
        return self._closed or (board.done and self._read >= board.written and board.error is None)

    def read(self, timeout_s: float = 0.2) -> Chunk:
        """The next bytes; ``arrival_s`` is the virtual time of the last piece that they complete."""
        if self.ended:
            return Chunk(b"", self._time_s)
        error = self._board.error
        if error is not None and self._board.done and self._read >= self._board.written:
            self._board.error = None
            raise error
        try:
            data = self._link.host_read(timeout_s)
        except CutError:
            raise PortError(f"{self.name}: the virtual board was cut off") from None
        self._read += len(data)
        times = self._board.times
        # A piece that is not all there has brought no samples, so it moves the time no more than they do.
        while times and times[0][0] <= self._read:
            self._time_s = max(self._time_s, times.popleft()[1])
        return Chunk(data, self._time_s)

    def write(self, data: bytes) -> None:
        """Send commands to the board."""
        if not self._closed:
            self._link.host_write(data)

    def close(self) -> None:
        """Power the board off."""
        if not self._closed:
            self._closed = True
            self._board.stop()
            self._link.close()


def open_virtual(name: str, source: Source, speed: float, voice: Voice | None = None) -> VirtualPort:
    """Start a virtual board that plays ``source``, in ecgedge frames where no other voice is given."""
    if math.isinf(speed):  # the detour through the system is left out
        link: Link = DirectLink(_LARGE_BATCH if voice is None else BATCH)
    else:
        link = PtyLink() if hasattr(os, "openpty") else PipeLink()
    return VirtualPort(name, source, link, speed, voice)
