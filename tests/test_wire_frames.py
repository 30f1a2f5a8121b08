"""Frames: any chunking, damage, wraps, restarts, exact counters."""

from __future__ import annotations

import tracemalloc
from binascii import crc_hqx
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgedge.messages import Board, Chunk, SampleBlock, Status
from ecgedge.wire import cobs, frames
from ecgedge.wire.frame_decoder import HOLD_S, FrameDecoder

BOARD = Board("test board", 250.0, 4.5, 16, 1)
US = 4000  # of a sample at 250 Hz


def ramp(first: int, n: int = 25, leads: int = 1) -> np.ndarray:
    return (np.arange(first, first + n)[:, None] * np.ones(leads, int) % 30_000).astype(np.int64)


def data(first: int, n: int = 25, leads: int = 1, **options: Any) -> bytes:
    return frames.encode_data(first, first * US, ramp(first, n, leads), **options)


def stream(count: int, start: int = 0) -> bytes:
    """Hello and ``count`` frames of a ramp."""
    hello = frames.encode_hello(BOARD, next_index=start, device_us=start * US)
    return b"\0" + hello + b"".join(data(start + 25 * k) for k in range(count))


def read(raw: bytes, size: int = 4096, decoder: FrameDecoder | None = None) -> tuple[list[Any], FrameDecoder]:
    decoder = decoder or FrameDecoder()
    out: list[Any] = []
    for start in range(0, len(raw), size):
        out += decoder.push(Chunk(raw[start : start + size], 1.0))
    return out, decoder


def blocks(out: list[Any]) -> list[SampleBlock]:
    return [message for message in out if isinstance(message, SampleBlock)]


def spans(out: list[Any]) -> list[Any]:
    """Messages, with the first index and the one past the last in the place of a block; empty ones left out.

    Blocks that follow each other are joined: what arrived together may come as one or as several.
    """
    found: list[Any] = []
    for m in out:
        if not isinstance(m, SampleBlock):
            found.append(m)
        elif m.n and found and isinstance(found[-1], tuple) and found[-1][1:] == (m.first, m.leads_off):
            found[-1] = (found[-1][0], m.first + m.n, m.leads_off)
        elif m.n:
            found.append((m.first, m.first + m.n, m.leads_off))
    return [m[:2] if isinstance(m, tuple) else m for m in found]


@pytest.mark.parametrize("size", [1, 7, 250, 4096])
def test_the_same_for_chunks_of_any_size(size: int) -> None:
    raw = b"\x07half a frame" + stream(80) + b"garbage\0" + data(2000) + data(2025, leads_off=1) + b"\x05cut"
    whole, decoder_whole = read(raw, len(raw))
    out, decoder = read(raw, size)
    decoder.finish()
    decoder_whole.finish()
    assert spans(out) == spans(whole) == [BOARD, (0, 2025), (2025, 2050)]
    assert decoder.counters == decoder_whole.counters
    assert all(b.indexed and b.device_us == b.first * US for b in blocks(out))
    assert [b.first for b in blocks(out) if b.leads_off] == [2025]
    np.testing.assert_array_equal(np.concatenate([b.counts for b in blocks(out)]), ramp(0, 2050))


def test_partial_first_frame_is_discarded_and_not_held_against_the_sender() -> None:
    raw = stream(4)
    for lost in range(2, 60):
        out, decoder = read(raw[lost:] + frames.encode_hello(BOARD, next_index=100))
        decoder.finish()
        c = decoder.counters
        assert c.bad_frames == 0
        got = np.concatenate([b.counts for b in blocks(out)])
        np.testing.assert_array_equal(got, ramp(100 - len(got), len(got)))
        assert c.discarded_bytes < len(frames.encode_hello(BOARD)) + len(data(0))


