"""Where the packets of a board stand in its stream: rate, running numbers, and counters that wrap soon.

A counter of 4 or 8 bits tells exactly how many packets are missing as long as fewer were lost than it can
count. How often it wrapped in a pause only arrival times can tell, and not at once: after a pause of the
host the backlog arrives in a burst and makes up for it, after a pause of the board it does not. So what
comes after a pause is held until a backlog would have arrived. Whole rounds of the counter lost within less
than ``PAUSE_S`` are not seen one by one, but once they add up to as much.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import log

PAUSE_S = 0.25
"""Shortest silence in which a counter may be taken to have wrapped."""
BACKLOG_S = 0.3
"""Time a backlog may take to arrive after a pause."""
_RECENT_S = 5.0
_LEAD_IN_S, _MEASURE_S = 0.25, 1.0
_DRIFT = 0.1
"""A board whose clock is off by less than this has lost nothing."""
_LIKELY = 1.25
"""A measured rate off by more than this factor is none of those that were expected."""
_MOST_HELD = 20_000


@dataclass(slots=True)
class Packet:
    """One packet as it stood on the wire."""

    rows: tuple[tuple[float, ...], ...]
    """A row of counts a sample, one count a lead; empty for a packet that holds no ECG."""
    raw: bytes
    counter: int | None = None
    off: bool = False
    """The board reports that an electrode is off."""
    kind: int = 0
    """Which layout of a family it has."""
    arrival_s: float = 0.0
    """When its last byte came."""
    lost: int = 0
    """So many packets seem to have been damaged in front of it."""

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.raw)


@dataclass(frozen=True, slots=True)
class Placed:
    """A packet and the index of its first sample."""

    first: int
    packet: Packet
    estimated: bool = False
    """The jump in front of it is no exact loss."""


class RateChoice:
    """Which of a few rates it is, by how many samples come in a second; packets are held until then.

    Parameters
    ----------
    rates_hz : the candidates; with none or one nothing is held
    """

    def __init__(self, rates_hz: tuple[float, ...]) -> None:
        self._rates = rates_hz
        self.rate_hz: float | None = rates_hz[0] if len(rates_hz) == 1 else None
        self._open = len(rates_hz) > 1
        self._held: list[Packet] = []

    def push(self, packets: list[Packet]) -> list[Packet]:
        """The packets, once the rate is known."""
        if not self._open:
            return packets
        self._held += packets
        if self._held and (self._measured() or len(self._held) > _MOST_HELD):
            return self.finish()
        return []

    def finish(self) -> list[Packet]:
        """Choose by what has come, and let go of what was held."""
        held, self._held = self._held, []
        if self._open and held:
            self._open = False
            self.rate_hz = self._choose(_per_second(held))
        return held

    def _measured(self) -> bool:
        # Of packets that came together the last may be missing yet, so one more arrival is waited for.
        first, last = self._held[0].arrival_s, self._held[-1].arrival_s
        before = next((p.arrival_s for p in reversed(self._held) if p.arrival_s < last), first)
        return before - first >= _LEAD_IN_S + _MEASURE_S

    def _choose(self, measured: float | None) -> float | None:
        if measured is None:
            return None
        best = min(self._rates, key=lambda rate: abs(log(measured / rate)))
        return best if abs(log(measured / best)) < log(_LIKELY) else None


def _per_second(packets: list[Packet]) -> float | None:
    """Samples a second, those left out that may have waited for the port to be opened."""
    start = packets[0].arrival_s + _LEAD_IN_S
    begin = next((p.arrival_s for p in packets if p.arrival_s >= start), None)
    last = packets[-1].arrival_s
    end = next((p.arrival_s for p in reversed(packets) if p.arrival_s < last), None)
    if begin is None or end is None or end <= begin:
        return None
    return sum(len(p.rows) for p in packets if begin < p.arrival_s <= end) / (end - begin) or None


class Running:
    """Packets without a counter: each follows the one before, and those that seem to have been damaged."""

    dropped = 0
    dropped_bytes = 0

    def __init__(self) -> None:
        self._next = 0

    def push(self, packets: list[Packet]) -> list[Placed]:
        """The packets, numbered."""
        out = []
        for packet in packets:
            self._next += packet.lost * len(packet.rows)
            out.append(Placed(self._next, packet, estimated=packet.lost > 0))
            self._next += len(packet.rows)
        return out

    def finish(self) -> list[Placed]:
        """Nothing is held."""
        return []


class Counted:
    """Packets of one sample with a counter that wraps.

    A packet that repeats, byte for byte, what stood at its number a short while ago is dropped.

    Parameters
    ----------
    modulus : the counter goes from 0 to ``modulus`` - 1
    rate_hz : packets a second, to tell how often it wrapped in a pause; None: it is never taken to have
    """

    def __init__(self, modulus: int, rate_hz: float | None) -> None:
        self._modulus, self._rate = modulus, rate_hz
        self._pause_s = PAUSE_S if rate_hz is None else max(PAUSE_S, modulus / (2 * rate_hz))
        self._next: int | None = None
        self._history: deque[bytes] = deque(maxlen=modulus // 2)
        self._last_s: float | None = None
        self._held: list[Placed] | None = None  # after a pause, until a backlog would have come
        self._resumed_s = 0.0
        self._recent: deque[tuple[float, float]] = deque()  # (arrival, samples behind), recent minima
        self.dropped = 0
        """Packets dropped."""
        self.dropped_bytes = 0

    def push(self, packets: list[Packet]) -> list[Placed]:
        """The packets whose place is certain."""
        out: list[Placed] = []
        for packet in packets:
            if self._held is not None and packet.arrival_s > self._resumed_s + BACKLOG_S:
                out += self._settle()
            self._take(packet, out)
        return out

    def finish(self) -> list[Placed]:
        """The stream has ended."""
        return self._settle() if self._held is not None else []

    def _take(self, packet: Packet, out: list[Placed]) -> None:
        assert packet.counter is not None
        if self._next is None:
            self._next = packet.counter
        back = (self._next - packet.counter) % self._modulus
        if 0 < back <= len(self._history) and self._history[-back] == packet.raw:
            self.dropped += 1
            self.dropped_bytes += packet.size
        else:
            self._accept(packet, out)

    def _accept(self, packet: Packet, out: list[Placed]) -> None:
        assert packet.counter is not None
        assert self._next is not None
        lost = (packet.counter - self._next) % self._modulus
        placed = Placed(self._next + lost, packet)
        self._next = placed.first + 1
        self._history.extend([b""] * min(lost, self._modulus))
        self._history.append(packet.raw)
        paused = self._last_s is not None and packet.arrival_s - self._last_s > self._pause_s
        self._last_s = packet.arrival_s
        known = self._held is None and self._recent and self._rate is not None
        if known and (paused or (lost and self._far_behind(placed))):
            self._held, self._resumed_s = [], packet.arrival_s
        if self._held is not None:
            self._held.append(placed)
        else:
            self._note(placed)
            out.append(placed)

    def _behind(self, placed: Placed) -> float:
        """How many samples the stream is behind a board that never pauses, up to a constant."""
        return placed.packet.arrival_s * (self._rate or 0.0) - placed.first

    def _far_behind(self, placed: Placed) -> bool:
        """Whether many short losses, each of whole rounds beside what was counted, have added up."""
        since_s, least = self._recent[0]
        elapsed_s = placed.packet.arrival_s - since_s
        return self._behind(placed) - least >= max(PAUSE_S, _DRIFT * elapsed_s) * (self._rate or 0.0)

    def _note(self, placed: Placed) -> None:
        behind, recent = self._behind(placed), self._recent
        while recent and recent[-1][1] >= behind:
            recent.pop()
        recent.append((placed.packet.arrival_s, behind))
        while recent[0][0] < placed.packet.arrival_s - _RECENT_S:
            recent.popleft()

    def _settle(self) -> list[Placed]:
        """Whole rounds that the backlog did not make up for were lost, at the first jump after the pause."""
        held, self._held = self._held or [], None
        assert self._next is not None
        missing = min(self._behind(placed) for placed in held) - self._recent[0][1]
        # Less than a pause is no more than the unrest of arrival times.
        late = missing >= PAUSE_S * (self._rate or 0.0)
        rounds = round(missing / self._modulus) if late else 0
        if rounds:
            shift = rounds * self._modulus
            jump = next((k for k in range(1, len(held)) if held[k].first != held[k - 1].first + 1), 0)
            held[jump:] = [
                Placed(placed.first + shift, placed.packet, estimated=k == 0)
                for k, placed in enumerate(held[jump:])
            ]
            self._next += shift
            self._recent.clear()
            self._history.clear()
        for placed in held:
            self._note(placed)
        return held
