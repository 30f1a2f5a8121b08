"""The one form in which every data set hands out its recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.errors import DataError
from ecgedge.leads import find_lead

if TYPE_CHECKING:
    from ecgedge.messages import Floats
    from ecgedge.recordings.annotations import Annotation


@dataclass(frozen=True)
class Subject:
    """Whose recording it is, as far as the set tells."""

    id: str | None = None
    """The same for all recordings of one person; None where the set does not tell persons apart."""
    age: int | None = None
    """Years."""
    sex: str | None = None
    """``F`` or ``M``."""


@dataclass(frozen=True, eq=False)
class Record:
    """One recording with what is known of it."""

    name: str
    signal: Floats
    """Millivolt, shape (n, leads), float64; NaN where a sample is missing. No leads: annotations only."""
    rate_hz: float
    leads: tuple[str, ...]
    subject: Subject = Subject()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What is said of the whole recording, by kind or revision, such as ``{"v2": ("A",)}``."""
    annotations: Mapping[str, tuple[Annotation, ...]] = field(default_factory=dict)
    """Marks at samples, by annotator, such as ``atr``."""

    def lead(self, which: str | int = 0) -> Floats:
        """One lead by name or number, shape (n,), mV.

        Raises
        ------
        UsageError
            If there is none.
        """
        return self.signal[:, find_lead(self.leads, which, self.name)]

    def beats(self, annotator: str = "atr") -> tuple[Annotation, ...]:
        """The marks of QRS complexes."""
        return tuple(mark for mark in self._marks(annotator) if mark.is_beat)

    def rhythms(self, annotator: str = "atr") -> tuple[tuple[int, str], ...]:
        """Changes of rhythm: the sample from which on it holds, and its name, such as ``AFIB`` or ``N``."""
        return tuple((m.sample, m.note[1:]) for m in self._marks(annotator) if m.note.startswith("("))

    def _marks(self, annotator: str) -> tuple[Annotation, ...]:
        try:
            return self.annotations[annotator]
        except KeyError:
            known = " ".join(self.annotations) or "no annotations"
            raise DataError(f"{self.name}: no annotator {annotator!r}", known) from None


def no_signal() -> Floats:
    """The signal of a record of which there are annotations only."""
    return np.empty((0, 0))
