"""What every comparison gives: parts of wholes, which pool over records without losing their counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure of merit with the counts (or seconds) that it was made of."""

    part: float = 0
    whole: float = 0

    @property
    def value(self) -> float | None:
        """``part / whole`` (0-1); None where there was nothing to find."""
        return self.part / self.whole if self.whole > 0 else None

    def __add__(self, other: Ratio) -> Ratio:
        return Ratio(self.part + other.part, self.whole + other.whole)


Figures = Mapping[str, Ratio]


def gross(records: Iterable[Figures]) -> dict[str, Ratio]:
    """Pool over records: every event (or second) counts the same, the "gross" statistic of EC57."""
    out: dict[str, Ratio] = {}
    for figures in records:
        for name, ratio in figures.items():
            out[name] = out.get(name, Ratio()) + ratio
    return out


def average(records: Iterable[Figures]) -> dict[str, float | None]:
    """Mean over records: every record counts the same, the "average" statistic of EC57.

    Records in which a figure is undefined (nothing to find) have no say in it, as in EC57's reports.
    """
    values: dict[str, list[float]] = {}
    for figures in records:
        for name, ratio in figures.items():
            known = values.setdefault(name, [])
            if ratio.value is not None:
                known.append(ratio.value)
    return {name: sum(known) / len(known) if known else None for name, known in values.items()}
