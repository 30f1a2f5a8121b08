"""Window -> the input tensors that a bundle names.

Normalisation happens here, window by window: nothing may look at a whole record, so that the stream and
training see the same numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import BundleError

if TYPE_CHECKING:
    from ecgedge.messages import Signal32

KINDS = ("signal",)
_KEYS = {"name", "kind", "shape", "dtype", "scale", "zero_point", "clip", "padding"}


def check_input(entry: dict[str, Any]) -> None:
    """Refuse an ``inputs[]`` entry of a manifest that this version cannot make.

    Raises
    ------
    BundleError
        Naming the key or value that is off.
    """
    if set(entry) != _KEYS:
        raise BundleError(
            f"input keys {sorted(set(entry) ^ _KEYS)} unknown or missing", f"exactly {sorted(_KEYS)}"
        )
    if entry["kind"] not in KINDS:
        raise BundleError(f"input kind {entry['kind']!r}", f"one of {list(KINDS)}", "Update ecgedge.")
    if entry["padding"] != "zeros-right":
        raise BundleError(f"padding {entry['padding']!r}", "'zeros-right'", "Update ecgedge.")


def normalise(signal: Signal32, clip: float) -> Signal32:
    """Z-score of one window, clipped to +-``clip`` standard deviations; float32, same shape.

    A flat window gives zeros.
    """
    values = signal.astype(np.float64)
    values -= values.mean()
    deviation = values.std()
    if deviation > 0:
        values /= deviation
    return np.clip(values, -clip, clip).astype(np.float32)


def pad(signal: Signal32, length: int) -> Signal32:
    """Zeros on the right up to ``length`` samples; a longer signal keeps its first ``length``."""
    out = np.zeros(length, dtype=np.float32)
    n = min(length, signal.size)
    out[:n] = signal[:n]
    return out


def make_inputs(inputs: list[dict[str, Any]], signal: Signal32) -> dict[str, Signal32]:
    """Tensors for one window, by the input's name, float32, in the manifest's shape."""
    tensors = {}
    for entry in inputs:
        shape = tuple(entry["shape"])
        tensors[entry["name"]] = pad(normalise(signal, entry["clip"]), math.prod(shape)).reshape(shape)
    return tensors
