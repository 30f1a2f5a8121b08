"""Does a stream last for a week: memory, cost of every hour, every sample accounted for?

The whole command runs, as fast as it goes, on the simulated patient, with the default models (rhythm and
beats), JSON lines and a recording. Resident memory and processor time are read from outside at every hour of
stream. In the end the samples that the stream counted, the gaps it told and what lies in the recording are
added up.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import report
from ecgedge.errors import EcgedgeError
from ecgedge.words import DEFAULT_MODELS

QUESTION = "Does a stream last for a week: memory, cost of every hour, every sample accounted for?"
DEMO_RATE_HZ = 250
DAY_S = 86400.0
TARGETS = {"peak_resident_mb": 64.0, "growth_mb_per_day": 0.5, "cost_last_over_first_day": 1.1}
"""At most, each."""
_CHUNK = 1 << 20
Floats = npt.NDArray[np.float64]
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01


def command(days: float, record: str = "DIR") -> str:
    """The command that is measured."""
    duration = f"--duration {days * DAY_S:g}"
    return f"python -m ecgedge stream --port demo --speed max {duration} --format jsonl --record {record}"


def memory_mb(process: int) -> float:
    """Resident memory of a process, 10**6 bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) * 1024e-6


def processor_s(process: int) -> float:
    """Processor time of a process so far, all threads."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def statuses(stream: Iterator[bytes]) -> Iterator[report.Json]:
    """The latest status of every chunk of JSON lines, and the very last one."""
    rest = b""
    for chunk in stream:
        whole, _, rest = (rest + chunk).rpartition(b"\n")
        at = whole.rfind(b'"type": "status"')
        if at >= 0:
            begin, end = whole.rfind(b"\n", 0, at) + 1, whole.find(b"\n", at)
            yield json.loads(whole[begin : end if end >= 0 else None])


def play(days: float, folder: Path) -> report.Json:
    """Run the command; rows of an hour, the end's counters.

    Raises
    ------
    EcgedgeError
        If the command fails.
    """
    words = [sys.executable, *command(days, str(folder)).split()[1:]]
    begin_s = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.PIPE, bufsize=0)
    assert child.stdout is not None
    rows: list[report.Json] = []
    last: report.Json = {}
    out = child.stdout
    for last in statuses(iter(lambda: out.read(_CHUNK), b"")):
        hour = int(last["time_s"] // 3600)
        if hour > (rows[-1]["hour"] if rows else -1) and last["state"] != "ended":
            row = {"hour": hour, "resident_mb": memory_mb(child.pid), "cpu_s": processor_s(child.pid)}
            rows.append(row | {"wall_s": time.perf_counter() - begin_s, "time_s": last["time_s"]})
            print({name: round(value, 1) for name, value in rows[-1].items()}, flush=True)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or last.get("state") != "ended":
        raise EcgedgeError(f"exit code {child.returncode}, last status {last.get('state')}", "0 and ended")
    return {
        "rows": rows,
        "counters": last["counters"],
        "wall_s": time.perf_counter() - begin_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_resident_mb": used.ru_maxrss * 1024e-6,
    }


def recorded(folder: Path) -> tuple[int, int]:
    """Records and samples of a recording, by its headers and the sizes of its files."""
    headers = sorted(folder.rglob("*.hea"))
    samples = 0
    for header in headers:
        first, line = header.read_text(encoding="ascii").splitlines()[:2]
        n, width = int(first.split()[3]), {"16": 2, "24": 3}[line.split()[1]]
        if (header.parent / line.split()[0]).stat().st_size != n * width:
            raise EcgedgeError(f"{header.name} says {n} samples", "a file of that size")
        samples += n
    return len(headers), samples


def figures(days: float, told: report.Json, kept: tuple[int, int]) -> report.Json:
    """What the rows say."""
    rows, counters = told["rows"], told["counters"]
    hours = np.array([row["time_s"] for row in rows]) / 3600
    memory = np.array([row["resident_mb"] for row in rows])
    cpu = np.array([row["cpu_s"] for row in rows])
    settled = hours >= min(2.0, hours[-1] / 4)
    growth = float(np.polyfit(hours[settled], memory[settled], 1)[0]) * 24
    day = min(24.0, hours[-1] / 3)
    first = _cost(hours, cpu, hours[0], hours[0] + day)
    last = _cost(hours, cpu, hours[-1] - day, hours[-1])
    sent = round(days * DAY_S * DEMO_RATE_HZ)
    reached = {
        "peak_resident_mb": round(told["peak_resident_mb"], 1),
        "growth_mb_per_day": round(growth, 3),
        "cost_last_over_first_day": round(last / first, 3),
    }
    sums = {"sent": sent, "received": counters["samples"], "lost": counters["lost"], "recorded": kept[1]}
    return {
        "days": days,
        "stream": command(days),
        "times_real_time": round(days * DAY_S / told["wall_s"]),
        "times_real_time_of_processor": round(days * DAY_S / told["cpu_s"]),
        "wall_s": round(told["wall_s"], 1),
        "cpu_s": round(told["cpu_s"], 1),
        "cpu_s_per_hour": {"first_day": round(first, 4), "last_day": round(last, 4)},
        "resident_mb": {
            "after_two_hours": round(float(memory[settled][0]), 1),
            "end": round(float(memory[-1]), 1),
        },
        "samples": sums,
        "records": kept[0],
        "counters": counters,
        "targets": TARGETS,
        "reached": reached,
        "met": {name: reached[name] <= limit for name, limit in TARGETS.items()}
        | {"every_sample": sums["received"] + sums["lost"] == sent == sums["recorded"]},
        "every_sixth_hour": [
            {name: round(row[name], 1) for name in ("hour", "resident_mb", "cpu_s")} for row in rows[::6]
        ],
    }


def _cost(hours: Floats, cpu: Floats, begin: float, end: float) -> float:
    """Processor seconds for an hour of stream, between two times."""
    a, b = np.interp([begin, end], hours, cpu)
    return float((b - a) / (end - begin))


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("week", QUESTION)
    parser.add_argument("--days", type=float, default=7.0, help="length of the stream")
    given = parser.parse_args()
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss == 0:
        raise EcgedgeError("this system does not tell memory", "Linux")
    folder = Path(tempfile.mkdtemp(prefix="ecgedge-week-"))
    try:
        told = play(given.days, folder)
        found = figures(given.days, told, recorded(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path = report.write(parser, given, QUESTION, report.model_facts(DEFAULT_MODELS), found)
    print(f"{found['reached']}, {found['samples']}; met: {found['met']}")
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
