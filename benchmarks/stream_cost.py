"""What does a stream cost: how much faster than real time, how much memory, how long until it starts?

Every figure is taken from outside, on the whole command, interpreter and imports included. The simulated
board runs in the same process, on the same core, and is paid for as well.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks import report
from ecgedge.bundle import FOLDER
from ecgedge.errors import EcgedgeError
from ecgedge.words import DEFAULT_MODELS

QUESTION = "What does a stream cost: times real time, memory, time to the first sample?"
DEMO_RATE_HZ = 250
STREAM = "python -m ecgedge stream --port demo --speed max"
TARGETS = {"times_real_time": 2000.0, "peak_resident_mb": 64.0, "first_sample_s": 0.35, "model_kb": 768.0}
"""The first at least, the others at most."""
FORMS = {
    "jsonl": "--format jsonl",
    "text": "--format text",
    "rhythm": f"--format jsonl --model {DEFAULT_MODELS[0]}",
}
"""Options of what is measured: both formats with the default models, and the rhythm model alone."""
IMPORTED = ("ecgedge.cli", "ecgedge.session")


def command(seconds: float, form: str) -> str:
    """The command that is measured, one of ``FORMS``."""
    return f"{STREAM} --duration {seconds:g} {FORMS[form]}"


def words(text: str) -> list[str]:
    """A command's words, with this interpreter for ``python``."""
    return [sys.executable, *text.split()[1:]]


def own_peak() -> int:
    """Peak resident memory of this process, in the unit of ``ru_maxrss``.

    A child is counted as at least as large as the process that started it, until it has called ``exec``;
    so a measurement means something only if it is larger. For the same reason ``getrusage`` may tell of
    this process what was its parent's, and Linux is asked for the process's own figure.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def once(seconds: float, form: str) -> dict[str, float]:
    """Run the command to its end: wall and processor seconds, peak resident memory (10**6 bytes).

    Raises
    ------
    EcgedgeError
        If the command fails, loses samples, or this process is too large to measure it.
    """
    with tempfile.TemporaryFile() as out:
        begin_s = time.perf_counter()
        child = subprocess.Popen(words(command(seconds, form)), stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - begin_s
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        written = out.read().decode()
    samples = round(seconds * DEMO_RATE_HZ)
    wanted = f"{samples} samples received" if form == "text" else f'"samples": {samples},'
    if child.returncode or wanted not in written[-2000:]:
        raise EcgedgeError(f"exit code {child.returncode}: {written[-300:]}", f"exit code 0 and {wanted}")
    if used.ru_maxrss <= own_peak():
        raise EcgedgeError("the measuring process is larger than the command", "a small one")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_resident_mb": used.ru_maxrss * unit / 1e6,
    }


def spread(values: list[float], digits: int = 3) -> report.Json:
    """Median, least and greatest of several runs."""
    figures = {"median": median(values), "min": min(values), "max": max(values), "runs": len(values)}
    return {name: round(value, digits) for name, value in figures.items()}


def whole_commands(seconds: float, runs: int) -> report.Json:
    """The figures of several runs of each form, in turn: all see the same slow and fast minutes."""
    rounds = [{form: once(seconds, form) for form in FORMS} for _ in range(runs)]
    return {form: whole_command(seconds, form, [each[form] for each in rounds]) for form in FORMS}


def whole_command(seconds: float, form: str, rows: list[dict[str, float]]) -> report.Json:
    """The figures of several runs of one form."""
    return {
        "command": command(seconds, form),
        "times_real_time": spread([seconds / row["wall_s"] for row in rows], 0),
        "wall_s": spread([row["wall_s"] for row in rows]),
        "cpu_s": spread([row["cpu_s"] for row in rows]),
        "peak_resident_mb": spread([row["peak_resident_mb"] for row in rows], 1),
    }


def first_line() -> tuple[float, float]:
    """Seconds from the start of the process to its first line of JSON, and processor seconds till its end.

    That line is a status of decoded samples, written after the first second of signal went through the
    whole pipeline: an upper bound of the time to the first decoded sample.
    """
    begin_s = time.perf_counter()
    child = subprocess.Popen(words(command(3600, "jsonl")), stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        line = child.stdout.readline()
        taken_s = time.perf_counter() - begin_s
        child.kill()
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if not line or not json.loads(line).get("counters", {}).get("samples"):
        raise EcgedgeError(f"first line {line[:200]!r}", "a status with decoded samples")
    return taken_s, used.ru_utime + used.ru_stime


def import_s(module: str) -> float:
    """Seconds to import a module in a fresh interpreter, the interpreter's own start not counted."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def to_one_core() -> None:
    """Keep this process, and those that it starts, on one core, where the system lets it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure(seconds: float, runs: int) -> report.Json:
    """All figures."""
    for module in IMPORTED:
        import_s(module)  # what the system keeps of files it has read is part of every figure
    bundles = [path for name in DEFAULT_MODELS for path in sorted(FOLDER.glob(f"{name}.*"))]
    files = [*bundles, *report.shared_files()]
    starts = [first_line() for _ in range(runs)]
    out: report.Json = {
        "stream_s": seconds,
        "first_sample_is": "start of the process to its first JSON line, which follows 1 s of decoded signal",
        "first_sample_s": spread([wall_s for wall_s, _ in starts]),
        "first_sample_cpu_s": spread([cpu_s for _, cpu_s in starts]),
        **whole_commands(seconds, runs),
        "import_s": {module: spread([import_s(module) for _ in range(runs)]) for module in IMPORTED},
        "bundle_bytes": {path.name: path.stat().st_size for path in files},
    }
    forms = [reached_by(out[form]) for form in FORMS]
    reached = {
        "times_real_time": min(one["times_real_time"] for one in forms),
        "peak_resident_mb": max(one["peak_resident_mb"] for one in forms),
        "first_sample_s": out["first_sample_s"]["median"],
        "model_kb": sum(out["bundle_bytes"][f"{name}.tflite"] for name in DEFAULT_MODELS) / 1000,
    }
    # Last: from here on this process is too large to measure another one's memory.
    from benchmarks import verdict_delay

    out["verdict_delay"] = verdict_delay.measure(DEFAULT_MODELS, seconds)
    return out | {"targets": TARGETS, "reached": reached, "met": met(reached)}


def reached_by(run: report.Json) -> dict[str, float]:
    """What one form of the command reaches, by the names of the targets."""
    return {
        "times_real_time": run["times_real_time"]["median"],
        "peak_resident_mb": run["peak_resident_mb"]["max"],
    }


def met(reached: dict[str, float]) -> dict[str, bool]:
    """Whether each target is met."""
    return {
        name: value >= TARGETS[name] if name == "times_real_time" else value <= TARGETS[name]
        for name, value in reached.items()
    }


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("stream_cost", QUESTION)
    parser.add_argument("--seconds", type=float, default=3600.0, help="length of the stream")
    parser.add_argument("--runs", type=int, default=15, help="runs of each command")
    given = parser.parse_args()
    to_one_core()
    figures = measure(given.seconds, given.runs)
    path = report.write(parser, given, QUESTION, report.model_facts(DEFAULT_MODELS), figures)
    for form in FORMS:
        row = figures[form]
        speed, memory = row["times_real_time"]["median"], row["peak_resident_mb"]["max"]
        print(f"{form}: {speed:.0f} times real time, {memory} MB")
    print(f"first sample within {figures['first_sample_s']['median']} s; targets met: {figures['met']}")
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
