"""Simulated boards: the exact bytes that each kind sends, and the commands that it obeys.

``ecgedge stream --port demo --board NAME`` plays the simulated patient through one of them. A board here
knows bytes only; when they are sent is the matter of ``virtual``. Signals come in microvolt and leave as
counts of the board's converter; what exceeds it is cut off there, as it would be.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ecgedge.ports.voice import Heard
from ecgedge.wire import bitalino, chords, cyton, polar, protocentral

if TYPE_CHECKING:
    from ecgedge.messages import Floats
    from ecgedge.ports.sources import Run

UV_PER_VOLT = 1e6
AD8232_GAIN = 1100.0
"""Of the AD8232 in the circuit of the common breakout boards; a BioAmp EXG Pill is taken to have the same."""
UV_TEN_BITS = 5.0 / 1024 / AD8232_GAIN * UV_PER_VOLT
"""Of a count of ten bits at 5 V behind that gain."""
PIECE_S = 0.04
"""Signal that a board writes at once: a driver hands bytes on in bursts."""


class Speech(ABC):
    """A voice that sends one lead, in packets of one sample or of a few."""

    protocol: ClassVar[str]
    silent: ClassVar[bool] = False
    banner: ClassVar[bytes] = b""
    rate_hz: float
    """Samples a second."""

    def hear(self, data: bytes) -> Heard:
        """Most boards do not listen."""
        return Heard()

    def hello(self, next_index: int, streaming: bool) -> bytes:
        """Most boards say nothing of themselves."""
        return b""

    def pieces(self, run: Run) -> Iterator[tuple[bytes, int]]:
        """Packets of ``PIECE_S``, of the first lead."""
        packets = self.packets(run.first, run.counts[:, 0] * run.uv_per_count, bool(run.off & 1))
        n = max(1, round(PIECE_S * self.rate_hz))
        for k in range(0, len(packets), n):
            yield b"".join(packets[k : k + n]), run.first + min(k + n, len(packets))

    @abstractmethod
    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        """The bytes of each sample, in order; nothing for one whose packet has to wait for more samples.

        Parameters
        ----------
        first : index of the first sample since the board was switched on
        microvolts : shape (n,)
        off : an electrode is off
        """


def _counts(microvolts: Floats, uv_per_count: float, low: int, high: int, middle: int = 0) -> list[int]:
    """What a converter makes of a signal."""
    scaled = np.rint(microvolts / uv_per_count) + middle
    return np.clip(scaled, low, high).astype(np.int64).tolist()  # type: ignore[no-any-return]


class TextSpeech(Speech):
    """The AD8232 sketch: a number of ten bits a line, ``!`` with an electrode off."""

    protocol = "text"

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        if off:
            return [b"!\r\n"] * len(microvolts)
        return [b"%d\r\n" % v for v in _counts(microvolts, UV_TEN_BITS, 0, 1023, 512)]


class PlotterSpeech(Speech):
    """Arduino's Serial Plotter: labelled values, the ECG in the second column."""

    protocol = "text"
    rate_hz = 200.0

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        values = _counts(microvolts, UV_TEN_BITS, 0, 1023, 512)
        return [b"leads_off:%d,ECG:%d\n" % (off, v) for v in values]


class BioampSpeech(Speech):
    """The filter sketch of the BioAmp EXG Pill: a signed float a line, its baseline filtered away."""

    protocol = "text"
    rate_hz = 125.0

    def __init__(self) -> None:
        self._mean = 0.0

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        lines = []
        for value in microvolts / UV_TEN_BITS:
            self._mean += (value - self._mean) * 0.025  # a high-pass of about 0.5 Hz
            lines.append(b"%.2f\r\n" % (value - self._mean))
        return lines


class ChordsSpeech(Speech):
    """A Chords board: silent until ``START``; the ECG on the first lead, the others at rest."""

    protocol = "chords"
    silent = True

    def __init__(self, name: str, leads: int, rate_hz: float, bits: int, volts: float) -> None:
        self._name, self._leads, self.rate_hz, self._bits = name, leads, rate_hz, bits
        self._uv = volts / 2**bits / AD8232_GAIN * UV_PER_VOLT
        self._line = b""

    def hear(self, data: bytes) -> Heard:
        *lines, self._line = (self._line + data).split(b"\n")
        self._line = self._line[-64:]
        start = stop = False
        answer = b""
        for line in lines:
            word = line.strip().upper()
            start, stop = (word == b"START") or start, (word == b"STOP") or stop
            answer += self._name.encode() + b"\r\n" if word == b"WHORU" else b""
        return Heard(start, stop, answer)

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        middle = 2 ** (self._bits - 1)
        rest = struct.pack(">H", middle) * (self._leads - 1) + bytes((chords.END,))
        values = _counts(microvolts, self._uv, 0, 2**self._bits - 1, middle)
        return [
            chords.SYNC + bytes((k & 0xFF,)) + struct.pack(">H", v) + rest
            for k, v in enumerate(values, start=first)
        ]


