"""How many heartbeats are found, and how many that are none?

The R-peak detector behind its own filter, at the recordings' own rates, as the stream runs it, against the
reference annotations: within 150 ms, each beat matched once, ventricular flutter left out
(``ecgedge.scoring``, after ANSI/AAMI EC57).

* MIT-BIH Arrhythmia Database: all 48 records, first lead, whole record, nothing skipped.
* LUDB: lead II of all records, from the first to the last annotated wave (the annotators left out the
  incomplete cycles at both ends).
* Noise: electrode motion (record em of the Noise Stress Test Database, first channel) added to the first
  lead of MIT-BIH at a stated signal-to-noise ratio, clean for five minutes and then noisy in every other
  two minutes. As in ``nst``, signal power is the eighth part of the squared peak-to-peak amplitude of QRS
  complexes and noise power the squared RMS amplitude in windows of 1 s, both trimmed by 5 % at either end.
  Scored after the first five minutes. Beside it, on the same numbers, neurokit2 (its default cleaning and
  peaks) and XQRS of the wfdb package; both see the whole signal at once, ours only what came before.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import report
from ecgedge.conditioning import Conditioner
from ecgedge.datasets.archive import Archive, data_root
from ecgedge.errors import MissingExtraError
from ecgedge.messages import Beat
from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import Annotation, read_annotations
from ecgedge.rpeaks import BAND, RPeakDetector
from ecgedge.scoring.beats import BeatCounts, compare_beats

QUESTION = "How many heartbeats are found, and how many that are none?"
SNR_DB = (12, 6, 0)
PEERS = ("neurokit2", "wfdb")
LEARNING_S = 300.0
NOISY_S = 120.0
TRIM = 0.05

Signal = npt.NDArray[np.float64]
Detector = Callable[[Signal, float], Sequence[int]]


def ours(signal: Signal, rate_hz: float) -> list[int]:
    """Samples of the R peaks, by the stream's detector."""
    chain, detector = Conditioner(BAND, rate_hz), RPeakDetector(0, 0.0, rate_hz)
    beats: list[Beat] = []
    for first in range(0, signal.size, 4096):
        part = signal[first : first + 4096]
        beats += detector.push(chain.push(part, np.zeros(part.size, dtype=bool))[0])
    beats += detector.push(chain.finish()[0]) + detector.finish()
    return [beat.sample for beat in beats]


def peers() -> dict[str, Detector]:
    """The detectors of other packages.

    Raises
    ------
    MissingExtraError : one of them is not installed
    """
    try:
        neurokit: Any = import_module("neurokit2")
        processing: Any = import_module("wfdb.processing")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed", advice="In a checkout: pip install '.[bench]'"
        ) from None

    def neurokit_peaks(signal: Signal, rate_hz: float) -> list[int]:
        cleaned = neurokit.ecg_clean(signal, sampling_rate=rate_hz)
        found = neurokit.ecg_peaks(cleaned, sampling_rate=rate_hz)[1]["ECG_R_Peaks"]
        return [int(k) for k in found]

    def xqrs(signal: Signal, rate_hz: float) -> list[int]:
        return [int(k) for k in processing.xqrs_detect(signal, rate_hz, verbose=False)]

    return {"neurokit2": neurokit_peaks, "xqrs": xqrs}


def read_lead(record: Path, lead: str | None = None) -> tuple[Signal, float]:
    """One lead in millivolt (the first one, unless it is named) and its sampling rate."""
    recording = open_recording(str(record.with_suffix(".hea")), lead=lead)
    counts = np.concatenate([block.counts[:, 0] for block in recording.blocks()])
    board = recording.board
    return counts * (board.uv_per_count or 1.0) / 1000.0, board.rate_hz or 0.0


def trimmed_mean(values: Signal) -> float:
    """Mean without the least and the greatest 5 %."""
    cut = int(TRIM * values.size)
    return float(np.sort(values)[cut : values.size - cut].mean())


def qrs_amplitude(signal: Signal, beats: Sequence[int], rate_hz: float) -> float:
    """Peak-to-peak amplitude within 50 ms of the reference's beats, as ``nst`` measures it."""
    reach = round(0.05 * rate_hz)
    pieces = [signal[b - reach : b + reach + 1] for b in beats if reach <= b < signal.size - reach]
    return trimmed_mean(np.array([np.ptp(piece) for piece in pieces]))


