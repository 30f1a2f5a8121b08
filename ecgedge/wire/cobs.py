"""Consistent overhead byte stuffing (Cheshire and Baker, 1999), and cutting a stream at a delimiter.

COBS removes every zero from a frame at the cost of one byte in 254, so that a zero can only ever mean
the end of a frame: after any damage the reader is in step again at the next zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DELIMITER = b"\x00"
_FULL = 0xFF  # a code that no zero follows: 254 bytes without one


def encode(body: bytes) -> bytes:
    """Encode without a delimiter; at most ``len(body) + len(body) // 254 + 1`` bytes, none of them zero."""
    out = bytearray()
    runs = body.split(DELIMITER)
    for number, run in enumerate(runs, start=1):
        full, rest = divmod(len(run), _FULL - 1)
        for k in range(full):
            out.append(_FULL)
            out += run[254 * k : 254 * (k + 1)]
        # A full block says "254 bytes, no zero behind them", so what follows it says where the zero is;
        # only at the very end does it stand alone.
        if rest or not full or number < len(runs):
            out.append(rest + 1)
            out += run[254 * full :]
    return bytes(out)


def encode_alike(bodies: Sequence[bytes]) -> list[bytes]:
    """Encode bodies of one length, all at once, each with its delimiter."""
    size = len(bodies[0]) if bodies else 0
    if not 0 < size < _FULL - 1:  # a longer one may hold a run that needs a code of its own
        return [encode(body) + DELIMITER for body in bodies]
    out = np.zeros((len(bodies), size + 2), np.uint8)
    out[:, 1:-1] = np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, size)
    flat = out.reshape(-1)
    zeros = np.flatnonzero(flat == 0)  # in every row the code in front first, the delimiter last
    flat[zeros[:-1]] = np.diff(zeros)  # a code tells how far it is to the next
    out[:, -1] = 0
    whole = out.tobytes()
    return [whole[at : at + size + 2] for at in range(0, len(whole), size + 2)]


def decode(encoded: bytes) -> bytes | None:
    """Decode one frame given without its delimiter; None where it is not valid COBS."""
    if not encoded or 0 in encoded:
        return None
    out = bytearray(encoded)
    position, end = 0, len(encoded)
    if end < _FULL:  # too short for a full block
        while position < end:
            code = encoded[position]
            out[position] = 0
            position += code
        return bytes(out[1:]) if position == end else None
    spare = []  # codes behind full blocks: they stand for nothing
    while position < end:
        code = encoded[position]
        out[position] = 0
        position += code
        if code == _FULL:
            spare.append(position)
    if position != end:
        return None
    for at in reversed(spare):
        del out[at : at + 1]
    return bytes(out[1:])


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
