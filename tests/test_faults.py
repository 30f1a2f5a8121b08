"""Faults as a user meets them, through the real command: one line, the right exit code, no traceback,
never a verdict from what is no signal, and every sample accounted for."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import bundle, cli
from ecgedge.messages import Board
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.wire.frames import encode_data, encode_hello

if not hasattr(os, "openpty"):
    pytest.skip("needs pseudo-terminals", allow_module_level=True)

BOARD = Board("test board", 250.0, 0.5, 16, 1)
Lines = list[dict[str, Any]]


def counts(seconds: float) -> np.ndarray:
    return np.concatenate([piece.counts for piece in SimulatedPatient(1, seconds).pieces()])


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, Lines, str]:
    """Exit code, JSON lines and standard error of a command run in this process."""
    with pytest.raises(SystemExit) as done:
        cli.main(list(words))
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    assert err.count("\n") <= 1
    assert not err or err.startswith("ecgedge: ")
    return int(done.value.code or 0), [json.loads(line) for line in out.splitlines()], err


def of(lines: Lines, kind: str) -> Lines:
    return [line for line in lines if line["type"] == kind]


@contextlib.contextmanager
def board(feed: Callable[[], Iterable[bytes]], unplug: bool = False) -> Iterator[str]:
    """A board on a pseudo-terminal that sends what ``feed`` yields once somebody has opened its port."""
    master, slave = os.openpty()
    closing = threading.Event()

    def send() -> None:
        while termios.tcgetattr(slave)[3] & termios.ICANON:  # pyserial makes it raw
            if closing.wait(0.02):
                return
        closing.wait(0.2)
        for data in feed():
            if closing.is_set():
                return
            os.write(master, data)
        if unplug:
            os.close(slave)
            closing.wait(0.3)
            os.close(master)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        closing.set()
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(slave, termios.TCIFLUSH)
        thread.join(5)
        if not unplug:
            os.close(master)
            os.close(slave)


def paced(pieces: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    """One piece every so many seconds."""
    due = time.monotonic()
    for piece in pieces:
        time.sleep(max(0.0, due - time.monotonic()))
        due += seconds
        yield piece


def frames(seconds: float, start: int = 0, off: tuple[float, float] = (0, 0)) -> list[bytes]:
    """A hello and the simulated patient in data frames of 0.1 s."""
    signal = counts(seconds)[:, None].astype(int)
    out = [encode_hello(BOARD, next_index=start)]
    for k in range(0, len(signal), 25):
        loose = int(off[0] <= k / 250 < off[1])
        out.append(encode_data(start + k, (start + k) * 4000, signal[k : k + 25], 16, loose))
    return out


STREAM = ("stream", "--format", "jsonl")


# -- garbage and silence ----------------------------------------------------------------------------


def test_wrong_baud_is_explained_after_3_seconds_and_gives_no_verdict(
    capfd: pytest.CaptureFixture[str],
) -> None:
    rng = random.Random(5)
    noise = (rng.randbytes(100) for _ in range(200))
    with board(lambda: paced(noise, 0.1)) as port:
        code, lines, err = run(capfd, *STREAM, "--port", port, "--baud", "115200", "--duration", "5")
    assert code == 8
    assert "none made sense" in err
    (said,) = [line for line in lines if line["state"] == "unrecognised"]
    assert "make no sense as what any known board sends" in said["text"]
    assert "--baud" in said["text"]
    assert {line["type"] for line in lines} == {"status"}
    assert lines[-1]["counters"]["samples"] == 0


def test_a_silent_board_is_told_and_duration_still_ends_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    with board(lambda: ()) as port:
        code, lines, _ = run(capfd, *STREAM, "--port", port, "--duration", "4")
    assert code == 0
    assert [line["state"] for line in lines] == ["silent", "ended"]


# -- frames ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 30])
def test_wrong_checksums_and_a_partial_first_frame_cost_just_their_samples(
    cut: int, capfd: pytest.CaptureFixture[str]
) -> None:
    sent = frames(20, start=2**32 - 1000)  # the index wraps after 4 s
    for k in (20, 21, 50):
        sent[k] = sent[k][:20] + bytes([sent[k][20] ^ 0x55 or 1]) + sent[k][21:]
    # A port opened in the middle of a frame: its rest, then everything else.
    sent.insert(0, frames(0.1)[1][cut:] if cut else b"")
    with board(lambda: paced(sent, 0.005)) as port:
        code, lines, err = run(capfd, *STREAM, "--port", port, "--duration", "20")
    assert (code, err) == (0, "")
    end = lines[-1]["counters"]
    assert (end["samples"], end["lost"], end["lost_estimated"]) == (5000 - 75, 75, 0)
    assert sum(gap["samples"] for gap in of(lines, "gap")) == 75
    assert of(lines, "window")


def test_a_loose_electrode_is_told_in_order(capfd: pytest.CaptureFixture[str]) -> None:
    with board(lambda: paced(frames(20, off=(8, 11)), 0.005)) as port:
        _, lines, _ = run(capfd, *STREAM, "--port", port, "--duration", "20")
    told = [
        line["type"] if line["type"] == "gap" else line["text"]
        for line in lines
        if line["type"] == "gap" or line.get("text", "").startswith("electrode")
    ]
    assert told == ["electrode off: check the leads", "gap", "electrode back on"]
    (gap,) = of(lines, "gap")
    assert (gap["first"], gap["samples"], gap["cause"], gap["estimated"]) == (2000, 750, "leads_off", False)
    assert not [w for w in of(lines, "window") if w["first"] < 2750 and w["last"] > 2000]


def test_unplugged_in_the_middle(capfd: pytest.CaptureFixture[str]) -> None:
    with board(lambda: paced(frames(12), 0.005), unplug=True) as port:
        code, lines, err = run(capfd, *STREAM, "--port", port, "--no-reconnect")
    assert code == 3
    assert "was lost" in err
    assert [line["state"] for line in of(lines, "status")][-2:] == ["unplugged", "ended"]
    assert of(lines, "beat")


def test_a_recognised_board_is_asked_for_its_hello(capfd: pytest.CaptureFixture[str]) -> None:
    """Opened with ``auto`` in the middle of a stream: data frames tell the protocol, then hello comes."""
    master, slave = os.openpty()
    data = iter(frames(30)[1:])

    def speak() -> None:
        while termios.tcgetattr(slave)[3] & termios.ICANON:
            time.sleep(0.02)
        time.sleep(0.2)
        os.set_blocking(master, False)
        for frame in data:
            with contextlib.suppress(BlockingIOError, OSError):
                if os.read(master, 100):
                    os.write(master, encode_hello(BOARD))
            with contextlib.suppress(OSError):
                os.write(master, frame)
            time.sleep(0.01)

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    code, lines, _ = run(capfd, *STREAM, "--port", os.ttyname(slave), "--duration", "8")
    thread.join(20)
    os.close(master)
    os.close(slave)
    assert code == 0
    assert lines[-1]["rate_source"] == "declared"
    assert not [line for line in lines if "no hello" in line.get("text", "")]


# -- text in real time --------------------------------------------------------------------------------


def test_a_text_sensor_without_a_rate(capfd: pytest.CaptureFixture[str]) -> None:
    """200 Hz, unknown to us: the rate is measured, and beats come at the right distance."""
    signal = np.interp(np.arange(4000) / 200, np.arange(5000) / 250, counts(20)) / 20 + 512
    printed = [b"".join(b"%d\r\n" % v for v in signal[k : k + 4]) for k in range(0, 4000, 4)]
    with board(lambda: paced(printed, 0.02)) as port:
        code, lines, err = run(capfd, *STREAM, "--port", port, "--duration", "11")
    assert (code, err) == (0, "")
    assert (lines[-1]["rate_hz"], lines[-1]["rate_source"]) == (200.0, "measured")
    intervals = [beat["rr_s"] for beat in of(lines, "beat") if beat["rr_s"]]
    assert len(intervals) >= 9
    assert 60 / np.median(intervals) == pytest.approx(72, abs=4)


# -- recordings ----------------------------------------------------------------------------------------


def write_csv(path: Path, values: Iterable[float], head: str = "ecg_mv") -> str:
    path.write_text(head + "\n" + "".join(f"{v:.4f}\n" for v in values))
    return str(path)


@pytest.mark.parametrize(
    "hole", [(0, 500), (2000, 2500), (4500, 5000), (0, 5000), (0, 1), (4999, 5000)], ids=str
)
def test_missing_values_of_a_replay_are_all_accounted_for(
    hole: tuple[int, int], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Wherever they stand: delivered + gaps = sent, and the rest is what ``classify`` makes of the file."""
    values = counts(20) / 2000.0
    values[slice(*hole)] = math.nan
    path = write_csv(tmp_path / "a.csv", values)
    code, lines, err = run(capfd, *STREAM, "--port", f"replay:{path}", "--fs", "250", "--speed", "max")
    assert (code, err) == (0, "")
    n = hole[1] - hole[0]
    end = lines[-1]["counters"]
    assert (end["samples"], end["lost"]) == (5000 - n, n)
    assert [(g["first"], g["samples"], g["estimated"]) for g in of(lines, "gap")] == [(hole[0], n, False)]
    _, read, _ = run(capfd, "classify", path, "--fs", "250", "--format", "jsonl")
    for kind in ("beat", "window", "episode"):
        assert of(lines, kind) == of(read, kind)
    assert [(g["first"], g["samples"], g["cause"]) for g in of(read, "gap")] == [(hole[0], n, "lost")]
    assert of(lines, "gap") == of(read, "gap")


