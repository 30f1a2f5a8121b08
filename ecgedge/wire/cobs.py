"""Consistent overhead byte stuffing (Cheshire and Baker, 1999), and cutting a stream at a delimiter.

COBS removes every zero from a frame at the cost of one byte in 254, so that a zero can only ever mean
the end of a frame: after any damage the reader is in step again at the next zero.
"""

from __future__ import annotations

DELIMITER = b"\x00"


def encode(body: bytes) -> bytes:
    """Encode without a delimiter; at most ``len(body) + len(body) // 254 + 1`` bytes, none of them zero."""
    out = bytearray()
    runs = body.split(DELIMITER)
    for number, run in enumerate(runs, start=1):
        full, rest = divmod(len(run), 254)
        for k in range(full):
            out.append(0xFF)
            out += run[254 * k : 254 * (k + 1)]
        # A full block says "254 bytes, no zero behind them", so what follows it says where the zero is;
        # only at the very end does it stand alone.
        if rest or not full or number < len(runs):
            out.append(rest + 1)
            out += run[254 * full :]
    return bytes(out)


def decode(encoded: bytes) -> bytes | None:
    """Decode one frame given without its delimiter; None where it is not valid COBS."""
    out = bytearray()
    position, end = 0, len(encoded)
    if end == 0:
        return None
    while position < end:
        code = encoded[position]
        block = encoded[position + 1 : position + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            return None
        out += block
        position += code
        if code != 0xFF and position < end:
            out.append(0)
    return bytes(out)


class Splitter:
    """Cut a byte stream at a delimiter, holding at most ``limit`` bytes whatever arrives.

    Parameters
    ----------
    delimiter : one byte
    limit : longest unit, without its delimiter, that is handed out
    """

    def __init__(self, delimiter: bytes, limit: int) -> None:
        self._delimiter = delimiter
        self._limit = limit
        self._rest = b""
        self._skipping = False
        self.thrown = 0
        """Bytes of oversized units thrown away so far, delimiters not counted."""

    @property
    def pending(self) -> int:
        """Bytes held for a unit whose delimiter has not come."""
        return len(self._rest)

    def push(self, data: bytes) -> list[bytes | None]:
        """The units that end in ``data``, without delimiters; None for one that was too long."""
        parts: list[bytes] = (self._rest + data).split(self._delimiter)
        self._rest = parts.pop()
        units: list[bytes | None] = []
        for part in parts:
            if self._skipping or len(part) > self._limit:
                self.thrown += len(part)
                self._skipping = False
                units.append(None)
            else:
                units.append(part)
        if self._skipping or len(self._rest) > self._limit:
            self.thrown += len(self._rest)
            self._rest = b""
            self._skipping = True
        return units

    def flush(self) -> int:
        """Forget the unfinished unit; the number of bytes it held."""
        held, self._rest, self._skipping = len(self._rest), b"", False
        return held
