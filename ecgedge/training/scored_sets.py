"""The data sets that rhythm models are scored on: their splits, what is decided, and what would be right.

* ``cinc2017``: every record is one of four classes, by the mean probability of its windows.
* ``mitdb``: every window is atrial fibrillation or not, by the rhythm that fills half of it in the reference;
  windows half in atrial flutter are left out. First lead, records of DS1 and DS2 (de Chazal et al. 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ecgedge.datasets import cinc2017, mitdb
from ecgedge.errors import UsageError
from ecgedge.scoring.episodes import FIBRILLATION, FLUTTER, episodes, is_fibrillation
from ecgedge.training.data import inner_split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats, Window
    from ecgedge.training.recipe import DataOptions


@dataclass(frozen=True)
class Case:
    """One thing to decide: a record, or a window of it."""

    name: str
    reference: Mapping[str, str]
    """What it is, by label revision; the first revision is the headline."""
    windows: slice
    """Those of the record's windows that decide it."""


class ScoredSet(Protocol):
    """One data set."""

    cases: str
    """What is decided: ``records`` or ``windows``."""
    classes: tuple[str, ...]
    splits: Mapping[str, str]
    """What is to be said of each split; the first one is the default."""

    def names(self, root: Path, split: str, fitted: DataOptions | None) -> list[str]:
        """Names of the records of a split; ``fitted`` tells what a model left out of fitting."""
        ...

    def records(self, root: Path, names: list[str]) -> Iterator[Record]:
        """The named records, in order."""
        ...

    def split_up(self, record: Record, windows: Sequence[Window]) -> list[Case]:
        """What is to be decided of a record."""
        ...

    def by_class(self, probabilities: Floats) -> Floats:
        """The model's probabilities, shape (windows, 4), as those of the set's classes, in its order."""
        ...


class Cinc2017:
    """Records of the PhysioNet/CinC Challenge 2017."""

    cases: str = "records"
    classes: tuple[str, ...] = cinc2017.CLASSES
    revisions = ("v2", "v3")
    """The published figures use the first one."""
    splits: Mapping[str, str] = {
        "inner": "Inner records: a share of the training list that fitting left out. A bundle's temperature "
        "and thresholds were chosen on them.",
        "validation": "Validation records of the published split: they are for the final table, and every "
        "look at them counts. To choose between models, use --split inner.",
    }

    def names(self, root: Path, split: str, fitted: DataOptions | None) -> list[str]:
        """See ``ScoredSet``.

        Raises
        ------
        UsageError
            For the inner split where nothing tells what was left out of fitting.
        """
        training, validation = cinc2017.published_split(root)
        if split == "validation":
            return validation
        if fitted is None:
            raise UsageError(
                "--split inner of a bundle without a recipe of its name",
                "--split validation",
                "Or evaluate its checkpoint, which holds the recipe.",
            )
        known = cinc2017.labels_by_record(root, self.revisions[0])
        labels = [known[name] for name in training]
        return inner_split(training, labels, fitted.inner_share, fitted.inner_fold)[1]

    def records(self, root: Path, names: list[str]) -> Iterator[Record]:
        """See ``ScoredSet``."""
        return cinc2017.records(root, names, self.revisions[0])

    def split_up(self, record: Record, windows: Sequence[Window]) -> list[Case]:
        """See ``ScoredSet``."""
        said = {r: record.labels[r][0] for r in self.revisions if record.labels.get(r)}
        return [Case(record.name, said, slice(None))]

    def by_class(self, probabilities: Floats) -> Floats:
        """See ``ScoredSet``."""
        return probabilities


class Mitdb:
    """AF in windows of the MIT-BIH Arrhythmia Database."""

    cases: str = "windows"
    classes: tuple[str, ...] = ("AF", "-")
    splits: Mapping[str, str] = dict.fromkeys(
        ("ds1", "ds2"),
        "Windows are told AF above a probability of 0.5, by the network alone: without the RR intervals, "
        "quality and episodes of the product. Those half in flutter are left out. Nothing that reports AF "
        "may be fitted or chosen on these records, and every look at them counts.",
    )

    def names(self, root: Path, split: str, fitted: DataOptions | None) -> list[str]:
        """See ``ScoredSet``."""
        first, second = mitdb.inter_patient_split(root)
        return first if split == "ds1" else second

    def records(self, root: Path, names: list[str]) -> Iterator[Record]:
        """See ``ScoredSet``."""
        return mitdb.records(root, names)

    def split_up(self, record: Record, windows: Sequence[Window]) -> list[Case]:
        """See ``ScoredSet``."""
        marks = record.annotations["atr"]
        spans = [episodes(marks, rhythm, len(record.signal)) for rhythm in (FIBRILLATION, FLUTTER)]
        out = []
        for k, window in enumerate(windows):
            begin, end = (round(t * record.rate_hz) for t in (window.time_s, window.time_s + window.seconds))
            if (af := is_fibrillation((begin, end), *spans)) is not None:
                name = f"{record.name} {window.time_s:g} s"
                out.append(Case(name, {"atr": self.classes[not af]}, slice(k, k + 1)))
        return out

    def by_class(self, probabilities: Floats) -> Floats:
        """See ``ScoredSet``."""
        af = probabilities[:, cinc2017.CLASSES.index("A")]
        return np.stack((af, 1 - af), axis=1)


SETS: Mapping[str, ScoredSet] = {"cinc2017": Cinc2017(), "mitdb": Mitdb()}
"""The first one is the default."""


def find(name: str, split: str | None) -> tuple[ScoredSet, str]:
    """The set and its split (None: its default).

    Raises
    ------
    UsageError
        For a set or split that is not here.
    """
    if name not in SETS:
        raise UsageError(f"--data {name}", f"one of {', '.join(SETS)}")
    found = SETS[name]
    if split is not None and split not in found.splits:
        raise UsageError(f"--split {split}", f"one of {', '.join(found.splits)}")
    return found, split or next(iter(found.splits))
