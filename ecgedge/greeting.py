"""Meeting a board: what to write to it, at which baud rate to listen. No I/O, no clock: time is an argument.

Nothing is written to a board before it is known: it was recognised by what it sends, or the user named its
protocol, or the port knows it. What asks a board to send is written only to those that were named, again
every two seconds until it sends, since a board that restarts when its port is opened hears nothing at first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ecgedge.wire import PROTOCOLS, Reader

LISTEN_S = 2.2
"""Time at one baud rate without making sense of the bytes before the next is tried."""
AGAIN_S = 2.0
_LEAST_BYTES = 32


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next."""

    write: bytes = b""
    baud: int | None = None
    """Listen at this rate from now on; the reader begins anew."""
    text: str = ""
    """What to tell."""


class Greeting:
    """One meeting.

    Parameters
    ----------
    reader : what reads the port
    named : the protocol that the user or the port named; None where it must be recognised
    rates : baud rates to try in turn, the first being the one at which the port was opened; with one or none
        there is no search
    """

    def __init__(self, reader: Reader, named: str | None, rates: tuple[int, ...] = ()) -> None:
        self._reader, self._rates = reader, rates
        self._row = None if named is None else PROTOCOLS[named]
        self._rate = 0  # which of the rates
        self.restart()

    def restart(self) -> None:
        """Meet the board, or another one, again; the baud rate stays until it makes no sense."""
        self._queue: deque[bytes] = deque()
        self._known = False
        self._asked_s: float | None = None
        self._since_s: float | None = None
        self._heard_s: float | None = None  # when the first bytes came at this rate
        self._bytes = self._reader.counters.bytes
        self._searched = 0
        self._first_seen = ""
        self.started = False
        """Whether a board was asked to send by a command of its own kind."""

    @property
    def baud(self) -> int | None:
        """The rate at which it listens now; None where there are none to try."""
        return self._rates[self._rate] if self._rates else None

    @property
    def stop(self) -> bytes:
        """What to write in the end: boards that were started are stopped."""
        return self._row.stop if self._row is not None and self.started else b""

    def step(self, now_s: float) -> Step:
        """What to do at this time; called about five times a second."""
        if self._since_s is None:
            self._since_s = now_s
        if self._queue:
            return Step(self._queue.popleft())
        if self._reader.protocol is not None:
            return self._recognised(self._reader.protocol)
        if self._row is not None and self._row.start and self._due(now_s):
            self._asked_s = now_s
            self.started = True
            self._queue += self._row.start
            return Step(self._queue.popleft())
        return self._tune(now_s)

    def _recognised(self, protocol: str) -> Step:
        if self._known:
            return Step()
        self._known = True
        text = f"{protocol} at {self._rates[self._rate]} baud" if self._searched else ""
        return Step(b"" if self.started else PROTOCOLS[protocol].ask, text=text)

    def _due(self, now_s: float) -> bool:
        return self._asked_s is None or now_s - self._asked_s >= AGAIN_S

    def _tune(self, now_s: float) -> Step:
        """The next baud rate, where this one has been given its time."""
        assert self._since_s is not None
        if len(self._rates) < 2:
            return Step()
        came = self._reader.counters.bytes - self._bytes
        if came and self._heard_s is None:
            self._heard_s = now_s  # a board that restarts when its port is opened is silent at first
        if came >= _LEAST_BYTES and self._heard_s is not None:
            given = now_s - self._heard_s >= LISTEN_S
        else:  # a board that was asked to send and stays silent has not understood the question
            given = self.started and now_s - self._since_s >= 2 * LISTEN_S
        if not given:
            return Step()
        if not self._searched:
            self._first_seen = self._reader.explain() if came else "nothing received"
        self._searched += 1
        self._rate = (self._rate + 1) % len(self._rates)
        self._since_s, self._asked_s, self._heard_s = now_s, None, None
        self._bytes = self._reader.counters.bytes
        text = ""
        if self._searched == 1:
            others = ", ".join(map(str, self._rates[1:]))
            text = f"nothing that makes sense at {self._rates[0]} baud; trying {others}"
        elif self._searched % len(self._rates) == 0:
            tried = ", ".join(map(str, self._rates))
            text = f"no sense at any of {tried} baud; at {self._rates[0]}: {self._first_seen}"
        return Step(baud=self._rates[self._rate], text=text)
