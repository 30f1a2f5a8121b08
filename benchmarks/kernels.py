"""Do the kernels that can run a bundle say the same of real windows?

The device's code cuts windows from CinC 2017 training recordings; every interpreter and set of kernels at
hand computes their logits, an emulated 32-bit Raspberry Pi's too (``ECGEDGE_PI`` names the folder that
``python tests/emulated_pi.py FOLDER`` has filled). Labels are not asked for: it is one net against itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks import report
from benchmarks.markdown import percent, prose, source, table
from ecgedge.bundle import Bundle, list_bundles, open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import data_root
from ecgedge.datasets.record import Record
from ecgedge.errors import EcgedgeError
from ecgedge.golden import all_inputs

QUESTION = "Do the kernels that can run a bundle say the same of real windows?"
WINDOWS = 300
RECORDINGS = 150
SCRIPT = Path(__file__).with_name("kernels_run.py")
OWN, REFERENCE, USUAL = "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF", "AUTO"
LITERT, OLDER = "ai_edge_litert", "tflite_runtime"
BASE = "LiteRT with XNNPACK"
KERNELS = {
    BASE: (LITERT, USUAL),
    "LiteRT, its own kernels": (LITERT, OWN),
    "LiteRT, reference kernels": (LITERT, REFERENCE),
    "tflite-runtime, its own kernels": (OLDER, OWN),
}
PI = "tflite-runtime on a 32-bit Pi (emulated)"
PAIRS = [*((name, BASE) for name in (*list(KERNELS)[1:], PI)), (PI, "tflite-runtime, its own kernels")]
"""What is held against what."""

Logits = dict[str, npt.NDArray[np.int8]]


def windows(bundle: Bundle, records: list[Record]) -> dict[str, npt.NDArray[np.int8]]:
    """The first whole windows of some recordings, int8, by ``BUNDLE INPUT``."""
    classifier = Classifier(bundle)
    rows = []
    for record in records:
        microvolts = 1000 * record.lead()
        rows += [classifier.quantise(t) for t in all_inputs(bundle, microvolts, record.rate_hz, 1.0)]
        if len(rows) >= WINDOWS:
            break
    names = [entry["name"] for entry in bundle.manifest["inputs"]]
    return {f"{bundle.name} {name}": np.stack([row[name] for row in rows[:WINDOWS]]) for name in names}


def pi_python() -> Path:
    """The Python of the emulated 32-bit Pi.

    Raises
    ------
    EcgedgeError
        If there is none.
    """
    path = Path(os.environ.get("ECGEDGE_PI", "")) / "armv7l" / "python3"
    if not path.is_file():
        raise EcgedgeError(
            f"no {path}", "an emulated Pi", "Run python tests/emulated_pi.py FOLDER and set ECGEDGE_PI to it."
        )
    return path.resolve()


def computed(folder: Path, python: str | Path, package: str, kernels: str) -> Logits:
    """Logits of all windows by some kernels."""
    words = [python, SCRIPT, folder / "windows.npz", folder / "out.npz", package, kernels]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise EcgedgeError(f"{package}, {kernels}: {done.stderr[-500:]}", "logits")
    with np.load(folder / "out.npz") as found:
        return {name: found[name] for name in found.files}


def apart(one: npt.NDArray[np.int8], other: npt.NDArray[np.int8], classes: int) -> report.Json:
    """How far apart two sets of logits are, in steps of 256, and how often they decide otherwise."""
    one, other = (logits.astype(int).reshape(-1, classes) for logits in (one, other))
    steps = np.abs(one - other).max(axis=1)
    return {
        "decisions": len(steps),
        "other_decisions": int(np.count_nonzero(one.argmax(axis=1) != other.argmax(axis=1))),
        "most_steps": int(steps.max()),
        "steps_99": int(np.quantile(steps, 0.99)),
        "share_within_one": round(float(np.mean(steps <= 1)), 4),
    }


def measure(root: Path) -> report.Json:
    """All pairs, of every shipped bundle."""
    there = pi_python()
    records = list(cinc2017.records(root, cinc2017.published_split(root)[0][:RECORDINGS]))
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        made: dict[str, npt.NDArray[np.int8]] = {}
        for name in list_bundles():
            made |= windows(open_bundle(name), records)
        np.savez(folder / "windows.npz", **made)
        found = {name: computed(folder, sys.executable, *kernels) for name, kernels in KERNELS.items()}
        found[PI] = computed(folder, there, OLDER, OWN)
    return {
        "recordings": f"the first {RECORDINGS} of the training list, or as many as give {WINDOWS} windows",
        "bundles": {
            name: {
                f"{one} / {other}": apart(
                    found[one][name], found[other][name], len(open_bundle(name).classes)
                )
                for one, other in PAIRS
            }
            for name in list_bundles()
        },
    }


def lines(result: report.Json) -> list[str]:
    """README's table."""
    rows = []
    for name, pairs in result["figures"]["bundles"].items():
        for pair, row in pairs.items():
            one, other = pair.split(" / ")
            told = f"{row['other_decisions']} of {row['decisions']}"
            rows.append([name, one, other, told, percent(row["share_within_one"]), str(row["most_steps"])])
    heads = ["model", "kernels", "beside", "other decisions", "within one step of 256", "most steps"]
    text = (
        "The same int8 windows of CinC 2017 training recordings by every set of kernels at hand; a decision "
        "is the highest score of a window, or of each beat in it."
    )
    return [*prose(text), "", *table(heads, rows), "", *source(result)]


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("kernels", QUESTION)
    given = parser.parse_args()
    figures = measure(data_root(given.root))
    path = report.write(parser, given, QUESTION, report.model_facts(), figures)
    print("\n".join(lines(report.read(path.stem, given.out))))
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
