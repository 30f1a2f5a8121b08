"""Which layout a recording goes by when the numbers that come are damaged, or change their range."""

from __future__ import annotations

import numpy as np
import pytest

from ecgedge.recordings.fit import FEW_S, LOOK_S, open_fit
from ecgedge.recordings.layout import Layout

RATE = 250.0
FEW, LOOK = round(FEW_S * RATE), round(LOOK_S * RATE)
RNG = np.random.default_rng(7)
COUNTS = RNG.integers(15_000, 25_000, (5 * LOOK, 1)).astype(float)


def followed(counts: np.ndarray, block: int) -> tuple[list[tuple[int, Layout]], np.ndarray]:
    """Where each layout begins, and what is read of all that was stored."""
    fit = open_fit(counts[:25], RATE)
    layouts: list[tuple[int, Layout]] = []
    read = np.empty_like(counts)
    at = 0
    while at < len(counts):
        layout = fit.layout
        n = fit.take(counts[at : at + block - at % block])
        if n and (not layouts or layouts[-1][1] != layout):
            layouts.append((at, layout))
        stored = layout.quantise(counts[at : at + n])
        read[at : at + n] = np.where(stored == -layout.reach - 1, np.nan, stored / layout.per_count)
        at += n
    return layouts, read


@pytest.mark.parametrize("block", [1, 25, 997, 10**6])
def test_a_few_numbers_of_twice_the_digits_are_left_out(block: int) -> None:
    counts = COUNTS.copy()
    merged = np.sort(RNG.choice(np.arange(LOOK, 2 * LOOK), FEW, replace=False))
    counts[merged] = counts[merged] * 100_001
    layouts, read = followed(counts, block)
    assert [(at, layout.fmt, layout.steps) for at, layout in layouts] == [(0, "16", ())]
    expected = counts.copy()
    expected[merged] = np.nan
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("block", [1, 25, 997, 10**6])
def test_another_range_is_kept_in_coarser_steps_until_it_is_over(block: int) -> None:
    counts = COUNTS.copy()
    counts[LOOK : 3 * LOOK] *= 1e5
    layouts, read = followed(counts, block)
    assert [at for at, _ in layouts] == [0, LOOK + FEW, 4 * LOOK]
    np.testing.assert_array_equal(read[:LOOK], counts[:LOOK])
    assert np.all(np.isnan(read[LOOK : LOOK + FEW]))
    wide = slice(LOOK + FEW, 3 * LOOK)
    np.testing.assert_allclose(read[wide], counts[wide], rtol=1e-3)
    assert np.unique(read[wide]).size > 0.9 * np.unique(counts[wide]).size
    np.testing.assert_array_equal(read[4 * LOOK :], counts[4 * LOOK :])


def test_the_peaks_of_a_rising_signal_of_decimals_come_back() -> None:
    """It was quiet when the steps were chosen; then R peaks reach beyond what these hold."""
    counts = RNG.normal(0.0, 1.0, (5 * LOOK, 1)).round(3)
    peaks = np.arange(LOOK, len(counts), 200)
    for k in range(8):
        counts[peaks + k] = 20_000.5
    layouts, read = followed(counts, 25)
    assert [layout.steps for _, layout in layouts] == [(1000.0,), (100.0,)]
    assert np.count_nonzero(np.isnan(read)) == FEW
    kept = ~np.isnan(read)
    np.testing.assert_allclose(read[kept], counts[kept], atol=0.005001)


def test_a_lead_beyond_24_bits_leaves_the_others_as_they_are() -> None:
    micros = np.arange(len(COUNTS)) * 4000.0
    layouts, read = followed(np.column_stack([micros, COUNTS[:, 0]]), 25)
    assert len(layouts) >= 2
    np.testing.assert_array_equal(read[:, 1], COUNTS[:, 0])
    missing = np.isnan(read[:, 0])
    assert np.count_nonzero(missing) <= FEW * (len(layouts) - 1)
    np.testing.assert_allclose(read[~missing, 0], micros[~missing], atol=50)


def test_a_new_record_is_as_narrow_as_the_latest_samples() -> None:
    counts = COUNTS.copy()
    counts[100] = 512_512
    fit = open_fit(counts[:25], RATE)
    assert fit.take(counts) == 100
    assert fit.layout.fmt == "24"
    assert fit.take(counts[100 : LOOK + 50]) == LOOK - 50
    fit.narrow()
    assert fit.layout.fmt == "24"  # seen within the look before this
    fit.take(counts[LOOK + 50 : 4 * LOOK])
    fit.narrow()
    assert fit.layout.fmt == "16"


def test_one_large_number_does_not_cost_decimals_their_steps_for_long() -> None:
    counts = RNG.normal(0.0, 1.0, (5 * LOOK, 1)).round(3)
    counts[5] = 700_000
    layouts, read = followed(counts, 25)
    assert [(at, layout.steps) for at, layout in layouts] == [(0, (10.0,)), (2 * LOOK, (1000.0,))]
    np.testing.assert_allclose(read[2 * LOOK :], counts[2 * LOOK :], atol=1e-9)


@pytest.mark.parametrize("block", [1, 25, 997])
def test_decimals_of_large_numbers_do_not_change_the_layout_for_ever(block: int) -> None:
    counts = RNG.normal(0.0, 1e6, (5 * LOOK, 1)).round(2)
    layouts, read = followed(counts, block)
    assert len(layouts) == 1
    np.testing.assert_allclose(read, counts, atol=0.5001)
