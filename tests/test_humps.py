"""Humps of the envelope against scipy's sums and maxima, whatever the pieces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve1d, maximum_filter1d

from ecgedge.humps import LOOK, RULE, SUM, Hump, Humps


def search(signal: np.ndarray, chunk: int, reach: int = 34) -> tuple[list[Hump], list[float]]:
    """All humps, and how high the envelope gets beyond each as soon as that is known."""
    humps, waiting, found, ahead = Humps(), [], [], []
    for i in range(0, signal.size, chunk):
        waiting += humps.push(signal[i : i + chunk], waiting[0].at if waiting else None)
        while waiting and humps.searched > waiting[0].at + reach - RULE:
            found.append(waiting.pop(0))
            ahead.append(humps.ahead(found[-1], reach))
    return found, ahead


def signal() -> np.ndarray:
    return np.random.default_rng(4).normal(size=3000).cumsum() % 7.0


def test_against_scipy() -> None:
    x = signal()
    slope = np.abs(np.concatenate((x[2:], [0, 0])) - np.concatenate(([0, 0], x[:-2])))
    slope[-2:] = 0.0
    envelope = convolve1d(slope + np.abs(x), np.ones(2 * SUM + 1), mode="constant")
    highest = maximum_filter1d(envelope, 2 * RULE + 1)
    inner = slice(LOOK, x.size - 100)
    expected = np.flatnonzero((envelope == highest)[inner]) + LOOK
    found, ahead = search(x, 500)
    kept = [k for k, hump in enumerate(found) if LOOK <= hump.at < x.size - 100]
    assert len(kept) > 30
    assert [found[k].at for k in kept] == expected.tolist()
    for k in kept:
        hump = found[k]
        assert hump.height == pytest.approx(envelope[hump.at])
        assert ahead[k] == pytest.approx(envelope[hump.at + RULE + 1 : hump.at + 35].max())
        near = x[hump.at - SUM : hump.at + SUM + 1]
        assert [value for _, value in hump.extremes] == [near.max(), near.min()]
        assert [x[at] for at, _ in hump.extremes] == [near.max(), near.min()]
        np.testing.assert_array_equal(hump.around, x[hump.at - LOOK : hump.at + LOOK + 1])


@pytest.mark.parametrize("chunk", [1, 13, 29, 1000])
def test_pieces_do_not_matter(chunk: int) -> None:
    plain, plain_ahead = search(signal(), 3000)
    found, ahead = search(signal(), chunk)
    assert [(h.at, h.height, h.slope, h.extremes) for h in found] == [
        (h.at, h.height, h.slope, h.extremes) for h in plain
    ]
    assert ahead == plain_ahead