def noise_amplitude(noise: Signal, rate_hz: float) -> float:
    """RMS about the mean in windows of 1 s, as ``nst`` measures it."""
    width = round(rate_hz)
    windows = noise[: noise.size // width * width].reshape(-1, width)
    return trimmed_mean(windows.std(axis=1))


def noisy(signal: Signal, noise: Signal, beats: Sequence[int], rate_hz: float, snr_db: float) -> Signal:
    """Signal with noise after the learning period, in every other stretch of two minutes."""
    power = qrs_amplitude(signal, beats, rate_hz) ** 2 / 8.0
    gain = np.sqrt(power / 10 ** (snr_db / 10.0)) / noise_amplitude(noise, rate_hz)
    at_s = np.arange(signal.size) / rate_hz - LEARNING_S
    on = (at_s >= 0) & (at_s // NOISY_S % 2 == 0)
    return signal + gain * np.where(on, noise[: signal.size], 0.0)


def scored(reference: Sequence[Annotation], found: Sequence[int], rate_hz: float, **more: Any) -> BeatCounts:
    """Beat-by-beat comparison."""
    return compare_beats(reference, [Annotation(k, "N") for k in found], rate_hz=rate_hz, **more)


def figures(counts: BeatCounts) -> report.Json:
    """Sensitivity and positive predictivity with the counts behind them."""
    beats, nothing = "NSVFQ", "OX"
    ratios = counts.figures()
    return {
        "beats": counts.count(beats, beats + nothing),
        "missed": counts.count(beats, nothing),
        "extra": counts.count(nothing, beats),
        "sensitivity": rounded(ratios["qrs_se"].value),
        "ppv": rounded(ratios["qrs_ppv"].value),
    }


def rounded(value: float | None) -> float | None:
    """A share to five digits."""
    return None if value is None else round(value, 5)


def mitdb(folder: Path, names: Sequence[str]) -> report.Json:
    """Whole records, first lead."""
    rows, pooled, seconds, taken_s = {}, BeatCounts(), 0.0, 0.0
    for name in names:
        signal, rate_hz = read_lead(folder / name)
        reference = read_annotations(folder / f"{name}.atr")
        begin_s = time.process_time()
        found = ours(signal, rate_hz)
        taken_s += time.process_time() - begin_s
        seconds += signal.size / rate_hz
        counts = scored(reference, found, rate_hz, skip_s=0.0, end=signal.size)
        rows[name] = figures(counts)
        pooled = pooled + counts
    values = {key: [row[key] for row in rows.values()] for key in ("sensitivity", "ppv")}
    average = {key: round(sum(row) / len(row), 5) for key, row in values.items()}
    speed = round(seconds / taken_s)
    return {"pooled": figures(pooled), "average": average, "times_real_time": speed, "records": rows}


def ludb(archive: Archive, folder: Path) -> report.Json:
    """Lead II of every record, pooled."""
    pooled = BeatCounts()
    names = archive.read("ludb/RECORDS").decode().split()
    for name in names:
        for suffix in (".hea", ".dat", ".ii"):
            (folder / (Path(name).name + suffix)).write_bytes(archive.read(f"ludb/{name}{suffix}"))
        record = folder / Path(name).name
        signal, rate_hz = read_lead(record, "ii")
        reference = read_annotations(record.with_suffix(".ii"))
        first, last = reference[0].sample, reference[-1].sample
        found = [k for k in ours(signal, rate_hz) if first <= k <= last]
        pooled = pooled + scored(reference, found, rate_hz, skip_s=0.0, end=signal.size)
    return {"records": len(names), "pooled": figures(pooled)}


def versions() -> dict[str, str]:
    """Versions of the other packages."""
    return {name: metadata.version(name) for name in PEERS}


def conditions(
    signal: Signal, noise: Signal, beats: Sequence[int], rate_hz: float
) -> Iterator[tuple[str, Signal]]:
    """The clean signal and its noisy versions, by name."""
    yield "clean", signal
    for snr_db in SNR_DB:
        yield f"{snr_db} dB", noisy(signal, noise, beats, rate_hz, snr_db)


def noise_stress(folder: Path, names: Sequence[str], minutes: float) -> report.Json:
    """Ours beside the others on the same noisy signals: the first minutes of each record, pooled."""
    noise = read_lead(folder / "em")[0]
    detectors: dict[str, Detector] = {"ecgedge": ours, **peers()}
    pooled: dict[str, dict[str, BeatCounts]] = {}
    for name in names:
        whole, rate_hz = read_lead(folder / name)
        signal = whole[: round(60 * minutes * rate_hz)]
        reference = read_annotations(folder / f"{name}.atr")
        beats = [mark.sample for mark in reference if mark.is_beat]
        reference = [mark for mark in reference if mark.sample < signal.size]
        for condition, mixed in conditions(signal, noise, beats, rate_hz):
            for title, detect in detectors.items():
                counts = scored(reference, detect(mixed, rate_hz), rate_hz, end=signal.size)
                row = pooled.setdefault(condition, {})
                row[title] = row.get(title, BeatCounts()) + counts
        print(f"{name} with noise done", flush=True)
    return {
        "records": len(names),
        "minutes": minutes,
        "scored_after_s": LEARNING_S,
        "versions": versions(),
        "pooled": {c: {title: figures(k) for title, k in row.items()} for c, row in pooled.items()},
    }


def measure(root: Path, minutes: float) -> report.Json:
    """All figures."""
    with tempfile.TemporaryDirectory() as name, Archive(root, "mitdb") as records:
        folder = Path(name)
        names = records.read("mitdb/RECORDS").decode().split()
        for record in names:
            for suffix in (".hea", ".dat", ".atr"):
                (folder / f"{record}{suffix}").write_bytes(records.read(f"mitdb/{record}{suffix}"))
        with Archive(root, "nstdb_noise") as noises:
            for suffix in (".hea", ".dat"):
                (folder / f"em{suffix}").write_bytes(noises.read(f"nstdb/em{suffix}"))
        out: report.Json = {"window_ms": 150, "mitdb": mitdb(folder, names)}
        print(f"MIT-BIH {out['mitdb']['pooled']}", flush=True)
        with Archive(root, "ludb") as subjects:
            out["ludb_ii"] = ludb(subjects, folder)
        print(f"LUDB {out['ludb_ii']['pooled']}", flush=True)
        return out | {"electrode_motion": noise_stress(folder, names, minutes)}


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("beats", QUESTION)
    parser.add_argument("--minutes", type=float, default=15.0, help="of each record in the noise test")
    given = parser.parse_args()
    result = measure(data_root(given.data), given.minutes)
    for condition, row in result["electrode_motion"]["pooled"].items():
        said = "; ".join(f"{k} {v['sensitivity']:.4f} {v['ppv']:.4f}" for k, v in row.items())
        print(f"{condition}: {said}")
    print(f"{report.write(parser, given, QUESTION, {}, result).name} written")


if __name__ == "__main__":
    report.run(main)
