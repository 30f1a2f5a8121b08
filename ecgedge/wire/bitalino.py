"""BITalino: 1 to 6 leads packed into 3 to 8 bytes, a counter and a checksum of 4 bits each.

The bytes stand in reverse: the last one holds counter and checksum (CRC-4, x^4 + x + 1), those before it
four digital inputs, then A1 to A4 of 10 bits and A5 and A6 of 6. The ECG sensor's usual input is A2. The
scale is that of the BITalino ECG sensor (gain 1100) at 3.3 V; other sensors have others. There is no sync
word: packets are found by checksum and counter; nothing but zeros, whose checksum is right, is not
believed. The counter wraps after 16 packets, so of more than 15 lost at once only the rest of the division
by 16 is certain.
"""

from __future__ import annotations

from typing import ClassVar

from ecgedge.messages import Board
from ecgedge.wire.packets import BAD, MORE, Nature, PacketDecoder, Read
from ecgedge.wire.placing import Packet

SIZES = (3, 4, 6, 7, 8)
"""Of packets with 1, 2, 3, 4 and 5 or 6 leads."""
RATES_HZ = (1000.0, 100.0, 10.0, 1.0)
UV_PER_COUNT = 3.3 / 1024 / 1100 * 1e6
_LEADS = {3: 1, 4: 2, 6: 3, 7: 4, 8: 6}


def _crc_table() -> tuple[tuple[int, ...], ...]:
    """CRC-4 of (checksum so far, byte)."""
    table = []
    for crc in range(16):
        row = []
        for byte in range(256):
            state = crc
            for bit in range(7, -1, -1):
                state = (state << 1) | (byte >> bit & 1)
                if state & 0x10:
                    state ^= 0x13
            row.append(state & 0x0F)
        table.append(tuple(row))
    return tuple(table)


_CRC = _crc_table()


def checksum(body: bytes) -> int:
    """CRC-4 of a packet whose low half of the last byte, where the checksum goes, is 0."""
    crc = 0
    for byte in body:
        crc = _CRC[crc][byte]
    return crc


class BitalinoDecoder(PacketDecoder):
    """Bytes of a BITalino -> Board, SampleBlock of its leads (with 5 leads a sixth that is 0)."""

    NAME: ClassVar[str] = "bitalino"
    MODULUS: ClassVar[int | None] = 16
    PROOF: ClassVar[int] = 16
    RESUME: ClassVar[int] = 3

    def __init__(self) -> None:
        super().__init__()
        self._size: int | None = None

    def _seek(self, data: bytes, at: int) -> int:
        if self.protocol is not None or len(data) - at < SIZES[0]:
            return at
        # Before anything is known: the next place at which the counter of some size goes up once.
        for begin in range(at, len(data)):
            for size in SIZES:
                last = begin + 2 * size - 1
                if last >= len(data):
                    return begin
                if (data[last] >> 4) - (data[last - size] >> 4) & 15 == 1:
                    return begin
        return len(data)

    def _run(self, data: bytes, at: int) -> list[Packet] | str:  # type: ignore[override]
        if self.protocol is not None:
            return super()._run(data, at)
        more = False
        for size in SIZES:
            self._size = size
            run = super()._run(data, at)
            if not isinstance(run, str):
                return run
            more |= run == MORE
        self._size = None
        return MORE if more else BAD

    def _read(self, data: bytes, at: int) -> Read:
        size = self._size
        assert size is not None
        raw = data[at : at + size]
        if len(raw) < size:
            return MORE
        if checksum(raw[:-1] + bytes((raw[-1] & 0xF0,))) != raw[-1] & 0x0F or not any(raw):
            return BAD
        return Packet((_row(raw),), raw, raw[-1] >> 4)

    def _learn(self, packets: list[Packet]) -> Nature | None:
        leads = _LEADS[packets[0].size]
        names = tuple(f"A{k + 1}" for k in range(leads))
        return Nature(Board("BITalino", None, UV_PER_COUNT, 10, leads, names), RATES_HZ)


def _row(b: bytes) -> tuple[float, ...]:
    """Counts of the leads of a packet."""
    row = [(b[-2] & 0x0F) << 6 | b[-3] >> 2]
    if len(b) > 3:
        row.append((b[-3] & 0x03) << 8 | b[-4])
    if len(b) > 4:
        row.append(b[-5] << 2 | b[-6] >> 6)
    if len(b) > 6:
        row.append((b[-6] & 0x3F) << 4 | b[-7] >> 4)
    if len(b) > 7:
        row += [(b[-7] & 0x0F) << 2 | b[-8] >> 6, b[-8] & 0x3F]
    return tuple(row)
