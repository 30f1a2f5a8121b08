"""ecgedge frames, version 1: ``firmware_bridge/PROTOCOL.md`` in code: layout, encoders, commands.

Clause numbers in the comments are those of that document. The decoder of a board's frames is in
``frame_decoder``.
"""

from __future__ import annotations

import struct
from binascii import crc_hqx
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ecgedge.wire import cobs

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Board

VERSION = 1
MAX_BODY = 254
"""Longest frame before COBS, checksum included (clause 1.5)."""
MAX_COMMAND = 16
"""Longest command frame before COBS, checksum included (clause 1.6)."""
MAX_LEADS = 16
MAX_NAME = 32

HELLO, DATA = 0x01, 0x02
ASK_HELLO, ASK_START, ASK_STOP, ASK_RATE = 0x81, 0x82, 0x83, 0x84

HELLO_HEAD = struct.Struct("<BBIfBBBHIIB")
DATA_HEAD = struct.Struct("<BBIIBBBH")
DATA_PLACE, DATA_PLACE_AT = struct.Struct("<II"), 2
"""Index and time in a data frame's head,"""
FORM = slice(10, 15)
"""and what stays the same from frame to frame: samples, leads, bytes a count, electrodes."""
_CHECKSUM = struct.Struct("<H")
_WORD = 0xFFFFFFFF


def _checked(content: bytes) -> bytes:
    """Append the checksum."""
    return content + _CHECKSUM.pack(crc_hqx(content, 0xFFFF))


def _seal(content: bytes) -> bytes:
    """Append the checksum, encode, append the delimiter."""
    return cobs.encode(_checked(content)) + cobs.DELIMITER


def open_frame(encoded: bytes) -> bytes | None:
    """The body without its checksum; None where encoding or checksum is wrong."""
    body = cobs.decode(encoded)
    if body is None or len(body) < 4:
        return None
    content = body[:-2]
    return content if crc_hqx(content, 0xFFFF) == int.from_bytes(body[-2:], "little") else None


# ---------------------------------------------------------------------------------------- encoders


def max_samples(leads: int, bits: int = 16) -> int:
    """Most samples of ``leads`` leads that one data frame can hold (clause 4.8)."""
    return (MAX_BODY - 2 - DATA_HEAD.size) // (leads * (bits // 8))


def encode_hello(
    board: Board,
    *,
    boot: int = 0,
    next_index: int = 0,
    device_us: int = 0,
    streaming: bool = True,
    commands: bool = True,
) -> bytes:
    """Hello frame (clause 3), encoded, with its delimiter.

    Parameters
    ----------
    board : what the board says of itself; a name beyond 32 bytes of UTF-8 is cut
    boot : differs from one start of the board to the next, 0 to 65535 (clause 3.7)
    next_index, device_us : index of the next sample and device time; taken modulo 2**32

    Raises
    ------
    ValueError : rate, scale, resolution or leads do not fit
    """
    rate = 0 if board.rate_hz is None else round(board.rate_hz * 1000)
    scale = board.uv_per_count or 0.0
    if not 0 <= rate <= _WORD or (board.rate_hz is not None and rate == 0):
        raise ValueError(f"rate of {board.rate_hz} Hz does not fit, expected 0.001 to 4294967.295 Hz")
    if not 0 <= scale < 3.4e38 or not 1 <= board.leads <= MAX_LEADS or not 0 <= (board.bits or 0) <= 32:
        raise ValueError(f"{board} does not fit a hello frame")
    name = board.name.encode()[:MAX_NAME].decode(errors="ignore").encode()
    flags = (1 if streaming else 0) | (2 if commands else 0)
    head = HELLO_HEAD.pack(
        HELLO, VERSION, rate, scale, board.bits or 0, board.leads, flags,
        boot & 0xFFFF, next_index & _WORD, device_us & _WORD, len(name),
    )  # fmt: skip
    return _seal(head + name)


