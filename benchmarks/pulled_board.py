"""A board on a pseudo-terminal behind a name of its own, whose cable can be pulled and put back."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from contextlib import suppress
from pathlib import Path

import numpy as np

from ecgedge.messages import Board
from ecgedge.wire.frames import encode_data, encode_hello

RATE_HZ = 250
FRAME = 25


def value_of(index: int) -> int:
    """The sample of an index, so that what was delivered can be held against what was sent."""
    return index * 7 % 30_000


class PulledBoard:
    """Sends frames at its own pace while it is plugged in, whether or not somebody listens.

    Parameters
    ----------
    name : a symbolic link to the pseudo-terminal, as udev makes them
    powered : it has a battery: numbers go on while the cable is out; otherwise they begin at 0 again
    pace : times the rate that it declares
    rate_hz : that rate
    """

    def __init__(
        self, name: Path, *, powered: bool = True, pace: float = 1.0, rate_hz: int = RATE_HZ
    ) -> None:
        self.name, self._powered, self._per_s = name, powered, pace * rate_hz
        self._says = Board("pulled board", float(rate_hz), 1.0, 16, 1)
        self._board: int | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._begin_s = time.monotonic()
        self._index = 0
        self._boot = 1
        self.heard = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.plug()
        self._thread.start()

    def plug(self) -> None:
        """Put the cable in; the device may get another number."""
        board, host = os.openpty()
        tty.setraw(host)
        os.set_blocking(board, False)
        with self._lock:
            if not self._powered:
                self._begin_s, self._index, self._boot = time.monotonic(), 0, self._boot + 1
            self._index = self._due() // FRAME * FRAME  # what fell due with the cable out does not come later
            self._board = board
        link = self.name.with_suffix(".new")
        link.symlink_to(os.ttyname(host))
        os.close(host)
        link.replace(self.name)

    def unplug(self) -> None:
        """Pull it out."""
        self.name.unlink()
        with self._lock:
            assert self._board is not None
            os.close(self._board)
            self._board = None

    def close(self) -> None:
        """Switch off."""
        self._closing.set()
        self._thread.join(5)
        with suppress(OSError, AssertionError):
            self.unplug()

    def _run(self) -> None:
        while not self._closing.wait(0.002):
            with self._lock:
                due = self._due()
                while due - self._index >= FRAME:
                    self._send(self._index)
                    self._index += FRAME

    def _due(self) -> int:
        """How many samples it has taken by now."""
        return int((time.monotonic() - self._begin_s) * self._per_s)

    def _send(self, index: int) -> None:
        if self._board is None:
            return
        with suppress(OSError):
            if select.select([self._board], [], [], 0)[0]:
                self.heard += os.read(self._board, 4096)
        counts = np.array([[value_of(k)] for k in range(index, index + FRAME)])
        data = b""
        if index // FRAME % 10 == 0:
            data = encode_hello(self._says, boot=self._boot, next_index=index, device_us=0, streaming=True)
        with suppress(BlockingIOError, OSError):
            os.write(self._board, data + encode_data(index, index * 4000, counts, 16, 0))
