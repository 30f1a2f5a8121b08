"""What the models and the stream cost on this very machine: time, memory, energy.

A model is timed on its golden window, alone (``net``: int8 tensors in, int8 tensors out) and with all that
leads to it (``window``: raw samples through filters, beats, quality, features, then the net). The stream is
timed from bytes to messages, on frames of a simulated patient that were made before the clock starts.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge import __version__, machine
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.golden import first_inputs
from ecgedge.messages import Chunk
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.wire import make_reader
from ecgedge.wire.frames import encode_hello, encode_run

if TYPE_CHECKING:
    from ecgedge.bundle import Bundle

SCHEMA = 1
RUNS, SECONDS = 50, 1.0
"""A figure is of at least so many runs, and of so many seconds of them."""
WARM_UP_RUNS = 5
MOST_RUNS = 20_000
STREAM_S = 300.0
"""The simulated patient's programme once: sinus, AF, APCs, noise, a loose electrode."""
FRAME_S = 0.1
AT_ONCE_S = 60.0
"""Signal in one read when the stream is to run as fast as it can."""

Json = dict[str, Any]


def run(models: Sequence[str], threads: int = 1, stream_s: float = STREAM_S) -> Json:
    """Measure models, each alone, and the stream with all of them.

    Parameters
    ----------
    models : names or paths of bundles; the first ones that go together are streamed
    threads : of each interpreter
    stream_s : length of the stream, seconds

    Raises
    ------
    BundleError
        If a model cannot be opened.
    UsageError
        If the models cannot work together in a stream.
    """
    before = machine.condition()
    bundles = [open_bundle(name) for name in models]
    out: Json = {
        "schema": SCHEMA,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "ecgedge": __version__,
        "machine": machine.facts(),
        "threads": threads,
        "models": {bundle.name: model_cost(bundle, threads) for bundle in bundles},
        "stream": stream_cost(bundles, threads, stream_s),
    }
    return out | {"condition": {"before": before, "after": machine.condition()}}


def model_cost(bundle: Bundle, threads: int = 1) -> Json:
    """One model's figures; times in milliseconds, memory in 10**6 bytes."""
    resident = machine.resident_mb()
    begin_s = time.perf_counter()
    classifier = Classifier(bundle, threads)
    init_ms = 1000 * (time.perf_counter() - begin_s)
    golden = np.load(io.BytesIO(bundle.golden))
    inputs = [entry["name"] for entry in bundle.manifest["inputs"]]
    tensors = {name: golden[f"input_{name}"] for name in inputs}
    counts, rate_hz, scale = golden["counts"], float(golden["rate_hz"]), float(golden["uv_per_count"])

    def net() -> None:
        classifier.raw(tensors)

    def window() -> None:
        made = first_inputs(bundle, counts, rate_hz, scale)
        classifier.raw(classifier.quantise(made))

    figures = {"net": timed(net), "window": timed(window)}
    return {
        "task": bundle.task,
        "file_bytes": len(bundle.model),
        "sha256": bundle.manifest["files"][f"{bundle.name}.tflite"]["sha256"],
        "window_s": counts.size / rate_hz,
        "init_ms": round(init_ms, 3),
        **figures,
        "resident_mb": {"before": resident, "after": machine.resident_mb()},
    }


def timed(call: Callable[[], None]) -> Json:
    """First call, warm-up, statistics of at least ``RUNS`` runs and ``SECONDS`` seconds; milliseconds."""
    first_ms = _once(call)
    warm_up = [_once(call) for _ in range(WARM_UP_RUNS)]
    runs: list[float] = []
    while len(runs) < RUNS or (sum(runs) < 1000 * SECONDS and len(runs) < MOST_RUNS):
        runs.append(_once(call))
    p50, p90, p99 = np.percentile(runs, (50, 90, 99)).tolist()
    figures = {
        "first": first_ms,
        "warm_up": sum(warm_up) / len(warm_up),
        "average": sum(runs) / len(runs),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "min": min(runs),
        "max": max(runs),
        "std": float(np.std(runs)),
    }
    return {"runs": len(runs), **{name: round(value, 4) for name, value in figures.items()}}


