"""Models that a test makes up: rules in place of nets, behind the manifest of a real bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.beat_figures import INTERVALS
from ecgedge.bundle import Bundle
from ecgedge.classifier import Classifier

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

_TENSOR = {"dtype": "int8", "scale": 0.05, "zero_point": 0}
BEATS: dict[str, Any] = {
    "name": "rules",
    "task": "beats",
    "classes": ["N", "S", "V", "F"],
    "inputs": [
        {"name": kind, "kind": f"beat-{kind}", "shape": [1, 16, columns, 1], "clip": 8.0, **_TENSOR}
        for kind, columns in (("segments", 80), ("deviations", 80), ("intervals", len(INTERVALS)))
    ],
    "outputs": [{"name": "logits", "kind": "logits", "shape": [1, 8, 4], **_TENSOR}],
    "window": {
        "rate_hz": 100.0,
        "beats": 16,
        "emit": [6, 14],
        "before_s": 0.4,
        "after_s": 0.4,
        "template_beats": 32,
        "rhythm_beats": 64,
    },
    "preprocessing": {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0},
    "temperature": 1.0,
    "thresholds": {"apc": 0.5, "pvc": 0.5},
}
APC: dict[str, Any] = {
    "name": "looker",
    "task": "apc",
    "classes": ["none", "APC"],
    "inputs": [
        {
            "name": "signal",
            "kind": "signal",
            "shape": [1, 1, 1500, 1],
            **_TENSOR,
            "clip": 5.0,
            "padding": "zeros-right",
        }
    ],
    "outputs": [
        {"name": "logits", "kind": "logits", "shape": [1, 2], **_TENSOR},
        {"name": "attention", "kind": "attention", "shape": [1, 1500], **_TENSOR},
    ],
    "window": {"rate_hz": 150.0, "length_s": 10.0, "hop_s": 5.0, "minimum_s": 10.0},
    "preprocessing": {"version": 1, "rate_hz": 150.0, "highpass_hz": 0.5, "lowpass_hz": 40.0},
    "temperature": 1.0,
    "thresholds": {"apc": 0.5},
}


class BeatRules(Classifier):
    """Early beats are S, beats unlike the running template are V, the others N."""

    def __init__(self, early: float = 0.85, odd: float = 0.8) -> None:
        self.bundle = Bundle(BEATS["name"], BEATS, b"", b"")
        self._early, self._odd = np.log(early), odd

    def logits(self, tensors: dict[str, Signal32]) -> Floats:
        """Logits of the reported places."""
        before = tensors["intervals"].reshape(16, -1)[6:14, 0]
        off = np.sqrt((tensors["deviations"].reshape(16, 80)[6:14] ** 2).mean(axis=1))
        out = np.zeros((8, 4))
        out[:, 1] = np.where(before < self._early, 4.0, -4.0)
        out[:, 2] = np.where(off > self._odd, 8.0, -8.0)
        return out.reshape(-1)


class Looker(Classifier):
    """Calls a window APC or not, as it was told to; looks at where the signal is large."""

    def __init__(self, says: bool) -> None:
        self.bundle = Bundle(APC["name"], APC, b"", b"")
        self._says = says
        self.asked = 0

    def outputs(self, tensors: dict[str, Signal32]) -> dict[str, Floats]:
        """Both outputs."""
        self.asked += 1
        signal = tensors["signal"].reshape(1, 1500).astype(np.float64)
        logits = np.array([[0.0, 2.0 if self._says else -2.0]])
        return {"logits": logits, "attention": np.abs(signal) / 5.0}
