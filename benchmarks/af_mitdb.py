"""AF on the MIT-BIH Arrhythmia Database: all 48 records, first lead, after ANSI/AAMI EC57.

What the product says is written as it writes it (``classify --annotations``) and scored as it scores
(``ecgedge score``); windows, burden and the moment of each alarm come from the same pass.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.heard import Heard, listen
from benchmarks.outcomes import AF, NONE, OUT, alarms, curves, outcomes, ratio_interval, spread
from benchmarks.unpacked import unpack
from ecgedge.classifier import Classifier
from ecgedge.datasets.catalogue import open_set
from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import read_annotations
from ecgedge.scoring.episodes import (
    FIBRILLATION,
    FLUTTER,
    MINIMUM_S,
    EpisodeCounts,
    episodes,
    is_fibrillation,
)
from ecgedge.scoring.figures import average, gross
from ecgedge.scoring.marks import Interval
from ecgedge.scoring.records import RecordScore, score_paths
from ecgedge.sinks.annotations import AnnotationSink

SAME_PERSON = {"202": "201"}
SKIPS = {"whole": 0.0, "after_300_s": 300.0}
CONVENTIONS = {"flutter_neutral": "af", "flutter_as_af": "af_afl"}
TARGETS = {"duration_se": 0.95, "duration_ppv": 0.80}
"""Whole records, flutter neutral, gross."""

Spans = list[list[float]]


@dataclass
class One:
    """One record: its reference, and what a model said."""

    name: str
    rate_hz: float
    seconds: float
    fibrillation: list[Interval]
    flutter: list[Interval]
    heard: Heard

    def reference(self) -> str:
        """The reference's rhythm of each window, one letter each, see ``outcomes``."""
        return "".join(self._letter((v.scores.first, v.scores.last)) for v in self.heard.windows)

    def _letter(self, window: Interval) -> str:
        return {True: AF, False: NONE, None: OUT}[is_fibrillation(window, self.fibrillation, self.flutter)]

    def detection_s(self) -> list[float]:
        """From onset to the moment AF was told, of each reference episode of 30 s or more that was found.

        Negative where it was being told already, because of an episode shortly before.
        """
        told = [((e.onset, e.offset), self.heard.told_s[k]) for k, e in self.heard.episodes.items()]
        out = []
        for span in self.fibrillation:
            found = [at_s for other, at_s in told if overlap([span], [other])]
            if span[1] - span[0] >= MINIMUM_S * self.rate_hz and found:
                out.append(min(found) - span[0] / self.rate_hz)
        return out

    def spans(self, intervals: Sequence[Interval]) -> Spans:
        """Intervals in seconds."""
        return [[round(a / self.rate_hz, 1), round(b / self.rate_hz, 1)] for a, b in intervals]


def overlap(some: Sequence[Interval], others: Sequence[Interval]) -> int:
    """Samples that lie in an interval of each."""
    return sum(max(0, min(b, d) - max(a, c)) for a, b in some for c, d in others)


def hear(folder: Path, name: str, heard: Heard) -> One:
    """Put what was said beside the reference."""
    recording = open_recording(folder / name)
    rate_hz, end = recording.board.rate_hz or 1.0, recording.n_samples
    marks = read_annotations(folder / f"{name}.atr")
    fibrillation, flutter = (episodes(marks, rhythm, end) for rhythm in (FIBRILLATION, FLUTTER))
    return One(name, rate_hz, end / rate_hz, fibrillation, flutter, heard)


def persons(names: Sequence[str]) -> list[int]:
    """Number of the person that each record is of."""
    who = [SAME_PERSON.get(name, name) for name in names]
    numbers = {person: k for k, person in enumerate(dict.fromkeys(who))}
    return [numbers[person] for person in who]


def counts_of(score: RecordScore, field: str) -> EpisodeCounts:
    """One of a record's comparisons of AF; never missing, since both sides mark rhythms."""
    counts = getattr(score, field)
    assert isinstance(counts, EpisodeCounts), f"{score.record}: {score.notes}"
    return counts


def pooled(scores: Sequence[RecordScore], field: str, groups: Sequence[int]) -> report.Json:
    """Gross and average figures of all records, gross ones with an interval over persons."""
    rows = [counts_of(score, field).figures("af") for score in scores]
    mean = average(rows)
    out = {}
    for key, ratio in gross(rows).items():
        mine = [row[key] for row in rows]
        out[key.removeprefix("af_")] = {
            "gross": rounded(ratio.value),
            "interval": ratio_interval([r.part for r in mine], [r.whole for r in mine], groups),
            "part": round(ratio.part, 1),
            "whole": round(ratio.whole, 1),
            "average": rounded(mean[key]),
            "records": sum(r.whole > 0 for r in mine),
        }
    return out


def rounded(value: float | None) -> float | None:
    """A share to four digits."""
    return None if value is None else round(value, 4)


def row_counts(score: RecordScore, field: str) -> report.Json:
    """One record's counts and seconds."""
    counts = counts_of(score, field)
    whole = ("found", "reference", "confirmed", "test")
    seconds = ("reference_s", "test_s", "overlap_s")
    return {k: getattr(counts, k) for k in whole} | {k: round(getattr(counts, k), 2) for k in seconds}


def burden(one: One, score: RecordScore) -> report.Json:
    """Share of the time in AF, by the reference and as told; time in flutter left out."""
    counts = counts_of(score, "af")
    judged_s = one.seconds - overlap(one.flutter, one.flutter) / one.rate_hz
    reference, told = counts.reference_s / judged_s, counts.test_s / judged_s
    return {"reference": round(reference, 4), "told": round(told, 4), "error": round(told - reference, 4)}


