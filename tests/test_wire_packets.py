"""Boards with packets: their exact bytes, losses by their counters, damage, and any chunking."""

from __future__ import annotations

import gc
import random
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest
from board_bytes import PERIOD_S, blocks, boards, cut, placed, read, signal, speak, timed
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.ports.boards import BOARDS
from ecgedge.ports.simulated import BitalinoSpeech
from ecgedge.wire import PROTOCOLS, make_reader
from ecgedge.wire.bitalino import checksum
from ecgedge.wire.polar import pack
from ecgedge.wire.protocentral import ZEROS

PACKETS = [name for name, row in BOARDS.items() if row.make().protocol not in ("text", "frames")]
COUNTED = [
    name for name in PACKETS if getattr(PROTOCOLS[BOARDS[name].make().protocol].decoder(), "MODULUS", 0)
]
SIZES = {"bitalino": 16}
"""Where a counter wraps, if not after 256."""


def protocol(name: str) -> str:
    return BOARDS[name].make().protocol


# -- exact bytes, by the boards' documents ------------------------------------------------------------


def chords_packet(counter: int, values: list[int]) -> bytes:
    return b"\xc7\x7c" + bytes([counter]) + b"".join(v.to_bytes(2, "big") for v in values) + b"\x01"


def protocentral_packet(kind: int, payload: bytes) -> bytes:
    return b"\x0a\xfa" + struct.pack("<HB", len(payload), kind) + payload + b"\x00\x0b"


def at_rate(packets: list[bytes], rate_hz: float) -> list[Chunk]:
    return timed(packets, rate_hz)


@pytest.mark.parametrize(
    ("leads", "rate_hz"), [(6, 250.0), (6, 500.0), (8, 250.0), (16, 250.0), (16, 500.0), (3, 500.0)]
)
def test_chords_leads_and_rate_are_found(leads: int, rate_hz: float) -> None:
    rows = [[(7 * k + 100 * lead) % 1024 for lead in range(leads)] for k in range(1500)]
    packets = [chords_packet(k % 256, row) for k, row in enumerate(rows)]
    out, decoder = read("chords", at_rate(packets, rate_hz))
    assert boards(out) == [Board(f"Chords, {leads} leads", rate_hz, leads=leads)]
    np.testing.assert_array_equal(list(placed(out).values()), rows)
    assert decoder.counters.discarded_bytes == 0


def test_chords_at_no_known_rate_leaves_it_to_the_clock() -> None:
    packets = [chords_packet(k % 256, [k % 1024] * 6) for k in range(1500)]
    (board,) = boards(read("chords", at_rate(packets, 120.0))[0])
    assert board.rate_hz is None


@pytest.mark.parametrize(
    ("value", "count"),
    [(b"\x00\x00\x00", 0), (b"\x00\x00\x01", 1), (b"\x7f\xff\xff", 8388607), (b"\x80\x00\x00", -8388608),
     (b"\xff\xff\xff", -1)],
)  # fmt: skip
def test_cyton_scale_and_sign(value: bytes, count: int) -> None:
    packets = [b"\xa0" + bytes([k]) + value * 8 + b"\x11" * 6 + b"\xc0" for k in range(20)]
    out, _ = read("cyton", at_rate(packets, 250.0))
    (board,) = boards(out)
    assert (board.rate_hz, board.bits, board.leads) == (250.0, 24, 8)
    assert board.uv_per_count == pytest.approx(0.02235, abs=1e-5)  # as OpenBCI's documentation has it
    assert set(placed(out).values()) == {(float(count),) * 8}


