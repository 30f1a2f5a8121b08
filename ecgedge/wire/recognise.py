"""What the pipeline reads a port with: one named protocol, or whichever fits the bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status
from ecgedge.wire.advice import EXCERPT, explain

_WINDOW_S = 3.0
_MARK_EVERY_S = 0.5
_REPEAT_S = 10.0
_LEAST_BYTES = 32
_PIECES = 32  # reads whose bytes are kept one by one
QUANTUM = 64
"""While several protocols are tried, they are compared after every so many bytes of the stream, so that
which one wins does not depend on how the bytes were cut."""

Out = Board | SampleBlock | Status


class Decoder(Protocol):
    """A push parser of one layout. It never raises, whatever the bytes."""

    protocol: str | None

    @property
    def counters(self) -> Counters: ...

    def push(self, chunk: Chunk) -> list[Out]: ...

    def finish(self) -> list[Out]: ...


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """One row of the table of layouts."""

    name: str
    title: str
    baud_rates: tuple[int, ...]
    """Usual ones, commonest first; none where there is no serial line."""
    decoder: Callable[[], Decoder]
    ask: bytes = b""
    """What a board that was recognised is asked, so that it tells more of itself."""
    start: tuple[bytes, ...] = ()
    """What makes a board of this kind send; written one after the other, and only where the protocol was
    named, since a board that is not yet known may take them for something else."""
    stop: bytes = b""
    """What makes a board that was started stop again."""
    guess: bool = True
    """Whether bytes of unknown origin may be of this protocol."""


@dataclass(frozen=True, slots=True)
class _Mark:
    arrival_s: float
    bytes: int
    discarded: int


@dataclass(slots=True)
class _Trial:
    """A protocol under trial, and what its decoder has given meanwhile."""

    row: WireProtocol
    decoder: Decoder
    given: list[Out]


class Reader:
    """Bytes -> Board, SampleBlock, Status, by the one of ``candidates`` that recognises them.

    Once a protocol is recognised it stays, until ``restart``. Where bytes fit several, none is taken and a
    Status names them. When nothing is recognised for 3 s of arrival time although bytes come, or later most
    bytes of 3 s are discarded, a Status "unrecognised" says what is seen and what to try, again every 10 s;
    reading goes on meanwhile.

    Parameters
    ----------
    candidates : protocols to try
    known : all protocols there are, for advice
    """

    def __init__(self, candidates: Sequence[WireProtocol], known: Sequence[WireProtocol]) -> None:
        self._candidates, self._known = tuple(candidates), tuple(known)
        self._before = Counters()  # of what was read before the last restart
        self._counted: Counters | None = None  # asked for some times after every push, and dear to make
        self._begin()

    def _begin(self) -> None:
        self._trying = [_Trial(row, row.decoder(), []) for row in self._candidates]
        self._total = 0
        self._start_s: float | None = None
        self._recent: list[bytes] = []
        self._settled: Decoder | None = None  # whose protocol is known
        self._marks: deque[_Mark] = deque()
        self._look_s = 0.0  # once the protocol is known, its counters are looked at twice a second
        self._said_s: float | None = None
        self._reason = ""  # what a decoder itself has said of bytes that it cannot use
        self._rivals: tuple[str, ...] = ()

    @property
    def protocol(self) -> str | None:
        """Name of the protocol recognised; None until then."""
        return self._trying[0].decoder.protocol and self._trying[0].row.name if self._sure else None

    @property
    def _sure(self) -> bool:
        return len(self._trying) == 1

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far, restarts included; while several protocols are tried,
        every byte counts as discarded."""
        return _sum(self._before, self._now) if self._before.bytes else self._now

    @property
    def _now(self) -> Counters:
        if self._counted is None:
            if self._sure:
                self._counted = self._trying[0].decoder.counters
            else:
                self._counted = Counters(bytes=self._total, discarded_bytes=self._total)
        return self._counted

    def restart(self) -> list[Out]:
        """Forget what was recognised: what comes next may be another board. Gives what was held back."""
        out = self.finish()
        self._before = self.counters
        self._counted = None
        self._begin()
        return out

    def push(self, chunk: Chunk) -> list[Out]:
        """What the bytes up to here say. An empty chunk only lets time pass."""
        out: list[Out]
        if self._start_s is None:
            if not chunk.data:
                return []
            self._start_s = chunk.arrival_s
        now, out = chunk.arrival_s, []
        if self._settled is not None:
            if now >= self._look_s:  # by what came before: how the bytes of now are cut makes no difference
                self._mark(now)
                self._judge(now, self._start_s, out)
                self._look_s = now + _MARK_EVERY_S
            self._counted = None
            self._remember(chunk.data)
            return out + self._heeded(self._settled.push(chunk), now)
        self._mark(now)
        self._counted = None
        self._remember(chunk.data)
        if not self._sure:
            used = self._try(chunk, out)
            chunk = Chunk(chunk.data[used:], now)
        if self._sure:
            self._total += len(chunk.data)
            out += self._trying[0].decoder.push(chunk)
        self._heeded(out, now)
        if self.protocol is not None:
            self._settled = self._trying[0].decoder
            self._marks.clear()  # what was dropped on the way here is no reason to complain
            self._mark(now)
        self._judge(now, self._start_s, out)
        return out

    def _remember(self, data: bytes) -> None:
        """Keep the latest bytes, for advice."""
        self._recent.append(data[-EXCERPT:])
        if len(self._recent) > _PIECES:
            self._recent = [b"".join(self._recent)[-EXCERPT:]]

    def _heeded(self, out: list[Out], now: float) -> list[Out]:
        """The same, after what a decoder says there of bytes that it cannot use was noted."""
        for message in out:
            if isinstance(message, Status) and message.state == "unrecognised":
                self._said_s, self._reason = now, message.text
        return out

    def finish(self) -> list[Out]:
        """The stream has ended."""
        self._counted = None
        if self._sure:
            return self._trying[0].decoder.finish()
        claims = [trial for trial in self._trying if trial.decoder.protocol is not None]
        if len(claims) != 1:
            return []
        self._trying = claims  # recognised by the last bytes, too few to fill a quantum
        return claims[0].given + claims[0].decoder.finish()

    def explain(self) -> str:
        """One line: what is seen, and what to try."""
        if self._rivals:
            words = " and ".join(self._rivals)
            return f"these bytes fit {words}. Name one of them with --protocol"
        if self.protocol is None and self._reason:
            return self._reason
        return explain(b"".join(self._recent)[-EXCERPT:], [trial.row for trial in self._trying], self._known)

    def _try(self, chunk: Chunk, out: list[Out]) -> int:
        """Give the bytes to all candidates until one is left; how many were used."""
        used = 0
        while not self._sure and used < len(chunk.data):
            n = min(QUANTUM - self._total % QUANTUM, len(chunk.data) - used)
            piece = Chunk(chunk.data[used : used + n], chunk.arrival_s)
            used += n
            self._total += n
            for trial in self._trying:
                for message in trial.decoder.push(piece):
                    if isinstance(message, Status) and trial.decoder.protocol is None:
                        out.append(message)
                    elif not self._rivals:
                        trial.given.append(message)
            if self._total % QUANTUM == 0:
                self._compare(out)
        return used

    def _compare(self, out: list[Out]) -> None:
        claims = [trial for trial in self._trying if trial.decoder.protocol is not None]
        if len(claims) == 1:
            self._trying = claims
            out += claims[0].given
        elif claims and not self._rivals:
            self._rivals = tuple(trial.row.name for trial in claims)
            for trial in claims:
                trial.given.clear()
            self._trying = claims
            self._said_s = None

    def _mark(self, now: float) -> None:
        """Note where the counters stood before what arrives now; the oldest note is 3 s old."""
        marks = self._marks
        if marks and now - marks[-1].arrival_s >= _WINDOW_S:
            marks.clear()  # after a silence a new window begins
        if not marks or now - marks[-1].arrival_s >= _MARK_EVERY_S:
            counters = self._now
            marks.append(_Mark(now, counters.bytes, counters.discarded_bytes))
        while len(marks) > 1 and now - marks[1].arrival_s >= _WINDOW_S:
            marks.popleft()

    def _judge(self, now: float, start: float, out: list[Out]) -> None:
        if self._said_s is not None and now - self._said_s < _REPEAT_S:
            return
        counters = self._now
        if not self._rivals:
            if now - start < _WINDOW_S:
                return
            if self.protocol is None:
                if counters.bytes < _LEAST_BYTES:
                    return
            else:
                since = self._marks[0]
                seen = counters.bytes - since.bytes
                dropped = counters.discarded_bytes - since.discarded
                if seen < _LEAST_BYTES or 2 * dropped <= seen or now - since.arrival_s < _WINDOW_S:
                    return
        self._said_s = now
        counters = self.counters
        out.append(Status(counters.samples, now - start, "unrecognised", self.explain(), counters=counters))


def _sum(a: Counters, b: Counters) -> Counters:
    return Counters(**{f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(Counters)})
