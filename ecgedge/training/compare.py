"""``ecgedge compare``: several models on the very same records, each against the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.datasets.archive import data_root
from ecgedge.errors import DataError, UsageError
from ecgedge.training import metrics, scored_sets
from ecgedge.training.evaluate import Evaluation, evaluate, read
from ecgedge.training.model import open_model

if TYPE_CHECKING:
    from collections.abc import Sequence


def evaluations(
    words: Sequence[str],
    root: Path | None,
    data: str | None = None,
    split: str | None = None,
    int8: bool = False,
) -> list[Evaluation]:
    """Evaluate each model, or read what an earlier evaluation wrote: that is no new look at the records.

    Parameters
    ----------
    words : checkpoints, bundles, or files of ``ecgedge evaluate``
    root : folder of the data sets; default: ECGEDGE_DATA; not looked at where all words are such files
    data, split : default: those of the first such file; without one, see ``scored_sets``

    Raises
    ------
    UsageError
        For fewer than two, or a file of another set or split than asked for.
    DataError
        For anything that cannot be read, or evaluations of different records.
    """
    if len(words) < 2:
        raise UsageError(f"{len(words)} model to compare", "two or more")
    files = {word: read(Path(word)) for word in words if _is_evaluation(Path(word))}
    for word, kept in files.items():
        data, split = data or kept.set, split or kept.split
        if (kept.set, kept.split) != (data, split):
            raise UsageError(f"{Path(word).name} is of {kept.set} {kept.split}", f"{data} {split}")
    name = data or next(iter(scored_sets.SETS))
    scored_sets.find(name, split)
    told = [
        files.get(word) or evaluate(open_model(word, int8), data_root(root), name, split) for word in words
    ]
    first = told[0]
    for other in told[1:]:
        if (other.names, other.reference) != (first.names, first.reference):
            raise DataError(
                f"{other.title} and {first.title} differ in their records or labels", "the same for all"
            )
    return told


def _is_evaluation(path: Path) -> bool:
    """Whether this is a file that ``ecgedge evaluate`` wrote; manifests of bundles are JSON too."""
    if path.suffix != ".json":
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and "evaluation" in content


def differences(told: Sequence[Evaluation]) -> list[dict[str, Any]]:
    """What each model after the first gains over it; see ``metrics.difference``."""
    first = told[0]
    facts = first.classes, 2000, first.together()
    return [
        metrics.difference(first.labels(), first.decisions(), other.decisions(), *facts) for other in told[1:]
    ]