@pytest.mark.parametrize(("seconds", "windows"), [(5.0, 0), (8.95, 0), (9.05, 1), (30.0, 1)])
def test_short_records(
    seconds: float, windows: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_csv(tmp_path / "a.csv", counts(seconds) / 2000.0)
    code, lines, _ = run(capfd, "classify", path, "--fs", "250", "--format", "jsonl")
    assert code == 0
    assert lines[-1]["windows"] == windows
    assert (lines[-1]["verdict"] == "inconclusive") == (windows == 0)


def test_minutes_of_flat_line_give_no_verdict(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_csv(tmp_path / "a.csv", np.full(250 * 180, 0.5))
    _, lines, _ = run(capfd, "classify", path, "--fs", "250", "--format", "jsonl")
    assert {w["verdict"] for w in of(lines, "window")} == {"inconclusive"}
    assert {w["reasons"][0] for w in of(lines, "window")} == {"flat line"}
    assert not of(lines, "beat")


@pytest.mark.parametrize(
    "content",
    [b"", b"ecg_mv\n", b"hello\nworld\n", bytes(range(256)), b"ecg_mv\n1e300\n2e300\n", b"a,b\n1,2\n1\n"],
    ids=["empty", "header only", "words", "binary", "beyond all scale", "odd rows"],
)
@pytest.mark.parametrize("how", ["classify", "replay"])
def test_a_file_that_is_no_recording(
    content: bytes, how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    words = (
        ("classify", str(path))
        if how == "classify"
        else ("stream", "--port", f"replay:{path}", "--speed", "max")
    )
    code, lines, err = run(capfd, *words, "--fs", "250", "--format", "jsonl")
    assert code == 5
    assert "a.csv" in err
    assert not lines


# -- models and words ---------------------------------------------------------------------------------

DEMO = (*STREAM, "--port", "demo", "--speed", "max", "--duration", "12")


def copy_bundle(folder: Path) -> Path:
    for path in bundle.FOLDER.glob("efficientecg-s.*"):
        shutil.copy(path, folder)
    return folder / "efficientecg-s.json"


def test_one_model_asked_for_thrice_speaks_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, path = "efficientecg-s", str(copy_bundle(tmp_path))
    code, lines, _ = run(capfd, *DEMO, "--model", name, "--model", name, "--model", path)
    assert code == 0
    assert len(of(lines, "window")) == len(of(run(capfd, *DEMO)[1], "window"))


def test_two_models_of_one_name_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = copy_bundle(tmp_path)
    path.write_text(path.read_text().replace('"version": "1"', '"version": "one"'))
    code, lines, err = run(capfd, *DEMO, "--model", "efficientecg-s", "--model", str(path))
    assert code == 2
    assert "two different models" in err
    assert not lines


def test_a_damaged_bundle_names_the_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = copy_bundle(tmp_path)
    model = path.with_suffix(".tflite")
    model.write_bytes(model.read_bytes()[:-100])
    code, _, err = run(capfd, *DEMO, "--model", str(path))
    assert code == 4
    assert "efficientecg-s.tflite" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--fs", "5"), 2, "sampling rate of 5 Hz"),
        (("--lead", "7"), 2, "lead '7'"),
        (("--lead", ""), 2, "lead ''"),
        (("--lead", "V9"), 2, "0 (ECG)"),
        (("--protocol", "morse"), 2, "auto, frames, text"),
        (("--protocol", "text"), 8, "none made sense"),
        (("--model", "/nowhere/m.json"), 4, "no bundle at"),
        (("--model", "ecg-sl"), 2, "--model efficientecg-s"),
        (("--model", "efficientecg-s", "--model", "danet"), 2, "--model ecg-sl"),
        (("--attention",), 2, "--model danet"),
        (("--port", ""), 3, "no port named"),
        (("--port", "/dev/no-such-port"), 3, "no port /dev/no-such-port"),
        (("--port", "replay:"), 5, "no such recording"),
        (("--port", "carrier-pigeon://x"), 3, "not known"),
    ],
)
def test_odd_words(words: tuple[str, ...], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    found, _, err = run(capfd, *DEMO, *words)
    assert found == code
    assert said in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    words = [sys.executable, "-m", "ecgedge", *DEMO]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