def encode_data(
    first_index: int,
    device_us: int,
    counts: npt.NDArray[np.integer[Any]],
    bits: int = 16,
    leads_off: int = 0,
) -> bytes:
    """Data frame (clause 4), encoded, with its delimiter.

    Parameters
    ----------
    first_index, device_us : of the first sample; taken modulo 2**32
    counts : integers, shape (n, leads), or (n,) for one lead
    bits : 16 or 24, how samples are packed
    leads_off : bit k set where an electrode of lead k is off

    Raises
    ------
    ValueError : too many samples for a frame (see ``max_samples``), or a count out of range
    """
    rows = np.asarray(counts)
    packed, leads = _pack(rows, bits)
    if not 1 <= len(rows) <= max_samples(leads, bits):
        raise ValueError(f"{len(rows)} samples of {leads} leads do not fit a frame of {MAX_BODY} bytes")
    if not 0 <= leads_off < 1 << leads:
        raise ValueError(f"leads-off bits {leads_off:#x} for {leads} leads")
    return _seal(_content(first_index, device_us, len(rows), leads, bits // 8, leads_off, packed))


def encode_run(
    first_index: int,
    rate_hz: float,
    counts: npt.NDArray[np.integer[Any]],
    size: int,
    bits: int = 16,
    leads_off: int = 0,
) -> list[bytes]:
    """Data frames of ``size`` samples each (the last one may have fewer), as ``encode_data`` makes them.

    Parameters
    ----------
    first_index : of the first sample; the device's clock is taken to be 0 at index 0
    rate_hz : samples per second of that clock
    counts, bits, leads_off : see ``encode_data``
    size : samples of a frame

    Raises
    ------
    ValueError : too many samples for a frame (see ``max_samples``), or a count out of range
    """
    packed, leads = _pack(counts, bits)
    if not 1 <= size <= max_samples(leads, bits) or not 0 <= leads_off < 1 << leads:
        raise ValueError(f"frames of {size} samples of {leads} leads, leads-off bits {leads_off:#x}")
    width = bits // 8
    step, bodies = size * leads * width, []
    for at in range(0, len(packed), step):
        part = packed[at : at + step]
        index, n = first_index + at // (leads * width), len(part) // (leads * width)
        device_us = round(index * 1e6 / rate_hz)
        bodies.append(_checked(_content(index, device_us, n, leads, width, leads_off, part)))
    alike = len(packed) // step
    return cobs.encode_alike(bodies[:alike]) + cobs.encode_alike(bodies[alike:])


def _pack(counts: npt.NDArray[np.integer[Any]], bits: int) -> tuple[bytes, int]:
    """Samples as they stand in a data frame, and the number of leads."""
    if counts.dtype.kind not in "iu" or bits not in (16, 24):
        raise ValueError(f"{counts.dtype} counts in {bits} bits, expected integers in 16 or 24 bits")
    values = counts.reshape(len(counts), -1)
    leads = values.shape[1]
    if not values.size or leads > MAX_LEADS:
        raise ValueError(f"{len(values)} samples of {leads} leads, expected some of 1 to {MAX_LEADS}")
    limit = 1 << (bits - 1)
    if int(values.min()) < -limit or int(values.max()) >= limit:
        raise ValueError(f"counts {int(values.min())} to {int(values.max())} do not fit {bits} bits")
    if bits == 16:
        return values.astype("<i2").tobytes(), leads
    return values.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes(), leads


def _content(
    index: int, device_us: int, n: int, leads: int, width: int, leads_off: int, packed: bytes
) -> bytes:
    """A data frame before its checksum."""
    return (
        DATA_HEAD.pack(DATA, VERSION, index & _WORD, device_us & _WORD, n, leads, width, leads_off) + packed
    )


def _command(kind: int, argument: bytes = b"") -> bytes:
    # The zero in front ends whatever noise the board's receiver has picked up (clause 5.2).
    return cobs.DELIMITER + _seal(bytes((kind, VERSION)) + argument)


def command_hello() -> bytes:
    """Ask for a hello frame."""
    return _command(ASK_HELLO)


def command_start() -> bytes:
    """Ask the board to stream."""
    return _command(ASK_START)


def command_stop() -> bytes:
    """Ask the board to stop streaming."""
    return _command(ASK_STOP)


def command_rate(rate_hz: float) -> bytes:
    """Ask for another sampling rate; the hello that answers tells the rate the board took."""
    millihertz = round(rate_hz * 1000)
    if not 1 <= millihertz <= _WORD:
        raise ValueError(f"rate of {rate_hz} Hz does not fit, expected 0.001 to 4294967.295 Hz")
    return _command(ASK_RATE, struct.pack("<I", millihertz))


# ------------------------------------------------------------------------------------ board's side


@dataclass(frozen=True, slots=True)
class Command:
    """What a host asked of a board."""

    kind: Literal["hello", "start", "stop", "rate"]
    rate_hz: float | None = None
    """Wanted sampling rate, for ``rate`` only."""


_PLAIN: dict[int, Literal["hello", "start", "stop"]] = {
    ASK_HELLO: "hello",
    ASK_START: "start",
    ASK_STOP: "stop",
}


class CommandDecoder:
    """A board's ear: bytes from the host -> commands. Everything else is ignored (clause 5.4)."""

    def __init__(self) -> None:
        self._splitter = cobs.Splitter(cobs.DELIMITER, MAX_COMMAND + 1)

    def push(self, data: bytes) -> list[Command]:
        """Commands that end in ``data``."""
        commands = []
        for unit in self._splitter.push(data):
            content = open_frame(unit) if unit else None
            if content is None or content[1] != VERSION:
                continue
            kind = content[0]
            if kind in _PLAIN and len(content) == 2:
                commands.append(Command(_PLAIN[kind]))
            elif kind == ASK_RATE and len(content) == 6:
                millihertz = int.from_bytes(content[2:], "little")
                if millihertz:
                    commands.append(Command("rate", millihertz / 1000))
        return commands
