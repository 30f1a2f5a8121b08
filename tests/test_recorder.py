"""The recorder: killed, unplugged from power, out of room; and read afterwards by the wfdb package."""

from __future__ import annotations

import errno
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tty
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from ecgedge.messages import Beat, Board, Chunk, Episode, Gap, SampleBlock, Segment, Status
from ecgedge.pipeline import Pipeline
from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import read_annotations
from ecgedge.recordings.disk import Disk, DiskFile
from ecgedge.sinks.part import SETTLED_S
from ecgedge.sinks.recorder import FLUSH_S, RECORD_S, SYNC_S, Recorder
from ecgedge.wire import make_reader

RATE = 250.0
BOARD = Board("board", RATE, 5.0, 16, 1)
NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=timezone.utc)


class Bench:
    """A recorder with a stream that a test plays: a ramp, so that every sample tells its number."""

    def __init__(self, folder: Path, disk: Disk | None = None, board: Board = BOARD) -> None:
        self.time_s = 0.0
        self.told: list[str] = []
        self.root = folder
        self.recorder = Recorder(
            folder,
            self.told.append,
            disk=disk,
            clock=lambda: self.time_s,
            now=lambda: NOW + timedelta(seconds=self.time_s),
        )
        self.next = 0
        self.begin(board)

    def begin(self, board: Board, rate: float = RATE) -> None:
        self.board, self.rate = board, rate
        self.recorder.write(Segment(self.next, self.next / rate, rate, "declared", board))

    def play(self, n: int, block: int = 25, **kwargs: Any) -> None:
        while n > 0:
            size = min(n, block)
            ramp = (np.arange(self.next, self.next + size) % 30_000).astype(float)
            counts = np.repeat(ramp[:, None], self.board.leads, axis=1)
            self.time_s += size / self.rate
            self.recorder.write(SampleBlock(self.next, counts, self.time_s, **kwargs))
            self.next += size
            n -= size

    def gap(self, n: int, cause: Any = "lost") -> None:
        self.recorder.write(Gap(self.next, n, self.next / self.rate, n / self.rate, cause))
        self.next += n
        self.time_s += n / self.rate

    def beat(self, sample: int) -> None:
        self.recorder.write(Beat(sample, sample / self.rate, None, 1.0, True))

    def episode(self, state: Any, onset: int, offset: int) -> None:
        at = (onset / self.rate, offset / self.rate)
        self.recorder.write(Episode("AF", state, "model", onset, offset, *at, 0.9))


def records(folder: Path) -> list[Path]:
    return sorted(path.with_suffix("") for path in folder.rglob("*.hea"))


def samples(stem: Path) -> np.ndarray:
    return np.asarray(wfdb.rdrecord(str(stem)).p_signal) / 0.005


def notes(stem: Path) -> list[tuple[int, str, str]]:
    read = wfdb.rdann(str(stem), "atr")
    return list(zip(read.sample.tolist(), read.symbol, read.aux_note, strict=True))


# -- what is recorded ---------------------------------------------------------------------------------


def test_samples_beats_gaps_and_electrodes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.play(1000)
    bench.beat(120)
    bench.beat(350)
    bench.gap(30)
    bench.play(500)
    bench.play(250, leads_off=True)
    bench.play(100)
    bench.recorder.write(Status(bench.next, 7.52, "ended"))
    bench.recorder.close()
    (stem,) = records(tmp_path)
    assert stem.parent.name == "20260501T120000Z"
    expected = np.arange(1880.0)
    expected[1000:1030] = np.nan
    np.testing.assert_allclose(samples(stem)[:, 0], expected)
    assert notes(stem) == [
        (120, "N", ""),
        (350, "N", ""),
        (1000, '"', "gap: 30 samples lost"),
        (1530, '"', "leads off"),
        (1780, '"', "leads on"),
    ]
    lines = [json.loads(line) for line in (stem.parent / "events.jsonl").read_text().splitlines()]
    assert [line["type"] for line in lines] == ["beat", "beat", "gap", "status"]
    assert bench.told == []


