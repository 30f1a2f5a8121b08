"""Golden vectors: does this machine make of a bundle's synthesised signal what the exporter made of it?

An archive ``NAME.golden.npz`` holds ``counts`` (synthesised signal, int16), ``rate_hz``, ``uv_per_count``,
the int8 tensor ``input_NAME`` of its first whole window (of signal, or of beats) and the int8 output
``output_NAME``.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.classifier import Classifier
from ecgedge.errors import BundleError
from ecgedge.features import make_inputs
from ecgedge.frontend import Cut, Frontend, Prepared, PreparedBeats
from ecgedge.heads import consumer
from ecgedge.messages import Board, SampleBlock, Segment

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.bundle import Bundle
    from ecgedge.frontend import Out
    from ecgedge.messages import Signal32

OUTPUT_TOLERANCE = {"ai-edge-litert": 4, "tflite-runtime": 12}
"""Steps by which an int8 output may be off. Versions of LiteRT differ by up to three in the attention of
``ecg-sl``, and by none in the other bundles. The older runtime, all that there is for 32-bit systems, rounds
differently in every layer: up to ten were seen, and no other decision but between scores as near as that."""


def first_inputs(
    bundle: Bundle, counts: npt.NDArray[np.int16], rate_hz: float, uv_per_count: float
) -> dict[str, Signal32]:
    """The first of ``all_inputs``.

    Raises
    ------
    BundleError
        Where the counts hold no whole window.
    """
    found = all_inputs(bundle, counts, rate_hz, uv_per_count)
    if not found:
        raise BundleError(f"golden signal of {counts.size / rate_hz:.1f} s", "one that holds a whole window")
    return found[0]


def all_inputs(
    bundle: Bundle, counts: npt.NDArray[Any], rate_hz: float, uv_per_count: float
) -> list[dict[str, Signal32]]:
    """Tensors of the whole windows of counts, shape (n,), by the input's name, as the device makes them."""
    frontend = Frontend((consumer(bundle),))
    board = Board("golden", rate_hz, uv_per_count, 16)
    out = frontend.push(Segment(0, 0.0, rate_hz, "declared", board))
    out += frontend.push(SampleBlock(0, counts[:, None].astype(np.float64), 0.0))
    out += frontend.finish()
    return [tensors for item in out if (tensors := _inputs_of(bundle, item))]


def _inputs_of(bundle: Bundle, item: Out) -> dict[str, Signal32] | None:
    """The tensors of a whole window; None of anything else."""
    if isinstance(item, PreparedBeats):
        return item.tensors if item.whole else None
    if isinstance(item, Cut) and not item.window.provisional:
        return make_inputs(bundle.manifest["inputs"], item.window.signal)
    return item.tensors if isinstance(item, Prepared) and not item.window.provisional else None


def verify(bundle: Bundle) -> list[str]:
    """Check a bundle on this machine; returns what was checked, a line each.

    Raises
    ------
    BundleError
        At the first thing that is off. (Hashes and manifest were checked when the bundle was opened.)
    """
    manifest = bundle.manifest
    lines = [f"manifest: schema {manifest['schema']}, {len(manifest['files'])} files, hashes match"]
    classifier = Classifier(bundle)
    lines.append(f"model: loads, {len(bundle.model)} bytes, tensors as the manifest says")
    try:
        golden: dict[str, Any] = dict(np.load(io.BytesIO(bundle.golden)))
    except (ValueError, OSError) as error:
        raise BundleError(f"golden vectors cannot be read ({error})", "a numpy archive") from None
    tensors = first_inputs(bundle, golden["counts"], float(golden["rate_hz"]), float(golden["uv_per_count"]))
    quantised = classifier.quantise(tensors)
    for name, tensor in quantised.items():
        wrong = int((tensor != golden[f"input_{name}"]).sum())
        if wrong:
            raise BundleError(f"{wrong} of {tensor.size} values of input {name!r} differ", "the golden ones")
        lines.append(f"frontend: input {name!r}, all {tensor.size} values are the golden ones")
    for name, tensor in classifier.raw(quantised).items():
        off = int(np.abs(tensor.astype(np.int64) - golden[f"output_{name}"]).max())
        most = OUTPUT_TOLERANCE[classifier.runtime]
        if off > most:
            raise BundleError(
                f"output {name!r} is off by {off} steps", f"at most {most} with {classifier.runtime}"
            )
        lines.append(f"net: output {name!r} within {off} steps of the golden one")
    return lines