def _once(call: Callable[[], None]) -> float:
    begin_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - begin_ns) / 1e6


def frames_of(patient: SimulatedPatient, frame_s: float) -> list[bytes]:
    """A hello frame and all the patient's samples, ``frame_s`` seconds in a frame."""
    rate_hz = patient.board.rate_hz
    assert rate_hz is not None
    frames = [encode_hello(patient.board)]
    for piece in patient.pieces():
        off = 1 if piece.leads_off else 0
        frames += encode_run(piece.first, rate_hz, piece.counts, round(frame_s * rate_hz), leads_off=off)
    return frames


def stream_cost(
    bundles: Iterable[Bundle], threads: int, seconds: float, classifier: type[Classifier] = Classifier
) -> Json:
    """The stream from bytes to messages: as the bytes of a live board come, and as fast as it goes.

    Parameters
    ----------
    classifier : what runs the nets
    """
    bundles = list(bundles)
    patient = SimulatedPatient(0, seconds)
    rate_hz = patient.board.rate_hz
    assert rate_hz is not None
    frames = frames_of(patient, FRAME_S)
    live = _play([classifier(b, threads) for b in bundles], frames, 1)
    fast = _play([classifier(b, threads) for b in bundles], frames, round(AT_ONCE_S / FRAME_S))
    energy = fast.pop("joules")
    return {
        "models": [bundle.name for bundle in bundles],
        "seconds": patient.n_samples / rate_hz,
        "rate_hz": rate_hz,
        "times_real_time": round(patient.n_samples / rate_hz / fast["wall_s"], 1),
        "cpu_share_live": round(live["cpu_s"] / (patient.n_samples / rate_hz), 5),
        "joules_per_hour": None if energy is None else round(energy * 3600 * rate_hz / patient.n_samples, 3),
        "resident_mb": machine.resident_mb(),
    }


def _play(classifiers: Sequence[Classifier], frames: Sequence[bytes], at_once: int) -> Json:
    """Wall and processor seconds for all frames, ``at_once`` of them in one read."""
    reader = make_reader("frames")
    pipeline = Pipeline(tuple(classifiers), wire=lambda: reader.counters)
    chunks = [
        Chunk(b"".join(frames[k : k + at_once]), (k + at_once) * FRAME_S)
        for k in range(0, len(frames), at_once)
    ]
    energy = machine.Energy()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    for chunk in chunks:
        for item in reader.push(chunk):
            pipeline.push(item)
    for item in reader.finish():
        pipeline.push(item)
    pipeline.finish()
    return {
        "wall_s": time.perf_counter() - wall_s,
        "cpu_s": time.process_time() - cpu_s,
        "joules": energy.joules(),
    }


def ratios(new: Json, old: Json) -> list[tuple[str, float, float, float]]:
    """Figures that both results have: name, new, old, and new over old."""
    out = []
    these = comparable(new)
    for name, was in comparable(old).items():
        now = these.get(name)
        if now is not None and was > 0:
            out.append((name, now, was, now / was))
    return out


def comparable(result: Json) -> dict[str, float]:
    """The figures of a result that are worth comparing, by name.

    Raises
    ------
    LookupError, TypeError, AttributeError
        If it is no result of this schema.
    """
    found: dict[str, float | None] = {}
    for name, cost in result["models"].items():
        found[f"{name}: init, ms"] = cost["init_ms"]
        for part in ("net", "window"):
            for figure in ("p50", "p99"):
                found[f"{name}: {part} {figure}, ms"] = cost[part][figure]
        found[f"{name}: resident, MB"] = cost["resident_mb"]["after"]
    stream = result["stream"]
    found["stream: times real time"] = stream["times_real_time"]
    found["stream: processor, % of a core"] = 100 * stream["cpu_share_live"]
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}
