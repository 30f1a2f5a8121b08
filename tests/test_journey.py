"""The whole story, from bytes to events: any chunking gives one result, and files give the same."""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgedge.classifier import open_models
from ecgedge.classify import classify, classify_files
from ecgedge.messages import (
    Beat,
    BeatClass,
    Board,
    Chunk,
    Counters,
    Ectopic,
    EctopicRun,
    Episode,
    Gap,
    Message,
    Record,
    Status,
    Verdict,
)
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import RATE_HZ, SimulatedPatient
from ecgedge.session import StreamOptions, run_stream
from ecgedge.sinks import Sink
from ecgedge.wire import make_reader
from ecgedge.wire.frame_decoder import FrameDecoder
from ecgedge.wire.frames import encode_data, encode_hello, encode_run
from ecgedge.words import DEFAULT_MODELS

MODELS = DEFAULT_MODELS
RHYTHM = "efficientecg-s"
DURATION_S = 290.0


class Collector(Sink):
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.problems: list[str] = []

    def write(self, message: Message) -> None:
        self.messages.append(message)

    def problem(self, text: str) -> None:
        self.problems.append(text)

    def of(self, *kinds: type) -> list[Message]:
        return [m for m in self.messages if isinstance(m, kinds)]


RESULT = (Gap, Beat, BeatClass, Ectopic, EctopicRun, Verdict, Episode)


@pytest.fixture(scope="module")
def patient() -> tuple[np.ndarray, bytes]:
    """Counts of the simulated patient without its loose electrode, and the same as frames."""
    simulated = SimulatedPatient(seed=3, duration_s=DURATION_S)
    counts = np.concatenate([piece.counts for piece in simulated.pieces()])
    frames = bytearray(encode_hello(simulated.board))
    for first in range(0, counts.size, 25):
        frames += encode_data(first, int(first / RATE_HZ * 1e6) % 2**32, counts[first : first + 25, None])
    return counts, bytes(frames)


def told(frames: bytes, cuts: list[int]) -> list[Message]:
    """All messages of a stream whose bytes arrive in pieces that end at ``cuts`` and at the end."""
    reader = make_reader("frames")
    pipeline = Pipeline(open_models(MODELS), wire=lambda: reader.counters)
    out: list[Message] = []
    for begin, end in pairwise([0, *cuts, len(frames)]):
        for item in reader.push(Chunk(frames[begin:end], end / 900)):
            out += pipeline.push(item)
    for item in reader.finish():
        out += pipeline.push(item)
    return out + pipeline.finish()


def through_reader(frames: bytes, chunk: int) -> list[Message]:
    return [m for m in told(frames, list(range(chunk, len(frames), chunk))) if isinstance(m, RESULT)]


@pytest.mark.parametrize("flat_s", [15.0, 30.0, 60.0])
def test_a_beat_found_back_across_a_flat_line_does_not_depend_on_chunks(flat_s: float) -> None:
    """A low beat before the signal goes flat is looked back for when it comes again."""
    times = np.arange(round((100 + flat_s) * RATE_HZ)) / RATE_HZ
    counts = np.zeros(times.size)
    beats = [*np.arange(0.5, 39.0, 0.8), *np.arange(41.0 + flat_s, 99.0 + flat_s, 0.8)]
    for at, height in [(at, 2000.0) for at in beats] + [(39.8, 720.0)]:
        near = np.abs(times - at) < 0.1
        counts[near] += height * np.exp(-(((times[near] - at) / 0.015) ** 2) / 2)
    board = Board("b", RATE_HZ, 0.5, 16)
    whole = np.rint(counts).astype(np.int32)
    frames = encode_hello(board) + b"".join(encode_run(0, RATE_HZ, whole, 25))
    results = [through_reader(frames, chunk) for chunk in (len(frames), 997, 61)]
    assert results[0] == results[1] == results[2]
    assert sum(isinstance(m, BeatClass) for m in results[0]) > 100


@pytest.fixture(scope="module")
def whole(patient) -> list[Message]:
    return through_reader(patient[1], len(patient[1]))


