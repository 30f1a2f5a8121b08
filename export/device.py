"""What the device makes of labelled records: its frontend, its interpreter, its fusion with the RR model.

Thresholds are set on these scores, so that they fit what the stream computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import Board, SampleBlock, Segment
from ecgedge.verdict import fuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ecgedge.bundle import Bundle
    from ecgedge.datasets.record import Record

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def _windows(consumer: Consumer, record: Record) -> Iterator[Prepared]:
    frontend = Frontend((consumer,))
    board = Board(record.name, record.rate_hz, 1000.0 / cinc2017.COUNTS_PER_MV, 16)
    out = frontend.push(Segment(0, 0.0, record.rate_hz, "declared", board))
    counts = np.rint(record.signal * cinc2017.COUNTS_PER_MV)
    out += frontend.push(SampleBlock(0, counts, 0.0))
    out += frontend.finish()
    return (item for item in out if isinstance(item, Prepared) and not item.window.provisional)


def scores(bundle: Bundle, root: Path, names: list[str]) -> tuple[Floats, Labels]:
    """Fused scores (windows, classes) and labels of all windows of the named CinC 2017 records."""
    manifest = bundle.manifest
    consumer = Consumer(bundle.name, manifest["preprocessing"], bundle.window, manifest["inputs"])
    classifier = Classifier(bundle)
    rows, labels = [], []
    for record in cinc2017.records(root, names):
        for item in _windows(consumer, record):
            plain = classifier.probabilities(classifier.logits(item.tensors))
            rows.append(list(fuse(plain, item.irregularity).values()))
            labels.append(cinc2017.class_of(record))
    return np.array(rows), np.array(labels)
