"""Simulated boards on real pseudo-terminals, through the real command: each kind is understood."""

from __future__ import annotations

import contextlib
import json
import os
import random
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_bytes import placed, read
from test_wire_recognise import resample_uart

from ecgedge import cli
from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.ports import open_port
from ecgedge.ports.boards import BOARDS
from ecgedge.ports.sources import PatientSource
from ecgedge.ports.voice import Heard
from ecgedge.wire import PROTOCOLS, make_reader

if not hasattr(os, "openpty"):
    pytest.skip("needs pseudo-terminals", allow_module_level=True)

from ecgedge.ports.virtual import PtyLink, VirtualBoard

SERIAL = [name for name, row in BOARDS.items() if row.make().protocol != "polar-h10"]
SILENT = ["chords-uno-r3", "cyton", "bitalino"]
ECG = {"serial-plotter": "ECG", "bitalino": "A2"}
"""Lead of the ECG, where it is not the first."""


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, JSON lines and standard error of a stream run in this process."""
    with pytest.raises(SystemExit) as done:
        cli.main(["stream", "--format", "jsonl", *words])
    out, err = capfd.readouterr()
    return int(done.value.code or 0), [json.loads(line) for line in out.splitlines()], err


@contextlib.contextmanager
def plugged_in(name: str, seconds: float, streaming: bool = False) -> Iterator[tuple[str, list[Heard]]]:
    """A board on a pseudo-terminal, in real time: its path, and what it made of what it was told."""
    speech = BOARDS[name].make()
    heard: list[Heard] = []
    hear = speech.hear

    def listen(data: bytes) -> Heard:
        heard.append(hear(data))
        return heard[-1]

    speech.hear = listen  # type: ignore[method-assign]
    link = PtyLink()
    board = VirtualBoard(PatientSource(0, seconds, speech.rate_hz), speech, link, 1.0)
    if streaming:  # somebody has started it before
        board._started = board._streaming = True
    board.start()
    try:
        yield link.path, heard
    finally:
        board.stop()
        link.close()


# -- the demo ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BOARDS))
def test_the_demo_plays_through_every_board(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--port", "demo", "--board", name, "--speed", "max", "--duration", "12"]
    code, lines, err = run(capfd, *words, *(("--lead", ECG[name]) if name in ECG else ()))
    assert (code, err) == (0, "")
    end = lines[-1]["counters"]
    rate_hz = BOARDS[name].make().rate_hz
    assert end["samples"] >= 12 * rate_hz - 73  # one line is lost to text, up to a packet to others
    assert (end["bad_frames"], end["lost"], end["lost_estimated"]) == (0, 0, 0)
    assert lines[-1]["rate_hz"] == pytest.approx(rate_hz, rel=0.01)
    intervals = [line["rr_s"] for line in lines if line["type"] == "beat" and line["rr_s"]]
    assert len(intervals) >= 11
    assert 60 / np.median(intervals) == pytest.approx(72, abs=4)


@pytest.mark.parametrize(
    ("name", "leads"), [("bitalino", "A1 A2 A3 A4 A5 A6"), ("serial-plotter", "leads_off ECG")]
)
def test_a_recording_keeps_the_names_of_the_leads(
    name: str, leads: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import wfdb

    words = ["--port", "demo", "--board", name, "--speed", "max", "--duration", "12", "--lead", ECG[name]]
    code, _, _ = run(capfd, *words, "--record", str(tmp_path))
    assert code == 0
    (header,) = tmp_path.rglob("ecg-000.hea")
    assert wfdb.rdheader(str(header)[:-4]).sig_name == leads.split()


def test_a_lead_that_the_board_does_not_name(capfd: pytest.CaptureFixture[str]) -> None:
    demo = ["--port", "demo", "--speed", "max", "--duration", "12"]
    code, _, err = run(capfd, *demo, "--board", "bitalino", "--lead", "V9")
    assert code == 2
    assert "0 (A1), 1 (A2)" in err
    code, _, err = run(capfd, *demo, "--board", "cyton", "--lead", "ECG")
    assert code == 2
    assert "a number from 0" in err


def test_a_board_that_is_not_known_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capfd, "--port", "demo", "--board", "abacus")
    assert code == 2
    assert "chords-uno-r3" in err
    code, _, err = run(capfd, "--port", "/dev/null", "--board", "cyton")
    assert code == 2
    assert "--port demo" in err


def test_every_board_is_listed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["boards"])
    listed = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(BOARDS)
    for line in listed:
        assert line.split()[1] in PROTOCOLS


# -- recognition in real time, all boards at once -------------------------------------------------------


@dataclass
class Reading:
    """What came of one board within a few seconds."""

    chunks: list[Chunk] = field(default_factory=list)
    out: list[Any] = field(default_factory=list)
    protocol: str | None = None
    heard: int | None = None
    """Bytes that had come when it was recognised."""

    @property
    def samples(self) -> int:
        return sum(message.n for message in self.out if isinstance(message, SampleBlock))

    @property
    def bytes(self) -> int:
        return sum(len(chunk.data) for chunk in self.chunks)


@pytest.fixture(scope="module")
def readings() -> dict[str, Reading]:
    """All boards, streaming already, read with ``auto`` for three seconds of signal."""
    found = {name: Reading() for name in SERIAL}

    def listen(name: str) -> None:
        reading, reader = found[name], make_reader()
        with plugged_in(name, 30.0, streaming=True) as (path, _), open_port(path) as port:
            until_s, enough = time.monotonic() + 60, 3 * BOARDS[name].make().rate_hz
            while reading.samples < enough and time.monotonic() < until_s:
                chunk = port.read()
                if not chunk.data:
                    continue
                reading.chunks.append(chunk)
                reading.out += reader.push(chunk)
                if reading.heard is None and reader.protocol is not None:
                    reading.heard = reading.bytes
            reading.out += reader.finish()
        reading.protocol = reader.protocol

    threads = [threading.Thread(target=listen, args=(name,)) for name in SERIAL]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.parametrize("name", SERIAL)
def test_a_board_on_a_serial_port_is_recognised_within_two_seconds(
    name: str, readings: dict[str, Reading]
) -> None:
    reading = readings[name]
    assert reading.protocol == BOARDS[name].make().protocol
    assert reading.heard is not None
    # By the board's own time: the machine may be busy with something else.
    sent_s = reading.samples / BOARDS[name].make().rate_hz
    assert reading.heard / reading.bytes * sent_s < 2.0
    boards = [message for message in reading.out if isinstance(message, Board)]
    assert len(boards) == 1
    assert boards[0].rate_hz in (None, BOARDS[name].make().rate_hz)
    assert sent_s >= 3


@pytest.mark.parametrize("name", SERIAL)
def test_what_was_recognised_reads_as_if_it_had_been_named(name: str, readings: dict[str, Reading]) -> None:
    reading = readings[name]
    named, _ = read(BOARDS[name].make().protocol, reading.chunks)
    assert placed(named) == placed(reading.out)


# -- commands ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SILENT)
def test_a_named_board_is_started_and_stopped(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with plugged_in(name, 60.0) as (path, heard):
        speech = BOARDS[name].make()
        words = ["--port", path, "--protocol", speech.protocol, "--duration", "2"]
        code, lines, err = run(capfd, *words)
        time.sleep(0.3)
    assert (code, err) == (0, "")
    assert lines[-1]["rate_hz"] == speech.rate_hz
    assert lines[-1]["counters"]["samples"] >= 2 * speech.rate_hz
    assert [h.start for h in heard if h.start or h.stop] == [True, False]


@pytest.mark.parametrize("feed", [b"", b"noise"], ids=["silence", "noise"])
def test_nothing_is_written_to_a_board_that_is_not_known(
    feed: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    master, slave = os.openpty()
    os.set_blocking(master, False)
    closing = threading.Event()
    written: list[bytes] = []

    def board() -> None:
        rng = random.Random(1)
        while not closing.wait(0.05):
            with contextlib.suppress(BlockingIOError):
                written.append(os.read(master, 100))
            if feed and not termios.tcgetattr(slave)[3] & termios.ICANON:
                with contextlib.suppress(BlockingIOError):
                    os.write(master, rng.randbytes(50))

    thread = threading.Thread(target=board, daemon=True)
    thread.start()
    code, lines, _ = run(capfd, "--port", os.ttyname(slave), "--duration", "4")
    closing.set()
    thread.join(5)
    os.close(master)
    os.close(slave)
    assert code == (8 if feed else 0)
    assert written == []
    assert lines[-1]["counters"]["samples"] == 0


# -- the baud rate -------------------------------------------------------------------------------------


@contextlib.contextmanager
def uart(name: str, baud: int) -> Iterator[str]:
    """A board behind a line: a host that listens at another rate than ``baud`` receives garbage."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    speech = BOARDS[name].make()
    source = PatientSource(0, 60.0, speech.rate_hz)
    closing = threading.Event()
    rates = {getattr(termios, f"B{rate}"): rate for rate in (9600, 57600, 115200, 230400)}

    def send() -> None:
        while termios.tcgetattr(slave)[3] & termios.ICANON:  # pyserial makes it raw
            if closing.wait(0.02):
                return
        begin_s = time.monotonic()
        for piece, end in (p for run_ in source.runs() for p in speech.pieces(run_)):
            if closing.wait(max(0.0, begin_s + end / speech.rate_hz - time.monotonic())):
                return
            listening = rates.get(termios.tcgetattr(slave)[5], baud)
            data = piece if listening == baud else resample_uart(piece, baud, listening)
            with contextlib.suppress(BlockingIOError):
                os.write(master, data)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        closing.set()
        thread.join(5)
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("name", "baud"), [("ad8232-sparkfun", 9600), ("max30003", 57600)])
def test_the_baud_rate_is_found(name: str, baud: int, capfd: pytest.CaptureFixture[str]) -> None:
    with uart(name, baud) as path:
        code, lines, err = run(capfd, "--port", path, "--duration", "6")
    assert (code, err) == (0, "")
    texts = [line["text"] for line in lines if line.get("text") and line["state"] != "silent"]
    assert "nothing that makes sense at 115200 baud" in texts[0]
    assert texts[1] == f"{BOARDS[name].make().protocol} at {baud} baud"
    assert lines[-1]["rate_hz"] == pytest.approx(BOARDS[name].make().rate_hz, rel=0.02)
    assert sum(line["type"] == "beat" for line in lines) >= 5


def test_a_baud_rate_that_was_given_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    with uart("ad8232-sparkfun", 9600) as path:
        code, lines, _ = run(capfd, "--port", path, "--baud", "57600", "--duration", "5")
    assert code == 8
    (said,) = [line for line in lines if line["state"] == "unrecognised"]
    assert "Try another --baud (9600, 57600, 115200, 230400)" in said["text"]
