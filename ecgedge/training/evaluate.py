"""``ecgedge evaluate``: a checkpoint or a bundle, on labelled records that took no part in its fitting.

Records go through the device's conditioning, windows and inputs; a bundle is scored by the device's own
classifier. A record's decision is the class of the highest mean probability of its windows, as in
``classify``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecgedge import __version__
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import is_pack
from ecgedge.datasets.catalogue import open_set
from ecgedge.errors import DataError, UsageError
from ecgedge.features import make_inputs
from ecgedge.messages import Person
from ecgedge.training import checkpoint, metrics
from ecgedge.training import recipe as recipes
from ecgedge.training.data import (
    condition,
    context_of,
    inner_split,
    input_list,
    record_windows,
    tensors,
    window_spec,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecgedge.messages import Context, Floats, Signal32
    from ecgedge.training.metrics import Labels
    from ecgedge.windows import WindowSpec

FORMAT = 1
REVISIONS = ("v2", "v3")
"""Label revisions; the first one is the headline (the published figures use it)."""
SPLITS = {"cinc2017": ("inner", "validation")}
"""Splits of each set that can be scored; the first one is the default."""
NOTES = {
    "inner": "Inner records: a share of the training list that fitting left out. A bundle's temperature and "
    "thresholds were chosen on them.",
    "validation": "Validation records of the published split: they are for the final table, and every look "
    "at them counts. To choose between models, use --split inner.",
}


@dataclass(frozen=True)
class Model:
    """What can be evaluated."""

    name: str
    arithmetic: str
    """``float32`` (checkpoint) or ``int8`` (bundle)."""
    sha256: str
    """Of the checkpoint or the TFLite file."""
    preprocessing: dict[str, Any]
    window: WindowSpec
    temperature: float
    data: recipes.DataOptions | None
    """Which part of the training list was left out of fitting; None where no recipe tells."""
    logits: Callable[[Signal32, Context], Floats]
    """Of one window before normalisation, (n,), and its beats: shape (classes,), before the temperature."""


@dataclass(frozen=True)
class Evaluation:
    """What a model made of the records of a split."""

    model: str
    arithmetic: str
    sha256: str
    temperature: float
    set: str
    split: str
    windows: int
    names: list[str]
    reference: dict[str, str]
    """Class letters, one a record, by label revision."""
    probabilities: list[list[float]]
    """One row a record, one column a class."""
    calibration: dict[str, float]
    """Expected calibration error of records and of windows, with the temperature and without."""

    @property
    def title(self) -> str:
        """Model and records in words."""
        return f"{self.model} ({self.arithmetic}), {self.set} {self.split}, {len(self.names)} records"

    def labels(self, revision: str = REVISIONS[0]) -> Labels:
        """Class index of each record."""
        return np.array([cinc2017.CLASSES.index(letter) for letter in self.reference[revision]])

    def decisions(self) -> Labels:
        """Class index told of each record."""
        return np.asarray(np.array(self.probabilities).argmax(axis=1))

    def figures(self) -> dict[str, dict[str, Any]]:
        """Figures against each label revision."""
        told = self.decisions()
        return {r: metrics.summary(self.labels(r), told, cinc2017.CLASSES) for r in self.reference}


def open_model(word: str, int8: bool = False) -> Model:
    """Open a checkpoint (``.pt``) or a bundle (name, or path of its manifest or model).

    ``int8`` takes the bundle that a checkpoint was made into, by name.

    Raises
    ------
    DataError, BundleError
        If it cannot be read, or (a bundle) there is no recipe that tells its inner records.
    """
    path = Path(word)
    if path.suffix == ".pt":
        trained = checkpoint.load(path)
        if not int8:
            return _float_model(trained, path)
        word = trained.recipe.name
    return _bundle_model(word)


def _float_model(trained: checkpoint.Checkpoint, path: Path) -> Model:
    recipe, inputs = trained.recipe, input_list(trained.recipe)

    def logits(window: Signal32, context: Context) -> Floats:
        with torch.no_grad():
            out = trained.net(*(x[None] for x in tensors(inputs, window, context)))
        return np.asarray(out[0].numpy(), dtype=np.float64)

    return Model(
        name=recipe.name,
        arithmetic="float32",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        preprocessing=recipe.preprocessing,
        window=window_spec(recipe),
        temperature=1.0,
        data=recipe.data,
        logits=logits,
    )


def _bundle_model(word: str) -> Model:
    bundle = open_bundle(word)
    if bundle.classes != list(cinc2017.CLASSES):
        raise UsageError(f"{bundle.name} knows {bundle.classes}", f"the classes {list(cinc2017.CLASSES)}")
    classifier = Classifier(bundle)
    return Model(
        name=bundle.name,
        arithmetic="int8",
        sha256=hashlib.sha256(bundle.model).hexdigest(),
        preprocessing=bundle.manifest["preprocessing"],
        window=bundle.window,
        temperature=bundle.manifest["temperature"],
        data=_data_options(bundle.name),
        logits=lambda window, context: classifier.logits(
            make_inputs(bundle.manifest["inputs"], window, context)
        ),
    )


def _data_options(name: str) -> recipes.DataOptions | None:
    try:
        return recipes.load(name).data
    except DataError:
        return None


def split_names(root: Path, data: str, split: str, fitted: recipes.DataOptions | None) -> list[str]:
    """Names of the records of a split; ``fitted`` tells what a model left out of fitting.

    Raises
    ------
    UsageError
        For a set or split that is not in ``SPLITS``, or an inner split that nothing tells.
    """
    if data not in SPLITS:
        raise UsageError(f"--data {data}", f"one of {', '.join(SPLITS)}")
    if split not in SPLITS[data]:
        raise UsageError(f"--split {split}", f"one of {', '.join(SPLITS[data])}")
    training, validation = cinc2017.published_split(root)
    if split == "validation":
        return validation
    if fitted is None:
        raise UsageError(
            "--split inner of a bundle without a recipe of its name",
            "--split validation",
            "Or evaluate its checkpoint, which holds the recipe.",
        )
    known = _known_labels(root)
    labels = [known[name] for name in training]
    return inner_split(training, labels, fitted.inner_share, fitted.inner_fold)[1]


def _known_labels(root: Path) -> dict[str, int]:
    """Class index of every record, without reading signals where that can be avoided."""
    if is_pack(root):
        return {record.name: cinc2017.class_of(record) for record in cinc2017.records(root)}
    with open_set(root, "cinc2017") as archive:
        return cinc2017.labels(archive, REVISIONS[0])


def evaluate(model: Model, root: Path, data: str = "cinc2017", split: str = "inner") -> Evaluation:
    """Score every record of a split.

    A record too short for any window counts as told noisy (the last class).

    Raises
    ------
    UsageError, DataError
        For an unknown set or split, or one that is missing or damaged.
    """
    names = split_names(root, data, split, model.data)
    said: dict[str, list[str]] = {revision: [] for revision in REVISIONS}
    logits: list[Floats] = []
    for done, record in enumerate(cinc2017.records(root, names, REVISIONS[0]), 1):
        for revision, letters in said.items():
            letters += record.labels.get(revision, ())
        signal = condition(record.lead(), record.rate_hz, model.preprocessing)
        context = context_of(record.lead(), record.rate_hz, model.window.rate_hz, Person())
        each = [
            model.logits(w.signal, within(context, w.time_s, w.seconds))
            for w in record_windows(signal, model.window)
        ]
        logits.append(np.array(each).reshape(-1, len(cinc2017.CLASSES)))
        _tell(done, len(names))
    reference = {r: "".join(letters) for r, letters in said.items() if len(letters) == len(names)}
    labels = np.array([cinc2017.CLASSES.index(letter) for letter in reference[REVISIONS[0]]])
    calibrated = [metrics.softmax(part / model.temperature) for part in logits]
    plain = [metrics.softmax(part) for part in logits]
    return Evaluation(
        model=model.name,
        arithmetic=model.arithmetic,
        sha256=model.sha256,
        temperature=model.temperature,
        set=data,
        split=split,
        windows=sum(map(len, logits)),
        names=names,
        reference=reference,
        probabilities=np.round(_by_record(calibrated), 6).tolist(),
        calibration={
            **_errors("", calibrated, labels),
            **_errors("_without_temperature", plain, labels),
        },
    )


def _by_record(parts: list[Floats]) -> Floats:
    """Mean over the windows of each record, shape (records, classes)."""
    noisy = np.eye(len(cinc2017.CLASSES))[-1]
    return np.array([part.mean(axis=0) if len(part) else noisy for part in parts])


def _errors(ending: str, parts: list[Floats], labels: Labels) -> dict[str, float]:
    """Expected calibration errors of records and of their windows."""
    windows = metrics.calibration_error(np.concatenate(parts), np.repeat(labels, [len(p) for p in parts]))
    records = metrics.calibration_error(_by_record(parts), labels)
    return {f"records{ending}": round(records, 4), f"windows{ending}": round(windows, 4)}


def _tell(done: int, records: int) -> None:
    """Keep a line on a terminal up to date."""
    if sys.stderr.isatty() and (done % 20 == 0 or done == records):
        end = "\r\x1b[K" if done == records else ""
        print(f"\r\x1b[Krecord {done}/{records}{end}", end="", file=sys.stderr, flush=True)


def save(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation with its figures as JSON."""
    content = {
        "evaluation": FORMAT,
        "ecgedge": __version__,
        "note": NOTES[evaluation.split],
        "classes": list(cinc2017.CLASSES),
        "figures": evaluation.figures(),
        **asdict(evaluation),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Evaluation:
    """Read what ``save`` wrote.

    Raises
    ------
    DataError
        If it is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["evaluation"] != FORMAT:
            raise DataError(f"{path.name} is of format {content['evaluation']}", f"format {FORMAT}")
        return Evaluation(**{name: content[name] for name in Evaluation.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name} cannot be read ({error!r})", "what ecgedge evaluate wrote") from None