@pytest.mark.parametrize(
    ("payload", "kind", "name", "uv", "counts"),
    [
        # MAX30003: 18 bits shifted up by 14, as a number, and with the two low bits at the bottom.
        (struct.pack("<iHHHH", -5 << 14, 800, 0, 75, 0), 2, "MAX30003", 0.3815, [-5]),
        (struct.pack("<ihHHH", 70_000, 800, 0, 75, 0), 2, "MAX30003", 0.3815, [70_000]),
        (struct.pack("<IHHHH", 0x1234_0003, 800, 0, 75, 0), 2, "MAX30003", 0.3815, [0x1234 << 2 | 3]),
        (struct.pack("<iiBxxx", -20_001, 5_000, 0xFF), 2, "MAX30001", 0.3815, [-20_001]),
        (bytes(5) + struct.pack("<iHHHH", 9 << 14, 800, 0, 75, 0), 2, "MAX30003", 0.3815, [9]),
        (struct.pack("<hhhhB", -321, 12, 15, 72, 0), 2, "ADS1292R", 6.154, [-321]),
        (struct.pack("<hhhh", -321, 12, 72, 15), 2, "ADS1292R", 6.154, [-321]),
        (struct.pack("<hhiihBBBBBB", 77, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0), 2, "HealthyPi v4", 6.154, [77]),
        (struct.pack("<iiBiihBBB", -4321, 1, 0, 2, 3, 3650, 98, 70, 15), 2, "HealthyPi 5", 0.3815, [-4321]),
        (struct.pack("<8i4iBB", *range(-4, 4), 0, 0, 0, 0, 70, 15), 3, "HealthyPi 5", 0.3815, range(-4, 4)),
    ],
    ids=["max30003 up", "max30003", "max30003 odd", "max30001", "max30003 first", "ads1292r", "ads1292r 8",
         "healthypi4", "healthypi5", "healthypi5 batch"],
)  # fmt: skip
def test_protocentral_layouts(payload: bytes, kind: int, name: str, uv: float, counts: list[int]) -> None:
    raw = protocentral_packet(kind, payload) * 40
    out, decoder = read("protocentral", [Chunk(raw, 1.0)])
    (board,) = boards(out)
    assert name in board.name
    assert board.uv_per_count == pytest.approx(uv, rel=1e-3)
    assert [v for (v,) in placed(out).values()] == list(counts) * 40
    assert decoder.counters.discarded_bytes == decoder.counters.bad_frames == 0


def test_a_line_feed_in_front_of_the_first_packet_costs_nothing() -> None:
    """The firmware prints a line right before it: the bytes read 0D 0A 0A FA."""
    raw = b"Initialising the chip ...\r\n" + protocentral_packet(2, struct.pack("<i8x", 100)) * 20
    assert b"\x0a\x0a\xfa" in raw
    out, decoder = read("protocentral", cut([Chunk(raw, 1.0)], 1))
    assert len(placed(out)) == 20
    assert decoder.counters.discarded_bytes == 27


def test_other_packets_of_healthypi5_between_those_with_ecg_are_stepped_over() -> None:
    ecg = protocentral_packet(3, struct.pack("<8i18x", *range(8)))
    other = protocentral_packet(4, bytes(19))
    out, decoder = read("protocentral", [Chunk((ecg + other) * 30, 1.0)])
    assert len(placed(out)) == 240
    assert decoder.counters.bad_frames == decoder.counters.discarded_bytes == 0


def test_a_lasting_zero_is_a_loose_electrode_and_a_short_one_is_not() -> None:
    values = [50] * 40 + [0] * (ZEROS - 1) + [60] * 40 + [0] * ZEROS * 3 + [70] * 40
    raw = [protocentral_packet(2, struct.pack("<h7x", v)) for v in values]
    out, decoder = read("protocentral", at_rate(raw, 125.0))
    assert [v for (v,) in placed(out).values()] == values
    off = [k for block in blocks(out) if block.leads_off for k in range(block.first, block.first + block.n)]
    start = 40 + ZEROS - 1 + 40
    assert off == list(range(start, start + 3 * ZEROS))
    assert decoder.counters.leads_off == 3 * ZEROS


def test_healthypi4_tells_of_loose_electrodes_in_its_status() -> None:
    values = [(55, 0)] * 20 + [(56, 0x04)] * 5 + [(57, 0)] * 20
    raw = [protocentral_packet(2, struct.pack("<h17xB", v, status)) for v, status in values]
    out, _ = read("protocentral", at_rate(raw, 125.0))
    assert {v for block in blocks(out) if block.leads_off for (v,) in block.counts.tolist()} == {56}


