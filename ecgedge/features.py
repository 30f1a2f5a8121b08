"""Window -> the input tensors that a bundle names.

What is made of signal begins with the z-score of the window: nothing may look at a whole record, so that the
stream and training see the same numbers. Kinds of input, with what each has to itself in its description:

* ``signal``: the z-score itself, one row.
* ``log-spectrogram`` (``n_fft``, ``hop``, ``floor``): its log magnitudes, one row a frame;
* ``rr-series`` (``points``): RR intervals and QRS heights;
* ``p-waves`` (``beats``, ``samples``, ``onset``): the z-score before each QRS, one row a beat;
* ``age`` (``bucket_years``, ``buckets``) and ``sex``: one 1 among zeros.

The last four are made by ``beat_features``, of what the beats and the user tell.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.beat_features import SEXES, age_row, p_waves, rr_series, sex_row
from ecgedge.errors import BundleError

if TYPE_CHECKING:
    from ecgedge.messages import Context, Signal32

KINDS: dict[str, set[str]] = {
    "signal": set(),
    "log-spectrogram": {"n_fft", "hop", "floor"},
    "rr-series": {"points"},
    "p-waves": {"beats", "samples", "onset"},
    "age": {"bucket_years", "buckets"},
    "sex": set(),
}
"""Keys that an input of each kind has beside ``name`` and ``kind``."""
BEATS = {"rr-series", "p-waves"}
"""Kinds that are made of beats."""
PERSON = {"age", "sex"}
"""Kinds that are made of what the user tells of the person."""
_MOST = {"points": 512, "beats": 256, "samples": 4096, "onset": 4096, "bucket_years": 100, "buckets": 100}
_TENSOR = {"shape", "dtype", "scale", "zero_point", "clip", "padding"}


def check_kind(entry: dict[str, Any], others: set[str]) -> None:
    """Refuse an input that this version cannot make.

    Parameters
    ----------
    entry : description of the input
    others : keys that it must have beside ``name``, ``kind`` and those of its kind

    Raises
    ------
    BundleError
        Naming the key or value that is off.
    """
    if entry.get("kind") not in list(KINDS):
        raise BundleError(f"input kind {entry.get('kind')!r}", f"one of {list(KINDS)}", "Update ecgedge.")
    keys = {"name", "kind"} | KINDS[entry["kind"]] | others
    if set(entry) != keys:
        raise BundleError(
            f"input keys {sorted(map(str, set(entry) ^ keys))} unknown or missing", f"exactly {sorted(keys)}"
        )
    for key in KINDS[entry["kind"]] & set(_MOST):
        if not _whole(entry[key]) or not 1 <= entry[key] <= _MOST[key]:
            raise BundleError(f"input with {key} {entry[key]!r}", f"a whole number from 1 to {_MOST[key]}")
    if entry["kind"] != "log-spectrogram":
        return
    n_fft, hop, floor = (entry[key] for key in ("n_fft", "hop", "floor"))
    if not (_whole(n_fft) and _whole(hop) and 2 <= n_fft <= 4096 and n_fft % 2 == 0 and 1 <= hop <= n_fft):
        raise BundleError(
            f"input with n_fft {n_fft!r}, hop {hop!r}", "an even n_fft from 2 to 4096, hop 1 to n_fft"
        )
    if not (isinstance(floor, (int, float)) and 0 < floor <= 1):
        raise BundleError(f"input with floor {floor!r}", "above 0 up to 1")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_input(entry: dict[str, Any], length: int) -> None:
    """Refuse an ``inputs[]`` entry of a manifest that this version cannot make of ``length`` samples.

    Raises
    ------
    BundleError
        Naming the key or value that is off.
    """
    check_kind(entry, _TENSOR)
    if entry["padding"] != "zeros-right":
        raise BundleError(f"padding {entry['padding']!r}", "'zeros-right'", "Update ecgedge.")
    rows, columns = tensor_shape(entry, length)
    if math.prod(entry["shape"]) < rows * columns or (rows > 1 and entry["shape"][2:3] != [columns]):
        raise BundleError(
            f"input of shape {entry['shape']}", f"room for a whole window, [1, {rows}, {columns}, 1]"
        )


def tensor_shape(entry: dict[str, Any], length: int) -> tuple[int, int]:
    """Rows and columns of an input made of a whole window of ``length`` samples."""
    if entry["kind"] == "log-spectrogram":
        return 1 + length // entry["hop"], entry["n_fft"] // 2 + 1
    if entry["kind"] == "rr-series":
        return 2, entry["points"]
    if entry["kind"] == "p-waves":
        return entry["beats"], entry["samples"]
    if entry["kind"] == "age":
        return 1, 1 + entry["buckets"]
    return 1, 1 + len(SEXES) if entry["kind"] == "sex" else length


def normalise(signal: Signal32, clip: float) -> Signal32:
    """Z-score of one window, clipped to +-``clip`` standard deviations; float32, same shape.

    A flat window gives zeros.
    """
    values = signal.astype(np.float64)
    values -= np.add.reduce(values) / values.size
    rest = values - np.add.reduce(values) / values.size
    deviation = math.sqrt(np.add.reduce(np.square(rest, out=rest)) / values.size)
    if deviation > 0:
        values /= deviation
    return values.clip(-clip, clip, out=values).astype(np.float32)


def pad(signal: Signal32, length: int) -> Signal32:
    """Zeros on the right up to ``length`` samples; a longer signal keeps its first ``length``."""
    out = np.zeros(length, dtype=np.float32)
    n = min(length, signal.size)
    out[:n] = signal[:n]
    return out


def log_spectrogram(signal: Signal32, n_fft: int, hop: int, floor: float) -> Signal32:
    """Natural logarithm of the short-time magnitude spectrum, shape (1 + n // hop, n_fft // 2 + 1), float32.

    Frames are centred on every ``hop``-th sample, the ends being mirrored (without their end samples);
    periodic Hann window, divided by its L2 norm; magnitudes below ``floor`` are raised to it. A signal of
    n_fft / 2 samples or fewer is extended by zeros to one more, for there is nothing to mirror.
    """
    values = np.zeros(max(signal.size, n_fft // 2 + 1))
    values[: signal.size] = signal
    mirrored = np.pad(values, n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(mirrored, n_fft)[::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    magnitudes = np.abs(np.fft.rfft(frames * (window / np.sqrt((window**2).sum())), axis=1))
    return np.asarray(np.log(np.maximum(magnitudes, floor)), dtype=np.float32)


def make_inputs(
    inputs: list[dict[str, Any]], signal: Signal32, context: Context | None = None
) -> dict[str, Signal32]:
    """Tensors for one window, by the input's name, float32, in the ``shape`` of its description.

    A window shorter than its shape is padded on the right with zeros: a spectrogram too, row by row, so that
    padding is a magnitude of 1 and not silence. ``context`` must be there for the kinds that are made of it.
    """
    tensors = {}
    for entry in inputs:
        shape = tuple(entry["shape"])
        values = _make(entry, signal, context).reshape(-1)
        tensors[entry["name"]] = pad(values, math.prod(shape)).reshape(shape)
    return tensors


def _make(entry: dict[str, Any], signal: Signal32, context: Context | None) -> Signal32:
    """One input of one window, before padding."""
    kind = entry["kind"]
    if kind == "signal":
        return normalise(signal, entry["clip"])
    if kind == "log-spectrogram":
        values = normalise(signal, entry["clip"])
        return log_spectrogram(values, entry["n_fft"], entry["hop"], entry["floor"])
    assert context is not None, f"an input of kind {kind} is made of the context"
    if kind == "rr-series":
        return rr_series(context, entry["points"])
    if kind == "p-waves":
        values = normalise(signal, entry["clip"])
        return p_waves(values, context, entry["beats"], entry["samples"], entry["onset"])
    if kind == "age":
        return age_row(context.person, entry["bucket_years"], entry["buckets"])
    return sex_row(context.person)