class ProtocentralSpeech(Speech):
    """One of ProtoCentral's boards.

    Parameters
    ----------
    kind : type of the packet
    form : of ``struct``, for the whole payload; the first field is the ECG
    rest : the other fields
    """

    protocol = "protocentral"

    def __init__(
        self, rate_hz: float, form: str, rest: tuple[int, ...], uv: float, *, kind: int = 2,
        bits: int = 18, up: int = 0, zero_off: bool = False, status: bool = False,
    ) -> None:  # fmt: skip
        self.rate_hz, self._form, self._rest, self._uv, self._kind = rate_hz, form, rest, uv, kind
        self._bits, self._up, self._zero_off, self._status = bits, up, zero_off, status
        self._head = protocentral.SYNC + struct.pack("<HB", struct.calcsize(form), kind)
        self._waiting: list[int] = []
        self._each = 8 if kind == 3 else 1

    banner = b"Initialising the chip ...\r\n"

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        high = 2 ** (self._bits - 1) - 1
        values = _counts(np.zeros_like(microvolts) if off and self._zero_off else microvolts,
                         self._uv, -high - 1, high)  # fmt: skip
        rest = (*self._rest[:-1], 0x1F) if off and self._status else self._rest
        out = []
        for value in values:
            self._waiting.append(value << self._up)
            if len(self._waiting) < self._each:
                out.append(b"")
                continue
            payload = struct.pack(self._form, *self._waiting, *rest)
            out.append(self._head + payload + protocentral.END)
            self._waiting.clear()
        return out


class CytonSpeech(Speech):
    """A Cyton: says what it is when reset (``v``), sends from ``b`` to ``s``; the ECG on the first lead."""

    protocol = "cyton"
    rate_hz = cyton.RATE_HZ
    silent = True
    _SAYS = b"OpenBCI V3 8-16 channel\r\nADS1299 Device ID: 0x3E\r\nFirmware: v3.1.2\r\n$$$"

    def hear(self, data: bytes) -> Heard:
        return Heard(b"b" in data, b"s" in data, self._SAYS if b"v" in data else b"")

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        high = 2**23 - 1
        values = _counts(microvolts, cyton.UV_PER_COUNT, -high - 1, high)
        rest = bytes(3 * (cyton.LEADS - 1) + 6) + b"\xc0"
        return [
            cyton.HEAD + bytes((k & 0xFF,)) + v.to_bytes(3, "big", signed=True) + rest
            for k, v in enumerate(values, start=first)
        ]


class BitalinoSpeech(Speech):
    """A BITalino: silent until told which inputs to sample; the ECG sensor on A2, where its board has it."""

    protocol = "bitalino"
    rate_hz = 1000.0
    silent = True

    def __init__(self) -> None:
        self._inputs: tuple[int, ...] = (0, 1, 2, 3, 4, 5)

    def hear(self, data: bytes) -> Heard:
        start = stop = False
        answer = b""
        for command in data:
            if command == 0x07:
                answer += b"BITalino_v5.1\n"
            elif command & 0x03 == 0x01 and command > 0x03:
                start, self._inputs = True, tuple(k for k in range(6) if command >> (2 + k) & 1)
            stop |= command in (0x00, 0xFF)
        return Heard(start, stop, answer)

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        ecg = _counts(microvolts, bitalino.UV_PER_COUNT, 0, 1023, 512)
        return [
            _bitalino(number, [v if k == 1 else 512 for k in self._inputs])
            for number, v in enumerate(ecg, start=first)
        ]


def _bitalino(number: int, values: list[int]) -> bytes:
    """A packet: from its last byte backwards counter, checksum, digital inputs, counts."""
    bits, width = 0, 4
    for k, value in enumerate(values):
        size = 10 if k < 4 else 6
        bits, width = bits << size | value >> (10 - size), width + size
    n = -(-width // 8)
    counts = (bits << (8 * n - width)).to_bytes(n, "big")[::-1]
    body = counts + bytes(((number & 0x0F) << 4,))
    return body[:-1] + bytes((body[-1] | bitalino.checksum(body),))


class PolarSpeech(Speech):
    """A Polar H10 as ``ble:polar-h10`` hands it on: 73 samples a notification."""

    protocol = "polar-h10"
    rate_hz = polar.RATE_HZ
    _EPOCH_NS = 600_000_000_000_000_000

    def __init__(self) -> None:
        self._waiting: list[int] = []

    def packets(self, first: int, microvolts: Floats, off: bool) -> list[bytes]:
        out = []
        for k, value in enumerate(_counts(microvolts, 1.0, -(2**23), 2**23 - 1), start=first):
            self._waiting.append(value)
            if len(self._waiting) < polar.SAMPLES:
                out.append(b"")
                continue
            time_ns = self._EPOCH_NS + round(k * 1e9 / self.rate_hz)
            body = b"".join(v.to_bytes(3, "little", signed=True) for v in self._waiting)
            out.append(polar.pack(b"\0" + struct.pack("<QB", time_ns, 0) + body))
            self._waiting.clear()
        return out