@pytest.mark.parametrize("inputs", [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], list(range(6))])
def test_bitalino_channels_and_the_published_checksum(inputs: list[int]) -> None:
    speech = BitalinoSpeech()
    speech.hear(bytes([1 | sum(1 << (2 + k) for k in inputs)]))
    packets = speech.packets(0, signal(3000), False)
    assert {len(p) for p in packets} == {[3, 4, 6, 7, 8, 8][len(inputs) - 1]}
    for packet in packets[:50]:
        assert crc_by_the_manual(packet) == packet[-1] & 0x0F
    out, _ = read("bitalino", at_rate(packets, 1000.0))
    (board,) = boards(out)
    assert (board.rate_hz, board.leads, board.lead_names[0]) == (1000.0, len(inputs), "A1")
    rows = np.array(list(placed(out).values()))
    ecg = np.clip(np.rint(signal(3000) / board.uv_per_count) + 512, 0, 1023)
    for column, k in enumerate(inputs):
        wanted = ecg if k == 1 else np.full(3000, 512 if k < 4 else 32)
        np.testing.assert_array_equal(rows[:, column], wanted)


def crc_by_the_manual(packet: bytes) -> int:
    """As BITalino's own interfaces compute it: bit by bit, the checksum itself taken as 0."""
    crc = 0
    for k, byte in enumerate(packet):
        masked = byte & 0xF0 if k == len(packet) - 1 else byte
        for bit in range(7, -1, -1):
            crc <<= 1
            if crc & 0x10:
                crc ^= 0x03
            crc ^= masked >> bit & 1
    return crc & 0x0F


@pytest.mark.parametrize("rate_hz", [1000.0, 100.0])
def test_bitalino_rates(rate_hz: float) -> None:
    packets = BitalinoSpeech().packets(0, signal(round(4 * rate_hz)), False)
    (board,) = boards(read("bitalino", at_rate(packets, rate_hz))[0])
    assert board.rate_hz == rate_hz


def polar_notification(last: int, values: list[int], head: int = 0, kind: int = 0) -> bytes:
    time_ns = 599_616_000_000_000_000 + round(last * 1e9 / 130)
    body = b"".join(v.to_bytes(3, "little", signed=True) for v in values)
    return pack(bytes([head]) + struct.pack("<QB", time_ns, kind) + body)


def test_polar_samples_are_signed_microvolt_and_the_time_is_of_the_last() -> None:
    values = [0, 1, -1, 8_388_607, -8_388_608, 500] + [7] * 67
    out, decoder = read("polar-h10", cut([Chunk(polar_notification(72, values), 3.0)], 5))
    assert out[0] == Board("Polar H10", 130.0, 1.0, 14, 1)
    (block,) = blocks(out)
    assert block.counts[:, 0].tolist() == values
    assert block.device_us == pytest.approx(599_616_000_000_000, abs=2)  # 72 samples before its time stamp
    assert decoder.counters.samples == 73


@pytest.mark.parametrize("drift", [0.99, 1.0, 1.004])
@pytest.mark.parametrize("lost", [0, 1, 5, 40])
def test_polar_losses_are_read_from_its_clock(lost: int, drift: float) -> None:
    frames = [k for k in range(100) if not 50 <= k < 50 + lost]
    raw = b"".join(polar_notification(round((73 * k + 72) * drift), [k] * 73) for k in frames)
    out, _ = read("polar-h10", [Chunk(raw, 1.0)])
    found = placed(out)
    assert len(found) == 73 * (100 - lost)
    if any(block.estimated for block in blocks(out)):  # a crystal that far off hides which of two it was
        assert (lost, drift) == (40, 0.99)
        assert max(found) == pytest.approx(73 * 100 - 1, abs=0.02 * 73 * lost)
    else:
        assert max(found) == 73 * 100 - 1


