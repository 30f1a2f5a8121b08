"""What the pipeline reads a port with: one named protocol, or whichever fits the bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status

_WINDOW_S = 3.0
_MARK_EVERY_S = 0.25
_REPEAT_S = 10.0
_LEAST_BYTES = 32
_EXCERPT = 512
_SHOWN = 12


class Decoder(Protocol):
    """A push parser of one layout. It never raises, whatever the bytes."""

    protocol: str | None

    @property
    def counters(self) -> Counters: ...

    def push(self, chunk: Chunk) -> list[Board | SampleBlock | Status]: ...

    def finish(self) -> list[Board | SampleBlock | Status]: ...


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """One row of the table of layouts."""

    name: str
    title: str
    baud_rates: tuple[int, ...]
    """Usual ones, commonest first."""
    decoder: Callable[[], Decoder]
    commands: bool
    """True where the board understands the host's hello, start, stop and rate commands."""


@dataclass(frozen=True, slots=True)
class _Mark:
    arrival_s: float
    bytes: int
    discarded: int


class Reader:
    """Bytes -> Board, SampleBlock, Status, by the first of ``candidates`` that recognises them.

    Once a protocol is recognised it stays. When nothing is recognised for 3 s of arrival time although
    bytes come, or later most bytes of 3 s are discarded, a Status "unrecognised" says what is seen and
    what to try, again every 10 s; reading goes on meanwhile.

    Parameters
    ----------
    candidates : protocols to try
    known : all protocols there are, for advice
    """

    def __init__(self, candidates: Sequence[WireProtocol], known: Sequence[WireProtocol]) -> None:
        self._known = tuple(known)
        self._trying = [(row, row.decoder()) for row in candidates]
        self._total = 0
        self._start_s: float | None = None
        self._recent = b""
        self._marks: deque[_Mark] = deque()
        self._said_s: float | None = None
        self._reason = ""
        """What a decoder itself has said of bytes that it cannot use."""

    @property
    def protocol(self) -> str | None:
        """Name of the protocol recognised; None until then."""
        for row, decoder in self._trying:
            if decoder.protocol is not None:
                return row.name
        return None

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far; while several protocols are tried, every byte counts
        as discarded."""
        if len(self._trying) == 1:
            return self._trying[0][1].counters
        return Counters(bytes=self._total, discarded_bytes=self._total)

    def push(self, chunk: Chunk) -> list[Board | SampleBlock | Status]:
        """What the bytes up to here say. An empty chunk only lets time pass."""
        if self._start_s is None:
            if not chunk.data:
                return []
            self._start_s = chunk.arrival_s
        self._mark(chunk.arrival_s)
        self._total += len(chunk.data)
        self._recent = (self._recent + chunk.data[-_EXCERPT:])[-_EXCERPT:]
        out: list[Board | SampleBlock | Status] = []
        known = self.protocol is not None
        used = 0
        while len(self._trying) > 1 and used < len(chunk.data):
            # Byte by byte, so that which protocol wins does not depend on how the bytes were cut.
            self._try(Chunk(chunk.data[used : used + 1], chunk.arrival_s), out)
            used += 1
        if len(self._trying) == 1:
            out += self._trying[0][1].push(Chunk(chunk.data[used:], chunk.arrival_s))
        for message in out:
            if isinstance(message, Status) and message.state == "unrecognised":
                self._said_s, self._reason = chunk.arrival_s, message.text
        if not known and self.protocol is not None:
            self._marks.clear()  # what was dropped on the way here is no reason to complain
            self._mark(chunk.arrival_s)
        self._judge(chunk.arrival_s, self._start_s, out)
        return out

    def finish(self) -> list[Board | SampleBlock | Status]:
        """The stream has ended."""
        out: list[Board | SampleBlock | Status] = []
        for _, decoder in self._trying:
            out += decoder.finish()
        return out

    def _try(self, byte: Chunk, out: list[Board | SampleBlock | Status]) -> None:
        for row, decoder in self._trying:
            out += decoder.push(byte)
            if decoder.protocol is not None:
                self._trying = [(row, decoder)]
                return

    def _mark(self, now: float) -> None:
        """Note where the counters stood before what arrives now; the oldest note is 3 s old."""
        marks = self._marks
        if marks and now - marks[-1].arrival_s >= _WINDOW_S:
            marks.clear()  # after a silence a new window begins
        if not marks or now - marks[-1].arrival_s >= _MARK_EVERY_S:
            counters = self.counters
            marks.append(_Mark(now, counters.bytes, counters.discarded_bytes))
        while len(marks) > 1 and now - marks[1].arrival_s >= _WINDOW_S:
            marks.popleft()

    def _judge(self, now: float, start: float, out: list[Board | SampleBlock | Status]) -> None:
        counters = self.counters
        if now - start < _WINDOW_S or (self._said_s is not None and now - self._said_s < _REPEAT_S):
            return
        if self.protocol is None:
            seen = counters.bytes
            if seen < _LEAST_BYTES:
                return
        else:
            since = self._marks[0]
            seen = counters.bytes - since.bytes
            dropped = counters.discarded_bytes - since.discarded
            if seen < _LEAST_BYTES or 2 * dropped <= seen or now - since.arrival_s < _WINDOW_S:
                return
        self._said_s = now
        out.append(Status(counters.samples, now - start, "unrecognised", self._explain(), counters=counters))

    def _explain(self) -> str:
        """One line: what is seen, and what to try."""
        if self.protocol is None and self._reason:
            return self._reason
        recent = self._recent
        share = sum(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in recent) / len(recent)
        wanted = " or ".join(row.name for row, _ in self._trying)
        seen = (
            f"these bytes make no sense as {wanted} ({100 * share:.0f} % printable, for example "
            f"{recent[:_SHOWN].hex(' ')}{' ...' if len(recent) > _SHOWN else ''})"
        )
        rates = ", ".join(map(str, sorted({rate for row in self._known for rate in row.baud_rates})))
        if (other := self._other()) is not None:
            return f"{seen}; they look like {other}. Try --protocol {other}"
        if share > 0.95 and recent.count(b"\n") > 1:
            line = recent.split(b"\n")[1][:40].decode("ascii", "replace").strip()
            seen += f"; a line reads {line!r}, not numbers. Check what the board's sketch prints;"
            return f"{seen} if that line is gibberish, try another --baud ({rates})"
        return f"{seen}; most often the baud rate is wrong. Try another --baud ({rates}) or --protocol"

    def _other(self) -> str | None:
        """A protocol that is not being tried, yet makes sense of the latest bytes."""
        tried = {row.name for row, _ in self._trying}
        for row in self._known:
            if row.name not in tried:
                decoder = row.decoder()
                decoder.push(Chunk(self._recent, 0.0))
                if decoder.protocol is not None:
                    return row.name
        return None
