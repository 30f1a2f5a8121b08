"""Does a board with our firmware stream for a day without losing, changing or misnumbering a sample?

The programs run on the emulated Uno of ``firmware_bridge/extras/emulator``, their signal a ramp of which
every lost, repeated or swapped sample can be seen; what they send goes to a file and is decoded as on a host.
Needs the Debian packages that ``firmware_bridge/README.md`` names.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks import report
from ecgedge.errors import EcgedgeError
from ecgedge.firmware import find, folder
from ecgedge.messages import Chunk, SampleBlock
from ecgedge.wire.frame_decoder import FrameDecoder

QUESTION = (
    "Does a board with our firmware stream for a day without losing, changing or misnumbering a sample?"
)
PROGRAMS = {"ecg_board": 24.0, "AD8232_Uno": 2.5}
"""Hours of each. The Arduino core wakes the processor a thousand times a second, which takes emulating."""
RATE = 250
_READ = 1 << 20
_STEP_MV, _SPAN_MV, _LEAST_MV = 35, 3200, 100


def build(name: str, place: Path) -> Path:
    """Compile a program and, once, the emulator."""
    script = folder() / "extras" / "emulator" / "build.sh"
    if not script.is_file() or not all(map(shutil.which, ("gcc", "avr-gcc"))):
        raise EcgedgeError("the emulator cannot be built", "a checkout with gcc, avr-gcc and libsimavr-dev")
    sketch = find(name)
    commands = [("program" if sketch.board is None else "sketch", place, folder() / sketch.path)]
    if not (place / "uno").exists():
        commands.insert(0, ("emulator", place))  # type: ignore[arg-type]
    for words in commands:
        done = subprocess.run(["sh", script, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EcgedgeError(f"{script.name} failed: {' '.join(done.stderr.split())[-300:]}")
    return place / f"{name}.elf"


def measure(name: str, hours: float, place: Path) -> report.Json:
    """One program for so many simulated hours."""
    program = build(name, place)
    n = int(hours * 3600 * RATE) + 10
    pin_mv = _LEAST_MV + np.arange(n, dtype=np.int64) * _STEP_MV % _SPAN_MV
    expected = pin_mv * 1023 // 5000  # what the emulated 10-bit converter makes of it
    pin_mv.astype("<i4").tofile(place / "signal")
    begin_s = time.perf_counter()
    words = ("--output", place / "sent", "--signal", place / "signal", "--speed", "0")
    subprocess.run(
        [place / "uno", *words, "--seconds", str(hours * 3600), program],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    emulated_s = time.perf_counter() - begin_s
    decoder, blocks = FrameDecoder(), []
    with (place / "sent").open("rb") as sent:
        while data := sent.read(_READ):
            blocks += [m for m in decoder.push(Chunk(data, 0.0)) if isinstance(m, SampleBlock) and m.n]
    decoder.finish()
    counts = np.concatenate([block.counts[:, 0] for block in blocks]).astype(np.int64)
    start = next((k for k in range(5) if (expected[k : k + 500] == counts[:500]).all()), 0)
    holes = sum(after.first - before.first - before.n for before, after in pairwise(blocks))
    times_us = np.array([block.device_us for block in blocks])
    firsts = np.array([block.first for block in blocks])
    return {
        "hours": hours,
        "samples": len(counts),
        "missing": int(blocks[0].first + holes),
        "wrong": int((counts != expected[start : start + len(counts)]).sum()),
        "bad_frames": decoder.counters.bad_frames,
        "frames": decoder.counters.frames,
        "bytes": decoder.counters.bytes,
        "clock_off_us": int(np.abs(times_us - times_us[0] - 4000 * (firsts - firsts[0])).max()),
        "times_real_time": round(hours * 3600 / emulated_s),
    }


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("firmware_day", QUESTION)
    given = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        for name, hours in PROGRAMS.items():
            figures[name] = row = measure(name, hours, Path(place))
            print(
                f"{name}: {hours:g} h, {row['samples']} samples, {row['missing']} missing, {row['wrong']} "
                f"wrong, {row['bad_frames']} frames damaged"
            )
    path = report.write(parser, given, QUESTION, {}, figures)
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
