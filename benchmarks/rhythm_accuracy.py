"""Rhythm verdicts on the 1528 validation records of the published CinC 2017 split.

A record's decision is the class of the highest mean score; whether the device would rather say
*inconclusive* is counted apart. AF against the rest is counted on windows. ``accuracy`` runs this.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.heard import Heard, letter, listen
from benchmarks.outcomes import AF, NONE, OUT, alarms, curves, outcomes
from benchmarks.unpacked import unpack
from ecgedge.bundle import list_bundles, open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.datasets.catalogue import open_set
from ecgedge.errors import DataError
from ecgedge.messages import Record
from ecgedge.recordings import open_recording
from ecgedge.training import metrics
from ecgedge.verdict import INCONCLUSIVE

REVISIONS = ("v2", "v3")
"""Label revisions; the first one is the headline (the published figures use it)."""
DUPLICATE = ("A01176", "A00227")
"""A validation record that is, sample for sample, a training record."""
UNDECIDED = "?"
RHYTHM = {"N": NONE, "A": AF, "O": NONE, "~": OUT}
"""AF or not, by class; the rhythm of a record labelled noise is not known."""


def bundle_names() -> list[str]:
    """Shipped bundles that know the four classes of the set."""
    return [name for name in list_bundles() if open_bundle(name).classes == list(cinc2017.CLASSES)]


def classified(root: Path, names: list[str], models: tuple[Classifier, ...]) -> Iterator[list[Heard]]:
    """What the device says of each record, one for each model."""
    with open_set(root, "cinc2017") as archive, tempfile.TemporaryDirectory() as folder:
        for name in names:
            unpack(archive, [f"training2017/{name}"], Path(folder), (".hea", ".mat"))
            yield listen(open_recording(Path(folder) / f"{name}.hea"), name, models, {})


def indices(letters: str) -> metrics.Labels:
    """Class letters as class indices."""
    return np.array([cinc2017.CLASSES.index(letter) for letter in letters])


def figures_of(reference: str, decisions: str) -> report.Json:
    """Accuracy, F1, recall and precision of decisions against the reference, both as class letters."""
    return metrics.summary(indices(reference), indices(decisions), cinc2017.CLASSES)


def conclusive_only(reference: str, decisions: str, verdicts: str) -> report.Json:
    """How right the device is where it commits itself, and how often it does not, by reference class."""
    silent = [v == UNDECIDED for v in verdicts]
    kept = [k for k, undecided in enumerate(silent) if not undecided]
    by_class = {}
    for name in cinc2017.CLASSES:
        mine = [s for s, letter in zip(silent, reference, strict=True) if letter == name]
        by_class[name] = round(sum(mine) / len(mine), 4) if mine else None
    out: report.Json = {
        "inconclusive_records": round(sum(silent) / len(silent), 4),
        "inconclusive_by_class": by_class,
        "records": len(kept),
    }
    if kept:
        figures = figures_of("".join(reference[k] for k in kept), "".join(decisions[k] for k in kept))
        wanted = ("accuracy", "accuracy_interval", "f1_mean_n_a_o", "recall", "precision", "confusion")
        out |= {key: figures[key] for key in wanted}
    return out


def af_figures(heard: list[Heard], reference: str) -> report.Json:
    """AF against the rest, window by window; false alarms are records without AF that are called AF."""
    true = "".join(RHYTHM[label] for label in reference)
    record = [k for k, one in enumerate(heard) for _ in one.windows]
    told = "".join(one.told() for one in heard)
    probability = [p for one in heard for p in one.probabilities()]
    of_window = "".join(true[k] for k in record)
    closing = [(one, closing_words(one)) for one in heard]
    without = [pair for pair, rhythm in zip(closing, true, strict=True) if rhythm == NONE]
    noise = [word for (_, word), rhythm in zip(closing, true, strict=True) if rhythm == OUT]
    return {
        "windows": outcomes(of_window, told, record),
        "curves": curves(of_window, probability, record),
        "alarms": alarms(
            sum(letter(word.verdict, one.words) == AF for one, word in without),
            sum(word.seconds for _, word in without),
        ),
        "noise": {"records": len(noise), "inconclusive": sum(w.verdict == INCONCLUSIVE for w in noise)},
        "windows_per_record": "".join(str(len(one.windows)) for one in heard),
        "told": told,
        "probability": " ".join(f"{p:.4f}" for p in probability),
    }


def closing_words(heard: Heard) -> Record:
    """What is said of the whole record."""
    assert heard.record is not None, "classify ends with a Record for each model"
    return heard.record


def model_figures(heard: list[Heard], references: dict[str, str], manifest: report.Json) -> report.Json:
    """All figures of one model. A record too short for any window counts as decided noisy (``~``)."""
    records = [closing_words(one) for one in heard]
    decisions = "".join(r.label or "~" for r in records)
    verdicts = "".join(
        UNDECIDED if r.verdict == INCONCLUSIVE else d for r, d in zip(records, decisions, strict=True)
    )
    windows = sum(r.windows for r in records)
    said = manifest["metrics"]
    return {
        **{revision: figures_of(reference, decisions) for revision, reference in references.items()},
        "conclusive": conclusive_only(references[REVISIONS[0]], decisions, verdicts),
        "windows": windows,
        "inconclusive_windows": round(sum(r.inconclusive * r.windows for r in records) / max(windows, 1), 4),
        "records_without_window": sum(r.windows == 0 for r in records),
        "manifest": {part: said[part] for part in ("inner", "validation")},
        "decisions": decisions,
        "verdicts": verdicts,
        "af": af_figures(heard, references[REVISIONS[0]]),
    }


def measure(root: Path, models: tuple[Classifier, ...], limit: int | None = None) -> report.Json:
    """Classify the validation records (the first ``limit`` of them) and score every model."""
    _, names = cinc2017.published_split(root)
    names = names[:limit]
    if not names:
        raise DataError("no records to score", "--records 1 or more")
    labels = {revision: cinc2017.labels_by_record(root, revision) for revision in REVISIONS}
    references = {
        revision: "".join(cinc2017.CLASSES[known[name]] for name in names)
        for revision, known in labels.items()
    }
    rows = list(classified(root, names, models))
    scored = {
        model.bundle.name: model_figures([row[k] for row in rows], references, model.bundle.manifest)
        for k, model in enumerate(models)
    }
    return {
        "set": "PhysioNet/CinC Challenge 2017, validation list of the published split",
        "records": len(names),
        "classes": list(cinc2017.CLASSES),
        "note": "{} (validation) is an exact duplicate of {} (training)".format(*DUPLICATE),
        "reference": references,
        "models": scored,
    }
