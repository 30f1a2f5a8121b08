"""What do faults around a stream cost: cable, kill -9, a reader held up, a clock that is set?

A board on a pseudo-terminal numbers its samples, and every value follows from its number, so that each sample
that was sent can be asked for: delivered right, told as a gap, or neither. Damage on the wire itself is the
question of ``faults``.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.pulled_board import RATE_HZ, PulledBoard, value_of
from ecgedge.clock import Clock
from ecgedge.messages import Board, Gap, SampleBlock, Status
from ecgedge.ports.reconnect import ReconnectingPort
from ecgedge.ports.serial_port import serial_opener
from ecgedge.recordings import open_recording
from ecgedge.wire import make_reader

QUESTION = "What do faults around a stream cost: cable, kill -9, a reader held up?"
REPLUGS, KILLS = 1000, 200
_PAUSES_S = (0.002, 0.01)
_IN_S = (0.02, 0.08)
_OUT_S = (0.005, 0.03)
FAST_HZ = 5000


class Listener:
    """A port through reader and clock, as in a session, without stages behind."""

    def __init__(self, port: ReconnectingPort) -> None:
        self._port, self._reader, self._clock = port, make_reader("frames"), Clock()
        self._connections = port.connections
        self.out: list[SampleBlock | Gap] = []

    def read(self) -> None:
        """Read once."""
        chunk = self._port.read(0.01)
        if self._port.connections != self._connections:
            self._connections = self._port.connections
            self._take(self._reader.restart())
            self._keep(self._clock.cut())
        self._take(self._reader.push(chunk))

    def finish(self) -> None:
        """Take what was held back."""
        self._take(self._reader.finish())
        self._keep(self._clock.finish())

    def _take(self, items: Sequence[Board | SampleBlock | Status]) -> None:
        for item in items:
            if not isinstance(item, Status):
                self._keep(self._clock.push(item))

    def _keep(self, items: Sequence[object]) -> None:
        self.out += [item for item in items if isinstance(item, SampleBlock | Gap)]


def account(out: list[SampleBlock | Gap]) -> report.Json:
    """Every sample between the first and the last: right, wrong, in a gap, or neither."""
    blocks = [block for block in out if isinstance(block, SampleBlock) and block.n]
    gaps = [gap for gap in out if isinstance(gap, Gap)]
    first = int(blocks[0].counts[0, 0])
    base = next(k for k in range(100_000) if value_of(k) == first) - blocks[0].first
    right = wrong = 0
    for block in blocks:
        places = np.arange(block.first, block.first + block.n) + base
        same = block.counts[:, 0] == [value_of(int(k)) for k in places]
        right += int(same.sum())
        wrong += int((~same).sum())
    end = blocks[-1].first + blocks[-1].n
    before = sum(gap.n for gap in gaps if gap.first < end)
    return {
        "sent": end - blocks[0].first,
        "right": right,
        "wrong": wrong,
        "told_exactly": sum(gap.n for gap in gaps if not gap.estimated),
        "told_as_estimate": sum(gap.n for gap in gaps if gap.estimated),
        "neither": end - blocks[0].first - right - wrong - before,
        "gaps": len(gaps),
    }


def replugs(times: int, seed: int = 0) -> report.Json:
    """Pull the cable and put it back, at random moments; the board has a battery."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        board = PulledBoard(Path(folder) / "ttyECG", rate_hz=FAST_HZ)
        name = str(board.name)
        port = ReconnectingPort(name, serial_opener(name, 115200), _PAUSES_S)
        listener = Listener(port)

        def listen(seconds: float, until: Callable[[], bool] = lambda: True) -> None:
            end_s = time.monotonic() + seconds
            while time.monotonic() < end_s or not until():
                listener.read()

        try:
            for _ in range(times):
                listen(rng.uniform(*_IN_S), lambda: port.connected)
                board.unplug()
                listen(rng.uniform(*_OUT_S), lambda: not port.connected)
                board.plug()
            listen(0.5, lambda: port.connected)
        finally:
            port.close()
            board.close()
        listener.finish()
        return {"replugs": times, "connections": port.connections, **account(listener.out)}


def held_up(seconds: float) -> report.Json:
    """The program does not read for a while; the port's thread does, and a board does not wait."""
    with tempfile.TemporaryDirectory() as folder:
        board = PulledBoard(Path(folder) / "ttyECG")
        name = str(board.name)
        with ReconnectingPort(name, serial_opener(name, 115200)) as port:
            listener = Listener(port)
            for _ in range(50):
                listener.read()
            time.sleep(seconds)
            end_s = time.monotonic() + 0.5
            while time.monotonic() < end_s:
                listener.read()
        board.close()
    listener.finish()
    return {"held_up_s": seconds, **account(listener.out)}


def kills(times: int, seed: int = 0) -> report.Json:
    """Kill a recording command at random moments; what is found of the record afterwards."""
    rng = random.Random(seed)
    found = {"kills": times, "records": 0, "nothing_yet": 0, "unreadable": 0, "most_lost_s": 0.0}
    words = ["stream", "--port", "demo", "--speed", "20", "--format", "jsonl", "--record"]
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "rec"
            command = [sys.executable, "-m", "ecgedge", *words, str(record)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE)
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(rng.uniform(0.0, 1.5))
            child.send_signal(signal.SIGKILL)
            rest, _ = child.communicate()
            _look(record, rest, found)
    found["most_lost_s"] = round(found["most_lost_s"], 2)
    return found


def _look(folder: Path, printed: bytes, found: report.Json) -> None:
    told = [int(part.split(b",")[0]) for part in printed.split(b'"samples": ')[1:] if b"," in part[:20]]
    headers = sorted(folder.rglob("*.hea"))
    if not headers:
        found["nothing_yet"] += 1
        return
    try:
        kept = sum(block.n for block in open_recording(str(headers[0])).blocks())
    except Exception:  # whatever it is, it is what this counts
        found["unreadable"] += 1
        return
    found["records"] += 1
    lost_s = max(0, max(told, default=0) - kept) / RATE_HZ
    found["most_lost_s"] = max(found["most_lost_s"], lost_s)


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("faults_stream", QUESTION)
    parser.add_argument("--replugs", type=int, default=REPLUGS)
    parser.add_argument("--kills", type=int, default=KILLS)
    given = parser.parse_args()
    figures: report.Json = {}
    faults: dict[str, Callable[[], report.Json]] = {
        "replugged": lambda: replugs(given.replugs),
        "reader_held_up": lambda: held_up(10.0),
        "killed_while_recording_at_20_times_real_time": lambda: kills(given.kills),
    }
    for name, row in faults.items():
        figures[name] = row()
        print(name, figures[name], flush=True)
    path = report.write(parser, given, QUESTION, {}, figures)
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
