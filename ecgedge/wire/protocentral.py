"""ProtoCentral's boards: MAX30003, MAX30001, ADS1292R, HealthyPi v4 and 5.

A packet is ``0A FA``, the length of its payload (16 bits, low byte first), a type, the payload, ``00 0B``.
Type and length tell the layout. No counter and no checksum: a count that was damaged in itself cannot be
seen, nor a packet that came twice. Packets that were damaged are counted by what is left of them and told as
an estimate; whole ones that never came show only in timing. Only the ECG is read.

MAX30003 and MAX30001 share one layout and one chip, so it need not be known which it is. Their libraries
send the 18 bits of the converter in three ways: as a number, shifted up by 14 bits, and shifted up with the
two lowest bits at the bottom; the last two show in bits 2 to 13, which are then never set. The sketches do
not keep the chip's pace, so their rate is left to be measured. Scale: reference 1 V, gain 20 (the libraries'
register CNFG_ECG).

ADS1292R sketches and HealthyPi v4 send the upper 16 of 24 bits, at a reference of 2.42 V and gain 12
(CH2SET 0x60), filtered on the board. With an electrode off they send an ECG of 0, HealthyPi v4 says so in
its status as well; a lasting 0 is therefore taken for a loose electrode.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import ClassVar

from ecgedge.messages import Board
from ecgedge.wire.chords import seek_pair
from ecgedge.wire.packets import BAD, MORE, Nature, PacketDecoder, Read
from ecgedge.wire.placing import Packet

SYNC = b"\x0a\xfa"
END = b"\x00\x0b"
_MARKS = re.compile(re.escape(SYNC) + b"|" + re.escape(END))
_AROUND = 7
UV_MAX3000X = 1e6 / (20 * 2**17)
UV_ADS1292R = 2.42e6 / (12 * 2**15)
ZEROS = 32
"""So many samples of exactly 0 in a row are a loose electrode (a quarter of a second)."""
_LOW_BITS = 0x3FFC


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the ECG stands in a payload."""

    name: str
    at: int
    form: str
    """Of ``struct``: as many counts as samples."""
    uv_per_count: float
    bits: int
    rates_hz: tuple[float, ...] = ()
    shifted: bool = False
    """The 18 bits may be shifted up."""
    zero_is_off: bool = False
    status: int | None = None
    """Byte whose five low bits tell of loose electrodes."""


_MAX3000X = Layout("ProtoCentral MAX30003 or MAX30001", 0, "<i", UV_MAX3000X, 18, shifted=True)
_ADS1292R = Layout("ProtoCentral ADS1292R", 0, "<h", UV_ADS1292R, 16, (125.0,), zero_is_off=True)
_HEALTHYPI5 = Layout("HealthyPi 5", 0, "<i", UV_MAX3000X, 18)
LAYOUTS: dict[tuple[int, int], Layout | None] = {
    (2, 12): _MAX3000X,
    (2, 17): Layout(_MAX3000X.name, 5, "<i", UV_MAX3000X, 18, shifted=True),  # first sketch of its library
    (2, 8): _ADS1292R,
    (2, 9): _ADS1292R,
    (2, 20): Layout(
        "HealthyPi v4 or ProtoCentral ADS1292R",
        0, "<h", UV_ADS1292R, 16, (125.0,), zero_is_off=True, status=19,
    ),
    (2, 22): _HEALTHYPI5,
    (3, 50): Layout("HealthyPi 5", 0, "<8i", UV_MAX3000X, 18),
    (4, 19): None,  # pulse oximetry and temperature of HealthyPi 5
}  # fmt: skip
"""By type and length of the payload; None for one that holds no ECG."""


