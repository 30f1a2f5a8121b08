"""Order statistics of few values, without what costs more than sorting them.

numpy's own spend several times as long on checks; ``statistics`` does so, too, and brings ``decimal`` along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt


def middle(values: Iterable[float]) -> float:
    """Median of some numbers, one at least."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def median(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Median along the first axis, as ``numpy.median`` gives it, of finite values, one at least."""
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    if len(ordered) % 2:
        return np.asarray(ordered[half])
    return np.asarray((ordered[half - 1] + ordered[half]) / 2)


def upper_median(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The value, along the first axis, above half of the others: of two middle ones the higher."""
    return np.asarray(np.sort(values, axis=0)[len(values) // 2])
