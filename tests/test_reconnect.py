"""Cable out and in: the stream waits, goes on with a gap, and takes no other board for the one it knew."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb

from ecgedge import cli
from ecgedge.errors import PortError, UsageError
from ecgedge.messages import Chunk
from ecgedge.ports import open_port
from ecgedge.ports.base import Port
from ecgedge.ports.holders import holders, named
from ecgedge.ports.reconnect import ReconnectingPort, lasting_name
from ecgedge.ports.serial_port import serial_opener

if not hasattr(os, "openpty"):
    pytest.skip("needs pseudo-terminals", allow_module_level=True)

from benchmarks.pulled_board import RATE_HZ, PulledBoard, value_of

Lines = list[dict[str, Any]]


@contextmanager
def pulled(folder: Path, moves: list[tuple[float, str]], **options: Any) -> Iterator[PulledBoard]:
    """A board that is plugged in and out, so many seconds after it was spoken to or after the last move."""
    board = PulledBoard(folder / "ttyECG", **options)
    over = threading.Event()

    def move() -> None:
        while not board.heard and not over.wait(0.01):
            pass
        for after_s, what in moves:
            if over.wait(after_s):
                return
            getattr(board, what)()

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield board
    finally:
        over.set()
        mover.join()
        board.close()


def stream(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, Lines, str]:
    with pytest.raises(SystemExit) as done:
        cli.main(["stream", "--format", "jsonl", *words])
    out, err = capfd.readouterr()
    return int(done.value.code or 0), [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize("powered", [True, False], ids=["numbers go on", "numbers begin anew"])
def test_one_recording_goes_on_with_a_gap(
    powered: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    moves = [(2.0, "unplug"), (1.5, "plug")]
    words = ("--duration", "8", "--record", str(tmp_path / "rec"))
    with pulled(tmp_path, moves, powered=powered) as board:
        code, lines, err = stream(capfd, "--port", str(board.name), *words)
    assert (code, err) == (0, "")
    states = [line["state"] for line in lines if line.get("text")]
    assert states == ["unplugged", "waiting"]
    lost, back = (line["text"] for line in lines if line.get("text"))
    assert "unplugged or switched off; waiting for it to come back" in lost
    assert back.startswith("connected again, a")
    (gap,) = [line for line in lines if line["type"] == "gap"]
    assert (gap["cause"], gap["estimated"]) == ("unplugged", not powered)
    assert gap["seconds"] > 1.3
    end = lines[-1]["counters"]
    assert end["lost"] + end["lost_estimated"] == gap["samples"]
    (header,) = (tmp_path / "rec").rglob("*.hea")
    record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
    recorded = record.d_signal[:, 0]
    assert len(recorded) == end["samples"] + gap["samples"]
    missing = np.flatnonzero(recorded == -32768)
    assert (missing[0], missing.size) == (gap["first"], gap["samples"])
    if powered:  # every sample stands where its own number says
        base = next(k for k in range(3000) if value_of(k) == recorded[0])
        kept = np.delete(np.arange(len(recorded)), missing)
        np.testing.assert_array_equal(recorded[kept], [value_of(base + int(k)) for k in kept])


def test_a_lost_port_ends_a_script(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pulled(tmp_path, [(2.0, "unplug")]) as board:
        code, lines, err = stream(capfd, "--port", str(board.name), "--no-reconnect")
    assert code == 3
    assert "was lost" in err
    assert err.count("\n") == 1
    assert [line["state"] for line in lines if line["type"] == "status"][-2:] == ["unplugged", "ended"]


def test_the_duration_ends_also_while_the_port_is_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pulled(tmp_path, [(2.0, "unplug")]) as board:
        code, lines, _ = stream(capfd, "--port", str(board.name), "--duration", "6")
    assert code == 0
    assert [line["state"] for line in lines if line["type"] == "status"][-1] == "ended"
    assert not [line for line in lines if line.get("state") == "silent"]


def test_a_port_that_never_was_is_not_waited_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, lines, err = stream(capfd, "--port", str(tmp_path / "ttyGone"))
    assert code == 3
    assert "no port" in err
    assert not lines


# -- the port alone ------------------------------------------------------------------------------------


def listen(port: Port, seconds: float) -> bytes:
    """Read for a while."""
    data, limit = b"", time.monotonic() + seconds
    while time.monotonic() < limit:
        data += port.read(0.05).data
    return data


def wait(port: Port, until: Callable[[], bool], seconds: float = 8.0) -> bytes:
    """Read till something holds."""
    data, limit = b"", time.monotonic() + seconds
    while not until():
        assert time.monotonic() < limit
        data += port.read(0.05).data
    return data


@contextmanager
def line() -> Iterator[tuple[int, str]]:
    """Both ends of a pseudo-terminal."""
    board, host = os.openpty()
    tty.setraw(host)
    path = os.ttyname(host)
    os.close(host)
    yield board, path


def point(link: Path, device: str) -> None:
    fresh = link.with_suffix(".new")
    fresh.symlink_to(device)
    fresh.replace(link)


def test_a_device_that_was_renumbered_is_found_by_its_lasting_name(tmp_path: Path) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    mine = by_id / "usb-Maker_Board_1-if00"
    with line() as (first, path):
        mine.symlink_to(path)
        assert lasting_name(path, by_id) == str(mine)
        port = ReconnectingPort(path, serial_opener(path, 115200, by_id), (0.01, 0.05))
        with port:
            os.write(first, b"one")
            assert wait(port, lambda: True) or port.read(1).data
            mine.unlink()
            os.close(first)
            wait(port, lambda: not port.connected)
            # Another board takes the old name: it must not be taken for this one.
            with line() as (other, taken):
                os.write(other, b"another heart")
                assert taken == path, "this system gives the lowest free number"
                data = listen(port, 0.3)
                assert (data, port.connected) == (b"", False)
                with line() as (second, elsewhere):
                    assert elsewhere != path
                    point(mine, elsewhere)
                    wait(port, lambda: port.connected)
                    os.write(second, b"two")
                    assert port.read(60).data == b"two"
                    assert (port.connections, port.place, port.trouble) == (2, elsewhere, "")
                    os.close(second)
                os.close(other)


def test_bytes_of_two_connections_never_come_in_one_read(tmp_path: Path) -> None:
    link = tmp_path / "tty"
    with line() as (first, path):
        link.symlink_to(path)
        with ReconnectingPort(str(link), serial_opener(str(link), 9600), (0.01, 0.05)) as port:
            os.write(first, b"old")
            old = port.read(1).data
            os.close(first)
            with line() as (second, path):
                os.write(second, b"x")  # thrown away: what comes before the port is open is of another time
                point(link, path)
                found = b""
                while port.connections == 1:
                    found += port.read(0.05).data
                assert found == b""
                os.write(second, b"new")
                assert (old, port.read(1).data) == (b"old", b"new")
                os.close(second)


class Flaky(Port):
    """A port that is lost at its first read."""

    name = "flaky"

    def __init__(self) -> None:
        self.closed = False

    @property
    def ended(self) -> bool:
        return False

    def read(self, timeout_s: float = 0.2) -> Chunk:
        raise PortError("flaky was lost")

    def write(self, data: bytes) -> None:
        raise PortError("flaky was lost")

    def close(self) -> None:
        self.closed = True


def test_attempts_become_rarer_and_the_reason_is_told() -> None:
    tries: list[float] = []

    def open_(baud: int | None) -> Port | None:
        tries.append(time.monotonic())
        if len(tries) == 1:
            return Flaky()
        raise PortError("tty0 is in use by minicom (process 7)", "a free port", "Close it.")

    with ReconnectingPort("tty0", open_, (0.02, 0.16)) as port:
        wait(port, lambda: len(tries) >= 8)
        assert "minicom (process 7)" in port.trouble
    pauses = np.diff(tries[1:])
    assert all(pause > 0.9 * least for pause, least in zip(pauses, (0.04, 0.08, 0.16, 0.16), strict=False))
    n = len(tries)
    time.sleep(0.4)
    assert len(tries) == n, "a closed port is looked for no more"


def test_a_connection_that_fails_at_once_is_not_hammered() -> None:
    opened: list[Flaky] = []
    tries: list[float] = []

    def open_(baud: int | None) -> Port:
        opened.append(Flaky())
        tries.append(time.monotonic())
        return opened[-1]

    with ReconnectingPort("tty0", open_, (0.02, 0.32)) as port:
        wait(port, lambda: len(opened) >= 6, 60.0)
    least_s = (0.02, 0.04, 0.08, 0.16, 0.32)
    assert all(pause > 0.9 * least for pause, least in zip(np.diff(tries), least_s, strict=False))
    assert all(flaky.closed for flaky in opened)


def test_the_baud_rate_that_was_found_is_kept(tmp_path: Path) -> None:
    bauds: list[int | None] = []

    class Tuned(Flaky):
        def tune(self, baud: int) -> None:
            pass

    def open_(baud: int | None) -> Port:
        bauds.append(baud)
        return Tuned()

    with ReconnectingPort("tty0", open_, (0.01, 0.01)) as port:
        port.tune(57600)
        wait(port, lambda: len(bauds) > 1)
    assert bauds[:2] == [None, 57600]


def test_what_cannot_be_mended_by_waiting_ends_it() -> None:
    opened: list[Flaky] = []

    def open_(baud: int | None) -> Port:
        if opened:
            raise UsageError("a word that makes no sense")
        opened.append(Flaky())
        return opened[0]

    with ReconnectingPort("tty0", open_, (0.01, 0.01)) as port, pytest.raises(UsageError):
        wait(port, lambda: False)


def test_writing_to_a_lost_port_is_no_error() -> None:
    opened: list[Flaky] = []

    def open_(baud: int | None) -> Port | None:
        opened.append(Flaky())
        return opened[0] if len(opened) == 1 else None

    with ReconnectingPort("tty0", open_, (30.0, 30.0)) as port:
        port.write(b"hello?")
        assert not port.connected
        port.write(b"hello?")
        port.tune(9600)
        begin_s = time.monotonic()
    assert time.monotonic() - begin_s < 10.0, "closing does not wait for the next attempt"


# -- other programs ------------------------------------------------------------------------------------

HOLD = "import sys, time; f = open(sys.argv[1], 'rb', buffering=0); print('open', flush=True); time.sleep(60)"
LOCK = (
    "import sys, time, serial; p = serial.Serial(sys.argv[1], exclusive=True); "
    "print('open', flush=True); time.sleep(60)"
)


@contextmanager
def program(code: str, path: str) -> Iterator[subprocess.Popen[str]]:
    """Another program that has a device open."""
    child = subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        yield child
    finally:
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_program_that_holds_the_port_is_named() -> None:
    with line() as (board, path), program(LOCK, path) as other:
        with pytest.raises(PortError, match=rf"in use by python\S* \(process {other.pid}\)"):
            open_port(path)
        assert holders("/dev/pts/4000000") == []
        os.close(board)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_a_program_that_reads_along_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pulled(tmp_path, []) as board, program(HOLD, str(board.name)) as other:
        code, lines, _ = stream(capfd, "--port", str(board.name), "--duration", "2")
    assert code == 0
    (said,) = [line for line in lines if "as well" in line.get("text", "")]
    assert f"(process {other.pid})" in said["text"]
    assert "a part of the bytes" in said["text"]


def test_many_programs_are_cut_short() -> None:
    assert named([]) == ""
    assert named(["a (process 1)", "b (process 2)", "c (process 3)", "d (process 4)", "e (process 5)"]) == (
        "a (process 1), b (process 2), c (process 3) and 2 more"
    )


def test_the_rate_of_the_board_is_the_truth_of_these_tests() -> None:
    assert [value_of(k) for k in (0, 1, RATE_HZ)] == [0, 7, 7 * RATE_HZ % 30_000]
