"""Bytes -> samples: one push decoder a layout, and the table of layouts.

Decoders take any chunking, hold a bounded number of bytes, find their way back after damage, never
raise on input, and count what they drop.
"""

from __future__ import annotations

from ecgedge.errors import UsageError
from ecgedge.wire.frame_decoder import FrameDecoder
from ecgedge.wire.recognise import Reader, WireProtocol
from ecgedge.wire.text import TextDecoder

__all__ = ["PROTOCOLS", "Reader", "WireProtocol", "make_reader"]

PROTOCOLS: dict[str, WireProtocol] = {
    row.name: row
    for row in (
        WireProtocol("frames", "ecgedge frames, version 1", (115200, 57600, 230400), FrameDecoder, True),
        WireProtocol("text", "lines of numbers (AD8232 sketch)", (9600, 115200), TextDecoder, False),
    )
}


def make_reader(protocol: str = "auto") -> Reader:
    """A reader of one protocol by name, or with ``auto`` of whichever the bytes turn out to be.

    Raises
    ------
    UsageError : there is no protocol of this name
    """
    known = tuple(PROTOCOLS.values())
    if protocol == "auto":
        return Reader(known, known)
    if protocol not in PROTOCOLS:
        names = ", ".join(("auto", *PROTOCOLS))
        raise UsageError(f"unknown protocol {protocol!r}", f"one of {names}")
    return Reader((PROTOCOLS[protocol],), known)
