"""Windows called by a checkpoint or a bundle, against the annotators: DS1's inner records, or DS2.

Record 232 holds three in four of DS2's premature atrial beats: the headline leaves it out, and the figures
with it stand beside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import mitdb
from ecgedge.errors import DataError, UsageError
from ecgedge.training import checkpoint
from ecgedge.training.apc import recipe as recipes
from ecgedge.training.apc.data import Scorable, scorable
from ecgedge.training.apc.figures import rates, share, summary
from ecgedge.training.apc.run import scores
from ecgedge.training.apc.sets import load_mitdb, training_lists

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.messages import Floats

SPLITS = ("inner", "test")
SET = "mitdb"
HARD = "232"
FREE = ("105", "111", "123", "212", "214", "221")
"""Records of DS2 without any premature atrial beat, and no easy ones: ventricular beats, block, AF, noise."""


@dataclass(frozen=True)
class Model:
    """What can be evaluated."""

    name: str
    arithmetic: str
    """``float32`` (checkpoint) or ``int8`` (bundle)."""
    sha256: str
    """Of the checkpoint or the TFLite file."""
    plan: recipes.ApcRecipe
    threshold: float | None
    """Of the log odds, from where on a window is called; None for a checkpoint."""
    log_odds: Callable[[Scorable], Floats]


def open_model(word: str, int8: bool = False) -> Model:
    """Open a checkpoint (``.pt``) or a bundle (name, or path of its manifest or model).

    ``int8`` takes the bundle that a checkpoint was made into, by name.

    Raises
    ------
    DataError, BundleError
        If it cannot be read, or (a bundle) there is no recipe of its name.
    UsageError
        For a model that finds something else than premature atrial beats.
    """
    path = Path(word)
    if path.suffix == ".pt":
        trained = checkpoint.load_as(path, recipes.from_table)
        plan = trained.recipe
        if plan.data.set != SET:
            raise UsageError(f"{path.name} was trained on {plan.data.set}", f"a model of windows of {SET}")
        if not int8:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            return Model(plan.name, "float32", digest, plan, None, lambda w: scores(trained.net, w))
        word = plan.name
    bundle = open_bundle(word)
    if bundle.task != recipes.TASK:
        raise UsageError(f"{bundle.name} is for the task {bundle.task!r}", repr(recipes.TASK))
    classifier, manifest = Classifier(bundle), bundle.manifest
    name = manifest["inputs"][0]["name"]
    shape = manifest["inputs"][0]["shape"]

    def log_odds(windows: Scorable) -> Floats:
        each = (classifier.logits({name: signal.reshape(shape)}) for signal in windows.signals)
        return np.array([logits[1] - logits[0] for logits in each])

    called = manifest["thresholds"]["apc"]
    threshold = manifest["temperature"] * float(np.log(called / (1 - called)))
    digest = hashlib.sha256(bundle.model).hexdigest()
    return Model(bundle.name, "int8", digest, recipes.load(bundle.name), threshold, log_odds)


def windows_of(root: Path, plan: recipes.ApcRecipe, split: str, waves: Path | None = None) -> Scorable:
    """All windows of a split with a clear label.

    Parameters
    ----------
    waves : folder of neurokit2's delineation, for a net that takes manual attention

    Raises
    ------
    UsageError
        For a split that is not in ``SPLITS``.
    DataError
        If the set is missing or damaged, or the net wants delineation and ``waves`` is not given.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}", f"one of {', '.join(SPLITS)}")
    hard = plan.architecture == "danet-h"
    if hard and waves is None:
        raise DataError(f"{plan.name} takes delineated waves", "a folder to keep them in")
    names = training_lists(root, plan)[1] if split == "inner" else mitdb.inter_patient_split(root)[1]
    return scorable(load_mitdb(root, names, plan, waves if hard else None), plan)


def tables(
    windows: Scorable, log_odds: Floats, threshold: float, hop_s: float, areas: bool = True
) -> dict[str, Any]:
    """Figures over all windows, without record 232, by record, and where nothing is to be found.

    ``areas``: with those that do not depend on the threshold.
    """
    names, told = np.array(windows.names), log_odds >= threshold

    def part(keep: Any) -> dict[str, Any]:
        row = summary(windows.labels[keep], log_odds[keep], names[keep].tolist()) if areas else {}
        return row | rates(windows.labels[keep], told[keep])

    out = {"all": part(np.ones(names.size, dtype=bool))}
    if HARD in windows.names:
        out[f"without_{HARD}"] = part(names != HARD)
    by_record = {name: rates(windows.labels[names == name], told[names == name]) for name in _unique(windows)}
    free = [name for name in FREE if name in by_record]
    if free:
        false = sum(by_record[name]["false"] for name in free)
        hours = sum(by_record[name]["false"] + by_record[name]["passed"] for name in free) * hop_s / 3600
        out["free"] = {
            "records": free,
            "hours": round(hours, 3),
            "false_windows": false,
            "false_windows_per_hour": round(false / hours, 2),
            "share": share(false, round(hours * 3600 / hop_s)),
        }
    return out | {"unclear_windows": windows.unclear, "records": by_record}


def _unique(windows: Scorable) -> Sequence[str]:
    return list(dict.fromkeys(windows.names))