def model_figures(records: list[One], scores: dict[str, dict[str, RecordScore]]) -> report.Json:
    """All figures of one model; ``scores`` by ``SKIPS`` and record."""
    names = [one.name for one in records]
    groups = persons(names)
    of_window = [g for one, g in zip(records, groups, strict=True) for _ in one.heard.windows]
    reference = "".join(one.reference() for one in records)
    told = "".join(one.heard.told() for one in records)
    probability = [p for one in records for p in one.heard.probabilities()]
    burdens = [burden(one, scores["whole"][one.name]) for one in records]
    waits = [wait for one in records for wait in one.detection_s()]
    ec57 = {
        skip: {words: pooled([of[n] for n in names], field, groups) for words, field in CONVENTIONS.items()}
        for skip, of in scores.items()
    }
    reached = {key: ec57["whole"]["flutter_neutral"][key]["gross"] for key in TARGETS}
    return {
        "ec57": ec57,
        "targets": TARGETS,
        "met": {key: (reached[key] or 0.0) >= limit for key, limit in TARGETS.items()},
        "windows": outcomes(reference, told, of_window),
        "curves": curves(reference, probability, of_window),
        "alarms": {skip: false_alarms(records, of, SKIPS[skip]) for skip, of in scores.items()},
        "burden": burden_figures(burdens, groups),
        "detection": {
            "found": len(waits),
            "told_already": sum(wait <= 0 for wait in waits),
            "others_s": spread([wait for wait in waits if wait > 0], 1),
        },
        "records": {
            one.name: record_row(one, {skip: of[one.name] for skip, of in scores.items()}, row)
            for one, row in zip(records, burdens, strict=True)
        },
    }


def burden_figures(rows: list[report.Json], groups: Sequence[int]) -> report.Json:
    """Mean of the absolute error in burden, over all records and over those with AF."""
    out = {}
    for name, kept in (("all", [True] * len(rows)), ("with_af", [row["reference"] > 0 for row in rows])):
        mine = [(abs(r["error"]), g) for r, g, keep in zip(rows, groups, kept, strict=True) if keep]
        numbers = {g: k for k, g in enumerate(dict.fromkeys(g for _, g in mine))}
        errors = [error for error, _ in mine]
        out[name] = {
            "records": len(mine),
            "mean_absolute_error": round(sum(errors) / len(errors), 4) if errors else None,
            "interval": ratio_interval(errors, [1.0] * len(errors), [numbers[g] for _, g in mine]),
            "greatest": max(errors, default=None),
        }
    return out


def false_alarms(records: list[One], scores: dict[str, RecordScore], skip_s: float) -> report.Json:
    """Told episodes that touch no AF, over the time without AF and without flutter."""
    seconds, count = 0.0, 0
    for one in records:
        counts = counts_of(scores[one.name], "af")
        count += counts.test - counts.confirmed
        judged = [(round(skip_s * one.rate_hz), round(one.seconds * one.rate_hz))]
        in_flutter = overlap(one.flutter, judged) / one.rate_hz
        seconds += one.seconds - skip_s - counts.reference_s - in_flutter
    return alarms(count, seconds)


def record_row(one: One, scores: dict[str, RecordScore], row: report.Json) -> report.Json:
    """One record in the result file."""
    said = one.heard.episodes.items()
    told = [[*one.spans([(e.onset, e.offset)])[0], round(one.heard.told_s[k], 1)] for k, e in said]
    return {
        "seconds": round(one.seconds, 1),
        "ec57": {s: {w: row_counts(of, f) for w, f in CONVENTIONS.items()} for s, of in scores.items()},
        "burden": row,
        "reference_af_s": one.spans(one.fibrillation),
        "reference_flutter_s": one.spans(one.flutter),
        "told_from_to_at_s": told,
        "windows": {
            "reference": one.reference(),
            "told": one.heard.told(),
            "probability": " ".join(f"{p:.4f}" for p in one.heard.probabilities()),
        },
    }


def measure(root: Path, models: tuple[Classifier, ...], limit: int | None = None) -> report.Json:
    """All records, or the first ``limit``."""
    with tempfile.TemporaryDirectory() as place, open_set(root, "mitdb") as archive:
        folder = Path(place)
        names = archive.read("mitdb/RECORDS").decode().split()[:limit]
        unpack(archive, [f"mitdb/{name}" for name in names], folder)
        sinks = {m.bundle.name: AnnotationSink(folder / "said" / m.bundle.name) for m in models}
        said: dict[str, list[One]] = {name: [] for name in sinks}
        for name in names:
            path = str(folder / f"{name}.hea")
            for each in listen(open_recording(path), path, models, dict(sinks)):
                said[each.model].append(hear(folder, name, each))
        out = {}
        for model, records in said.items():
            scores = {}
            for skip, seconds in SKIPS.items():
                found, _ = score_paths(folder, folder / "said" / model, skip_s=seconds)
                scores[skip] = {score.record: score for score in found}
            out[model] = model_figures(records, scores)
    return {
        "set": "MIT-BIH Arrhythmia Database 1.0.0, first lead",
        "records": len(names),
        "persons": "201 and 202 are one person; intervals are drawn over persons",
        "window_reference": "AF where it fills half of the window; windows half in flutter are left out",
        "models": out,
    }