def test_polar_notifications_that_are_no_raw_ecg_are_bad() -> None:
    good = polar_notification(72, [5] * 73)
    strange = [polar_notification(1, [5], head=2), polar_notification(1, [5], kind=0x80), pack(b"\x00" * 10),
               pack(b"\x00" * 12), pack(b"\x00"), b"\x05abc\x00"]  # fmt: skip
    out, decoder = read("polar-h10", [Chunk(good + b"".join(strange), 1.0)])
    assert len(placed(out)) == 73
    assert decoder.counters.bad_frames == len(strange)


# -- any chunking -------------------------------------------------------------------------------------


def told(out: list[Any]) -> list[Any]:
    """Messages, and in the place of blocks their samples one by one, each with its time and marks."""
    items: list[Any] = []
    for m in out:
        if not isinstance(m, SampleBlock):
            items.append(m)
            continue
        for k, row in enumerate(m.counts.tolist()):
            items.append((m.first + k, tuple(row), m.arrival_s, m.leads_off, m.estimated and k == 0))
    return items


@pytest.mark.parametrize("name", PACKETS)
@pytest.mark.parametrize("size", [1, 7, 250])
def test_the_same_for_chunks_of_any_size(name: str, size: int) -> None:
    n = round(3 * BOARDS[name].make().rate_hz)
    sent = speak(name, n, first=17)
    damaged = list(sent.packets)
    for k in (n // 2, n // 2 + 1, n - 40):
        damaged[k] = damaged[k][:-3]
    chunks = timed([b"\x0dnoise", *damaged], sent.speech.rate_hz)
    whole, decoder_whole = read(protocol(name), chunks)
    out, decoder = read(protocol(name), cut(chunks, size))
    assert told(out) == told(whole)
    assert decoder.counters == decoder_whole.counters
    assert len(placed(out)) > 0.9 * n - 80


@pytest.mark.parametrize("name", PACKETS)
def test_every_sample_arrives_and_every_byte_is_accounted_for(name: str) -> None:
    n = -(-round(4 * BOARDS[name].make().rate_hz) // 584) * 584  # whole packets of 8 and of 73
    sent = speak(name, n)
    out, decoder = read(protocol(name), sent.chunks)
    found = placed(out)
    assert list(found) == list(range(n))
    c = decoder.counters
    assert (c.bytes, c.discarded_bytes, c.bad_frames) == (len(sent.raw), 0, 0)
    (board,) = boards(out)
    assert (board.rate_hz or sent.speech.rate_hz) == sent.speech.rate_hz
    if board.uv_per_count is not None:  # the signal itself, within half a count
        lead = 1 if name == "bitalino" else 0
        middle = 512 if name == "bitalino" else 0
        got = (np.array([found[k][lead] for k in found]) - middle) * board.uv_per_count
        assert np.abs(got - signal(n)).max() <= 0.5 * board.uv_per_count + 1e-9


# -- damage where there is no counter -------------------------------------------------------------------

UNCOUNTED = [name for name in PACKETS if protocol(name) == "protocentral" and name != "healthypi5-batch"]


@pytest.mark.parametrize("name", UNCOUNTED)
def test_damaged_packets_are_told_as_lost(name: str) -> None:
    sent = speak(name, 600)
    damaged = list(sent.packets)
    for k in (200, 201, 300, 400):
        damaged[k] = bytes([damaged[k][0] ^ 8]) + damaged[k][1:]  # the head
    damaged[400] = damaged[400][:-1]  # and a byte is gone
    damaged[500] = damaged[500][:7] + damaged[500][8:]
    out, decoder = read(protocol(name), timed(damaged, sent.speech.rate_hz))
    found = placed(out)
    truth = placed(read(protocol(name), sent.chunks)[0])
    # The one without a whole head leaves nothing to tell it by.
    told = {k - (k > 400): row for k, row in truth.items() if k not in (200, 201, 300, 400, 500)}
    assert found == told
    assert decoder.counters.bad_frames == 4
    assert sum(block.estimated for block in blocks(out)) == 3


# -- losses and damage where there is a counter --------------------------------------------------------


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("lost", [1, 3, 15])
def test_a_loss_is_counted_exactly(name: str, lost: int) -> None:
    n = round(4 * BOARDS[name].make().rate_hz)
    sent = speak(name, n)
    middle = n // 2
    packets = [b"" if middle <= k < middle + lost else p for k, p in enumerate(sent.packets)]
    out, decoder = read(protocol(name), timed(packets, sent.speech.rate_hz))
    found = placed(out)
    assert sorted(set(range(n)) - set(found)) == list(range(middle, middle + lost))
    whole = placed(read(protocol(name), sent.chunks)[0])
    assert all(found[k] == whole[k] for k in found)
    assert not any(block.estimated for block in blocks(out))
    assert decoder.counters.bad_frames == 0


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("lost", [300, 1000])
def test_a_counter_that_wrapped_is_completed_by_arrival_times(name: str, lost: int) -> None:
    rate_hz = BOARDS[name].make().rate_hz
    lost = lost if rate_hz < 1000 else 4 * lost  # a silence long enough to be one
    n = round(4 * rate_hz) + lost
    sent = speak(name, n)
    middle = round(2.1 * rate_hz)
    packets = [b"" if middle <= k < middle + lost else p for k, p in enumerate(sent.packets)]
    chunks = timed(packets, rate_hz)
    out, _ = read(protocol(name), [c for c in chunks if c.data])
    gone = set(range(n)) - set(placed(out))
    modulus = SIZES.get(name, 256)
    if modulus == 256:
        assert gone == set(range(middle, middle + lost))
    else:  # to within the unrest of arrival times, and exactly modulo the counter
        assert len(gone) % modulus == lost % modulus
        assert abs(len(gone) - lost) <= PERIOD_S * rate_hz + modulus
    assert sum(block.estimated for block in blocks(out)) == 1


@pytest.mark.parametrize("name", COUNTED)
def test_a_stall_of_the_host_loses_nothing(name: str) -> None:
    """Bytes of 8 s arrive at once: the backlog makes up for the pause."""
    rate_hz = BOARDS[name].make().rate_hz
    n = round(14 * rate_hz)
    sent = speak(name, n)
    late = [Chunk(c.data, 110.0 if 102.0 < c.arrival_s < 110.0 else c.arrival_s) for c in sent.chunks]
    out, _ = read(protocol(name), late)
    assert list(placed(out)) == list(range(n))
    assert not any(block.estimated for block in blocks(out))


@pytest.mark.parametrize("name", COUNTED)
def test_a_block_received_twice_is_dropped(name: str) -> None:
    rate_hz = BOARDS[name].make().rate_hz
    n = round(4 * rate_hz)
    sent = speak(name, n)
    packets = list(sent.packets)
    middle = n // 2
    packets[middle] += b"".join(packets[middle - 4 : middle + 1])
    out, decoder = read(protocol(name), timed(packets, rate_hz))
    assert list(placed(out)) == list(range(n))
    assert decoder.counters.bad_frames == 5


@pytest.mark.parametrize("name", ["chords-uno-r3", "cyton"])
def test_a_damaged_counter_costs_its_packet_only(name: str) -> None:
    n = 1000
    sent = speak(name, n)
    packets = list(sent.packets)
    at = 2 if name.startswith("chords") else 1
    packets[500] = packets[500][:at] + bytes([packets[500][at] ^ 0x40]) + packets[500][at + 1 :]
    out, decoder = read(protocol(name), timed(packets, 250.0))
    assert sorted(set(range(n)) - set(placed(out))) == [500]
    assert decoder.counters.bad_frames == 1


@pytest.mark.parametrize("name", COUNTED)
def test_missing_bytes_never_give_a_sample_that_was_not_sent(name: str) -> None:
    rate_hz = BOARDS[name].make().rate_hz
    n = round(6 * rate_hz)
    sent = speak(name, n)
    rng = random.Random(3)
    packets = list(sent.packets)
    for k in rng.sample(range(200, n - 200), 40):
        at = rng.randrange(len(packets[k]))
        packets[k] = packets[k][:at] + packets[k][at + 1 :]
    out, _ = read(protocol(name), timed(packets, rate_hz))
    truth = placed(read(protocol(name), sent.chunks)[0])
    found = placed(out)
    assert all(found[k] == truth[k] for k in found)
    assert n - 40 * 4 <= len(found) <= n - 40


def test_bitalino_checksum_keeps_single_bit_errors_out() -> None:
    sent = speak("bitalino", 4000)
    truth = placed(read("bitalino", sent.chunks)[0])
    rng = random.Random(1)
    packets = list(sent.packets)
    hit = rng.sample(range(100, 3900), 60)
    for k in hit:
        flipped = bytearray(packets[k])
        bit = rng.randrange(8 * len(flipped))
        flipped[bit // 8] ^= 1 << bit % 8
        packets[k] = bytes(flipped)
    found = placed(read("bitalino", timed(packets, 1000.0))[0])
    assert all(found[k] == truth[k] for k in found)
    assert len(found) >= 4000 - 3 * 60


# -- whatever arrives ---------------------------------------------------------------------------------

PIECES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([n for n in PACKETS if n != "chords-mega"]).map(lambda n: speak(n, 20).raw),
    st.sampled_from([b"\xc7\x7c", b"\x0a\xfa\x0c\x00\x02", b"\xa0", b"\x00\x0b", b"\x01", bytes(40)]),
)


@pytest.mark.parametrize("name", ["chords", "protocentral", "cyton", "bitalino", "polar-h10"])
@settings(max_examples=60)
@given(st.lists(PIECES, max_size=12), st.sampled_from([1, 7, 250]))
def test_whatever_arrives_nothing_raises_and_every_byte_is_counted(
    name: str, pieces: list[bytes], size: int
) -> None:
    chunks = [Chunk(piece, k / 10) for k, piece in enumerate(pieces)]
    out, decoder = read(name, cut(chunks, size))
    whole, other = read(name, chunks)
    assert told(out) == told(whole)
    assert decoder.counters == other.counters
    c = decoder.counters
    assert c.bytes == sum(map(len, pieces))
    assert 0 <= c.discarded_bytes <= c.bytes
    assert c.samples == sum(block.n for block in blocks(out))
    assert c.samples == 0 or decoder.protocol == name


@pytest.mark.parametrize("name", ["chords", "protocentral", "cyton", "bitalino", "polar-h10"])
def test_memory_is_bounded(name: str) -> None:
    decoder = PROTOCOLS[name].decoder()
    rng = random.Random(9)
    sync = {"chords": b"\xc7\x7c", "protocentral": b"\x0a\xfa\x32\x00\x03", "cyton": b"\xa0"}.get(
        name, b"\x01"
    )
    for _ in range(50):
        decoder.push(Chunk(sync * 200 + rng.randbytes(500), 0.0))
    held = decoder.counters.bytes - decoder.counters.discarded_bytes
    assert held < 1100


@pytest.mark.parametrize("name", [*sorted(PROTOCOLS), "auto"])
def test_garbage_for_ever_takes_no_memory(name: str) -> None:
    reader, rng = make_reader(name), random.Random(3)

    def take(pushes: range) -> int:
        for k in pushes:
            reader.push(Chunk(rng.randbytes(23), 0.02 * k))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = take(range(1500))
        grown = take(range(1500, 4500)) - before
    finally:
        tracemalloc.stop()
    assert grown < 24_000, "8 bytes a push would be as many"


def test_checksum_of_bitalino_is_that_of_its_manual() -> None:
    rng = random.Random(2)
    for _ in range(200):
        body = rng.randbytes(7) + bytes([rng.randrange(16) << 4])
        assert checksum(body) == crc_by_the_manual(body)