def test_the_story_has_beats_verdicts_and_an_episode(whole) -> None:
    beats = [m for m in whole if isinstance(m, Beat)]
    assert len(beats) > 300
    verdicts = [m for m in whole if isinstance(m, Verdict)]
    assert verdicts[0].scores.provisional
    assert verdicts[0].scores.seconds == 9.0
    assert {v.scores.model for v in verdicts} == {RHYTHM}
    assert all(abs(sum(v.scores.scores.values()) - 1) < 1e-9 for v in verdicts)
    episodes = [m for m in whole if isinstance(m, Episode)]
    # The programme has AF from 60 s to 170 s.
    assert any(e.state == "closed" and e.onset_s < 90 and 140 < e.offset_s < 200 for e in episodes)
    assert [m.beat for m in whole if isinstance(m, BeatClass)] == beats
    # APCs from 170 s to 230 s; none is told in the sinus rhythm of the first minute.
    early = [m.beat.time_s for m in whole if isinstance(m, Ectopic) and m.kind == "APC"]
    assert sum(170 < at < 230 for at in early) >= 3
    assert not any(at < 55 for at in early)


@pytest.mark.parametrize("chunk", [1, 7, 250, 4096])
def test_result_does_not_depend_on_chunking(patient, whole, chunk: int) -> None:
    assert through_reader(patient[1], chunk) == whole


@pytest.fixture(scope="module")
def eventful() -> bytes:
    """Frames of the patient: loose electrode, mains, lost frames, short loose contacts, an odd rate."""
    simulated = SimulatedPatient(seed=5, duration_s=DURATION_S)
    frames = bytearray(encode_hello(replace(simulated.board, rate_hz=194.3)))
    for piece in simulated.pieces():
        hum = np.rint(300 * np.sin(2 * np.pi * 50 / 194.3 * (piece.first + np.arange(piece.counts.size))))
        counts = piece.counts + hum.astype(np.int32)
        for at in range(0, counts.size, 25):
            first = piece.first + at
            if first in (20_000, 30_000) or 40_000 <= first < 40_500:
                continue
            off = int(piece.leads_off or first in (25_000, 35_025))
            frames += encode_data(first, round(first / 194.3 * 1e6) % 2**32, counts[at : at + 25], 24, off)
            if first % 1250 == 0:
                frames += encode_hello(replace(simulated.board, rate_hz=194.3), next_index=first + 25)
    return bytes(frames)


def comparable(messages: list[Message]) -> list[Message]:
    """Without the counts of bytes and frames, which follow what was read."""

    def kept(c: Counters) -> Counters:
        return Counters(samples=c.samples, lost=c.lost, leads_off=c.leads_off)

    return [replace(m, counters=kept(m.counters)) if isinstance(m, Status) else m for m in messages]


@pytest.fixture(scope="module")
def eventful_whole(eventful: bytes) -> list[Message]:
    return comparable(told(eventful, []))


def test_an_eventful_stream_has_it_all(eventful_whole: list[Message]) -> None:
    statuses = [m for m in eventful_whole if isinstance(m, Status)]
    assert {s.text.partition(":")[0] for s in statuses} >= {"electrode off", "electrode back on"}
    assert any("mains" in s.text for s in statuses)
    assert {m.cause for m in eventful_whole if isinstance(m, Gap)} == {"lost", "leads_off"}
    ticks = [s.time_s for s in statuses if s.state in ("streaming", "leads_off") and not s.text]
    assert all(int(later) > int(t) for t, later in pairwise(ticks))
    after_gaps = [t for t in ticks if t % 1 > 1 / 194]  # all others fall on the first sample of their second
    assert len(after_gaps) <= sum(m.cause == "lost" for m in eventful_whole if isinstance(m, Gap))


@pytest.mark.parametrize("seed", range(5))
def test_every_message_and_their_order_are_the_same_however_bytes_come(
    eventful: bytes, eventful_whole: list[Message], seed: int
) -> None:
    """Cut anywhere: into thirty to some thousand pieces of any length."""
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(1, len(eventful), 30 * 4**seed)).tolist()
    assert comparable(told(eventful, cuts)) == eventful_whole


def after_restart(size: int) -> tuple[list[Gap], int]:
    """A board that was away and sends what it kept in one burst, read in pieces: gaps and samples."""
    board, decoder, pipeline = Board("b", 250.0, 1.0, 16), FrameDecoder(), Pipeline(())
    counts = np.random.default_rng(0).integers(-1000, 1000, 1000)
    before, after = (
        encode_hello(board, boot=boot) + b"".join(encode_run(0, 250.0, counts, 10)) for boot in (1, 2)
    )
    chunks = [Chunk(before, 4.0)]
    chunks += [Chunk(after[at : at + size], 10.0) for at in range(0, len(after), size)]
    out = [m for chunk in chunks for part in decoder.push(chunk) for m in pipeline.push(part)]
    return [m for m in [*out, *pipeline.finish()] if isinstance(m, Gap)], pipeline.samples


