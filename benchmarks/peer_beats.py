"""R-peak detectors of other packages beside ours, on the same numbers: speed and F1 together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from benchmarks import beats, report
from benchmarks.unpacked import unpack
from ecgedge.datasets.catalogue import open_set
from ecgedge.recordings.annotations import read_annotations
from ecgedge.scoring.beats import BeatCounts

OURS = "ecgedge (causal)"
PACKAGES = ("neurokit2", "wfdb", "sleepecg", "py-ecg-detectors")
_ECG_DETECTORS = ("two_average", "swt", "pan_tompkins", "hamilton")


def detectors() -> dict[str, beats.Detector]:
    """All detectors by name; each takes one lead in millivolt and its sampling rate."""
    out: dict[str, beats.Detector] = {OURS: beats.ours, **beats.peers()}
    sleepecg: Any = import_module("sleepecg")
    out["sleepecg"] = lambda signal, rate_hz: sleepecg.detect_heartbeats(signal, rate_hz).tolist()
    made: Any = import_module("ecgdetectors").Detectors
    for name in _ECG_DETECTORS:
        out[f"py-ecg-detectors {name}"] = _ecg_detector(made, f"{name}_detector")
    return out


def _ecg_detector(made: Callable[[float], Any], method: str) -> beats.Detector:
    return lambda signal, rate_hz: [int(k) for k in getattr(made(rate_hz), method)(signal)]


def measure(root: Path, minutes: float) -> report.Json:
    """The first minutes of all 48 records of MIT-BIH, first lead, nothing skipped, within 150 ms."""
    sums = {title: BeatCounts() for title in detectors()}
    taken_s = dict.fromkeys(sums, 0.0)
    seconds = 0.0
    with tempfile.TemporaryDirectory() as name, open_set(root, "mitdb") as records:
        folder = Path(name)
        names = records.read("mitdb/RECORDS").decode().split()
        for record in names:
            unpack(records, [f"mitdb/{record}"], folder)
            whole, rate_hz = beats.read_lead(folder / record)
            signal = whole[: round(60 * minutes * rate_hz)]
            reference = [m for m in read_annotations(folder / f"{record}.atr") if m.sample < signal.size]
            seconds += signal.size / rate_hz
            for title, detect in detectors().items():
                begin_s = time.process_time()
                found = sorted(detect(signal, rate_hz))
                taken_s[title] += time.process_time() - begin_s
                counts = beats.scored(reference, found, rate_hz, skip_s=0.0, end=signal.size)
                sums[title] = sums[title] + counts
    rows = {}
    for title, counts in sums.items():
        row = beats.figures(counts)
        f1 = 2 * row["sensitivity"] * row["ppv"] / (row["sensitivity"] + row["ppv"])
        speed = seconds / taken_s[title]
        rows[title] = {**row, "f1": round(f1, 5), "times_real_time": round(speed)}
        rows[title]["time_ratio"] = round(taken_s[title] / taken_s[OURS], 2)
    return {
        "records": len(names),
        "minutes": minutes,
        "versions": {package: metadata.version(package) for package in PACKAGES},
        "detectors": rows,
    }
