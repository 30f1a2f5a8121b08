"""The firmware's C against this package's Python: the same bytes, the same commands, the same samples.

Everything here runs twice: as it is, and, in a process of its own, under the address and undefined-behaviour
sanitizers.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_tools import BRIDGE, SOURCES, needs, run, sanitized

from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.wire import frames
from ecgedge.wire.frame_decoder import FrameDecoder

GOLDEN: list[dict[str, Any]] = json.loads((BRIDGE / "golden_frames" / "golden.json").read_text())["frames"]
WRITTEN = [
    frame
    for frame in GOLDEN
    if frame["outcome"] == "ok" and frame["direction"] == "board" and "later" not in frame["name"]
]
"""What a board of this revision sends."""
KINDS = {0x81: "hello", 0x82: "start", 0x83: "stop", 0x84: "rate"}
RANDOM_FRAMES = 100_000


@pytest.fixture(scope="module")
def c(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Return the library, compiled for this machine."""
    needs("gcc")
    library = tmp_path_factory.mktemp("c") / "library.so"
    flags = ["-std=gnu99", "-O2", "-g", "-shared", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Werror"]
    if sanitized():
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    shim = Path(__file__).with_name("firmware_shim.c")
    run("gcc", *flags, "-I", BRIDGE / "src", shim, *SOURCES, "-o", library)
    made = ctypes.CDLL(str(library))
    made.ecgedge_crc16.restype = ctypes.c_uint16
    made.shim_sent.restype = ctypes.c_void_p
    return made


def c_data(c: ctypes.CDLL, index: int, time_us: int, counts: np.ndarray, width: int, off: int) -> bytes:
    frame = ctypes.create_string_buffer(256)
    values = np.ascontiguousarray(counts, np.int32)
    n, leads = values.shape
    size = c.shim_data(frame, ctypes.c_uint32(index), ctypes.c_uint32(time_us), off, leads, width, n,
                       values.ctypes.data_as(ctypes.c_void_p))  # fmt: skip
    return frame.raw[:size]


def c_hello(c: ctypes.CDLL, fields: dict[str, Any]) -> bytes:
    frame = ctypes.create_string_buffer(64)
    name = fields["name"].encode()
    size = c.shim_hello(frame, ctypes.c_uint32(fields["rate_mhz"]), ctypes.c_float(fields["scale"]),
                        fields["bits"], fields["leads"], fields["flags"], fields["boot"],
                        ctypes.c_uint32(fields["next_index"]), ctypes.c_uint32(fields["time"]),
                        name, len(name))  # fmt: skip
    return frame.raw[:size]


def c_parse(c: ctypes.CDLL, data: bytes) -> list[frames.Command]:
    most = len(data) // 5 + 1
    kinds, rates = np.zeros(most, np.uint8), np.zeros(most, np.uint32)
    n = c.shim_parse(data, len(data), kinds.ctypes.data_as(ctypes.c_void_p),
                     rates.ctypes.data_as(ctypes.c_void_p))  # fmt: skip
    return [
        frames.Command(KINDS[kind], rate / 1000 if KINDS[kind] == "rate" else None)  # type: ignore[arg-type]
        for kind, rate in zip(kinds[:n].tolist(), rates[:n].tolist(), strict=True)
    ]


def decode(data: bytes) -> tuple[list[Any], FrameDecoder]:
    decoder = FrameDecoder()
    return decoder.push(Chunk(data, 0.0)) + decoder.finish(), decoder


def samples_of(messages: list[Any]) -> dict[int, float]:
    """First lead's value by index, and no index twice."""
    found: dict[int, float] = {}
    for block in messages:
        if isinstance(block, SampleBlock):
            for k, value in enumerate(block.counts[:, 0].tolist()):
                assert block.first + k not in found
                found[block.first + k] = value
    return found


# ------------------------------------------------------------------------------------ frames, parser


def test_clause_1_3_checksum_has_the_published_check_value(c: ctypes.CDLL) -> None:
    assert c.ecgedge_crc16(b"123456789", 9) == 0x29B1


@pytest.mark.parametrize("golden", WRITTEN, ids=lambda g: g["name"])
def test_clauses_3_and_4_golden_frames_byte_by_byte(c: ctypes.CDLL, golden: dict[str, Any]) -> None:
    fields = golden["fields"]
    if fields["type"] == "hello":
        assert c_hello(c, fields).hex() == golden["wire"]
    else:
        counts = np.array(fields["samples"]).reshape(-1, fields["leads"])
        made = c_data(c, fields["index"], fields["time"], counts, fields["width"], fields["off"])
        assert made.hex() == golden["wire"]


@pytest.mark.parametrize("golden", [g for g in GOLDEN if g["direction"] == "host"], ids=lambda g: g["name"])
def test_clause_5_golden_commands(c: ctypes.CDLL, golden: dict[str, Any]) -> None:
    found = c_parse(c, b"what came before\0" + bytes.fromhex(golden["wire"]))
    if golden["outcome"] != "ok":
        assert found == []
    else:
        rate = golden["fields"].get("rate_mhz")
        kind = golden["fields"]["type"]
        assert found == [frames.Command(kind, None if rate is None else rate / 1000)]


@pytest.mark.parametrize("golden", [g for g in GOLDEN if g["direction"] == "board"], ids=lambda g: g["name"])
def test_clause_5_4_a_board_ignores_what_boards_say(c: ctypes.CDLL, golden: dict[str, Any]) -> None:
    assert c_parse(c, bytes.fromhex(golden["wire"])) == []


def test_random_data_frames_are_those_of_python_and_come_back(c: ctypes.CDLL) -> None:
    rng, chance = np.random.default_rng(1), random.Random(1)
    pool = rng.integers(-(1 << 23), 1 << 23, 1 << 16) * rng.integers(0, 2, 1 << 16)  # zeros: COBS has work
    made, sent = [], []
    index = 0
    for _ in range(RANDOM_FRAMES):
        leads, width = chance.choice((1, 1, 1, 2, 3, 12, 16)), chance.choice((2, 3))
        most = frames.max_samples(leads, 8 * width)
        n = most if chance.random() < 0.01 else chance.randint(1, min(most, 6))
        start = chance.randrange(len(pool) - n * leads)
        counts = pool[start : start + n * leads].reshape(n, leads) >> (24 - 8 * width)
        time_us = chance.getrandbits(32)
        off = chance.getrandbits(leads) if chance.random() < 0.1 else 0
        mine = c_data(c, index, time_us, counts, width, off)
        assert mine == frames.encode_data(index, time_us, counts, 8 * width, off)
        if leads == 1:
            made.append(mine)
            sent.append((index, counts[:, 0], off))
            index += n
    hello = b"\0" + frames.encode_hello(Board("random", 250.0, 1.0, 24, 1))
    out, decoder = decode(hello + b"".join(made))
    assert decoder.counters.bad_frames == decoder.counters.discarded_bytes == 0
    got = np.concatenate([block.counts[:, 0] for block in out if isinstance(block, SampleBlock)])
    np.testing.assert_array_equal(got, np.concatenate([values for _, values, _ in sent]))
    assert decoder.counters.lost == 0
    assert decoder.counters.leads_off == sum(len(values) for _, values, off in sent if off)


def test_random_hello_frames_come_back(c: ctypes.CDLL) -> None:
    rng = np.random.default_rng(2)
    for _ in range(2000):
        name = "".join(rng.choice(list("abc ü∞"), int(rng.integers(0, 9))))
        fields = {
            "rate_mhz": int(rng.integers(1, 1 << 32)), "scale": float(np.float32(rng.uniform(0.001, 100))),
            "bits": int(rng.integers(1, 33)), "leads": int(rng.integers(1, 17)),
            "flags": int(rng.integers(4)), "boot": int(rng.integers(1 << 16)),
            "next_index": int(rng.integers(1 << 32)), "time": int(rng.integers(1 << 32)), "name": name,
        }  # fmt: skip
        out, decoder = decode(b"\0" + c_hello(c, fields))
        rate = fields["rate_mhz"] / 1000
        assert out[0] == Board(name, rate, fields["scale"], fields["bits"], fields["leads"])
        assert decoder.counters.discarded_bytes == 0


def test_random_commands_damaged_or_not_are_understood_as_by_python(c: ctypes.CDLL) -> None:
    chance = random.Random(3)
    pieces = []
    for _ in range(RANDOM_FRAMES):
        kind = chance.randrange(6)
        if kind < 3:
            piece = (frames.command_hello, frames.command_start, frames.command_stop)[kind]()
        elif kind == 3:
            piece = frames.command_rate(chance.randint(1, (1 << 32) - 1) / 1000)
        elif kind == 4:
            piece = chance.randbytes(chance.randint(1, 40))
        else:  # a right checksum around anything
            content = bytes([chance.randint(0x80, 0x86), chance.randint(1, 2)])
            piece = b"\0" + frames._seal(content + chance.randbytes(chance.choice([0, 0, 1, 3, 4, 4, 5, 12])))
        if chance.random() < 0.1:
            damaged = bytearray(piece)
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            piece = bytes(damaged)
        pieces.append(piece)
    data = b"".join(pieces)
    expected = frames.CommandDecoder().push(data)
    assert len(expected) > RANDOM_FRAMES // 3
    assert c_parse(c, data) == expected


def test_clause_5_1_6_a_parser_drops_what_is_too_long_and_finds_the_next(c: ctypes.CDLL) -> None:
    for size in (8, 9, 10, 255, 256, 257, 600):
        data = b"\0" + b"\x01" * size + frames.command_start()
        assert c_parse(c, data) == [frames.Command("start")]


# ------------------------------------------------------------------------------------ a whole board


def sent(c: ctypes.CDLL) -> bytes:
    """What the board sent since the last call."""
    size = ctypes.c_uint32()
    start = c.shim_sent(ctypes.byref(size))
    return ctypes.string_at(start, size.value) if size.value else b""


class CBoard:
    """The shim's board. A sample's value tells its index."""

    def __init__(
        self, c: ctypes.CDLL, slots: int = 3, samples: int = 5, leads: int = 1, width: int = 2, first: int = 0
    ) -> None:
        self.c, self.leads = c, leads
        self.index, self.now_us = first, 0
        c.shim_board(slots, samples, leads, width, ctypes.c_uint32(first))

    def put(self, n: int = 1, off: int = 0) -> None:
        for _ in range(n):
            values = (ctypes.c_int32 * self.leads)(*[(self.index + k) % 20011 for k in range(self.leads)])
            self.c.shim_put(values, off, ctypes.c_uint32(self.now_us & 0xFFFFFFFF))
            self.index += 1
            self.now_us += 4000

    def poll(self) -> bytes:
        self.c.shim_poll(ctypes.c_uint32(self.now_us & 0xFFFFFFFF))
        return sent(self.c)

    def hear(self, data: bytes) -> None:
        self.c.shim_receive(data, len(data))


def hellos(data: bytes) -> list[tuple[bool, int, float]]:
    """Of every hello: whether it says streaming, the next index, the rate."""
    found = []
    for unit in data.split(b"\0"):
        content = frames.open_frame(unit) if unit else None
        if content is not None and content[0] == frames.HELLO:
            _, _, rate, _, _, _, flags, _, index, _, _ = frames.HELLO_HEAD.unpack_from(content)
            found.append((bool(flags & 1), index, rate / 1000))
    return found


def test_clause_3_1_and_5_1_a_hello_behind_a_delimiter_comes_first_and_data_unasked(c: ctypes.CDLL) -> None:
    board = CBoard(c)
    first = board.poll()
    assert first[0] == 0
    assert hellos(first) == [(True, 0, 250.0)]
    board.put(7)
    out, _ = decode(first + board.poll())
    assert sorted(samples_of(out)) == [0, 1, 2, 3, 4]


def test_clause_3_2_the_hello_is_repeated_every_5_s_of_device_time_across_its_wrap(c: ctypes.CDLL) -> None:
    board = CBoard(c)
    board.now_us = (1 << 32) - 12_000_000
    board.poll()
    told = []
    for _ in range(25 * 250):
        board.put()
        told += [board.now_us for _ in hellos(board.poll())]
    gaps = np.diff(told[1:])
    assert len(told) >= 5
    assert gaps.min() >= 4_900_000
    assert gaps.max() <= 5_100_000


def test_clause_4_2_samples_arrive_exactly_and_drops_leave_a_hole(c: ctypes.CDLL) -> None:
    board = CBoard(c, slots=3, samples=5)
    data = board.poll()
    for _ in range(10):
        board.put(4)
        data += board.poll()
    board.put(40)  # the loop is late: 3 slots of 5 samples hold the first of them
    data += board.poll()
    board.put(20)
    data += board.poll()
    board.put(6)
    data += board.poll()
    out, decoder = decode(data)
    found = samples_of(out)
    assert all(value == index % 20011 for index, value in found.items())
    assert set(range(40)) <= set(found)
    held = [index for index in found if 40 <= index < 80]
    assert held == list(range(40, 40 + len(held)))  # what was kept is the oldest, without a hole inside
    assert 10 <= len(held) <= 15
    assert set(range(80, 90)) <= set(found)
    assert decoder.counters.discarded_bytes == 0


def test_clause_4_2_and_4_3_index_and_time_wrap_within_a_frame(c: ctypes.CDLL) -> None:
    first = (1 << 32) - 8
    board = CBoard(c, samples=5, first=first)
    board.now_us = (1 << 32) - 22_000
    data = board.poll()
    for _ in range(40):
        board.put()
        data += board.poll()
    out, _ = decode(data)
    found = samples_of(out)
    assert list(found) == list(range(first, first + len(found)))
    assert len(found) >= 35
    blocks = [block for block in out if isinstance(block, SampleBlock)]
    for block in blocks:
        assert block.device_us == (1 << 32) - 22_000 + 4000 * (block.first - first)


def test_clause_4_5_a_change_of_electrodes_ends_the_frame(c: ctypes.CDLL) -> None:
    board = CBoard(c, samples=5, leads=2)
    data = board.poll()
    states = [0] * 7 + [1] * 3 + [3] * 8 + [2] * 1 + [0] * 21
    for off in states:
        board.put(off=off)
        data += board.poll()
    out, _ = decode(data)
    seen: list[int] = []
    for block in out:
        if isinstance(block, SampleBlock):
            missing = 3 if block.leads_off else int(np.isnan(block.counts[0]) @ [1, 2])
            seen += [missing] * block.n
    assert seen == states[: len(seen)]
    assert len(seen) >= 35


def test_clause_5_3_every_command_is_answered_by_the_state_after_it(c: ctypes.CDLL) -> None:
    board = CBoard(c, samples=5)
    data = board.poll()
    board.put(7)
    board.poll()
    board.hear(frames.command_hello())
    assert hellos(board.poll()) == [(True, 7, 250.0)]
    board.hear(frames.command_start())
    assert hellos(board.poll()) == [(True, 7, 250.0)]
    board.put(1)
    board.hear(frames.command_stop())
    assert board.poll() == b""  # a frame is under construction: the answer comes after it
    board.put(1)
    data = board.poll()
    out, _ = decode(b"\0" + frames.encode_hello(Board("x", 250.0)) + data)
    assert sorted(samples_of(out)) == [5, 6, 7]  # what was sampled before the stop is not lost
    assert hellos(data) == [(False, 9, 250.0)]
    board.put(20)
    assert board.poll() == b""
    board.hear(frames.command_hello() + frames.command_stop())
    assert hellos(board.poll()) == [(False, 29, 250.0)] * 2
    board.hear(frames.command_start())
    assert hellos(board.poll()) == [(True, 29, 250.0)]
    board.put(6)
    out, _ = decode(b"\0" + frames.encode_hello(Board("x", 250.0)) + board.poll())
    assert sorted(samples_of(out)) == [29, 30, 31, 32, 33]


@pytest.mark.parametrize("asked", [255, 256, 257, 700])
def test_clause_3_3_more_commands_than_a_byte_counts_are_answered_all_the_same(
    c: ctypes.CDLL, asked: int
) -> None:
    board = CBoard(c)
    board.poll()
    board.hear(frames.command_hello() * asked)
    assert hellos(board.poll()) == [(True, 0, 250.0)] * 255
    assert board.poll() == b""
    board.hear(frames.command_hello())
    assert len(hellos(board.poll())) == 1


def test_clause_3_6_another_rate_is_told_before_the_first_frame_that_has_it(c: ctypes.CDLL) -> None:
    board = CBoard(c, samples=5)
    data = board.poll()
    board.put(7)
    board.hear(frames.command_rate(480.0))
    board.put(1)
    data += board.poll()
    assert c.shim_rates_set() == 1
    board.put(11)
    data += board.poll()
    out, decoder = decode(data)
    boards = [k for k, message in enumerate(out) if isinstance(message, Board)]
    assert [out[k].rate_hz for k in boards] == [250.0, 500.0]
    assert sorted(samples_of(out[: boards[1]])) == [*range(7)]
    assert sorted(samples_of(out[boards[1] :])) == [*range(8, 18)]
    assert decoder.counters.bad_frames == 0


def test_clause_5_5_a_stop_while_the_ring_is_full_still_ends_in_order(c: ctypes.CDLL) -> None:
    board = CBoard(c, slots=2, samples=3)
    board.poll()
    board.put(50)
    board.hear(frames.command_stop())
    data = b""
    for _ in range(4):
        data += board.poll()
        board.put(1)
    data += board.poll()
    assert [streaming for streaming, _, _ in hellos(data)] == [False]
    assert data.endswith(b"\0")
    last = data.rstrip(b"\0").split(b"\0")[-1]
    assert frames.open_frame(last)[0] == frames.HELLO  # type: ignore[index]
    out, _ = decode(b"\0" + frames.encode_hello(Board("x", 250.0)) + data)
    assert sorted(samples_of(out)) == list(range(6))


def test_any_interleaving_of_interrupts_loops_and_commands(c: ctypes.CDLL) -> None:
    rng = np.random.default_rng(4)
    commands = (
        frames.command_hello(),
        frames.command_start(),
        frames.command_stop(),
        frames.command_rate(250),
    )
    for _ in range(60):
        slots, samples, leads = int(rng.integers(2, 6)), int(rng.integers(1, 12)), int(rng.integers(1, 4))
        board = CBoard(c, slots, samples, leads, int(rng.integers(2, 4)), first=int(rng.integers(1 << 31)))
        first, data, asked = board.index, board.poll(), 0
        for _ in range(300):
            deed = rng.random()
            if deed < 0.55:
                board.put(int(rng.integers(1, 5)), off=int(rng.integers(1 << leads)) if deed < 0.05 else 0)
            elif deed < 0.95:
                data += board.poll()
            else:
                board.hear(commands[int(rng.integers(4))])
                asked += 1
        for _ in range(3):
            data += board.poll()
            board.put()
        data += board.poll()
        out, decoder = decode(data)
        found = samples_of(out)
        assert all(np.isnan(v) or v == index % 20011 for index, v in found.items())
        assert all(first <= index < board.index for index in found)
        assert list(found) == sorted(found)
        assert decoder.counters.bad_frames == decoder.counters.discarded_bytes == 0
        assert asked + 1 <= len(hellos(data)) <= asked + 2 + (board.now_us // 5_000_000)
        for unit in data.split(b"\0"):
            content = frames.open_frame(unit) if unit else None
            if content is not None and content[0] == frames.DATA:
                _, _, _, _, n, *_ = frames.DATA_HEAD.unpack_from(content)
                assert 1 <= n <= samples


def test_samples_from_another_thread_stay_whole(c: ctypes.CDLL) -> None:
    n = 400_000
    board = CBoard(c, slots=3, samples=20)
    c.shim_two_threads(n)
    data = sent(c)
    out, decoder = decode(data)
    assert decoder.counters.bad_frames == decoder.counters.discarded_bytes == 0
    assert 0 < decoder.counters.samples <= n
    for block in out:
        if isinstance(block, SampleBlock) and block.n:
            indices = block.first + np.arange(block.n)
            np.testing.assert_array_equal(block.counts[:, 0], indices % 30000)
            assert set((indices // 1000 % 2).tolist()) == {int(block.leads_off)}
    assert board.leads == 1


# ------------------------------------------------------------------------------------ sanitizers


@pytest.mark.timeout(300)
def test_all_of_this_file_under_the_sanitizers() -> None:
    needs("gcc")
    assert not sanitized()
    libraries = [run("gcc", f"-print-file-name=lib{name}.so").strip() for name in ("asan", "ubsan")]
    if not all(Path(name).is_absolute() for name in libraries):
        pytest.skip("needs gcc's sanitizers (libasan, libubsan)")
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own
        "ECGEDGE_TEST_SANITIZERS": "1",
    }
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not sanitizers", __file__]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
