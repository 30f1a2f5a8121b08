"""How long after a window's last sample is its verdict there: waiting for signal, and computing?

A simulated patient's frames come in reads of ``READ_S``. Waiting is counted on the stream's own clock: the
filters need what comes after a sample, and a read must be whole. Computing is the time from handing over that
read to the verdict, with all else that fell due in it: beats, quality, the classes of beats.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks import report
from benchmarks.outcomes import spread
from ecgedge.bench import frames_of
from ecgedge.classifier import open_models
from ecgedge.messages import Chunk, SampleBlock, Verdict
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.wire import make_reader

READ_S = 0.2
"""Signal in one frame; a live port is read as often."""
TARGETS = {"compute_ms_p99": 10.0}


def measure(names: Sequence[str], seconds: float) -> report.Json:
    """Delays of all windows but the provisional ones and those that the end of the stream cuts off.

    Parameters
    ----------
    names : of the models that run together
    seconds : length of the stream
    """
    patient = SimulatedPatient(0, seconds)
    rate_hz = patient.board.rate_hz
    assert rate_hz is not None
    reader = make_reader("frames")
    pipeline = Pipeline(open_models(names), wire=lambda: reader.counters)
    waited, computed, used = [], [], []
    reached_s = 0.0
    for number, frame in enumerate(frames_of(patient, READ_S)):
        begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
        messages = []
        for item in reader.push(Chunk(frame, number * READ_S)):
            if isinstance(item, SampleBlock):
                reached_s = (item.first + item.n) / rate_hz
            messages += pipeline.push(item)
        taken_s, taken_cpu_s = time.perf_counter() - begin_s, time.process_time() - begin_cpu_s
        for message in messages:
            if isinstance(message, Verdict) and not message.scores.provisional:
                waited.append(reached_s - message.scores.time_s - message.scores.seconds)
                computed.append(taken_s)
                used.append(taken_cpu_s)
    compute = spread([1000 * each for each in computed], 2)
    return {
        "models": list(names),
        "windows": len(waited),
        "read_s": READ_S,
        "compute_ms": compute,
        "compute_cpu_ms": spread([1000 * each for each in used], 2),
        "wait_s": spread(waited, 3),
        "total_s": spread([a + b for a, b in zip(waited, computed, strict=True)], 3),
        "targets": TARGETS,
        "met": {"compute_ms_p99": (compute["p99"] or 0.0) <= TARGETS["compute_ms_p99"]},
    }


def rows(figures: report.Json) -> list[list[str]]:
    """Rows for the table of speed."""
    limit, compute, total = figures["targets"]["compute_ms_p99"], figures["compute_ms"], figures["total_s"]
    used = figures["compute_cpu_ms"]
    missed = "" if figures["met"]["compute_ms_p99"] else ": **missed**"
    what = "last sample of a window to its verdict"
    return [
        [
            f"{what}, computing only",
            f"{compute['p50']:.1f} ms in the median, 99 %: {compute['p99']:.1f} ms (processor time "
            f"{used['p50']:.1f} and {used['p99']:.1f} ms)",
            f"at most {limit:g} ms{missed}",
        ],
        [f"{what}, filters included", f"{total['p50']:.2f} s in the median, 99 %: {total['p99']:.2f} s", "-"],
    ]
