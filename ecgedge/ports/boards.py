"""The boards that can be played without hardware: ``--port demo --board NAME``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ecgedge.errors import UsageError
from ecgedge.ports.simulated import (
    BioampSpeech,
    BitalinoSpeech,
    ChordsSpeech,
    CytonSpeech,
    PlotterSpeech,
    PolarSpeech,
    ProtocentralSpeech,
    Speech,
    TextSpeech,
)
from ecgedge.wire.protocentral import UV_ADS1292R, UV_MAX3000X


@dataclass(frozen=True, slots=True)
class SimulatedBoard:
    """One row of the table of boards."""

    name: str
    title: str
    baud: int | None
    """Of its serial line; None where there is none, or where USB takes its place and it means nothing."""
    make: Callable[[], Speech]


_MAX30003 = partial(ProtocentralSpeech, 128.0, "<iHHHH", (833, 0, 72, 0), UV_MAX3000X, up=14)
_MAX30001 = partial(ProtocentralSpeech, 128.0, "<iihh", (41_000, 72, 833), UV_MAX3000X)
_ADS1292R = partial(
    ProtocentralSpeech, 125.0, "<hhhhB", (300, 15, 72, 0), UV_ADS1292R, bits=16, zero_off=True
)
_HEALTHYPI4 = partial(
    ProtocentralSpeech, 125.0, "<hhIIHBBBBBB", (300, 90_000, 80_000, 3650, 15, 98, 72, 80, 120, 0),
    UV_ADS1292R, bits=16, zero_off=True, status=True,
)  # fmt: skip
_HEALTHYPI5 = partial(
    ProtocentralSpeech, 125.0, "<iiBiihBBB", (41_000, 0, 80_000, 90_000, 3650, 98, 72, 15), UV_MAX3000X
)
_HEALTHYPI5_NEW = partial(ProtocentralSpeech, 125.0, "<8i4iBB", (41_000,) * 4 + (72, 15), UV_MAX3000X, kind=3)


def _chords(
    name: str, board: str, baud: int, told: str, channels: int, rate_hz: float, bits: int, volts: float
) -> SimulatedBoard:
    """A board under Chords' firmware, which says what it is called."""
    speech = partial(ChordsSpeech, told, channels, rate_hz, bits, volts)
    return SimulatedBoard(name, f"Chords, {board}", baud, speech)


BOARDS: dict[str, SimulatedBoard] = {
    row.name: row
    for row in (
        SimulatedBoard("ad8232", "AD8232 module, a number a line", 115200, partial(TextSpeech, 250.0)),
        SimulatedBoard("ad8232-sparkfun", "SparkFun's AD8232 sketch", 9600, partial(TextSpeech, 194.0)),
        SimulatedBoard("serial-plotter", "labelled values; ECG in the second", 115200, PlotterSpeech),
        SimulatedBoard("bioamp-exg-pill", "BioAmp EXG Pill, its filter sketch", 115200, BioampSpeech),
        _chords("chords-uno-r3", "Arduino UNO R3", 230400, "UNO-R3", 6, 250.0, 10, 5.0),
        _chords("chords-uno-r4", "Arduino UNO R4", 230400, "UNO-R4", 6, 500.0, 14, 5.0),
        _chords("chords-nano", "Arduino Nano", 115200, "NANO-CLASSIC", 8, 250.0, 10, 5.0),
        _chords("chords-mega", "Arduino Mega 2560", 115200, "MEGA-2560-R3", 16, 250.0, 10, 5.0),
        _chords("chords-pico", "Raspberry Pi Pico", 230400, "RPI-PICO-RP2040", 3, 500.0, 12, 3.3),
        _chords("chords-npg-lite", "NPG Lite", 230400, "NPG-LITE-3CH", 3, 500.0, 12, 3.3),
        SimulatedBoard("max30003", "ProtoCentral MAX30003", 57600, _MAX30003),
        SimulatedBoard("max30001", "ProtoCentral MAX30001", 57600, _MAX30001),
        SimulatedBoard("ads1292r", "ProtoCentral ADS1292R", 57600, _ADS1292R),
        SimulatedBoard("healthypi4", "HealthyPi v4", 115200, _HEALTHYPI4),
        SimulatedBoard("healthypi5", "HealthyPi 5", None, _HEALTHYPI5),
        SimulatedBoard("healthypi5-batch", "HealthyPi 5, newer firmware", None, _HEALTHYPI5_NEW),
        SimulatedBoard("cyton", "OpenBCI Cyton", 115200, CytonSpeech),
        SimulatedBoard("bitalino", "BITalino; ECG on A2", 115200, BitalinoSpeech),
        SimulatedBoard("polar-h10", "Polar H10 (Bluetooth)", None, PolarSpeech),
    )
}


def find_board(name: str) -> SimulatedBoard:
    """The board of this name.

    Raises
    ------
    UsageError : there is none
    """
    if name not in BOARDS:
        raise UsageError(f"board {name!r}", f"one of {', '.join(BOARDS)}")
    return BOARDS[name]


def describe_boards() -> list[str]:
    """One line a board: name, protocol, baud rate, samples a second, what it is."""
    lines = []
    for row in BOARDS.values():
        speech = row.make()
        line = f"{row.baud} baud" if row.baud else "no baud rate"
        waits = "; has to be named with --protocol, as it sends nothing unasked" if speech.silent else ""
        lines.append(f"{row.name:18}{speech.protocol:14}{line:14}{speech.rate_hz:5g} Hz  {row.title}{waits}")
    return lines
