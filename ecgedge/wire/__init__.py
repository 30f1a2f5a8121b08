"""Bytes -> samples: one push decoder a layout, and the table of layouts.

Decoders take any chunking, hold a bounded number of bytes, find their way back after damage, never
raise on input, and count what they drop.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from ecgedge.errors import UsageError
from ecgedge.wire.frames import command_hello, command_start
from ecgedge.wire.recognise import Decoder, Reader, WireProtocol

__all__ = ["PROTOCOLS", "Reader", "WireProtocol", "make_reader", "usual_rates"]

_HELLO = command_hello() + command_start()


def _of(module: str, name: str) -> Callable[[], Decoder]:
    """A decoder whose module is imported when the first one is made: most streams need but one."""

    def make() -> Decoder:
        decoder: Decoder = getattr(import_module(f"{__name__}.{module}"), name)()
        return decoder

    return make


PROTOCOLS: dict[str, WireProtocol] = {
    row.name: row
    for row in (
        WireProtocol(
            "frames",
            "ecgedge frames, version 1",
            (115200, 57600, 230400),
            _of("frame_decoder", "FrameDecoder"),
            ask=_HELLO,
            start=(_HELLO,),
        ),
        WireProtocol(
            "text",
            "lines of numbers (AD8232 sketch, Serial Plotter)",
            (115200, 9600),
            _of("text", "TextDecoder"),
        ),
        WireProtocol(
            "chords",
            "Chords of Upside Down Labs (UNO, Nano, Mega, Pico, NPG Lite)",
            (230400, 115200),
            _of("chords", "ChordsDecoder"),
            start=(b"START\n",),
            stop=b"STOP\n",
        ),
        WireProtocol(
            "protocentral",
            "ProtoCentral MAX30003, MAX30001, ADS1292R, HealthyPi v4 and 5",
            (57600, 115200),
            _of("protocentral", "ProtocentralDecoder"),
        ),
        WireProtocol(
            "cyton", "OpenBCI Cyton", (115200,), _of("cyton", "CytonDecoder"), start=(b"b",), stop=b"s"
        ),
        WireProtocol(
            "bitalino",
            "BITalino",
            (115200,),
            _of("bitalino", "BitalinoDecoder"),
            start=(b"\xc3", b"\xfd"),  # 1000 samples a second, all six leads
            stop=b"\x00",
        ),
        WireProtocol("polar-h10", "Polar H10 over Bluetooth", (), _of("polar", "PolarDecoder"), guess=False),
    )
}
_COMMONEST = (115200, 9600, 57600, 230400)


def _row(protocol: str) -> WireProtocol:
    if protocol not in PROTOCOLS:
        names = ", ".join(("auto", *PROTOCOLS))
        raise UsageError(f"unknown protocol {protocol!r}", f"one of {names}")
    return PROTOCOLS[protocol]


def make_reader(protocol: str = "auto") -> Reader:
    """A reader of one protocol by name, or with ``auto`` of whichever the bytes turn out to be.

    Raises
    ------
    UsageError : there is no protocol of this name
    """
    known = tuple(PROTOCOLS.values())
    if protocol == "auto":
        return Reader([row for row in known if row.guess], known)
    return Reader([_row(protocol)], known)


def usual_rates(protocol: str = "auto") -> tuple[int, ...]:
    """Baud rates to try for a protocol, likeliest first.

    Raises
    ------
    UsageError : there is no protocol of this name
    """
    own = () if protocol == "auto" else _row(protocol).baud_rates
    return (*own, *(rate for rate in _COMMONEST if rate not in own))
