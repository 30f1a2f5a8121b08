"""Chords (Upside Down Labs): Arduino and similar boards with a BioAmp front end.

A packet is ``C7 7C``, a counter of 8 bits, n counts of 16 bits (high byte first), ``01``. The number of
leads is the distance between two sync words. Boards with 6, 8 or 16 leads sample at 250 or 500 Hz; which,
is told by how many packets come. The gain in front of the converter is the user's, so counts have no scale.
There is no checksum: a count that was damaged in itself cannot be seen.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from ecgedge.messages import Board
from ecgedge.wire.packets import BAD, MORE, Nature, PacketDecoder, Read
from ecgedge.wire.placing import Packet

SYNC = b"\xc7\x7c"
END = 0x01
MAX_LEADS = 16
_AROUND = 4  # bytes of a packet beside its counts
_LONGEST = 2 * MAX_LEADS + _AROUND
RATES_HZ = {3: (500.0,)}
"""By the number of leads; 250 or 500 Hz for all others."""


class ChordsDecoder(PacketDecoder):
    """Bytes of a Chords board -> Board, SampleBlock of all its leads."""

    NAME: ClassVar[str] = "chords"
    MODULUS: ClassVar[int | None] = 256

    def __init__(self) -> None:
        super().__init__()
        self._size: int | None = None

    def _seek(self, data: bytes, at: int) -> int:
        return seek_pair(data, at, SYNC)

    def _read(self, data: bytes, at: int) -> Read:
        size = self._size
        if size is None:  # up to the next sync word
            after = data.find(SYNC, at + _AROUND, at + _LONGEST + len(SYNC))
            if after < 0:
                return MORE if len(data) - at < _LONGEST + len(SYNC) else BAD
            size = after - at
            if size % 2 or size == _AROUND:
                return BAD
        if len(data) - at < size:
            return MORE
        raw = data[at : at + size]
        if raw[-1] != END or not raw.startswith(SYNC):
            return BAD
        return Packet((struct.unpack_from(f">{(size - _AROUND) // 2}H", raw, 3),), raw, raw[2])

    def _learn(self, packets: list[Packet]) -> Nature | None:
        self._size = packets[0].size
        leads = len(packets[0].rows[0])
        return Nature(Board(f"Chords, {leads} leads", leads=leads), RATES_HZ.get(leads, (250.0, 500.0)))


def seek_pair(data: bytes, at: int, sync: bytes) -> int:
    """Where a sync word of two bytes begins, perhaps with its second byte still to come."""
    found = data.find(sync, at)
    if found >= 0:
        return found
    return len(data) - (len(data) > at and data[-1] == sync[0])
