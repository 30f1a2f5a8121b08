"""How right is what is said about the rhythm, on records that took no part in training?

Every shipped rhythm bundle through ``ecgedge.classify``, the code that runs on the device with the
int8 network, and through ``ecgedge.scoring``:

* CinC 2017, the 1528 validation records of the published split (``rhythm_accuracy``);
* MIT-BIH, all 48 records (``af_mitdb``): AF episodes and durations after ANSI/AAMI EC57, false alarms,
  burden, time to detect;
* LUDB, lead II, one verdict for each record of 10 s: a third of the model's window, so a side light.

Writes ``accuracy.json`` and its pictures.
"""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

from benchmarks import af_mitdb, pictures, report, rhythm_accuracy
from benchmarks.heard import letter, listen
from benchmarks.outcomes import AF, NONE, OUT, curves, outcomes
from benchmarks.unpacked import SIGNAL, unpack
from ecgedge.classifier import Classifier, open_models
from ecgedge.datasets.archive import data_root
from ecgedge.datasets.catalogue import open_set
from ecgedge.recordings import open_recording

QUESTION = "How right is what is said about the rhythm, on records that took no part in training?"
DEVELOPMENT = {
    "cinc2017_looks": {
        "efficientecg-s": [
            "the first net (macro F1 0.808)",
            "taught by other nets (0.819)",
            "with the rounding of int8 (0.808)",
            "seeds 6 and 7 of it with activations from least to greatest (0.820 and 0.824)",
            "seed 6 with the ranges of least error, which the inner records preferred: as it ships",
        ],
        "efficientecg-xs": ["as it ships"],
        "dualnet-s": ["as it ships"],
    },
    "fitted_on_mitdb": "nothing that reports AF, no weight, threshold or hysteresis",
    "mitdb_looks": [
        "the net alone",
        "with RR intervals",
        "after leaving out beats of odd height",
        "after letting undecided windows vote on episodes",
        "after keeping the net's score of noise",
        "with the beat detector made for noise",
        "with the RR model fitted anew on its beats",
        "after stepping over beats of odd shape in place of odd height",
        "with the distilled network and the new measure of quality",
        "with efficientecg-xs beside it",
        "in a trial of evaluate on DS1",
        "with dualnet-s beside it and beats told sooner",
        "with the network that learned with the rounding of int8",
        "with another seed of it",
    ],
    "note": (
        "The idea of leaving odd beats out, first by height, then by shape, came from seeing record 200, and "
        "the beat detector, whose RR intervals enter, was developed with MIT-BIH's beats in view. That makes "
        "the figures on MIT-BIH somewhat optimistic. How many ventricular and normal beats have an odd shape "
        "was counted on six of its records, after that rule was fixed."
    ),
}
"""What a reader must know to judge the figures: how often the records were looked at before."""


def ludb_rhythm(words: str) -> str:
    """A record's rhythm, one letter (see ``outcomes``); flutter is left out as neutral."""
    if "Atrial fibrillation" in words:
        return AF
    return OUT if "Atrial flutter" in words else NONE


def ludb(root: Path, models: tuple[Classifier, ...], limit: int | None) -> report.Json:
    """AF against the rest on lead II, the window's verdict of each record."""
    said: dict[str, list[tuple[str, float]]] = {m.bundle.name: [] for m in models}
    with open_set(root, "ludb") as archive, tempfile.TemporaryDirectory() as folder:
        table = csv.DictReader(io.StringIO(archive.read("ludb/ludb.csv").decode()))
        rhythms = {row["ID"]: row["Rhythms"] for row in table}
        names = [Path(line).name for line in archive.read("ludb/RECORDS").decode().split()][:limit]
        for name in names:
            unpack(archive, [f"ludb/data/{name}"], Path(folder), SIGNAL)
            recording = open_recording(Path(folder) / name, lead="ii")
            for heard in listen(recording, name, models, {}):
                (verdict,) = heard.windows
                word = letter(verdict.verdict, heard.words)
                said[heard.model].append((word, heard.probabilities()[0]))
    reference = "".join(ludb_rhythm(rhythms[name]) for name in names)
    groups = range(len(names))
    return {
        "set": "LUDB 1.0.1, lead II, records of 10 s (the models' windows last 30 s)",
        "records": len(names),
        "flutter": reference.count(OUT),
        "reference": reference,
        "models": {
            model: {
                "windows": outcomes(reference, "".join(word for word, _ in rows), groups),
                "curves": curves(reference, [p for _, p in rows], groups),
                "told": "".join(word for word, _ in rows),
                "probability": " ".join(f"{p:.4f}" for _, p in rows),
            }
            for model, rows in said.items()
        },
    }


def measure(root: Path, limit: int | None = None) -> report.Json:
    """All sets, or the first ``limit`` records of each."""
    models = open_models(rhythm_accuracy.bundle_names())
    out: report.Json = {"path": "ecgedge.classify", "development": DEVELOPMENT}
    out["mitdb"] = af_mitdb.measure(root, models, limit)
    print("MIT-BIH done", flush=True)
    out["cinc2017"] = rhythm_accuracy.measure(root, models, limit)
    print("CinC 2017 done", flush=True)
    return out | {"ludb": ludb(root, models, limit)}


def main() -> None:
    """Parse the command line, measure, write the result file and the pictures."""
    parser = report.options("accuracy", QUESTION)
    parser.add_argument("--records", type=int, metavar="N", help="only the first N records of each set")
    given = parser.parse_args()
    figures = measure(data_root(given.root), given.records)
    path = report.write(parser, given, QUESTION, report.model_facts(rhythm_accuracy.bundle_names()), figures)
    for name, model in figures["mitdb"]["models"].items():
        row = model["ec57"]["whole"]["flutter_neutral"]
        said = ", ".join(f"{key} {row[key]['gross']}" for key in row)
        print(f"{name}, MIT-BIH: {said}; targets met: {model['met']}")
    names = [picture.name for picture in pictures.draw(given.out)]
    print(f"{path.name}, {', '.join(names)} written")


if __name__ == "__main__":
    report.run(main)