def test_electrode_state_and_gaps_come_back_when_the_record_is_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.play(130, leads_off=True)
    bench.play(300)
    bench.play(77, leads_off=True)
    bench.recorder.close()
    off = [(b.first, b.first + b.n) for b in open_recording(*records(tmp_path)).blocks() if b.leads_off]
    assert off == [(0, 130), (430, 507)]


def test_an_episode_is_labelled_when_it_is_known(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for sample in range(100, 20_000, 200):
        bench.play(200)
        bench.beat(sample)
    (stem,) = records(tmp_path)
    bench.episode("open", 5000, 12_500)
    bench.play(250)
    assert (5000, "+", "(AFIB") in notes(stem)
    bench.episode("closed", 5000, 15_000)
    bench.recorder.close()
    read = notes(stem)
    assert [(s, a) for s, symbol, a in read if symbol == "+"] == [(5000, "(AFIB"), (15_000, "(N")]
    assert [s for s, symbol, _ in read if symbol == "N"] == list(range(100, 20_000, 200))
    assert [s for s, _, _ in read] == sorted(s for s, _, _ in read)


def test_every_hour_is_a_record_and_an_episode_crosses_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    hour = int(RECORD_S * RATE)
    bench.play(hour - 100, block=5000)
    bench.beat(hour - 150)
    bench.play(5000, block=3000)
    bench.beat(hour - 10)  # found after the turn of the hour
    bench.beat(hour + 40)
    bench.episode("open", hour - 9000, hour + 200)
    bench.play(500)
    first, second = records(tmp_path)
    assert (hour - 9000, "+", "(AFIB") in notes(first)
    assert notes(second)[0] == (0, "+", "(AFIB")
    bench.episode("closed", hour - 9000, hour - 3000)  # it ended before the hour after all
    bench.recorder.close()
    tail = notes(first)
    assert tail[-4:] == [
        (hour - 9000, "+", "(AFIB"), (hour - 3000, "+", "(N"), (hour - 150, "N", ""), (hour - 10, "N", ""),
    ]  # fmt: skip
    assert notes(second) == [(40, "N", "")]
    assert [len(samples(stem)) for stem in (first, second)] == [hour, 5400]
    assert samples(second)[0, 0] == hour % 30_000
    times = [wfdb.rdheader(str(stem)).base_time.hour for stem in (first, second)]
    assert times == [12, 13]


@pytest.mark.parametrize(("seconds", "n"), [(59, 1), (61, 2)])
def test_a_long_gap_begins_a_new_record(tmp_path: Path, seconds: int, n: int) -> None:
    bench = Bench(tmp_path)
    bench.play(500)
    bench.gap(seconds * 250, "silent")
    bench.play(500)
    bench.recorder.close()
    found = records(tmp_path)
    assert len(found) == n
    assert samples(found[-1])[-1, 0] == (bench.next - 1) % 30_000
    comment = wfdb.rdheader(str(found[-1])).comments[1]
    assert comment.startswith(f"first stream sample {0 if n == 1 else 500 + seconds * 250},")


def test_another_board_rate_or_range_begins_a_new_record(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.play(500)
    bench.begin(BOARD)  # restarted, the same
    bench.play(500)
    bench.begin(BOARD, 500.0)
    bench.play(500)
    bench.begin(Board("other", 500.0, 1.0, 24, 3), 500.0)
    bench.play(500)
    bench.recorder.write(SampleBlock(bench.next, np.full((5, 3), 2.0**22), 9.0))
    bench.recorder.close()
    heads = [wfdb.rdheader(str(stem)) for stem in records(tmp_path)]
    assert [(h.fs, h.n_sig, h.fmt[0], h.sig_len) for h in heads] == [
        (250, 1, "16", 1000), (500, 1, "16", 500), (500, 3, "24", 505),
    ]  # fmt: skip


def test_values_beyond_the_format_begin_a_wider_record(tmp_path: Path) -> None:
    bench = Bench(tmp_path, board=Board("text"))
    bench.play(500)
    bench.recorder.write(SampleBlock(500, np.array([[70_000.0], [0.0]]), 2.0))
    bench.recorder.write(SampleBlock(502, np.array([[0.25], [1.0]]), 2.0))
    bench.recorder.close()
    read = [wfdb.rdrecord(str(stem)) for stem in records(tmp_path)]
    assert [r.fmt[0] for r in read] == ["16", "24", "24"]
    np.testing.assert_allclose(read[1].p_signal[:, 0], [70_000, 0])
    np.testing.assert_allclose(read[2].p_signal[:, 0], [0.25, 1])


def test_a_lost_line_feed_costs_one_sample_and_is_noted(tmp_path: Path) -> None:
    """Text carries no checksum: two lines of five digits become one number of ten."""
    counts = 20_000 + (np.arange(60 * 250) * 37) % 4001
    lines = [b"%d\r\n" % value for value in counts]
    lines[5000] = lines[5000].rstrip()
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    reader, pipeline = make_reader("text"), Pipeline((), rate_hz=RATE, samples=True)
    for k in range(0, len(lines), 25):
        for item in reader.push(Chunk(b"".join(lines[k : k + 25]), (k + 25) / RATE)):
            for message in pipeline.push(item):
                recorder.write(message)
    recorder.close()
    (stem,) = records(tmp_path)
    read = wfdb.rdrecord(str(stem))
    expected = np.delete(counts[1:], 5000).astype(float)  # the first line may be half a number
    expected[4999] = np.nan
    assert (read.fmt[0], read.adc_gain[0]) == ("16", 1.0)
    np.testing.assert_array_equal(read.p_signal[:, 0], expected)
    merged = f"{counts[5000]}{counts[5001]}"
    told_there = [(sample, text) for sample, symbol, text in notes(stem) if symbol == '"']
    assert told_there == [(4999, f"left out: {merged}, beyond the range of the record")]
    assert told == []


def test_a_board_of_larger_numbers_is_recorded_in_coarser_steps_and_that_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, board=Board("text"))
    bench.play(500)
    large = (np.arange(5000) % 1000)[:, None] * 1e5 + 3e9
    for k in range(0, 5000, 25):
        bench.recorder.write(SampleBlock(500 + k, large[k : k + 25], 2.1 + k / RATE))
    bench.recorder.close()
    first, second = (wfdb.rdrecord(str(stem)).p_signal[:, 0] for stem in records(tmp_path))
    np.testing.assert_array_equal(first[:500], np.arange(500))
    assert np.all(np.isnan(first[500:]))
    assert len(first) + len(second) == 5500
    np.testing.assert_allclose(second, large[len(first) - 500 :, 0], rtol=1e-5)
    assert len(notes(records(tmp_path)[0])) == len(first) - 500 <= 0.1 * RATE
    (line,) = bench.told
    assert line == "numbers beyond 24 bits keep coming: ecg-001 holds them in steps of 10000"


def started(stem: Path) -> float:
    """Seconds from ``NOW`` to the first sample, as the header says."""
    header = wfdb.rdheader(str(stem))
    return (datetime.combine(header.base_date, header.base_time, timezone.utc) - NOW).total_seconds()


def test_a_board_that_wakes_late_is_recorded_from_then_on(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.time_s = 3.2
    bench.recorder.write(Status(0, 0.0, "silent", "nothing received for 3 s"))
    bench.time_s = 600.0
    bench.play(500)
    bench.gap(61 * 250, "silent")
    bench.play(500)
    bench.recorder.close()
    first, second = records(tmp_path)
    assert [started(first), started(second)] == pytest.approx([600.0, 663.0], abs=0.001)


@pytest.mark.parametrize("chunk_s", [0.1, 1.5])
def test_samples_held_until_their_rate_is_known_keep_their_time(tmp_path: Path, chunk_s: float) -> None:
    clock = [1000.0]
    recorder = Recorder(
        tmp_path, print, clock=lambda: clock[0], now=lambda: NOW + timedelta(seconds=clock[0] - 1000.0)
    )
    pipeline, n = Pipeline((), samples=True), round(chunk_s * RATE)
    sent = [Board("board", leads=1)]
    sent += [SampleBlock(n * k, np.full((n, 1), k % 7), 1007.0 + chunk_s * (k + 1)) for k in range(90)]
    for item in sent:
        clock[0] = getattr(item, "arrival_s", 1007.0)
        for message in pipeline.push(item):
            recorder.write(message)
    recorder.close()
    (stem,) = records(tmp_path)
    assert wfdb.rdheader(str(stem)).fs == RATE
    assert started(stem) == pytest.approx(7.0, abs=0.001)


def test_a_replay_on_a_clock_of_its_own_starts_when_it_is_recorded(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.time_s = 5000.0
    bench.recorder.write(SampleBlock(0, np.zeros((250, 1)), 1.0))
    bench.recorder.close()
    assert [started(stem) for stem in records(tmp_path)] == [5000.0]


def test_the_start_of_a_board_that_was_silent_at_first_and_tells_no_rate(tmp_path: Path) -> None:
    main, side = pty.openpty()
    tty.setraw(side)
    words = [
        "stream",
        "--port",
        os.ttyname(side),
        "--protocol",
        "text",
        "--baud",
        "115200",
        "--record",
        "rec",
    ]
    command = [sys.executable, "-m", "ecgedge", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        limit = time.monotonic() + 60.0
        while not list(tmp_path.rglob("events.jsonl")) and time.monotonic() < limit:
            time.sleep(0.05)  # it has said that nothing comes
        time.sleep(1.5)
        begin, start_s, sent = datetime.now(timezone.utc), time.monotonic(), 0
        while not records(tmp_path) and time.monotonic() < limit:
            due = int((time.monotonic() - start_s) * RATE)
            os.write(main, b"".join(b"%d\r\n" % (500 + k % 7) for k in range(sent, due)))
            sent = due
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30.0)
        os.close(main)
        os.close(side)
    (stem,) = records(tmp_path)
    assert started(stem) == pytest.approx((begin - NOW).total_seconds(), abs=0.5)


def test_two_sessions_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    for _ in range(2):
        bench = Bench(tmp_path)
        bench.play(500)
        bench.recorder.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["20260501T120000Z", "20260501T120000Z-2"]


def test_a_recorded_stream_is_classified_as_it_was_live(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ecgedge"]
    live = [*command, "stream", "--port", "demo", "--speed", "max", "--duration", "280", "--record", "rec"]
    subprocess.run(live, cwd=tmp_path, capture_output=True, check=True)
    (stem,) = records(tmp_path)
    again = [*command, "classify", str(stem), "--format", "jsonl"]
    done = subprocess.run(again, capture_output=True, text=True, check=True)
    events = (stem.parent / "events.jsonl").read_text()
    kinds = ("window", "beat", "episode", "gap")
    heard, read = (
        [body for body in map(json.loads, text.splitlines()) if body["type"] in kinds]
        for text in (events, done.stdout)
    )
    assert {body["type"] for body in heard} == set(kinds)
    assert read == heard


# -- power cut ----------------------------------------------------------------------------------------


class Content:
    """What a file holds, whatever its name: what was synced, and what was written since, page by page."""

    def __init__(self, data: bytes = b"") -> None:
        self.now = bytearray(data)
        self.synced = data
        self.since: list[tuple[int, bytes]] = []

    def survivor(self, rng: random.Random) -> bytes:
        kept = bytearray(self.synced)
        for offset, data in self.since:
            if rng.random() < 0.5:
                kept[len(kept) :] = bytes(max(0, offset + len(data) - len(kept)))
                kept[offset : offset + len(data)] = data
        return bytes(kept)


class CutFile(DiskFile):
    def __init__(self, path: Path, mode: str, content: Content) -> None:
        super().__init__(path, mode)
        self.content = content

    def write(self, offset: int, data: bytes) -> None:
        super().write(offset, data)
        content, at = self.content, 0
        content.now[len(content.now) :] = bytes(max(0, offset + len(data) - len(content.now)))
        content.now[offset : offset + len(data)] = data
        while at < len(data):  # a page reaches the disk whole or not at all
            n = 4096 - (offset + at) % 4096
            content.since.append((offset + at, data[at : at + n]))
            at += n

    def truncate(self, size: int) -> None:
        super().truncate(size)
        del self.content.now[size:]

    def sync(self) -> None:
        self.content.synced, self.content.since = bytes(self.content.now), []


class CutDisk(Disk):
    """A disk whose power can be cut: unsynced pages and names are lost or kept as chance has it.

    A name made, removed or given to another content is sure only when its folder was synced after that.
    """

    def __init__(self) -> None:
        self.names: dict[Path, Content | None] = {}
        """What each name stands for; a folder for None."""
        self.sure: dict[Path, Content | None] = {}
        self.open: list[CutFile] = []

    def _opened(self, path: Path, mode: str, content: Content) -> CutFile:
        self.names[path] = content
        self.open.append(CutFile(path, mode, content))
        return self.open[-1]

    def make_folder(self, path: Path) -> None:
        self.names |= {folder: None for folder in (path, *path.parents) if not folder.exists()}
        super().make_folder(path)

    def create(self, path: Path) -> DiskFile:
        return self._opened(path, "wb", Content())

    def replace(self, path: Path, data: bytes) -> None:
        super().replace(path, data)
        self.names[path] = Content(data)

    def reopen(self, path: Path) -> DiskFile:
        content = self.names[path]
        assert content is not None
        return self._opened(path, "r+b", content)

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.names.pop(path, None)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.sure = {p: c for p, c in self.sure.items() if p.parent != path}
        self.sure |= {p: c for p, c in self.names.items() if p.parent == path}

    def cut(self, rng: random.Random) -> None:
        for file in self.open:
            file.close()
        for path in sorted(self.names.keys() | self.sure.keys()):  # folders before what is in them
            names = self.sure if rng.random() < 0.5 else self.names
            content = names.get(path)
            if path not in names or not path.parent.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            elif content is not None:
                path.write_bytes(content.survivor(rng))


@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_loses_no_more_than_the_time_between_two_syncs(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    disk = CutDisk()
    bench = Bench(tmp_path / "new" / "rec", disk)
    sent: list[int] = []
    while bench.time_s < 3600 * 0.02 * (1 + seed):
        bench.play(rng.randrange(1, 60), block=25)
        if rng.random() < 0.2:
            bench.gap(rng.randrange(1, 100))
        if rng.random() < 0.3 and bench.next - 100 > (sent[-1] if sent else 0):
            sent.append(bench.next - 100)
            bench.beat(sent[-1])
        if seed % 2 and rng.random() < 0.01:  # makes a file that takes the place of another
            bench.episode("open", max(0, bench.next - 9000), bench.next)
    disk.cut(rng)
    (stem,) = records(tmp_path)
    read = samples(stem)[:, 0]
    safe = int(bench.next - (SYNC_S + FLUSH_S + 1.0) * RATE)
    assert len(read) >= safe
    head = read[:safe]
    known = np.isfinite(head)
    np.testing.assert_allclose(head[known], (np.arange(safe) % 30_000)[known])
    beats = [s for s, symbol, _ in notes(stem) if symbol == "N"]
    due = [s for s in sent if s < safe - SETTLED_S * RATE]
    assert beats[: len(due)] == due
    assert read_annotations(stem.with_suffix(".atr"))
    lines = (stem.parent / "events.jsonl").read_bytes()
    assert b"beat" in lines or not due


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_in_the_first_seconds_leaves_a_record_or_none(tmp_path: Path, seed: int) -> None:
    disk = CutDisk()
    bench = Bench(tmp_path / "new" / "rec", disk)
    bench.play(150 + 250 * seed)
    disk.cut(random.Random(seed))
    for stem in records(tmp_path):
        read = samples(stem)[:, 0]
        assert len(read) >= FLUSH_S * RATE
        np.testing.assert_allclose(read[: int(FLUSH_S * RATE)], np.arange(FLUSH_S * RATE))


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_keeps_the_events_of_a_board_that_never_sent(tmp_path: Path, seed: int) -> None:
    disk = CutDisk()
    bench = Bench(tmp_path / "new" / "rec", disk)
    for second in range(40):
        bench.time_s = float(second)
        bench.recorder.write(Status(0, bench.time_s, "waiting", f"second {second}"))
    disk.cut(random.Random(seed))
    (log,) = (tmp_path / "new").rglob("events.jsonl")
    kept = [line for line in log.read_bytes().splitlines() if line.strip(b"\0")]
    assert [json.loads(line)["text"] for line in kept[:29]] == [f"second {k}" for k in range(29)]


# -- kill -9 ------------------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import sys, time
    import numpy as np
    from pathlib import Path
    from ecgedge.messages import Beat, Board, Chunk, Episode, Gap, SampleBlock, Segment
    from ecgedge.sinks.recorder import Recorder

    SPEED, rate = 40.0, 500.0
    recorder = Recorder(Path(sys.argv[1]), print, clock=lambda: SPEED * time.monotonic())
    recorder.write(Segment(0, 0.0, rate, "declared", Board("b", rate, 5.0, 24, 3)))
    start, n, k = time.monotonic(), 0, 0
    while True:
        while n / rate > SPEED * (time.monotonic() - start):
            time.sleep(0.0005)
        counts = np.repeat(np.arange(n, n + 50.0)[:, None] % 1e6, 3, axis=1)
        recorder.write(SampleBlock(n, counts, n / rate))
        n, k = n + 50, k + 1
        sys.stdout.write(f"{n}\\n")
        sys.stdout.flush()
        if k % 5 == 0:
            recorder.write(Beat(n - 120, (n - 120) / rate, None, 1.0, True))
        if k % 60 == 0:
            recorder.write(Gap(n, 35, n / rate, 35 / rate, "lost"))
            n += 35
        if k % 100 == 0 and n > 9000:
            recorder.write(Episode("AF", "open", "m", n - 8000, n, 0.0, 1.0, 0.9))
            recorder.write(Episode("AF", "closed", "m", n - 8000, n - 4000, 0.0, 1.0, 0.9))
    """
)


def killed(command: list[str], after_s: float, out: Path, holding: str = "") -> str:
    """Run a command, kill it so long after its output holds a word, return what it had printed."""
    with out.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
        try:
            limit = time.monotonic() + 60
            while not (out.stat().st_size and holding in out.read_text()) and time.monotonic() < limit:
                time.sleep(0.002)
            time.sleep(after_s)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert process.returncode == -signal.SIGKILL
    return out.read_text()


@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_at_most_a_second_is_lost(tmp_path: Path, seed: int) -> None:
    after_s = random.Random(seed).uniform(0.03, 0.7)
    printed = killed([sys.executable, "-c", CHILD, str(tmp_path / "rec")], after_s, tmp_path / "out")
    told = int(printed.rpartition("\n")[0].rpartition("\n")[2])
    if told < 500 and not records(tmp_path):
        return  # within the first second
    (stem,) = records(tmp_path)
    read = samples(stem)
    assert len(read) >= told - 500
    expected = np.arange(len(read)) % 1e6
    for lead in read.T:
        present = np.isfinite(lead)
        np.testing.assert_allclose(lead[present], expected[present])
        assert present.mean() > 0.9
    found = notes(stem)
    assert [s for s, _, _ in found] == sorted(s for s, _, _ in found)
    beats = [s for s, symbol, _ in found if symbol == "N"]
    assert not beats or max(beats) >= told - 500 * (SETTLED_S + 1.6)
    assert [a.sample for a in read_annotations(stem.with_suffix(".atr"))] == [s for s, _, _ in found]
    events = (stem.parent / "events.jsonl").read_text()
    assert all(json.loads(line)["schema"] == 1 for line in events.splitlines()[:-1])


@pytest.mark.parametrize("time_s", [8, 30])
def test_the_command_itself_killed(tmp_path: Path, time_s: int) -> None:
    words = [
        "stream",
        "--port",
        "demo",
        "--speed",
        "20",
        "--format",
        "jsonl",
        "--record",
        str(tmp_path / "rec"),
    ]
    reached = f'"time_s": {time_s}.000000, "state"'
    printed = killed([sys.executable, "-m", "ecgedge", *words], 0.1, tmp_path / "out", reached)
    whole = [json.loads(line) for line in printed.rpartition("\n")[0].splitlines()]
    told = max(line["counters"]["samples"] for line in whole if line["type"] == "status")
    (stem,) = records(tmp_path)
    assert len(samples(stem)) >= told - RATE
    assert notes(stem)


# -- a disk without room --------------------------------------------------------------------------------


class FullFile(DiskFile):
    def __init__(self, disk: FullDisk, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self.disk = disk

    def write(self, offset: int, data: bytes) -> None:
        if self.disk.room < len(data):
            super().write(offset, data[: self.disk.room])
            self.disk.room = 0
            raise OSError(self.disk.error, "no room" if self.disk.error == errno.ENOSPC else "read-only")
        self.disk.room -= len(data)
        super().write(offset, data)


class FullDisk(Disk):
    """A disk with room for so many bytes; a write that needs more is cut short and fails."""

    def __init__(self, room: int, error: int = errno.ENOSPC) -> None:
        self.room, self.error = room, error

    def create(self, path: Path) -> DiskFile:
        if self.room <= 0:
            raise OSError(self.error, "no room")
        return FullFile(self, path, "wb")

    def reopen(self, path: Path) -> DiskFile:
        return FullFile(self, path, "r+b")


@pytest.mark.parametrize("room", [0, 100, 4096, 5000, 9001, 20_000])
def test_a_full_disk_is_told_once_and_recording_resumes(tmp_path: Path, room: int) -> None:
    disk = FullDisk(room)
    bench = Bench(tmp_path, disk)
    for _ in range(60):
        bench.play(250)
        bench.beat(bench.next - 100)
    assert len(bench.told) == 1
    assert "no room" in bench.told[0]
    assert "the stream goes on" in bench.told[0]
    disk.room = 10**9
    resumed = bench.next
    for _ in range(30):
        bench.play(250)
        bench.beat(bench.next - 100)
    bench.recorder.close()
    assert len(bench.told) == 2
    assert bench.told[1].startswith("recording again")
    found = records(tmp_path)
    for stem in found:
        first = int(wfdb.rdheader(str(stem)).comments[1].split()[3].rstrip(","))
        read = samples(stem)[:, 0]
        np.testing.assert_allclose(read, np.arange(first, first + len(read)) % 30_000)
        assert notes(stem) or len(read) < 600
    last = samples(found[-1])[:, 0]
    assert len(last) >= bench.next - resumed - 11 * RATE
    assert last[-1] == (bench.next - 1) % 30_000
    folder = found[-1].parent
    assert not [p for p in folder.glob("*.dat") if not p.with_suffix(".hea").exists()]
    for line in (folder / "events.jsonl").read_text().splitlines():
        assert json.loads(line)["type"] == "beat"


def test_a_folder_that_cannot_be_made_never_stops_the_stream(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    bench = Bench(tmp_path / "file" / "rec")
    bench.play(20_000)
    bench.recorder.close()
    assert len(bench.told) == 1


def test_a_disk_that_fails_at_the_end_is_told(tmp_path: Path) -> None:
    disk = FullDisk(10**9)
    bench = Bench(tmp_path, disk)
    bench.play(260)
    disk.room = 0
    bench.recorder.close()
    bench.recorder.close()
    assert len(bench.told) == 1
    (stem,) = records(tmp_path)
    assert len(samples(stem)) >= 125


# -- a disk that is pulled out, a folder that goes ----------------------------------------------------------


class StickFile(DiskFile):
    def __init__(self, stick: Stick, path: Path, mode: str) -> None:
        stick.check()
        super().__init__(path, mode)
        self.stick, self.plugged = stick, stick.plugged

    def check(self) -> None:
        if self.stick.plugged != self.plugged or self.stick.is_out:
            raise OSError(errno.EIO, "Input/output error")

    def write(self, offset: int, data: bytes) -> None:
        self.check()
        super().write(offset, data)

    def truncate(self, size: int) -> None:
        self.check()
        super().truncate(size)

    def sync(self) -> None:
        self.check()
        super().sync()


class Stick(Disk):
    """A memory stick: files that were open when it was pulled out fail for ever, also when it is back."""

    def __init__(self) -> None:
        self.plugged, self.is_out = 1, False

    def check(self) -> None:
        if self.is_out:
            raise OSError(errno.EIO, "Input/output error")

    def pull(self) -> None:
        self.is_out = True

    def plug(self) -> None:
        self.is_out, self.plugged = False, self.plugged + 1

    def make_folder(self, path: Path) -> None:
        self.check()
        super().make_folder(path)

    def create(self, path: Path) -> DiskFile:
        return StickFile(self, path, "wb")

    def replace(self, path: Path, data: bytes) -> None:
        self.check()
        super().replace(path, data)

    def reopen(self, path: Path) -> DiskFile:
        return StickFile(self, path, "r+b")


def play_with_beats(bench: Bench, seconds: int) -> None:
    for _ in range(seconds):
        bench.play(250)
        bench.beat(bench.next - 100)


@pytest.mark.parametrize("lost", [0, 5, 5000])
def test_a_stick_that_is_plugged_in_again_is_recorded_to_again(tmp_path: Path, lost: int) -> None:
    stick = Stick()
    bench = Bench(tmp_path, stick)
    play_with_beats(bench, 30)
    stick.pull()
    play_with_beats(bench, 30)
    (log,) = tmp_path.rglob("events.jsonl")
    before = log.read_bytes()
    log.write_bytes(before[: len(before) - lost])  # what had not reached the stick
    stick.plug()
    back = bench.next
    play_with_beats(bench, 120)
    bench.recorder.close()
    assert [line.split()[1] for line in bench.told] == ["to", "again,"]
    first, second = records(tmp_path)
    assert (first.name, second.name) == ("ecg-000", "ecg-001")
    read = samples(second)[:, 0]
    assert len(read) >= bench.next - back - 11 * RATE
    begun = bench.next - len(read)
    np.testing.assert_allclose(read, np.arange(begun, bench.next) % 30_000)
    assert [symbol for _, symbol, _ in notes(second)] == ["N"] * round(len(read) / RATE)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(lines) == before[: len(before) - lost].count(b"\n") + round(len(read) / RATE)


def test_a_stick_that_is_out_at_the_end_stops_nothing(tmp_path: Path) -> None:
    stick = Stick()
    bench = Bench(tmp_path, stick)
    bench.play(5000)
    stick.pull()
    bench.play(5000)
    bench.recorder.close()
    assert len(bench.told) == 1
    assert len(records(tmp_path)) == 1


@pytest.mark.parametrize("what", ["all", "session", "events.jsonl", "ecg-000.dat", "moved", "another disk"])
def test_a_folder_that_goes_is_missed_and_another_begun(tmp_path: Path, what: str) -> None:
    """Its open files go on taking what is written, which nobody can read any more."""
    root, away = tmp_path / "rec", tmp_path / "away"
    bench = Bench(root)
    play_with_beats(bench, 30)
    folder = bench.recorder.folder
    assert folder is not None
    if what == "moved":
        folder.rename(away)
    elif what == "another disk":
        root.rename(away)
        root.mkdir()
    elif what in ("all", "session"):
        shutil.rmtree(root if what == "all" else folder)
    else:
        (folder / what).unlink()
    gone = bench.next
    play_with_beats(bench, 100)
    bench.recorder.close()
    assert [line.split()[1] for line in bench.told] == ["to", "again,"]
    assert bench.recorder.folder is not None
    assert (bench.recorder.folder == folder) == (what == "ecg-000.dat")
    last = records(root)[-1]
    assert bench.told[1] == f"recording again, in {last.name} of {bench.recorder.folder}"
    read = samples(last)[:, 0]
    assert len(read) >= bench.next - gone - 21 * RATE
    np.testing.assert_allclose(read, np.arange(bench.next - len(read), bench.next) % 30_000)
    events = (bench.recorder.folder / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in events] == ["beat"] * len(events)
    assert len(events) >= len(read) / RATE - 1


def test_the_command_refuses_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["stream", "--port", "demo", "--record", str(tmp_path / "file")]
    done = subprocess.run(
        [sys.executable, "-m", "ecgedge", *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
