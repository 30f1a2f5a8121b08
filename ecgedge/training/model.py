"""What is evaluated: a checkpoint in float, or a bundle as the device's own classifier computes it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError, UsageError
from ecgedge.features import make_inputs
from ecgedge.training import checkpoint
from ecgedge.training import recipe as recipes
from ecgedge.training.data import input_list, tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ecgedge.messages import Context, Floats, Signal32
    from ecgedge.windows import WindowSpec


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
        window=recipe.spec,
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