class ProtocentralDecoder(PacketDecoder):
    """Bytes of one of ProtoCentral's boards -> Board, SampleBlock of the ECG."""

    NAME: ClassVar[str] = "protocentral"
    RESUME: ClassVar[int] = 1  # seven bytes of a packet are known

    def __init__(self) -> None:
        super().__init__()
        self._layout: Layout | None = None
        self._kind = 0
        self._up: bool | None = None  # whether counts are shifted up; None until one has told
        self._zeros: list[Packet] = []
        self._loose = False  # the run of zeros has become a loose electrode

    def _seek(self, data: bytes, at: int) -> int:
        return seek_pair(data, at, SYNC)

    def _read(self, data: bytes, at: int) -> Read:
        head = data[at : at + 5]
        if not head.startswith(SYNC[: len(head)]):
            return BAD
        if len(head) < 5:
            return MORE
        length = head[2] | head[3] << 8
        kind = head[4] << 8 | length
        if (head[4], length) not in LAYOUTS:
            return BAD
        layout = LAYOUTS[head[4], length]
        if layout is not None and self._layout is not None and kind != self._kind:
            return BAD  # a board keeps its layout
        raw = data[at : at + length + _AROUND]
        if len(raw) < length + _AROUND:
            return MORE
        if not raw.endswith(END):
            return BAD
        if layout is None:
            return Packet((), raw, kind=kind)
        values = struct.unpack_from(layout.form, raw, 5 + layout.at)
        off = layout.status is not None and raw[5 + layout.status] & 0x1F != 0
        return Packet(tuple((float(v),) for v in values), raw, off=off, kind=kind)

    def _lost_in(self, damage: bytes) -> int:
        if self._layout is None or self._before is None or not damage:
            return 0
        size = (self._kind & 0xFF) + _AROUND
        head = SYNC + bytes((self._kind & 0xFF, 0, self._kind >> 8))
        if len(damage) % size == 0:  # damaged in place: most of what is known of a packet is there
            slots = (damage[k : k + size] for k in range(0, len(damage), size))
            frames = (zip(slot[:5] + slot[-2:], head + END, strict=True) for slot in slots)
            return sum(sum(a == b for a, b in frame) >= 4 for frame in frames)
        packets, begun = 0, -size
        for mark in _MARKS.finditer(damage):
            if mark[0] == SYNC:
                packets, begun = packets + 1, mark.start()
            elif mark.start() - begun >= size:  # an end whose beginning is gone
                packets += 1
        return packets

    def _follows(self, before: Packet, packet: Packet) -> bool:
        return before.kind == packet.kind or not before.rows or not packet.rows

    def _learn(self, packets: list[Packet]) -> Nature | None:
        kind = next((p.kind for p in packets if p.rows), None)
        if kind is None:
            return None
        layout = LAYOUTS[kind >> 8, kind & 0xFF]
        assert layout is not None
        self._layout, self._kind = layout, kind
        rate = layout.rates_hz[0] if layout.rates_hz else None
        return Nature(Board(layout.name, rate, layout.uv_per_count, layout.bits), layout.rates_hz)

    def _interpret(self, packets: list[Packet]) -> list[Packet]:
        assert self._layout is not None
        wanted = [packet for packet in packets if packet.rows]
        if self._layout.shifted:
            for packet in wanted:
                packet.rows = ((self._count(int(packet.rows[0][0])),),)
        return self._mark_zeros(wanted) if self._layout.zero_is_off else wanted

    def _count(self, value: int) -> float:
        """The converter's 18 bits, however the library sends them."""
        if self._up is None and not -4 < value < 4:
            self._up = not value & _LOW_BITS
        return float(value >> 14 | value & 3) if self._up else float(value)

    def _mark_zeros(self, packets: list[Packet]) -> list[Packet]:
        """Hold a run of zeros until it is long enough to be a loose electrode, or over."""
        out: list[Packet] = []
        for packet in packets:
            if packet.rows[0][0] or packet.off:
                out += self._last()
                out.append(packet)
                self._loose = False
                continue
            self._zeros.append(packet)
            self._loose |= len(self._zeros) == ZEROS
            if self._loose:
                for zero in self._zeros:
                    zero.off = True
                out += self._last()
        return out

    def _last(self) -> list[Packet]:
        held, self._zeros = self._zeros, []
        return held
