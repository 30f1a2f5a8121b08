"""How often is a rhythm verdict right, on records that no model has seen?

Every shipped bundle over the 1528 validation records of the published CinC 2017 split, through
``ecgedge.session.classify``: the code that runs on the device, int8 network included. A record's decision
is the class of the highest mean score; whether the device would rather say *inconclusive* is counted
apart.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np

from benchmarks import report
from ecgedge.bundle import list_bundles, open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import Archive, data_root
from ecgedge.errors import DataError
from ecgedge.messages import Record
from ecgedge.recordings import open_recording
from ecgedge.session import classify, open_models
from ecgedge.training import metrics
from ecgedge.verdict import INCONCLUSIVE

QUESTION = "How often is a rhythm verdict right, on records that no model has seen?"
REVISIONS = ("v2", "v3")
"""Label revisions; the first one is the headline (the published figures use it)."""
DUPLICATE = ("A01176", "A00227")
"""A validation record that is, sample for sample, a training record."""
UNDECIDED = "?"


def bundle_names() -> list[str]:
    """Shipped bundles that know the four classes of the set."""
    return [name for name in list_bundles() if open_bundle(name).classes == list(cinc2017.CLASSES)]


def classified(root: Path, names: list[str], models: tuple[Classifier, ...]) -> Iterator[list[Record]]:
    """The device's closing words on each record, one for each model."""
    packed = root / "cinc2017.zip"
    with zipfile.ZipFile(packed) if packed.is_file() else nullcontext() as archive:
        folder = "training2017" if archive else root / "cinc2017" / "training2017"
        for name in names:
            recording = open_recording(f"{folder}/{name}.hea", archive=archive)
            yield [m for m in classify(recording, name, models) if isinstance(m, Record)]


def indices(letters: str) -> metrics.Labels:
    """Class letters as class indices."""
    return np.array([cinc2017.CLASSES.index(letter) for letter in letters])


def figures_of(reference: str, decisions: str) -> report.Json:
    """Accuracy, F1, recall and precision of decisions against the reference, both as class letters."""
    out = metrics.summary(indices(reference), indices(decisions), cinc2017.CLASSES)
    counts = np.array(out["confusion"])
    hits = np.diag(counts)
    for name, total in (("recall", counts.sum(axis=1)), ("precision", counts.sum(axis=0))):
        shares = [round(h / n, 4) if n else None for h, n in zip(hits.tolist(), total.tolist(), strict=True)]
        out[name] = dict(zip(cinc2017.CLASSES, shares, strict=True))
    return out


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


def model_figures(records: list[Record], references: dict[str, str], manifest: report.Json) -> report.Json:
    """All figures of one model. A record too short for any window counts as decided noisy (``~``)."""
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
    }


def measure(root: Path, limit: int | None = None) -> report.Json:
    """Classify the validation records (the first ``limit`` of them) and score every model."""
    _, names = cinc2017.published_split(root)
    names = names[:limit]
    if not names:
        raise DataError("no records to score", "--records 1 or more")
    with Archive(root, "cinc2017") as archive:
        labels = {revision: cinc2017.labels(archive, revision) for revision in REVISIONS}
    references = {
        revision: "".join(cinc2017.CLASSES[known[name]] for name in names)
        for revision, known in labels.items()
    }
    models = open_models(bundle_names())
    rows = list(classified(root, names, models))
    scored = {
        model.bundle.name: model_figures([row[k] for row in rows], references, model.bundle.manifest)
        for k, model in enumerate(models)
    }
    return {
        "set": "PhysioNet/CinC Challenge 2017, validation list of the published split",
        "path": "ecgedge.session.classify",
        "records": len(names),
        "classes": list(cinc2017.CLASSES),
        "note": "{} (validation) is an exact duplicate of {} (training)".format(*DUPLICATE),
        "reference": references,
        "models": scored,
    }


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("rhythm_accuracy", QUESTION)
    parser.add_argument("--records", type=int, metavar="N", help="only the first N records")
    given = parser.parse_args()
    figures = measure(data_root(given.data), given.records)
    path = report.write(parser, given, QUESTION, report.model_facts(bundle_names()), figures)
    for name, model in figures["models"].items():
        row = model[REVISIONS[0]]
        print(f"{name}: accuracy {row['accuracy']:.4f}, macro F1 {row['macro_f1']:.4f}")
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
