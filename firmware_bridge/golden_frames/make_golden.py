"""Write ``golden.json`` and ``golden.hex`` from fixed values.

Nothing here comes from the package's encoder: frames are laid out by hand with ``struct``, summed with
``binascii.crc_hqx``, and stuffed by the few lines below, which follow the description of COBS for frames
of at most 254 bytes. The files are the reference for C and Python alike.
"""

from __future__ import annotations

import json
import struct
import sys
from binascii import crc_hqx
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def stuff(body: bytes) -> bytes:
    """COBS of at most 254 bytes, by putting the distance to the next zero in place of each zero."""
    assert len(body) <= 254
    framed = bytearray(b"\x00" + body + b"\x00")
    last = len(framed) - 1
    for position in range(last - 1, -1, -1):
        if framed[position] == 0:
            framed[position] = last - position
            last = position
    return bytes(framed[:-1])


def sealed(body: bytes, flip: int = 0) -> bytes:
    """Body, checksum (``flip`` damages it), COBS, delimiter."""
    return stuff(body + struct.pack("<H", crc_hqx(body, 0xFFFF) ^ flip)) + b"\x00"


def hello(
    name: str, rate_mhz: int, scale: float, bits: int, leads: int, flags: int = 3, boot: int = 0,
    next_index: int = 0, time: int = 0, tail: bytes = b"", version: int = 1,
) -> tuple[bytes, dict[str, Any]]:  # fmt: skip
    raw = name.encode()
    body = struct.pack("<BB", 1, version) + struct.pack("<I", rate_mhz) + struct.pack("<f", scale)
    body += bytes((bits, leads, flags)) + struct.pack("<HII", boot, next_index, time)
    body += bytes((len(raw),)) + raw + tail
    fields = {
        "type": "hello", "name": name, "rate_mhz": rate_mhz,
        "scale": struct.unpack("<f", struct.pack("<f", scale))[0], "bits": bits, "leads": leads,
        "flags": flags, "boot": boot, "next_index": next_index, "time": time,
    }  # fmt: skip
    return body, fields


def data(
    index: int, time: int, samples: list[list[int]], width: int = 2, off: int = 0
) -> tuple[bytes, dict[str, Any]]:
    leads = len(samples[0])
    body = bytes((2, 1)) + struct.pack("<II", index, time)
    body += bytes((len(samples), leads, width)) + struct.pack("<H", off)
    for sample in samples:
        for value in sample:
            body += value.to_bytes(width, "little", signed=True)
    fields = {
        "type": "data", "index": index, "time": time, "n": len(samples), "leads": leads,
        "width": width, "off": off, "samples": samples,
    }  # fmt: skip
    return body, fields


