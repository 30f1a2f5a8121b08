"""Serial ports: a pseudo-terminal is the cable, so that it can be missing, busy, forbidden and pulled."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ecgedge.arrivals import now_s
from ecgedge.errors import PortError, UsageError
from ecgedge.messages import SampleBlock
from ecgedge.ports import list_ports, open_port
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.ports.serial_port import describe_ports
from ecgedge.ports.sources import PatientSource
from ecgedge.wire.frame_decoder import FrameDecoder
from ecgedge.wire.frames import command_hello, command_start

serial = pytest.importorskip("serial")
pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")


@contextmanager
def cable() -> Iterator[tuple[int, str]]:
    """The board's end of a pseudo-terminal, and the path of the host's end."""
    import tty

    board, host = os.openpty()
    tty.setraw(host)
    path = os.ttyname(host)
    os.close(host)
    try:
        yield board, path
    finally:
        with suppress(OSError):  # the test may have pulled it
            os.close(board)


def fails(spec: str, match: str, advice: str = "", baud: int = 115200) -> None:
    """Opening fails with one line that says what and what to do."""
    with pytest.raises(PortError, match=match) as caught:
        open_port(spec, baud=baud)
    assert "\n" not in str(caught.value)
    assert advice in str(caught.value)


def test_bytes_arrive_in_order_with_rising_times() -> None:
    with cable() as (board, path), open_port(path) as port:
        assert (port.name, port.protocol, port.live, port.ended) == (path, None, True, False)
        sent, got, times = b"", b"", []
        for k in range(50):
            data = bytes(range(256)) * (k % 5 + 1)
            os.write(board, data)
            sent += data
            while len(got) < len(sent):
                chunk = port.read(60)
                assert chunk.data
                got += chunk.data
                times.append(chunk.arrival_s)
        assert got == sent
        assert times == sorted(times)
        assert abs(times[-1] - now_s()) < 60


def test_arrival_is_when_the_bytes_came_not_when_they_are_read() -> None:
    with cable() as (board, path), open_port(path) as port:
        os.write(board, b"one")
        came_s = now_s()
        time.sleep(1.0)
        chunk = port.read()
        assert chunk.data == b"one"
        assert chunk.arrival_s - came_s < 0.7


def test_nothing_comes_and_nothing_spins() -> None:
    with cable() as (_, path), open_port(path) as port:
        cpu_s, wall_s = time.process_time(), time.monotonic()
        for _ in range(5):
            assert port.read(0.1).data == b""
        assert time.monotonic() - wall_s > 0.45
        assert time.process_time() - cpu_s < 0.1


def test_bytes_to_the_board() -> None:
    with cable() as (board, path), open_port(path) as port:
        port.write(command_hello())
        assert os.read(board, 100) == command_hello()


def test_a_board_that_takes_nothing_does_not_end_the_stream() -> None:
    with cable() as (board, path), open_port(path) as port:
        port.write(b"x" * 100_000)  # nobody reads: dropped after the time-out
        os.write(board, b"still here")
        assert port.read(60).data == b"still here"


def test_a_simulated_board_over_a_real_serial_port_loses_nothing() -> None:
    """Opening a port throws away what came before: the board must hold until it is started."""
    from ecgedge.ports.framed import FramesVoice
    from ecgedge.ports.virtual import PtyLink, VirtualBoard

    expected = np.concatenate([piece.counts for piece in SimulatedPatient(1, 60.0).pieces()])
    for _ in range(10):
        link = PtyLink()
        source = PatientSource(1, 60.0)
        board = VirtualBoard(source, FramesVoice(source.board), link, math.inf)
        board.start()
        try:
            with open_port(link.path) as port:
                port.write(command_hello() + command_start())
                decoder = FrameDecoder()
                values: list[float] = []
                while len(values) < len(expected):
                    chunk = port.read(60)
                    assert chunk.data
                    for block in decoder.push(chunk):
                        if isinstance(block, SampleBlock):
                            values += block.counts[:, 0].tolist()
        finally:
            board.stop()
            link.close()
        np.testing.assert_array_equal(values, expected)
        assert decoder.counters.discarded_bytes == decoder.counters.bad_frames == 0


def test_missing(tmp_path: Path) -> None:
    fails("/dev/ttyNOWHERE7", "no port /dev/ttyNOWHERE7", "ecgedge ports")
    fails(str(tmp_path / "ttyGone"), "no port")
    fails("COM77", "no port COM77|COM77", "")
    fails("", "no port named", "ecgedge ports")


def test_busy() -> None:
    with cable() as (_, path), open_port(path):
        fails(path, "in use by another program", "Close the other program")


def test_permission_denied() -> None:
    with cable() as (_, path):
        if os.geteuid() == 0:  # nothing is denied to root: be nobody for a moment
            os.seteuid(65534)
            try:
                fails(path, "no permission to open", "usermod -aG")
            finally:
                os.seteuid(0)
        else:
            Path(path).chmod(0)
            fails(path, "no permission to open", "usermod -aG")


def test_not_a_serial_port(tmp_path: Path) -> None:
    record = tmp_path / "a.csv"
    record.write_text("1\n")
    fails(str(record), "is a file", f"replay:{record}")
    fails(str(tmp_path), "is a folder")
    fails("/dev/null", "is no serial port", "ecgedge ports")


@pytest.mark.parametrize("baud", [0, -9600, 10**9])
def test_baud_rates_without_sense(baud: int) -> None:
    with cable() as (_, path), pytest.raises(UsageError, match="baud rate"):
        open_port(path, baud=baud)


def test_url_errors() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        refused = f"socket://127.0.0.1:{held.getsockname()[1]}"
        fails(refused, "refused", "Check address")
    fails("nonsense://x", "nonsense", "socket://host:port")
    fails("socket://", "socket://")
    fails("socket://127.0.0.1:notaport", "socket://")


def test_unplugged_in_the_middle() -> None:
    with cable() as (board, path), open_port(path) as port:
        os.write(board, b"last words")
        time.sleep(0.2)
        os.close(board)
        time.sleep(0.2)
        assert port.read().data == b"last words"
        with pytest.raises(PortError, match="was lost") as caught:
            port.read(60)
        assert "\n" not in str(caught.value)
        assert port.ended
        assert port.read(0.01).data == b""
        with pytest.raises(PortError, match="was lost"):
            port.write(b"hello?")


def test_unplugged_while_waiting() -> None:
    with cable() as (board, path), open_port(path) as port:
        threading.Timer(0.2, os.close, [board]).start()
        started_s = time.monotonic()
        with pytest.raises(PortError, match="was lost"):
            port.read(20)
        assert time.monotonic() - started_s < 10


def test_closing_is_quick_and_twice_is_fine() -> None:
    before = set(threading.enumerate())  # some may end meanwhile
    with cable() as (_, path):
        port = open_port(path)
        started_s = time.monotonic()
        port.close()
        port.close()
        assert time.monotonic() - started_s < 5
        assert port.ended
        assert set(threading.enumerate()) <= before
        with open_port(path):  # and the port is free again
            pass


def test_socket_url() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, open_port(f"socket://127.0.0.1:{server.getsockname()[1]}") as port:
        board, _ = server.accept()
        payload = bytes(range(256)) * 40
        with board:
            board.sendall(payload)
            got = b""
            while len(got) < len(payload):
                got += port.read(60).data
            port.write(b"hello?")
            assert board.recv(100) == b"hello?"
        assert got == payload
        with pytest.raises(PortError, match="was lost"):
            port.read(60)


def test_loop_url() -> None:
    with open_port("loop://") as port:
        port.write(b"abc")
        got = b""
        while len(got) < 3:
            got += port.read(60).data
        assert got == b"abc"


def test_ports_are_listed_with_their_lasting_names(tmp_path: Path) -> None:
    device = tmp_path / "ttyUSB0"
    device.touch()
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-Maker_Board-if00").symlink_to(device)
    found = [
        SimpleNamespace(device="/dev/ttyS1", name="ttyS1", description="n/a"),
        SimpleNamespace(device=str(device), name="ttyUSB0", description="Maker Board"),
    ]
    lines = describe_ports(by_id, lambda: found)
    assert lines == ["/dev/ttyS1", f"{device}  {by_id / 'usb-Maker_Board-if00'}  Maker Board"]
    assert all(isinstance(line, str) for line in list_ports())


def test_demo_does_not_import_pyserial() -> None:
    code = (
        "import sys, ecgedge.ports as p\n"
        "p.open_port('demo', duration_s=1).close()\n"
        "print([m for m in sys.modules if m.split('.')[0] == 'serial'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
