"""Where P wave, QRS complex and T wave lie, and the manual attention that follows from it.

Boundaries are the annotators' where there are any: all of LUDB's, and the P peaks of twelve MIT-BIH records.
Elsewhere they are those of neurokit2's wavelet delineation (Martinez et al., IEEE TBME 51:570, 2004) around
the product's own R peaks. That finds a P wave before almost every QRS, also where there is none (ventricular
beats, fibrillation).
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ecgedge.messages import Floats, Signal32
    from ecgedge.recordings.annotations import Annotation

KINDS = ("P", "QRS", "T")
SYMBOLS = {"p": "P", "N": "QRS", "t": "T"}
"""Of the annotators, between ``(`` and ``)``."""
P_HALF_S = 0.055
"""From a P wave's peak to either end where only the peak is marked: half of the median in LUDB's lead II."""
DELINEATED = {
    "P": ("ECG_P_Onsets", "ECG_P_Offsets"),
    "QRS": ("ECG_R_Onsets", "ECG_R_Offsets"),
    "T": ("ECG_T_Onsets", "ECG_T_Offsets"),
}
LONGEST_S = {"P": 0.2, "QRS": 0.25, "T": 0.4}
"""What neurokit2 gives beyond that is a mistake."""


@dataclass(frozen=True, slots=True)
class Wave:
    """One wave of one beat, seconds from the recording's start."""

    kind: str
    """One of ``KINDS``."""
    onset_s: float
    end_s: float


@dataclass(frozen=True)
class WeightOptions:
    """Manual attention, 0 to 1, in each kind of wave; ``edge_s`` are the raised-cosine slopes beside it."""

    p: float
    qrs: float
    t: float
    elsewhere: float
    edge_s: float = 0.02


def weights(waves: Iterable[Wave], n: int, rate_hz: float, options: WeightOptions) -> Signal32:
    """The attention of each of ``n`` samples; where waves meet, the greater one."""
    out = np.full(n, options.elsewhere, dtype=np.float32)
    height = dict(zip(KINDS, (options.p, options.qrs, options.t), strict=True))
    for wave in waves:
        first = max(0, int((wave.onset_s - options.edge_s) * rate_hz))
        last = min(n, int((wave.end_s + options.edge_s) * rate_hz) + 2)
        at = np.arange(first, last) / rate_hz
        outside = np.maximum(np.maximum(wave.onset_s - at, at - wave.end_s), 0.0)
        slope = 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside / options.edge_s, 1.0))
        raised = options.elsewhere + (height[wave.kind] - options.elsewhere) * slope
        out[first:last] = np.maximum(out[first:last], raised)
    return out


def marked(marks: Sequence[Annotation], rate_hz: float) -> list[Wave]:
    """The waves that annotators delineated: ``(``, ``p``, ``N`` or ``t``, ``)`` in a row."""
    return [
        Wave(SYMBOLS[peak.symbol], onset.sample / rate_hz, end.sample / rate_hz)
        for onset, peak, end in zip(marks, marks[1:], marks[2:], strict=False)
        if onset.symbol == "(" and end.symbol == ")" and peak.symbol in SYMBOLS
    ]


def marked_p(marks: Sequence[Annotation], rate_hz: float) -> list[Wave]:
    """P waves of which only the peak is marked."""
    peaks = (mark.sample / rate_hz for mark in marks if mark.symbol == "p")
    return [Wave("P", at - P_HALF_S, at + P_HALF_S) for at in peaks]


def delineate(signal: Signal32, rate_hz: float, peaks_s: Floats) -> list[Wave]:
    """The waves that neurokit2 finds around R peaks.

    Parameters
    ----------
    signal : conditioned, shape (n,)
    peaks_s : R peaks, seconds

    Raises
    ------
    ModuleNotFoundError
        Without neurokit2.
    DataError
        If it gives up, as it does on a signal with hardly any beats.
    """
    import neurokit2  # type: ignore[import-untyped]  # takes seconds to import

    peaks = np.unique(np.rint(peaks_s * rate_hz).astype(np.int64))
    peaks = peaks[(peaks >= 0) & (peaks < signal.size)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own use of pandas
            found = neurokit2.ecg_delineate(
                signal.astype(np.float64), rpeaks=peaks, sampling_rate=rate_hz, method="dwt"
            )[1]
    except (ValueError, IndexError, ZeroDivisionError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"neurokit2 delineates nothing ({reason})", f"beats; got {peaks.size}") from None
    waves = []
    for kind, (onsets, ends) in DELINEATED.items():
        pairs = zip(np.array(found[onsets], float), np.array(found[ends], float), strict=False)
        waves += [
            Wave(kind, float(onset / rate_hz), float(end / rate_hz))
            for onset, end in pairs
            if 0 < (end - onset) / rate_hz <= LONGEST_S[kind]
        ]
    return sorted(waves, key=lambda wave: wave.onset_s)


def delineated(signal: Signal32, rate_hz: float, peaks_s: Floats, kept: Path) -> list[Wave]:
    """``delineate``, whose result for this very signal is kept in the file ``kept`` (it takes seconds)."""
    seen = hashlib.sha256(signal.tobytes() + peaks_s.tobytes()).hexdigest()
    if kept.is_file():
        with np.load(kept) as content:
            if str(content["of"]) == seen:
                return [Wave(KINDS[int(k)], float(a), float(b)) for k, a, b in content["waves"]]
    waves = delineate(signal, rate_hz, peaks_s)
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows = np.array([(KINDS.index(w.kind), w.onset_s, w.end_s) for w in waves]).reshape(-1, 3)
    partial = kept.with_suffix(".partial.npz")
    np.savez_compressed(partial, of=np.array(seen), waves=rows)
    partial.replace(kept)
    return waves
