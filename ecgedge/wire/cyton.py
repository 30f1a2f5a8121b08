"""OpenBCI Cyton: 33 bytes a sample, 8 leads of 24 bits at 250 Hz.

``A0``, a counter of 8 bits, 8 counts (high byte first), 6 bytes of other things, ``C0`` to ``C6``. Gain 24,
as the board sets it when switched on. A Cyton with the Daisy module sends its two halves in turn in this
same form, which the bytes do not show: it is not supported. There is no checksum.
"""

from __future__ import annotations

from typing import ClassVar

from ecgedge.messages import Board
from ecgedge.wire.packets import BAD, MORE, Nature, PacketDecoder, Read
from ecgedge.wire.placing import Packet

HEAD = b"\xa0"
SIZE = 33
LEADS = 8
RATE_HZ = 250.0
UV_PER_COUNT = 4.5 / 24 / (2**23 - 1) * 1e6
"""Reference of 4.5 V, gain 24."""
FOOTERS = range(0xC0, 0xC7)


class CytonDecoder(PacketDecoder):
    """Bytes of a Cyton -> Board, SampleBlock of its 8 leads."""

    NAME: ClassVar[str] = "cyton"
    MODULUS: ClassVar[int | None] = 256

    def _seek(self, data: bytes, at: int) -> int:
        found = data.find(HEAD, at)
        return len(data) if found < 0 else found

    def _read(self, data: bytes, at: int) -> Read:
        if data[at : at + 1] not in (HEAD, b""):
            return BAD
        if len(data) - at < SIZE:
            return MORE
        raw = data[at : at + SIZE]
        if raw[-1] not in FOOTERS:
            return BAD
        row = tuple(int.from_bytes(raw[k : k + 3], "big", signed=True) for k in range(2, 26, 3))
        return Packet((row,), raw, raw[1])

    def _learn(self, packets: list[Packet]) -> Nature | None:
        return Nature(Board("OpenBCI Cyton", RATE_HZ, UV_PER_COUNT, 24, LEADS), (RATE_HZ,))