def test_every_single_flipped_bit_is_caught_and_the_next_frame_read() -> None:
    victim = data(25)
    before, after = stream(1), data(50)
    for bit in range(8 * len(victim)):
        damaged = bytearray(victim)
        damaged[bit // 8] ^= 1 << bit % 8
        out, decoder = read(before + bytes(damaged) + after + data(75))
        # A damaged delimiter takes the next frame with it, never more.
        lost_to = 75 if bit // 8 == len(victim) - 1 else 50
        assert spans(out) == [BOARD, (0, 25), (lost_to, 100)]
        assert decoder.counters.bad_frames >= 1


def test_counters_account_for_every_byte_and_sample() -> None:
    garbage = b"\x09these are not frames\0"
    cut = data(25)[:-9] + b"\0"
    long = b"\x01" * 5000 + b"\0"
    raw = stream(1) + garbage + cut + data(50) + long + b"\0\0\0" + data(75) + b"\x0bunfinished"
    out, decoder = read(raw, 100)
    assert decoder.counters.bytes == len(raw)
    assert decoder.counters.discarded_bytes == len(garbage) + len(cut) + len(long)
    decoder.finish()
    c = decoder.counters
    consumed = len(stream(1)) + 2 * len(data(50)) + 3
    assert len(data(50)) == len(data(75))
    assert c.bytes == consumed + c.discarded_bytes
    assert (c.frames, c.bad_frames, c.samples, c.lost) == (4, 3, 75, 0)
    assert sum(b.n for b in blocks(out)) == c.samples


def test_endless_garbage_takes_no_memory() -> None:
    decoder = FrameDecoder()
    chunk = Chunk(b"\x55" * 4096, 0.0)
    decoder.push(chunk)
    tracemalloc.start()
    for _ in range(500):
        decoder.push(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024
    assert decoder.counters.discarded_bytes == 501 * 4096


def test_index_wraps_at_two_to_the_32() -> None:
    start = 2**32 - 40
    out, _ = read(stream(4, start))
    assert spans(out) == [BOARD, (start, start + 100)]
    late, decoder = read(b"", 1, None)
    assert late == []
    # Several times round, in steps of just under half the range.
    step = 2**31 - 1
    raw = frames.encode_hello(BOARD) + b"".join(data(k * step, 1) for k in range(7))
    out, decoder = read(b"\0" + raw, decoder=decoder)
    assert [b.first for b in blocks(out)] == [k * step for k in range(7)]


def test_device_time_wraps_and_long_pauses_are_resolved_by_the_index() -> None:
    raw = b"\0" + frames.encode_hello(BOARD)
    firsts = [0, 250, 250 * 3600, 250 * 3600 * 2, 250 * 3600 * 12]  # seconds, then pauses of 1 h and 10 h
    raw += b"".join(data(first) for first in firsts)
    out, _ = read(raw)
    assert [b.device_us for b in blocks(out)] == [first * US for first in firsts]


def test_a_lost_frame_shows_as_a_jump_of_the_index() -> None:
    out, decoder = read(stream(2) + data(75))
    assert spans(out) == [BOARD, (0, 50), (75, 100)]
    assert decoder.counters.lost == 0  # the clock counts it, from the jump


def test_repeated_hello_is_swallowed() -> None:
    raw = stream(3) + frames.encode_hello(BOARD, next_index=75) + data(75)
    raw += frames.encode_hello(BOARD, next_index=150) + data(150)
    out, decoder = read(raw)
    assert [m for m in out if isinstance(m, Board)] == [BOARD]
    assert decoder.counters.frames == 8


def test_changed_hello_is_passed_on_and_the_index_goes_on() -> None:
    faster = Board("test board", 500.0, 4.5, 16, 1)
    out, _ = read(stream(2) + frames.encode_hello(faster, next_index=50) + data(50))
    assert spans(out) == [BOARD, (0, 50), faster, (50, 75)]


def test_restart_told_by_hello_comes_as_a_second_board() -> None:
    out, _ = read(stream(4) + stream(2))
    assert spans(out) == [BOARD, (0, 100), BOARD, (0, 50)]
    assert [b.device_us for b in blocks(out)[-2:]] == [0, 25 * US]  # the first after a restart stays alone


def test_restart_far_up_in_the_index_is_told_by_hello_too() -> None:
    out, _ = read(stream(2, 2**32 - 10) + data(40) + stream(1))
    assert spans(out) == [BOARD, (2**32 - 10, 2**32 + 65), BOARD, (0, 25)]


def test_restart_that_only_the_boot_counter_shows() -> None:
    first = frames.encode_hello(BOARD, boot=7)
    again = frames.encode_hello(BOARD, boot=8, next_index=500)
    out, _ = read(b"\0" + first + data(0) + again + data(500))
    assert [m if isinstance(m, Board) else m.first for m in out] == [BOARD, 0, BOARD, 500]


def test_restart_without_its_hello_shows_as_an_index_that_falls_back_and_is_told_once() -> None:
    first = frames.encode_hello(BOARD, boot=7, next_index=1000)
    late = frames.encode_hello(BOARD, boot=8, next_index=50)
    out, _ = read(b"\0" + first + data(1000) + data(1025) + data(0) + data(25) + late + data(50))
    assert spans(out) == [BOARD, (1000, 1050), (0, 75)]
    assert [b.device_us for b in blocks(out)] == [1000 * US, 1025 * US, 0, 25 * US]


def test_data_before_the_hello_waits_for_it() -> None:
    decoder = FrameDecoder()
    out: list[Any] = []
    for k in range(40):
        out += decoder.push(Chunk((b"\0" if k == 0 else b"") + data(25 * k), 0.1 * k))
    assert blocks(out) == []
    assert [m.state for m in out] == ["waiting"]
    assert "hello" in out[0].text
    out = decoder.push(Chunk(frames.encode_hello(BOARD, next_index=1000), 4.0))
    assert out[0] == BOARD
    assert [b.first for b in blocks(out)] == [25 * k for k in range(40)]
    assert [b.arrival_s for b in blocks(out)] == [0.1 * k for k in range(40)]
    assert decoder.counters.samples == 1000
    assert decoder.counters.lost == 0


def test_data_without_any_hello_is_held_for_ten_seconds_only() -> None:
    decoder = FrameDecoder()
    sent = 0
    for k in range(300):
        decoder.push(Chunk((b"\0" if k == 0 else b"") + data(25 * k), 0.1 * k))
        sent += 25
    out = decoder.push(Chunk(frames.encode_hello(BOARD, next_index=sent), 30.0))
    kept = blocks(out)
    assert kept[-1].arrival_s - kept[0].arrival_s == pytest.approx(HOLD_S, abs=0.11)
    assert decoder.counters.samples + decoder.counters.lost == sent
    unheard = FrameDecoder()
    unheard.push(Chunk(b"\0" + data(0), 0.0))
    assert unheard.finish() == []
    assert unheard.counters.lost == 25


def test_one_loose_lead_of_three_is_not_a_number_and_the_others_stay() -> None:
    board = Board("three", 250.0, None, None, 3)
    out, _ = read(b"\0" + frames.encode_hello(board) + data(0, 5, 3, leads_off=0b010))
    (block,) = blocks(out)
    assert not block.leads_off
    assert np.isnan(block.counts[:, 1]).all()
    np.testing.assert_array_equal(block.counts[:, [0, 2]], ramp(0, 5, 3)[:, [0, 2]])


def test_frames_with_another_number_of_leads_than_the_hello_are_malformed() -> None:
    out, decoder = read(stream(1) + data(25, 5, 2) + data(30))
    assert [b.first for b in blocks(out)] == [0, 30]
    assert decoder.counters.bad_frames == 1


def test_a_name_cannot_steer_a_terminal() -> None:
    out, _ = read(b"\0" + frames.encode_hello(Board("bo\x1b[31mard\n", 250.0)))
    assert out[0].name == "bo?[31mard?"


@pytest.mark.parametrize(
    "call",
    [
        lambda: frames.encode_data(0, 0, np.zeros((119, 1), int)),
        lambda: frames.encode_data(0, 0, np.zeros((0, 1), int)),
        lambda: frames.encode_data(0, 0, np.array([[32768]])),
        lambda: frames.encode_data(0, 0, np.array([[-(2**23) - 1]]), 24),
        lambda: frames.encode_data(0, 0, np.array([[0.5]])),
        lambda: frames.encode_data(0, 0, np.zeros((1, 17), int)),
        lambda: frames.encode_data(0, 0, np.zeros((1, 1), int), 16, 2),
        lambda: frames.encode_data(0, 0, np.zeros((1, 1), int), 12),
        lambda: frames.encode_hello(Board("x", 1e9)),
        lambda: frames.encode_hello(Board("x", 0.0)),
        lambda: frames.encode_hello(Board("x", 250.0, float("nan"))),
        lambda: frames.encode_hello(Board("x", 250.0, leads=17)),
        lambda: frames.command_rate(0.0),
    ],
)
def test_encoder_refuses_what_does_not_fit(call: Any) -> None:
    with pytest.raises(ValueError, match=r"fit|expected|leads|reshape"):
        call()


@pytest.mark.parametrize(("leads", "bits", "most"), [(1, 16, 118), (1, 24, 79), (12, 16, 9), (12, 24, 6)])
def test_clause_4_8_most_samples_of_a_frame(leads: int, bits: int, most: int) -> None:
    assert frames.max_samples(leads, bits) == most
    whole = frames.encode_data(0, 0, np.ones((most, leads), int), bits)
    assert len(whole) <= 256
    with pytest.raises(ValueError, match="fit"):
        frames.encode_data(0, 0, np.ones((most + 1, leads), int), bits)


def valid_units(raw: bytes) -> int:
    """Frames with a right checksum in these bytes, counted without the decoder."""
    count = 0
    for unit in raw.split(b"\0")[:-1]:
        body = cobs.decode(unit)
        if body and len(body) >= 4 and crc_hqx(body[:-2], 0xFFFF) == int.from_bytes(body[-2:], "little"):
            count += 1
    return count


PIECES = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([stream(1), data(0), data(25), data(2**32 - 5), frames.encode_hello(BOARD), b"\0"]),
    st.binary(min_size=2, max_size=60).map(lambda b: frames._seal(bytes((2, 1)) + b)),
    st.binary(min_size=2, max_size=60).map(lambda b: frames._seal(bytes((1, 1)) + b)),
    st.binary(min_size=2, max_size=60).map(frames._seal),
)


@given(st.lists(PIECES, max_size=12), st.sampled_from([1, 7, 250, 4096]))
def test_whatever_arrives_nothing_raises_and_no_sample_lacks_a_checksum(
    pieces: list[bytes], size: int
) -> None:
    raw = b"".join(pieces)
    out, decoder = read(raw, size)
    end = decoder.finish()
    c = decoder.counters
    assert all(isinstance(m, SampleBlock) and m.n == 0 for m in end)
    assert c.frames <= valid_units(raw)
    assert len([b for b in blocks(out) if b.n]) <= c.frames
    assert c.samples == sum(b.n for b in blocks(out))
    assert c.bytes == len(raw)
    assert 0 <= c.discarded_bytes <= c.bytes
    assert all(np.isfinite(b.counts).all() or b.counts.shape[1] > 1 for b in blocks(out))
    again, other = read(raw, 3)
    other.finish()
    assert spans([m for m in again if not isinstance(m, Status)]) == spans(
        [m for m in out if not isinstance(m, Status)]
    )
    values = [[v for b in blocks(one) for row in b.counts.tolist() for v in row] for one in (again, out)]
    np.testing.assert_array_equal(*values)
    assert other.counters == c


@given(st.data())
def test_round_trip(draw: st.DataObject) -> None:
    bits = draw.draw(st.sampled_from([16, 24]))
    leads = draw.draw(st.integers(1, 16))
    n = draw.draw(st.integers(1, frames.max_samples(leads, bits)))
    limit = 1 << (bits - 1)
    values = draw.draw(st.lists(st.integers(-limit, limit - 1), min_size=n * leads, max_size=n * leads))
    counts = np.array(values).reshape(n, leads)
    index, time = draw.draw(st.integers(0, 2**32 - 1)), draw.draw(st.integers(0, 2**32 - 1))
    name = draw.draw(st.text(st.characters(categories=["L", "N"]), max_size=10))
    rate = draw.draw(st.integers(1, 2**32 - 1)) / 1000
    scale = draw.draw(st.floats(2.0**-20, 2.0**20, width=32))
    board = Board(name, rate, scale, draw.draw(st.integers(1, 32)), leads)
    raw = frames.encode_hello(board, next_index=index) + frames.encode_data(index, time, counts, bits)
    out, _ = read(raw, draw.draw(st.integers(1, 300)))
    assert out[0] == board
    np.testing.assert_array_equal(out[1].counts, counts)
    assert (out[1].first, out[1].device_us) == (index, time)


def positions(messages: list[Any]) -> list[int]:
    """Indices told by empty blocks."""
    return [m.first for m in messages if isinstance(m, SampleBlock) and not m.n]


@pytest.mark.parametrize("start", [0, 2**32 - 10])
def test_clause_6_6_what_is_missing_before_the_first_and_after_the_last_frame(start: int) -> None:
    hello = [frames.encode_hello(BOARD, next_index=start, streaming=s) for s in (False, True)]
    last = frames.encode_hello(BOARD, next_index=start + 100, streaming=False)
    out, decoder = read(b"".join((*hello, data(start + 50), last)))
    assert positions(out)[0] == start
    assert [b.first for b in blocks(out) if b.n] == [start + 50]
    assert positions(decoder.finish()) == [start + 75, start + 100]


def test_clause_6_6_a_hello_of_a_streaming_board_promises_nothing_at_the_end() -> None:
    """Also one that is ahead of the data: the board still held those samples."""
    raw = frames.encode_hello(BOARD, next_index=60) + data(50) + frames.encode_hello(BOARD, next_index=90)
    out, decoder = read(raw + data(75))
    assert positions(out) == positions(decoder.finish()) == []
    assert spans(blocks(out)) == [(50, 100)]


@pytest.mark.parametrize(
    ("leads", "bits", "size"), [(1, 16, 25), (3, 16, 25), (1, 24, 36), (2, 24, 7), (1, 16, 118)]
)
def test_a_run_is_encoded_as_its_frames_are_one_by_one(leads: int, bits: int, size: int) -> None:
    """Zeros at every place, and the longest frame, which COBS encodes in another way."""
    counts = np.random.default_rng(1).integers(-3, 4, (500, leads)) * 64
    single = [
        frames.encode_data(40 + at, (40 + at) * US, counts[at : at + size], bits, 1)
        for at in range(0, 500, size)
    ]
    assert frames.encode_run(40, 250.0, counts, size, bits, 1) == single
