"""PROTOCOL.md's golden frames, laid out with ``struct`` and ``binascii``, against encoder and decoders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.messages import Board, Chunk, SampleBlock, Status
from ecgedge.wire import frames
from ecgedge.wire.frame_decoder import FrameDecoder

FOLDER = Path(__file__).resolve().parent.parent / "firmware_bridge" / "golden_frames"
GOLDEN: list[dict[str, Any]] = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))["frames"]
BY_NAME = {frame["name"]: frame for frame in GOLDEN}
FROM_BOARD = [frame for frame in GOLDEN if frame["direction"] == "board"]
FROM_HOST = [frame for frame in GOLDEN if frame["direction"] == "host"]


def named(golden: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("golden", golden, ids=[frame["name"] for frame in golden])


def wire(name: str) -> bytes:
    return bytes.fromhex(BY_NAME[name]["wire"])


def decode(data: bytes, size: int) -> tuple[list[Any], FrameDecoder]:
    decoder = FrameDecoder()
    out: list[Any] = []
    for start in range(0, len(data), size):
        out += decoder.push(Chunk(data[start : start + size], 0.0))
    return out + decoder.finish(), decoder


def introduction(golden: dict[str, Any]) -> bytes:
    """A hello that lets a golden data frame be delivered."""
    return b"\0" + frames.encode_hello(Board("test", 250.0, 1.0, 16, golden["fields"].get("leads") or 1))


def test_committed_files_are_what_the_generator_writes() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "make_golden.py"), "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_hex_file_holds_the_same_frames() -> None:
    rows = [line.split(" ") for line in (FOLDER / "golden.hex").read_text(encoding="utf-8").splitlines()]
    assert rows == [[f["name"], f["direction"], f["outcome"], f["wire"]] for f in GOLDEN]


def test_clause_1_3_checksum_is_the_one_with_the_published_check_value() -> None:
    # CRC-16/CCITT-FALSE (also CRC-16/IBM-3740): check value 0x29B1 in every catalogue of CRCs.
    assert frames.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


@named([f for f in FROM_BOARD if f["outcome"] == "ok" and "later" not in f["name"]])
def test_encoder_writes_golden_frame(golden: dict[str, Any]) -> None:
    fields = golden["fields"]
    if fields["type"] == "hello":
        board = Board(
            fields["name"],
            fields["rate_mhz"] / 1000 or None,
            fields["scale"] or None,
            fields["bits"] or None,
            fields["leads"],
        )
        made = frames.encode_hello(
            board,
            boot=fields["boot"],
            next_index=fields["next_index"],
            device_us=fields["time"],
            streaming=bool(fields["flags"] & 1),
            commands=bool(fields["flags"] & 2),
        )
    else:
        counts = np.array(fields["samples"])
        made = frames.encode_data(fields["index"], fields["time"], counts, 8 * fields["width"], fields["off"])
    assert made.hex() == golden["wire"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@named([f for f in FROM_BOARD if f["outcome"] == "ok" and f["fields"]["type"] == "data"])
def test_decoder_reads_golden_data(golden: dict[str, Any], size: int) -> None:
    fields = golden["fields"]
    out, decoder = decode(introduction(golden) + bytes.fromhex(golden["wire"]), size)
    block = out[-1]
    expected = np.array(fields["samples"], float)
    everything_off = fields["off"] == (1 << fields["leads"]) - 1
    if not everything_off:
        for lead in range(fields["leads"]):
            if fields["off"] >> lead & 1:
                expected[:, lead] = np.nan
    np.testing.assert_array_equal(block.counts, expected)
    assert (block.first, block.device_us, block.indexed) == (fields["index"], fields["time"], True)
    assert block.leads_off is everything_off
    assert decoder.counters.bad_frames == decoder.counters.discarded_bytes == 0


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@named([f for f in FROM_BOARD if f["outcome"] == "ok" and f["fields"]["type"] == "hello"])
def test_decoder_reads_golden_hello(golden: dict[str, Any], size: int) -> None:
    fields = golden["fields"]
    out, decoder = decode(bytes.fromhex(golden["wire"]), size)
    assert out == [
        Board(
            fields["name"],
            fields["rate_mhz"] / 1000 or None,
            fields["scale"] or None,
            fields["bits"] or None,
            fields["leads"],
        )
    ]
    assert decoder.counters.frames == 1
    assert decoder.counters.discarded_bytes == 0


@pytest.mark.parametrize("size", [1, 7, 1000])
@named([f for f in FROM_BOARD if f["outcome"] != "ok"])
def test_decoder_refuses_golden_frame_and_reads_on(golden: dict[str, Any], size: int) -> None:
    bad = bytes.fromhex(golden["wire"])
    before, after = introduction(golden), wire("data_one_sample")
    good = frames.encode_hello(Board("test", 250.0, 1.0, 16, 1))
    out, decoder = decode(before + bad + good + after, size)
    counters = decoder.counters
    assert counters.bad_frames == 1
    damaged = golden["outcome"] in ("crc", "cobs", "oversized")
    assert counters.discarded_bytes == (len(bad) if damaged else 0)
    assert sum(message.n for message in out if isinstance(message, SampleBlock)) == 1
    said = [message.text for message in out if isinstance(message, Status)]
    if golden["outcome"] == "version":
        assert len(said) == 1
        assert "version 2" in said[0]
        assert "version 1" in said[0]
    else:
        assert said == []


@named([f for f in FROM_HOST if f["outcome"] == "ok"])
def test_command_encoder_writes_golden_frame(golden: dict[str, Any]) -> None:
    fields = golden["fields"]
    if fields["type"] == "rate":
        made = frames.command_rate(fields["rate_mhz"] / 1000)
    else:
        made = {
            "hello": frames.command_hello,
            "start": frames.command_start,
            "stop": frames.command_stop,
        }[fields["type"]]()
    assert made.hex() == "00" + golden["wire"]  # clause 5.2: a bare delimiter first


@pytest.mark.parametrize("size", [1, 3, 1000])
@named(FROM_HOST)
def test_command_decoder_reads_golden_frame(golden: dict[str, Any], size: int) -> None:
    decoder = frames.CommandDecoder()
    data = b"noise that the receiver picked up\0" + bytes.fromhex(golden["wire"])
    out = [c for k in range(0, len(data), size) for c in decoder.push(data[k : k + size])]
    if golden["outcome"] != "ok":
        assert out == []
    else:
        rate = golden["fields"].get("rate_mhz")
        assert out == [frames.Command(golden["fields"]["type"], None if rate is None else rate / 1000)]


def test_clause_1_5_and_1_6_no_golden_frame_is_longer_than_allowed() -> None:
    for golden in GOLDEN:
        if golden["outcome"] == "ok":
            limit = frames.MAX_BODY if golden["direction"] == "board" else frames.MAX_COMMAND
            body = bytes.fromhex(golden["body"])
            assert len(body) + 2 <= limit
            assert len(golden["wire"]) // 2 == len(body) + 2 + 2  # one byte of COBS, one delimiter


def test_all_good_golden_frames_in_one_push() -> None:
    good = [f for f in FROM_BOARD if f["outcome"] == "ok" and f["fields"].get("leads") == 1]
    whole = b"".join(bytes.fromhex(frame["wire"]) for frame in good)
    decoder = FrameDecoder()
    out = decoder.push(Chunk(whole, 0.0))
    sent = sum(len(f["fields"].get("samples", [])) for f in good)
    assert sum(message.n for message in out if isinstance(message, SampleBlock)) == sent
    assert decoder.counters.frames == len(good)
    assert decoder.counters.bytes == len(whole)
