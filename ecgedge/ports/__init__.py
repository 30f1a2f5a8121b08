"""Ports: where bytes come from, with the time of their arrival.

The only room with threads, the wall clock and the operating system. ``open_port`` takes a serial device,
a pyserial URL, ``ble:polar-h10`` (a strap), ``demo`` (a simulated patient) or ``replay:PATH`` (a recording,
played as a board).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError
from ecgedge.ports.base import Port

if TYPE_CHECKING:
    from ecgedge.ports.reconnect import Opener

__all__ = ["Port", "list_boards", "list_ports", "open_port"]

REPLAY = "replay:"
BLE = "ble:"


def open_port(
    spec: str,
    *,
    baud: int | None = None,
    speed: float = 1.0,
    seed: int = 0,
    board: str | None = None,
    duration_s: float | None = None,
    fs: float | None = None,
    reconnect: bool = False,
) -> Port:
    """Open the port that ``spec`` names.

    Parameters
    ----------
    spec : device path, COM port, pyserial URL, ``ble:polar-h10[:ADDRESS]``, ``demo``, or ``replay:PATH``
    baud : rate of a serial line; None: 115200
    speed : pace of ``demo`` and ``replay``, times real time; ``math.inf`` for as fast as it is read
    seed : which patient ``demo`` simulates
    board : kind of board through which ``demo`` plays; None: one that speaks ecgedge frames
    duration_s : length of ``demo`` (default: its programme of 300 s); at most so much of a ``replay``
    fs : sampling rate of a replayed file that does not tell its own
    reconnect : get over the loss of a serial port or strap: wait until it is back, and go on

    Raises
    ------
    PortError
        Missing, busy, no permission, or no serial port at all.
    RecordingError
        The file to replay cannot be read.
    UsageError
        A value that makes no sense.
    MissingExtraError
        Bluetooth without the extra ``ble``.
    """
    if math.isnan(speed) or speed <= 0:
        raise UsageError(f"a speed of {speed:g}", "a number above 0, or max")
    if duration_s is not None and not duration_s > 0:
        raise UsageError(f"a duration of {duration_s:g} s", "a number above 0")
    if board is not None and spec != "demo":
        raise UsageError(f"a board for the port {spec}", "--port demo", "Boards are simulated only there.")
    if spec == "demo" or spec.startswith(REPLAY):
        from ecgedge.ports.sources import PatientSource, RecordingSource
        from ecgedge.ports.virtual import open_virtual

        if spec == "demo" and board is not None:
            from ecgedge.ports.boards import find_board

            voice = find_board(board).make()
            return open_virtual(spec, PatientSource(seed, duration_s, voice.rate_hz), speed, voice)
        if spec == "demo":
            return open_virtual(spec, PatientSource(seed, duration_s), speed)
        return open_virtual(spec, RecordingSource(spec[len(REPLAY) :], fs, duration_s), speed)
    if spec.startswith(BLE):
        from ecgedge.ports.ble import BlePort

        return _lasting(spec, lambda _: BlePort(spec)) if reconnect else BlePort(spec)
    from ecgedge.ports.serial_port import SerialPort, serial_opener

    rate = 115200 if baud is None else baud
    return _lasting(spec, serial_opener(spec, rate)) if reconnect else SerialPort(spec, rate)


def _lasting(spec: str, open_: Opener) -> Port:
    from ecgedge.ports.reconnect import ReconnectingPort

    return ReconnectingPort(spec, open_)


def list_boards() -> list[str]:
    """Boards that ``demo`` can be played through, one line each: name, protocol, baud rate, what it is."""
    from ecgedge.ports.boards import describe_boards

    return describe_boards()


def list_ports() -> list[str]:
    """Serial ports of this machine, one line each: device, lasting name if there is one, description."""
    from ecgedge.ports.serial_port import describe_ports

    return describe_ports()