@pytest.mark.parametrize("size", [1, 64, 600])
def test_how_long_a_board_was_away_does_not_depend_on_the_reads(size: int) -> None:
    gaps, samples = after_restart(10**6)
    assert [gap.cause for gap in gaps] == ["reset"]
    assert samples == 2000
    assert after_restart(size) == (gaps, samples)


def test_classify_gives_what_the_stream_gives(patient, whole, tmp_path: Path) -> None:
    """The same signal written by the wfdb package as a record."""
    counts, _ = patient
    wfdb.wrsamp(
        "patient",
        fs=RATE_HZ,
        units=["mV"],
        sig_name=["II"],
        d_signal=counts[:, None].astype(np.int64),
        fmt=["16"],
        adc_gain=[2000.0],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    from ecgedge.recordings import open_recording

    path = str(tmp_path / "patient")
    messages = list(classify(open_recording(path), path, open_models(MODELS)))
    assert [m for m in messages if isinstance(m, RESULT)] == whole
    record = messages[-1]
    assert isinstance(record, Record)
    assert record.seconds == DURATION_S
    full = [m.scores for m in whole if isinstance(m, Verdict) and not m.scores.provisional]
    mean = sum(s.scores["A"] for s in full) / len(full)
    assert record.scores["A"] == pytest.approx(mean)
    assert record.windows == len(full)


def unpack(data_dir: Path, archive: str, member: str, folder: Path) -> Path:
    """One record of a zipped or unpacked data set, in ``folder``."""
    for suffix in (".hea", ".dat", ".mat"):
        name = f"{member}{suffix}"
        packed = data_dir / f"{archive}.zip"
        if packed.is_file():
            with zipfile.ZipFile(packed) as opened:
                if name in opened.namelist():
                    (folder / Path(name).name).write_bytes(opened.read(name))
        elif (data_dir / name).is_file():
            (folder / Path(name).name).write_bytes((data_dir / name).read_bytes())
    return folder / Path(member).name


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["202", "203", "222"])
def test_mitdb_through_a_pty(data_dir: Path, tmp_path: Path, name: str) -> None:
    """A real record as frames through a pseudo-terminal at full speed: nothing is lost on the way, AF is
    found, and the result is that of reading the file."""
    path = str(unpack(data_dir, "mitdb", f"mitdb/{name}", tmp_path))
    sent = wfdb.rdheader(path).sig_len
    streamed, read = Collector(), Collector()
    run_stream(StreamOptions(port=f"replay:{path}", speed=math.inf, models=MODELS), streamed)
    end = streamed.of(Status)[-1]
    lost = sum(g.n for g in streamed.of(Gap) if g.cause == "lost")
    assert end.counters.samples + lost == sent
    assert end.counters.lost == lost == 0
    assert streamed.of(Episode)
    assert classify_files([path], models=MODELS, sink=read) == 0
    assert streamed.of(*RESULT) == read.of(*RESULT)


def test_a_board_that_prints_half_as_often_keeps_its_heart_rate() -> None:
    reader = make_reader("text")
    pipeline = Pipeline((), wire=lambda: reader.counters)
    out: list[Message] = []
    end_s, bpm = 0.0, {}
    for rate_hz in (250.0, 125.0):
        patient = SimulatedPatient(seed=1, duration_s=50.0, rate_hz=rate_hz)  # both times its sinus rhythm
        counts = np.concatenate([piece.counts for piece in patient.pieces()])
        n = round(0.04 * rate_hz)
        for first in range(0, counts.size, n):
            end_s += 0.04
            lines = "".join(f"{count}\n" for count in counts[first : first + n])
            for item in reader.push(Chunk(lines.encode(), end_s)):
                out += pipeline.push(item)
        statuses = [m for m in out if isinstance(m, Status) and m.heart_rate_bpm is not None]
        bpm[rate_hz] = [status.heart_rate_bpm for status in statuses[-20:]]
    assert np.ptp(bpm[125.0]) < 8
    assert np.median(bpm[125.0]) == pytest.approx(np.median(bpm[250.0]), rel=0.03)
    told = [m.text for m in out if isinstance(m, Status) and m.text]
    assert told == ["samples arrive at 125 a second from here on, not 250"]
