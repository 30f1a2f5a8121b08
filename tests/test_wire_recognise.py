"""The reader: which protocol it is, and what it says when it is none."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from board_bytes import cut, speak
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge.errors import UsageError
from ecgedge.messages import Board, Chunk, SampleBlock, Status
from ecgedge.ports.boards import BOARDS
from ecgedge.wire import PROTOCOLS, Reader, WireProtocol, frames, make_reader

BOARD = Board("test board", 250.0, 4.5, 10, 1)


def ecg_counts(n: int) -> list[int]:
    """Something like an ECG in ten bits."""
    return [int(512 + 60 * np.sin(k / 9) + (300 if k % 190 < 4 else 0)) for k in range(n)]


def frame_stream(n_frames: int) -> bytes:
    raw = b"\0" + frames.encode_hello(BOARD)
    for k in range(n_frames):
        counts = np.array(ecg_counts(25 * n_frames)[25 * k : 25 * k + 25])
        raw += frames.encode_data(25 * k, 100_000 * k, counts)
    return raw


def text_stream(n: int) -> bytes:
    return b"".join(b"%d\r\n" % v for v in ecg_counts(n))


def paced(
    reader: Reader, raw: bytes, bytes_per_s: float, every_s: float = 0.1, start_s: float = 50.0
) -> list[Any]:
    """Push bytes as a port of this speed would deliver them."""
    out: list[Any] = []
    step = max(1, int(bytes_per_s * every_s))
    for k, at in enumerate(range(0, len(raw), step)):
        out += reader.push(Chunk(raw[at : at + step], start_s + k * every_s))
    return out


def notices(out: list[Any]) -> list[Status]:
    return [m for m in out if isinstance(m, Status) and m.state == "unrecognised"]


def n_samples(out: list[Any]) -> int:
    return sum(m.n for m in out if isinstance(m, SampleBlock))


def resample_uart(data: bytes, sent: int, read: int, idle_bits: float = 0.0) -> bytes:
    """What a receiver at ``read`` baud makes of 8N1 bytes sent at ``sent`` baud.

    A receiver waits for a falling edge, and samples the middle of each of its own bits.
    """
    line = []
    for byte in data:
        line += [0, *(byte >> k & 1 for k in range(8)), 1] + [1] * int(idle_bits)
    bits = np.array(line, np.int8)
    zeros = np.flatnonzero(bits == 0)
    ones = np.flatnonzero(bits == 1)
    ratio = sent / read  # bits of the sender per bit of the receiver
    out = bytearray()
    position = 0.0
    while True:
        at = np.searchsorted(zeros, int(position))
        if at == len(zeros):
            return bytes(out)
        edge = max(position, float(zeros[at]))
        middles = (edge + (np.arange(1, 9) + 0.5) * ratio).astype(int)
        stop = edge + 9.5 * ratio
        if stop >= len(bits):
            return bytes(out)
        out.append(sum(int(bits[m]) << k for k, m in enumerate(middles)))
        rest = np.searchsorted(ones, int(stop))  # wait for the line to rest
        if rest == len(ones):
            return bytes(out)
        position = max(stop, float(ones[rest]))


def test_the_simulated_receiver_reads_what_was_sent_at_its_own_rate() -> None:
    assert resample_uart(b"512\r\nhello\x00\xff!", 9600, 9600)[:-1] == b"512\r\nhello\x00\xff"


@pytest.mark.parametrize("size", [1, 7, 250, 4096])
@pytest.mark.parametrize("protocol", ["auto", "frames"])
def test_frames_are_recognised(protocol: str, size: int) -> None:
    reader = make_reader(protocol)
    assert reader.protocol is None
    raw = frame_stream(20)
    out: list[Any] = []
    for at in range(0, len(raw), size):
        out += reader.push(Chunk(raw[at : at + size], 0.0))
    assert reader.protocol == "frames"
    assert out[0] == BOARD
    assert n_samples(out) == reader.counters.samples == 500
    assert reader.counters.bytes == len(raw)
    assert reader.counters.discarded_bytes == 0


@pytest.mark.parametrize("size", [1, 7, 250, 4096])
@pytest.mark.parametrize("protocol", ["auto", "text"])
def test_text_is_recognised(protocol: str, size: int) -> None:
    reader = make_reader(protocol)
    raw = text_stream(500)
    out: list[Any] = []
    for at in range(0, len(raw), size):
        out += reader.push(Chunk(raw[at : at + size], 0.0))
    assert reader.protocol == "text"
    assert out[0] == Board("text")
    assert n_samples(out) == reader.counters.samples == 499
    assert reader.counters.bytes == len(raw)


@pytest.mark.parametrize("size", [1, 250, 100_000])
def test_what_comes_first_wins_whatever_the_chunks(size: int) -> None:
    for raw, name in (
        (text_stream(100) + frame_stream(20), "text"),
        (frame_stream(20) + text_stream(100), "frames"),
    ):
        reader = make_reader()
        for at in range(0, len(raw), size):
            reader.push(Chunk(raw[at : at + size], 0.0))
        assert reader.protocol == name


@pytest.mark.parametrize("protocol", ["auto", "text", "frames"])
@pytest.mark.parametrize(
    ("sent", "read"), [(9600, 115200), (115200, 9600), (9600, 57600), (57600, 115200), (115200, 57600)]
)
@pytest.mark.parametrize("kind", ["text", "flat", "leads off", "frames"])
@pytest.mark.parametrize("idle_bits", [0, 13])
def test_wrong_baud_is_never_taken_for_samples_and_is_said(
    protocol: str, sent: int, read: int, kind: str, idle_bits: int
) -> None:
    clean = {
        "text": text_stream(900),
        "flat": b"1023\r\n" * 700,
        "leads off": b"!\r\n" * 1200,
        "frames": frame_stream(60),
    }[kind]
    garbled = resample_uart(clean, sent, read, idle_bits)
    assert len(garbled) > 40
    reader = make_reader(protocol)
    out = paced(reader, garbled, len(garbled) / 5)
    out += reader.finish()
    assert n_samples(out) == 0
    assert reader.protocol is None
    said = notices(out)
    assert len(said) == 1
    assert "--baud" in said[0].text
    assert "115200" in said[0].text
    assert "\n" not in said[0].text


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1, 250, 4096]))
def test_random_bytes_are_never_recognised(seed: int, size: int) -> None:
    raw = random.Random(seed).randbytes(4000)
    reader = make_reader()
    out: list[Any] = []
    for at in range(0, len(raw), size):
        out += reader.push(Chunk(raw[at : at + size], 0.0))
    assert out + reader.finish() == []
    assert reader.protocol is None
    assert reader.counters.discarded_bytes == len(raw)


@settings(max_examples=100)
@given(st.lists(st.sampled_from(list(b"0123456789\r\n!,. -\0\xff\x80")), max_size=600).map(bytes))
def test_bytes_out_of_the_alphabet_of_text_never_raise(raw: bytes) -> None:
    for protocol in ("auto", *PROTOCOLS):
        reader = make_reader(protocol)
        reader.push(Chunk(raw, 0.0))
        reader.push(Chunk(b"", 5.0))
        reader.finish()


def test_notice_comes_after_three_seconds_and_every_ten() -> None:
    reader = make_reader()
    noise = random.Random(1).randbytes(30 * 960)
    said = notices(paced(reader, noise, 960))
    assert [round(status.time_s) for status in said] == [3, 13, 23]
    assert "printable" in said[0].text
    assert noise[2 * 960 : 4 * 960].hex(" ").find(said[0].text.split("example ")[1][:20]) >= 0
    assert said[0].counters.bytes > 2800


def test_few_bytes_or_little_time_are_no_reason_for_a_notice() -> None:
    reader = make_reader()
    assert reader.push(Chunk(b"", 0.0)) == []
    assert reader.push(Chunk(b"\xff" * 31, 100.0)) == []
    assert reader.push(Chunk(b"", 200.0)) == []
    assert reader.push(Chunk(b"\xff", 200.1)) != []
    reader = make_reader()
    assert reader.push(Chunk(b"\xff" * 5000, 100.0)) == []
    assert reader.push(Chunk(b"", 102.9)) == []
    (status,) = reader.push(Chunk(b"", 103.0))
    assert isinstance(status, Status)
    assert status.time_s == 3.0


def test_reading_goes_on_after_a_notice() -> None:
    reader = make_reader()
    assert len(notices(paced(reader, random.Random(2).randbytes(4000), 960))) == 1
    out = paced(reader, b"\n" + text_stream(200), 960, start_s=55.0)
    assert reader.protocol == "text"
    assert n_samples(out) == 200
    assert notices(out) == []


def test_a_stream_that_turns_to_garbage_is_said_and_gives_no_samples() -> None:
    for good in (text_stream(300), frame_stream(30)):
        reader = make_reader()
        out = paced(reader, good, 960)
        assert notices(out) == []
        name, before = reader.protocol, n_samples(out)
        assert name is not None
        out = paced(reader, random.Random(3).randbytes(6 * 960), 960, start_s=60.0)
        assert n_samples(out) == 0
        assert reader.counters.samples == before
        (status,) = notices(out)
        assert 10 + 1 < status.time_s < 10 + 3.6
        assert f"as {name}" in status.text


def test_a_notice_does_not_depend_on_how_bytes_of_one_moment_are_cut() -> None:
    garbage = [random.Random(k).randbytes(240) for k in range(40)]

    def heard(parts: int) -> list[Status]:
        reader = make_reader()
        out = paced(reader, frame_stream(30), 960)
        for k, block in enumerate(garbage):
            for piece in np.array_split(np.frombuffer(block, np.uint8), parts):
                out += reader.push(Chunk(piece.tobytes(), 60.0 + 0.1 * k))
        return notices(out)

    assert len(heard(1)) == 1
    assert heard(2) == heard(7) == heard(1)


@pytest.mark.parametrize("protocol", ["auto", "text"])
def test_garbage_before_recognition_is_not_held_against_what_follows(protocol: str) -> None:
    reader = make_reader(protocol)
    raw = random.Random(4).randbytes(int(2.8 * 960)) + b"\n" + text_stream(2000)
    assert notices(paced(reader, raw, 960)) == []
    assert reader.protocol == "text"


def test_a_damaged_frame_now_and_then_is_not_worth_a_notice() -> None:
    raw = frame_stream(100)
    reader = make_reader()
    damaged = bytearray(raw)
    for at in range(500, len(raw), 700):
        damaged[at] ^= 0x55
    out = paced(reader, bytes(damaged), len(raw) / 10)
    assert notices(out) == []
    assert reader.counters.bad_frames > 5


def test_the_wrong_protocol_by_name_is_told_the_right_one() -> None:
    reader = make_reader("frames")
    (status,) = notices(paced(reader, text_stream(1000), 960))
    assert "--protocol text" in status.text
    reader = make_reader("text")
    (status,) = notices(paced(reader, frame_stream(60), 690))
    assert "--protocol frames" in status.text


def test_text_without_numbers_is_told_from_a_wrong_baud_rate() -> None:
    reader = make_reader()
    (status,) = notices(paced(reader, b"Hello, I am a board without a sensor.\r\n" * 100, 960))
    assert "sketch" in status.text
    assert "'Hello, I am a board without a sensor.'" in status.text


def test_another_version_is_said_instead_of_a_wrong_baud_rate() -> None:
    raw = b"\0" + frames._seal(bytes((frames.HELLO, 2)) + b"\x01" * 40)
    reader = make_reader()
    out: list[Any] = []
    for k in range(60):
        out += reader.push(Chunk(raw if k % 50 == 0 else b"", 0.1 * k))
        out += reader.push(Chunk(b"\0" * 20, 0.1 * k))
    texts = {status.text for status in notices(out)}
    assert len(texts) == 1
    assert "version 2" in texts.pop()
    assert reader.protocol is None


def beside(row: WireProtocol, name: str) -> WireProtocol:
    return replace(row, name=name)


@pytest.mark.parametrize("size", [1, 250, 100_000])
def test_bytes_that_fit_two_layouts_are_given_to_neither_and_both_are_named(size: int) -> None:
    rows = [PROTOCOLS["text"], PROTOCOLS["frames"], beside(PROTOCOLS["text"], "lines")]
    reader = Reader(rows, rows)
    raw = text_stream(400)
    out: list[Any] = []
    for at in range(0, len(raw), size):
        out += reader.push(Chunk(raw[at : at + size], 0.0))
    out += reader.push(Chunk(b"", 30.0)) + reader.finish()
    assert n_samples(out) == 0
    assert reader.protocol is None
    texts = [status.text for status in notices(out)]
    assert len(texts) == 2  # at once, and again after ten seconds
    assert "fit text and lines" in texts[0]
    assert "--protocol" in texts[0]
    assert reader.counters.discarded_bytes == reader.counters.bytes == len(raw)


def test_another_board_after_a_restart_is_recognised_anew() -> None:
    reader = make_reader()
    out = paced(reader, frame_stream(20), 960)
    assert reader.protocol == "frames"
    out += reader.restart()
    assert reader.protocol is None
    out += paced(reader, text_stream(300), 960, start_s=60.0)
    assert reader.protocol == "text"
    out += reader.restart()
    out += paced(reader, frame_stream(20), 960, start_s=70.0)
    assert reader.protocol == "frames"
    assert [board.name for board in out if isinstance(board, Board)] == ["test board", "text", "test board"]
    assert n_samples(out) == reader.counters.samples == 500 + 299 + 500
    assert reader.counters.bytes == 2 * len(frame_stream(20)) + len(text_stream(300))


def test_a_restart_gives_out_what_was_held_back() -> None:
    reader = make_reader("chords")
    raw = b"".join(b"\xc7\x7c" + bytes([k]) + b"\x01\x00" * 6 + b"\x01" for k in range(100))
    out = reader.push(Chunk(raw, 1.0))  # held until the rate can be told
    assert n_samples(out) == 0
    out += reader.restart()
    assert n_samples(out) == reader.counters.samples == 100


def test_a_few_bytes_of_a_board_that_then_ended_are_not_lost() -> None:
    reader = make_reader()
    raw = frame_stream(1)
    assert n_samples(reader.push(Chunk(raw, 1.0)) + reader.finish()) == 25
    assert reader.protocol == "frames"


@pytest.mark.parametrize("name", [name for name, row in BOARDS.items() if row.make().protocol != "polar-h10"])
def test_every_board_is_recognised_within_two_seconds(name: str) -> None:
    speech = BOARDS[name].make()
    sent = speak(name, round(3 * speech.rate_hz))
    reader = make_reader()
    for chunk in cut(sent.chunks, 7):
        reader.push(chunk)
        if reader.protocol:
            break
    assert reader.protocol == speech.protocol
    assert chunk.arrival_s - sent.chunks[0].arrival_s < 2.0


@pytest.mark.parametrize("name", ["chords-uno-r3", "max30003", "cyton", "bitalino"])
@pytest.mark.parametrize("ratio", [0.5, 2.0, 1 / 12, 12.0])
def test_packets_at_a_wrong_baud_rate_are_never_taken_for_samples(name: str, ratio: float) -> None:
    raw = speak(name, 500).raw
    garbled = resample_uart(raw, round(9600 * ratio), 9600)
    reader = make_reader()
    out = paced(reader, garbled, max(1, len(garbled) / 5)) + reader.finish()
    assert n_samples(out) == 0
    assert reader.protocol is None


def test_table_of_protocols() -> None:
    for name, row in PROTOCOLS.items():
        assert row.name == name
        assert row.title
        assert row.baud_rates or not row.guess
        assert row.decoder().protocol is None
    with pytest.raises(UsageError, match="auto, frames, text"):
        make_reader("morse")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1,2,3,4,5,6,7,8,9\r\n", "a line reads '1,2,3,4,5,6,7,8,9', more than 8 numbers"),
        (b"all is well here\r\n", "a line reads 'all is well here', not numbers"),
    ],
)
def test_text_that_is_no_signal_is_described(line: bytes, said: str) -> None:
    reader = make_reader("auto")
    for k in range(300):
        reader.push(Chunk(line, 0.02 * k))
    assert said in reader.explain()
