"""Demo and replay: a board in a thread, over a pseudo-terminal or a pipe."""

from __future__ import annotations

import math
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ecgedge.errors import PortError, RecordingError, UsageError
from ecgedge.messages import Board, Chunk, Counters, SampleBlock
from ecgedge.ports import Port, open_port
from ecgedge.ports.links import DirectLink, Link, PipeLink, PtyLink
from ecgedge.ports.patient import PatientPiece, SimulatedPatient
from ecgedge.ports.sources import PatientSource, RecordingSource, Source
from ecgedge.ports.virtual import VirtualPort
from ecgedge.recordings import open_recording
from ecgedge.wire.frame_decoder import FrameDecoder
from ecgedge.wire.frames import command_hello, command_rate, command_start, command_stop

LINKS = [
    pytest.param(PtyLink, marks=pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pty here")),
    PipeLink,
    DirectLink,
]


def play(port: Port) -> tuple[list[Board | SampleBlock], list[Chunk], Counters]:
    """Everything a port sends once it was started."""
    decoder = FrameDecoder()
    messages: list[Board | SampleBlock] = []
    chunks = []
    with port:
        port.write(command_hello() + command_start())
        while not port.ended:
            chunk = port.read()
            chunks.append(chunk)
            messages += decoder.push(chunk)
        decoder.finish()
    return messages, chunks, decoder.counters


def samples(messages: list[Board | SampleBlock]) -> dict[int, tuple[float, ...]]:
    """Sample values by index."""
    blocks = [message for message in messages if isinstance(message, SampleBlock)]
    return {block.first + k: tuple(row) for block in blocks for k, row in enumerate(block.counts.tolist())}


def record(folder: Path, counts: np.ndarray, rate: int = 250) -> str:
    """Write a WFDB record of format 16 and return its replay port."""
    leads = counts.shape[1]
    lines = [f"rec {leads} {rate} {len(counts)}", *[f"rec.dat 16 200 16 0 0 0 0 L{k}" for k in range(leads)]]
    (folder / "rec.hea").write_text("\n".join(lines) + "\n")
    (folder / "rec.dat").write_bytes(counts.astype("<i2").tobytes())
    return f"replay:{folder / 'rec'}"


@pytest.mark.parametrize("link", LINKS)
def test_every_sample_of_the_patient_arrives(link: Callable[[], Link]) -> None:
    port = VirtualPort("demo", PatientSource(5, 290.0), link(), math.inf)
    messages, chunks, counters = play(port)
    assert messages[0] == SimulatedPatient(5).board
    assert sum(isinstance(message, Board) for message in messages) == 1
    read = samples(messages)
    assert list(read) == list(range(290 * 250))
    expected = np.concatenate([piece.counts for piece in SimulatedPatient(5, 290.0).pieces()])
    np.testing.assert_array_equal([value for (value,) in read.values()], expected)
    assert (counters.bad_frames, counters.discarded_bytes) == (0, 0)
    assert counters.bytes == sum(len(chunk.data) for chunk in chunks)
    off = [m for m in messages if isinstance(m, SampleBlock) and m.leads_off]
    assert (off[0].first, off[-1].first + off[-1].n) == (255 * 250, 265 * 250)


@pytest.mark.parametrize("link", LINKS)
def test_arrival_times_are_those_of_a_real_board(link: Callable[[], Link]) -> None:
    port = VirtualPort("demo", PatientSource(0, 60.0), link(), math.inf)
    messages, chunks, _ = play(port)
    times = [chunk.arrival_s for chunk in chunks if chunk.data]
    assert times == sorted(times)
    assert times[-1] == 60.0
    for block in messages:
        if isinstance(block, SampleBlock):
            sent_s = (block.first + block.n) / 250
            assert sent_s <= block.arrival_s <= sent_s + 7  # a chunk has the time of its last byte
            assert block.device_us == block.first * 4000


@pytest.mark.parametrize("name", ["mitdb/100", "mitdb/222"])
def test_replay_of_a_real_record_is_complete(data_dir: Path, tmp_path: Path, name: str) -> None:
    import zipfile

    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        for suffix in (".hea", ".dat"):
            archive.extract(name + suffix, tmp_path)
    recording = open_recording(tmp_path / name)
    expected = np.concatenate([block.counts for block in recording.blocks()])
    port = open_port(f"replay:{tmp_path / name}", speed=math.inf)
    assert port.lead_names == recording.lead_names
    assert (port.live, port.protocol) == (False, "frames")
    messages, _, counters = play(port)
    assert messages[0] == recording.board
    read = samples(messages)
    assert list(read) == list(range(650_000))
    np.testing.assert_array_equal(list(read.values()), expected)
    assert counters.bad_frames == counters.discarded_bytes == counters.lost == 0


def test_missing_samples_are_index_jumps(tmp_path: Path) -> None:
    counts = np.arange(10_000).reshape(-1, 1) % 3000
    counts[100:400] = counts[7000] = counts[4090:4100] = -32768
    counts[:3] = -32768
    messages, _, _ = play(open_port(record(tmp_path, counts), speed=math.inf))
    read = samples(messages)
    present = np.flatnonzero(counts[:, 0] != -32768)
    assert list(read) == present.tolist()
    assert [value for (value,) in read.values()] == counts[present, 0].tolist()


def test_one_missing_lead_is_reported_as_off(tmp_path: Path) -> None:
    counts = np.arange(2000).reshape(-1, 2)
    counts[300:350, 1] = -32768
    counts[320:330, 0] = -32768
    messages, _, _ = play(open_port(record(tmp_path, counts), speed=math.inf))
    read = samples(messages)
    assert sorted(set(range(1000)) - set(read)) == list(range(320, 330))
    expected = np.concatenate([block.counts for block in open_recording(tmp_path / "rec").blocks()])
    np.testing.assert_array_equal([read[k] for k in read], expected[list(read)])


def test_counts_beyond_16_bits_take_24(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    values = [32767, 32768, -32768, -32769, 8388607, -8388607, 0] * 100
    path.write_text("\n".join(map(str, values)))
    messages, _, _ = play(open_port(f"replay:{path}", speed=math.inf, fs=500))
    assert [value for (value,) in samples(messages).values()] == values


def test_csv_replay_equals_direct_reading(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 0.7, 3000)
    values[500:700] = np.nan
    path = tmp_path / "a.csv"
    path.write_text("ecg_mv\n" + "\n".join(map(repr, values.tolist())))
    recording = open_recording(path, fs=257)
    direct = np.concatenate([block.counts for block in recording.blocks()])[:, 0]
    messages, _, _ = play(open_port(f"replay:{path}", speed=math.inf, fs=257))
    assert messages[0] == recording.board
    read = samples(messages)
    np.testing.assert_array_equal([value for (value,) in read.values()], direct[list(read)])
    assert len(read) == 2800


@pytest.mark.parametrize(("duration_s", "n"), [(None, 1000), (2.0, 500), (100.0, 1000)])
def test_replay_may_be_cut_short(tmp_path: Path, duration_s: float | None, n: int) -> None:
    spec = record(tmp_path, np.ones((1000, 1)))
    messages, _, _ = play(open_port(spec, speed=math.inf, duration_s=duration_s))
    assert len(samples(messages)) == n


@pytest.mark.parametrize("link", LINKS)
def test_board_waits_for_start_and_answers_commands(link: Callable[[], Link]) -> None:
    with VirtualPort("demo", PatientSource(0, 4.0), link(), math.inf) as port:
        assert port.read(0.15).data == b""
        assert not port.ended
        decoder = FrameDecoder()
        port.write(b"noise" + command_hello())
        assert decoder.push(port.read(60)) == [SimulatedPatient(0).board]
        assert port.read(0.05).data == b""
        port.write(command_rate(500))
        assert decoder.push(port.read(60)) == []  # a hello that says nothing new
        assert decoder.counters.frames == 2
        port.write(command_start())
        while not port.ended:
            decoder.push(port.read())
        assert decoder.counters.samples == 1000


def test_a_stopped_board_samples_on(tmp_path: Path) -> None:
    with open_port("demo", speed=10, duration_s=20) as port:
        decoder = FrameDecoder()
        messages: list[object] = []
        port.write(command_start())
        while len(messages) < 5:
            messages += decoder.push(port.read())
        port.write(command_stop())
        time.sleep(0.3)
        port.write(command_start())
        while not port.ended:
            messages += decoder.push(port.read())
        blocks = [message for message in messages if isinstance(message, SampleBlock)]
        jumps = [b.first - (a.first + a.n) for a, b in pairwise(blocks)]
        assert sum(jump > 0 for jump in jumps) == 1
        assert 250 < sum(jumps) < 4500
        assert decoder.counters.samples + sum(jumps) == 5000


def test_pace_follows_speed() -> None:
    started_s = time.monotonic()
    play(open_port("demo", speed=20, duration_s=10))
    took_s = time.monotonic() - started_s
    assert 0.45 < took_s < 60


def test_full_speed_does_not_wait() -> None:
    started_s = time.monotonic()
    messages, _, _ = play(open_port("demo", speed=math.inf, duration_s=1500))
    assert len(samples(messages)) == 375_000
    assert time.monotonic() - started_s < 150, "it does not wait for the time it simulates"


def test_ended_only_when_all_was_read() -> None:
    with open_port("demo", speed=math.inf, duration_s=2.0) as port:
        port.write(command_start())
        time.sleep(0.3)  # the board has long finished: all its bytes wait in the terminal
        assert not port.ended
        decoder = FrameDecoder()
        while not port.ended:
            decoder.push(port.read())
        assert decoder.counters.samples == 500
        assert port.read(5).data == b""


def test_closing_early_ends_the_board() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with open_port("demo", speed=math.inf, duration_s=3000) as port:
            port.write(command_start())
            assert port.read(60).data
        port.close()
        assert port.ended
        assert port.read().data == b""
    assert set(threading.enumerate()) <= before


def test_a_file_damaged_on_the_way_raises_after_what_came_before(tmp_path: Path) -> None:
    spec = record(tmp_path, np.ones((50_000, 1)))
    with open_port(spec, speed=math.inf) as port:
        (tmp_path / "rec.dat").write_bytes(struct.pack("<20000h", *[1] * 20_000))
        port.write(command_start())
        decoder = FrameDecoder()

        def read_all() -> None:
            while not port.ended:
                decoder.push(port.read())

        with pytest.raises(RecordingError, match="ends early"):
            read_all()
        assert decoder.counters.samples == 16_384
        assert port.ended


def test_cut_link_is_a_port_error() -> None:
    link = PipeLink()
    with VirtualPort("demo", PatientSource(0, 4.0), link, 1.0) as port:
        link.close()
        with pytest.raises(PortError, match="cut off"):
            port.read()


def test_no_recording_no_port(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such recording"):
        open_port(f"replay:{tmp_path / 'nothing'}")
    (tmp_path / "a.csv").write_text("1\n2\n")
    with pytest.raises(RecordingError, match="--fs"):
        open_port(f"replay:{tmp_path / 'a.csv'}")
    wide = record(tmp_path, np.ones((4, 17)))
    with pytest.raises(RecordingError, match="17 leads"):
        open_port(wide)


@pytest.mark.parametrize("values", [{"speed": 0}, {"speed": -1}, {"speed": math.nan}, {"duration_s": 0}])
def test_values_without_sense(values: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        open_port("demo", **values)


def test_recording_source_tells_what_it_plays(tmp_path: Path) -> None:
    source: Source = RecordingSource(record(tmp_path, np.ones((40, 2)))[len("replay:") :])
    assert (source.board.leads, source.lead_names, source.n_samples) == (2, ("L0", "L1"), 40)


def test_at_full_speed_every_read_is_the_same_whoever_is_quick() -> None:
    def reads(pause_s: float) -> list[Chunk]:
        out = []
        with open_port("demo", speed=math.inf, duration_s=120) as port:
            port.write(command_start())
            while not port.ended:
                time.sleep(pause_s)
                out.append(port.read())
        return out

    assert reads(0.0) == reads(0.01)


def test_a_board_in_a_hurry_needs_no_thread() -> None:
    before = threading.active_count()
    with open_port("demo", speed=math.inf, duration_s=10) as port:
        port.write(command_start())
        assert port.read().data
        assert threading.active_count() == before


class Interruption(Exception):
    """What a signal's handler raises."""


def test_a_board_that_an_interrupt_has_hit_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Board and host share a thread: what is left of the board then would be silent for ever."""
    pieces = SimulatedPatient.pieces

    def interrupted(patient: SimulatedPatient) -> Iterator[PatientPiece]:
        for k, piece in enumerate(pieces(patient)):
            if k == 20:
                raise Interruption
            yield piece

    monkeypatch.setattr(SimulatedPatient, "pieces", interrupted)
    with open_port("demo", speed=math.inf) as port:
        port.write(command_start())

        def read_all() -> None:
            while not port.ended:
                port.read()

        for expected in (Interruption, PortError, PortError):
            with pytest.raises(expected):
                read_all()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux tells which files are open")
def test_a_replay_that_is_left_early_lets_go_of_its_file(tmp_path: Path) -> None:
    spec = record(tmp_path, np.ones((100_000, 1)))
    with open_port(spec, speed=math.inf) as port:
        port.write(command_start())
        assert port.read().data
    opened = [link.resolve() for link in Path("/proc/self/fd").iterdir()]
    assert not any(tmp_path in path.parents for path in opened)


def test_a_piece_moves_the_time_when_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a read that ends inside a packet would be later than the samples that it brings."""
    port = open_port("demo", speed=math.inf, duration_s=1.0)
    assert isinstance(port, VirtualPort)
    try:
        monkeypatch.setattr(port._board, "times", deque([(10, 1.0), (20, 2.0), (30, 3.0)]))
        monkeypatch.setattr(port, "_read", 0)
        reads = iter((b"." * 4, b"." * 11, b"." * 5, b"." * 10))
        monkeypatch.setattr(port._link, "host_read", lambda _: next(reads))
        assert [port.read().arrival_s for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
    finally:
        monkeypatch.undo()
        port.close()
