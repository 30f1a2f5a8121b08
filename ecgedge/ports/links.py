"""What lies between a virtual board and its host: a pseudo-terminal, a pipe between threads, or nothing.

A board is handed over as an iterator that goes on for as long as it lives: the first two let it run in a
thread of its own, the third whenever the host asks for bytes that are not there yet.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Generator
from typing import Protocol

BATCH = 4096
"""Bytes that are on their way at most: what a Linux pseudo-terminal holds."""
_TICK_S = 0.1


Life = Generator[bool, None, None]
"""What a board does: it halts where it has written and, with True, where it awaits the host."""


class CutError(OSError):
    """The link was cut, or whoever is at its other end is no more."""


class Link(Protocol):
    """Two directions of bytes between a board and a host; ``CutError`` where it was cut."""

    batch: int
    """Bytes that a board in a hurry writes at once."""

    def run(self, life: Life) -> None:
        """Let a board live."""

    def join(self) -> None:
        """Return when the board, which was told to stop, has done so."""

    def board_read(self, timeout_s: float) -> bytes: ...

    def board_write(self, data: bytes) -> int: ...

    def host_read(self, timeout_s: float) -> bytes: ...

    def host_write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class _Thread:
    """Where the board lives by itself."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def run(self, life: Life) -> None:
        """Start it."""

        def live() -> None:
            for _ in life:
                pass

        self._thread = threading.Thread(target=live, name="virtual board", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        if self._thread is not None:
            self._thread.join()


class PtyLink(_Thread):
    """A pseudo-terminal in raw mode; ``path`` can be opened like any serial device."""

    batch = BATCH

    def __init__(self) -> None:
        import tty

        super().__init__()
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
        try:
            return os.write(self._board, data) if select.select([], [self._board], [], _TICK_S)[1] else 0
        except BlockingIOError:
            return 0
        except OSError as error:  # closed in the meantime
            raise CutError(*error.args) from None

    def host_read(self, timeout_s: float) -> bytes:
        """What the board sent, waiting up to ``timeout_s`` for it."""
        return self._read(self._host, timeout_s)

    def host_write(self, data: bytes) -> None:
        """Send to the board; what it does not take is lost."""
        self._check()
        try:
            os.write(self._host, data)
        except BlockingIOError:
            return
        except OSError as error:
            raise CutError(*error.args) from None

    def _read(self, descriptor: int, timeout_s: float) -> bytes:
        self._check()
        try:
            came = select.select([descriptor], [], [], max(timeout_s, 0.0))[0]
            return os.read(descriptor, 1 << 16) if came else b""
        except BlockingIOError:
            return b""
        except OSError as error:
            raise CutError(*error.args) from None

    def _check(self) -> None:
        if self._closed:
            raise CutError("closed")

    def close(self) -> None:
        """Cut the link; for a program that opened ``path`` the cable is out."""
        if not self._closed:
            self._closed = True
            os.close(self._board)
            os.close(self._host)


class PipeLink(_Thread):
    """The same between two threads of one process."""

    batch = BATCH

    def __init__(self) -> None:
        super().__init__()
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
            raise CutError("closed")
        buffer += data
        self._condition.notify_all()

    def _take(self, buffer: bytearray, timeout_s: float) -> bytes:
        with self._condition:
            self._condition.wait_for(lambda: self._closed or buffer, max(timeout_s, 0.0))
            if self._closed:
                raise CutError("closed")
            data = bytes(buffer)
            buffer.clear()
            self._condition.notify_all()
            return data

    def close(self) -> None:
        """Cut the link."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()


class DirectLink:
    """The same without a thread, for a board in a hurry: it goes on when the host has nothing left to read.

    So the two never wait for each other, and what comes in a read is always the same.
    """

    def __init__(self, batch: int = BATCH) -> None:
        self.batch = batch
        self._life: Life | None = None
        self._broken = False
        self._to_host, self._to_board = bytearray(), bytearray()
        self._closed = False

    def run(self, life: Life) -> None:
        """Have it ready."""
        self._life = life

    def join(self) -> None:
        """It does nothing by itself."""

    def board_read(self, timeout_s: float) -> bytes:
        """What the host sent; more will not come while the board waits."""
        return self._take(self._to_board)

    def board_write(self, data: bytes) -> int:
        """Send to the host; it takes everything."""
        self._put(self._to_host, data)
        return len(data)

    def host_read(self, timeout_s: float) -> bytes:
        """What the board sends next; nothing, after ``timeout_s``, while it waits for a command."""
        while not (self._to_host or self._closed):
            waits = self._go_on()
            if waits is None:
                break
            if waits and not self._to_host:
                time.sleep(max(timeout_s, 0.0))
                break
        return self._take(self._to_host)

    def _go_on(self) -> bool | None:
        """The board's next halt; None at its end."""
        if self._broken or self._life is None:
            raise CutError("there is no board any more")
        try:
            return next(self._life, None)
        except BaseException:  # of a signal's handler, say: what is left of a generator then is nothing
            self._broken = True
            raise

    def host_write(self, data: bytes) -> None:
        """Send to the board; what it does not take is lost."""
        self._put(self._to_board, data[: self.batch - len(self._to_board)])

    def _put(self, buffer: bytearray, data: bytes) -> None:
        self._check()
        buffer += data

    def _take(self, buffer: bytearray) -> bytes:
        self._check()
        data = bytes(buffer)
        buffer.clear()
        return data

    def _check(self) -> None:
        if self._closed:
            raise CutError("closed")

    def close(self) -> None:
        """Cut the link; the board lets go of what it plays."""
        self._closed = True
        if self._life is not None:
            with contextlib.suppress(ValueError):  # it is just running, and a signal's handler closes it
                self._life.close()