def frames() -> list[dict[str, Any]]:
    """All golden frames, in order."""
    out: list[dict[str, Any]] = []

    def add(
        name: str, clause: str, body: bytes, fields: dict[str, Any], *, outcome: str = "ok",
        direction: str = "board", wire: bytes | None = None,
    ) -> None:  # fmt: skip
        encoded = sealed(body) if wire is None else wire
        out.append(
            {
                "name": name, "clause": clause, "direction": direction, "outcome": outcome,
                "body": body.hex(), "crc": f"{crc_hqx(body, 0xFFFF):04x}", "wire": encoded.hex(),
                "fields": fields,
            }
        )  # fmt: skip

    uno = hello("ecgedge UNO + AD8232", 250_000, 5e6 / 1024 / 1100, 10, 1, boot=0x2A17)
    add("hello_uno", "3", *uno)
    uno = hello(
        "ecgedge UNO + AD8232",
        250_000,
        5e6 / 1024 / 1100,
        10,
        1,
        boot=0x2A17,
        next_index=1250,
        time=5_000_000,
    )
    add("hello_repeated", "3.2", *uno)
    add("hello_unknowns", "3", *hello("", 0, 0.0, 0, 1, flags=0))
    add("hello_millihertz", "3.4", *hello("ADS1292R · 2 leads", 333_333, 0.0625, 24, 2, boot=65535))
    add("hello_longest_name", "3", *hello("0123456789abcdefghijklmnopqrstuv", 1_000_000, 1.0, 16, 16))
    add("hello_with_later_fields", "3.9", *hello("later", 250_000, 2.5, 12, 1, tail=b"\x00\x01\x02"))

    ramp = [[value] for value in range(500, 525)]
    add("data_ramp_25", "4", *data(0, 1000, ramp))
    add("data_one_sample", "4.1", *data(25, 101_000, [[-1]]))
    add("data_zeros", "1.1", *data(0, 0, [[0]] * 25))
    add("data_int16_ends", "4", *data(70_000, 0x01020304, [[-32768], [32767], [-1], [0], [1], [256]]))
    wide = [[-8388608, 8388607], [-1, 0], [1, -65536], [65536, -256]]
    add("data_int24_ends", "4", *data(70_006, 0x01020304, wide, 3))
    add("data_three_leads", "4", *data(5, 20_000, [[k, 1000 + k, -k] for k in range(8)]))
    add("data_index_wraps", "4.2", *data(0xFFFFFFFE, 77, [[1], [2], [3], [4]]))
    add("data_before_time_wrap", "4.3", *data(0, 0xFFFFFFF0, [[1], [2], [3], [4]]))
    add("data_after_time_wrap", "4.3", *data(4, 15_984, [[5], [6], [7], [8]]))
    add("data_leads_off", "4.5", *data(50, 200_000, [[0], [1023], [0], [1023]], off=1))
    add("data_one_of_three_off", "4.5", *data(13, 52_000, [[1, 2, 3], [4, 5, 6]], off=0b010))
    add("data_longest_int16", "4.8", *data(0x01010101, 0x01010101, [[257 + k] for k in range(118)]))
    add("data_longest_int24", "1.5", *data(0x05060708, 0x090A0B0C, [[0x010101]] * 79, 3, off=0))
    add("data_sixteen_leads", "4.8", *data(9, 36_000, [list(range(16))] * 7, off=0))

    for name, kind in (("hello", 0x81), ("start", 0x82), ("stop", 0x83)):
        body = bytes((kind, 1))
        add(f"command_{name}", "5", body, {"type": name}, direction="host")
    for name, rate in (("rate_500", 500_000), ("rate_256", 256_000), ("rate_thirds", 333_333)):
        body = bytes((0x84, 1)) + struct.pack("<I", rate)
        add(f"command_{name}", "5", body, {"type": "rate", "rate_mhz": rate}, direction="host")

    body, fields = data(0, 1000, ramp)
    add("bad_crc", "6.3", body, fields, outcome="crc", wire=sealed(body, flip=0x0100))
    swapped = body + crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    add("crc_high_byte_first", "1.3", body, fields, outcome="crc", wire=stuff(swapped) + b"\x00")
    add("first_byte_lost", "6.1", body, fields, outcome="cobs", wire=sealed(body)[1:])
    add("count_too_large", "4.1", body[:10] + b"\x1a" + body[11:], fields, outcome="malformed")
    add("count_zero", "4.1", body[:10] + b"\x00" + body[11:15], fields, outcome="malformed")
    add("width_four", "4.1", body[:12] + b"\x04" + body[13:], fields, outcome="malformed")
    add("off_beyond_leads", "4.5", body[:13] + b"\x02" + body[14:], fields, outcome="malformed")
    body, fields = hello("nan", 250_000, float("nan"), 10, 1)
    add("hello_scale_not_a_number", "3.5", body, {**fields, "scale": None}, outcome="malformed")
    body, fields = hello("short", 250_000, 1.0, 10, 1)
    add("hello_name_cut", "3", body[:-2], fields, outcome="malformed")
    body, fields = hello("no leads", 250_000, 1.0, 10, 0)
    add("hello_no_leads", "3", body, fields, outcome="malformed")
    add("unknown_type", "2.1", b"\x03\x01whatever", {}, outcome="type")
    body, fields = hello("from the future", 250_000, 1.0, 10, 1, version=2)
    add("hello_version_2", "2.2", body, fields, outcome="version")
    add("oversized", "6.1", b"", {}, outcome="oversized", wire=b"\x01" * 300 + b"\x00")
    add("command_start_version_2", "2.2", bytes((0x82, 2)), {"type": "start"}, outcome="version",
        direction="host")  # fmt: skip
    add("command_rate_zero", "5", bytes((0x84, 1, 0, 0, 0, 0)), {"type": "rate"}, outcome="malformed",
        direction="host")  # fmt: skip
    return out


def texts() -> dict[str, str]:
    """File name -> content."""
    golden = frames()
    lines = [f"{f['name']} {f['direction']} {f['outcome']} {f['wire']}\n" for f in golden]
    rows = ",\n".join(json.dumps(frame, ensure_ascii=False, allow_nan=False) for frame in golden)
    return {
        "golden.hex": "".join(lines),
        "golden.json": f'{{"protocol": 1, "frames": [\n{rows}\n]}}\n',
    }


def main() -> int:
    check = "--check" in sys.argv[1:]
    for name, text in texts().items():
        path = HERE / name
        if check and (not path.exists() or path.read_text(encoding="utf-8") != text):
            print(f"{path} is not what {Path(__file__).name} writes", file=sys.stderr)
            return 1
        if not check:
            path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
