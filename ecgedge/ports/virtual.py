"""A virtual board: a simulated patient or a recording, over a real pseudo-terminal.

The board runs in a thread and speaks as hardware would, in ecgedge frames or in the voice of another kind
of board; where the system has no pseudo-terminals, an in-process pipe takes their place. Arrival times are
virtual: each byte carries the time at which a board in the real world would have sent it, whatever the
pace.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ecgedge.errors import EcgedgeError, PortError
from ecgedge.messages import Chunk
from ecgedge.ports.base import Port

if TYPE_CHECKING:
    from ecgedge.ports.simulated import Voice
    from ecgedge.ports.sources import Source

HELLO_EVERY_S = 5.0
_BATCH = 4096  # bytes written at once at full speed: what a Linux pseudo-terminal holds
_LARGE_BATCH = 16384
"""The same where board and host are in one process. Only for boards that tell their rate: that of others is
measured from when their bytes arrive."""
_TICK_S = 0.1
_TURN_S = 0.0005
"""At full speed the interpreter lets board and host take turns so often; its usual 5 ms are waited."""


class _Turns:
    """Short turns while a board plays at full speed, the interpreter's own again when the last one is off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._boards = 0
        self._usual_s = 0.0

    def shorten(self) -> None:
        """One more board plays."""
        with self._lock:
            if not self._boards:
                self._usual_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual_s, _TURN_S))
            self._boards += 1

    def release(self) -> None:
        """One of them is off."""
        with self._lock:
            self._boards -= 1
            if not self._boards:
                sys.setswitchinterval(self._usual_s)


_TURNS = _Turns()


class Link(Protocol):
    """Two directions of bytes between a board and a host. ``OSError`` means that it was cut."""

    batch: int
    """Bytes that a board in a hurry writes at once."""

    def board_read(self, timeout_s: float) -> bytes: ...

    def board_write(self, data: bytes) -> int: ...

    def host_read(self, timeout_s: float) -> bytes: ...

    def host_write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class PtyLink:
    """A pseudo-terminal in raw mode; ``path`` can be opened like any serial device."""

    batch = _BATCH

    def __init__(self) -> None:
        import tty

        self._board, self._host = os.openpty()
        tty.setraw(self._host)  # before anyone opens it: no echo, no line editing, no translation
        os.set_blocking(self._board, False)
        os.set_blocking(self._host, False)
        self.path = os.ttyname(self._host)
        self._closed = False

    def board_read(self, timeout_s: float) -> bytes:
        """What the host sent, waiting up to ``timeout_s`` for it."""
        return self._read(self._board, timeout_s)

    def board_write(self, data: bytes) -> int:
        """Send to the host; the number of bytes taken within a tick, 0 where the host does not read."""
        self._check()
        if not select.select([], [self._board], [], _TICK_S)[1]:
            return 0
        try:
            return os.write(self._board, data)
        except BlockingIOError:
            return 0

    def host_read(self, timeout_s: float) -> bytes:
        """What the board sent, waiting up to ``timeout_s`` for it."""
        return self._read(self._host, timeout_s)

    def host_write(self, data: bytes) -> None:
        """Send to the board; what it does not take is lost."""
        self._check()
        with contextlib.suppress(BlockingIOError):
            os.write(self._host, data)

    def _read(self, descriptor: int, timeout_s: float) -> bytes:
        self._check()
        if not select.select([descriptor], [], [], max(timeout_s, 0.0))[0]:
            return b""
        try:
            return os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return b""

    def _check(self) -> None:
        if self._closed:
            raise OSError("closed")

    def close(self) -> None:
        """Cut the link; for a program that opened ``path`` the cable is out."""
        if not self._closed:
            self._closed = True
            os.close(self._board)
            os.close(self._host)


class PipeLink:
    """The same between two threads of one process."""

    def __init__(self, batch: int = _BATCH) -> None:
        self.batch = batch
        self._condition = threading.Condition()
        self._to_host, self._to_board = bytearray(), bytearray()
        self._closed = False

    def board_read(self, timeout_s: float) -> bytes:
        """What the host sent, waiting up to ``timeout_s`` for it."""
        return self._take(self._to_board, timeout_s)

    def board_write(self, data: bytes) -> int:
        """Send to the host; the number of bytes taken within a tick, 0 where the host does not read."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or len(self._to_host) < self.batch, _TICK_S)
            room = self.batch - len(self._to_host)
            self._put(self._to_host, data[:room])
            return min(room, len(data))

    def host_read(self, timeout_s: float) -> bytes:
        """What the board sent, waiting up to ``timeout_s`` for it."""
        return self._take(self._to_host, timeout_s)

    def host_write(self, data: bytes) -> None:
        """Send to the board; what it does not take is lost."""
        with self._condition:
            self._put(self._to_board, data[: self.batch - len(self._to_board)])

    def _put(self, buffer: bytearray, data: bytes) -> None:
        if self._closed:
            raise OSError("closed")
        buffer += data
        self._condition.notify_all()

    def _take(self, buffer: bytearray, timeout_s: float) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._closed or buffer, max(timeout_s, 0.0))
            if self._closed:
                raise OSError("closed")
            data = bytes(buffer)
            buffer.clear()
            self._condition.notify_all()
            return data

    def close(self) -> None:
        """Cut the link."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class VirtualBoard:
    """A board in a thread: plays a source once, at ``speed`` times real time, and obeys commands.

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
        self._thread = threading.Thread(target=self._run, name="virtual board", daemon=True)
        self.written = 0
        """Bytes sent or about to be."""
        self.done = False
        """Set before the last bytes are sent."""
        self.error: EcgedgeError | None = None
        self.times: deque[tuple[int, float]] = deque()
        """Position behind each piece sent, with its virtual time in seconds."""

    def start(self) -> None:
        """Power on."""
        self._thread.start()

    def stop(self) -> None:
        """Power off; returns when the thread has ended."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the link was cut: nobody is left to tell
            try:
                self._play()
                self._streaming = False  # nothing before this hello's index will come any more
                self._say_hello()
            except EcgedgeError as error:
                self.error = error
            except (ArithmeticError, ValueError) as error:  # a dead thread would leave the host waiting
                self.error = PortError(f"the virtual board cannot play this: {error}")
            self.done = True
            self._flush()
            self._closing.wait()

    def _play(self) -> None:
        self._queue(self._voice.banner, 0.0)
        self._flush()
        while not (self._started or self._closing.is_set()):
            self._listen(_TICK_S)
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
                    self._listen(0.0)
                    while not (paced or self._streaming or self._closing.is_set()):
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
        self._hurried = math.isinf(speed)  # host and board wait for each other all the time
        self._read = 0
        self._time_s = 0.0
        self._closed = False
        self._board.start()
        if self._hurried:
            _TURNS.shorten()

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
        except OSError:
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
            if self._hurried:
                _TURNS.release()


def open_virtual(name: str, source: Source, speed: float, voice: Voice | None = None) -> VirtualPort:
    """Start a virtual board that plays ``source``, in ecgedge frames where no other voice is given."""
    if math.isinf(speed):  # the detour through the system is left out
        link: Link = PipeLink(_LARGE_BATCH if voice is None else _BATCH)
    else:
        link = PtyLink() if hasattr(os, "openpty") else PipeLink()
    return VirtualPort(name, source, link, speed, voice)
