"""RR irregularity: the features against independent computation, the weights against real rhythms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ecgedge import irregularity
from ecgedge.errors import BundleError
from ecgedge.verdict import fuse

RNG = np.random.default_rng(5)


def beats(rr: np.ndarray) -> np.ndarray:
    return np.concatenate(([0.3], 0.3 + np.cumsum(rr)))


def probability(rr: np.ndarray) -> float | None:
    times = beats(rr)
    return irregularity.load().probability(times, np.zeros(times.size, dtype=bool))


def test_regular_is_not_af_and_random_is() -> None:
    sinus = 0.8 * (1 + 0.03 * np.sin(np.arange(36) / 2) + 0.01 * RNG.normal(size=36))
    af = 0.55 * np.exp(0.25 * RNG.normal(size=50))
    assert probability(sinus) < 0.05
    assert probability(af) > 0.95
    assert probability(np.tile([0.6, 1.0], 18)) < 0.5  # bigeminy is irregular, but in order


def test_an_odd_beat_is_stepped_over() -> None:
    """A beat every few is early, with a pause that makes up for it: what is left is regular."""
    rr = [0.5 if k % 5 == 2 else 1.1 if k % 5 == 3 else 0.8 for k in range(36)]
    odd = np.array([False] + [k % 5 == 2 for k in range(36)])
    left = irregularity.ordinary_intervals(beats(np.array(rr)), odd)
    np.testing.assert_allclose(left, 0.8)
    assert left.size == 36 - odd.sum()


def test_two_odd_beats_in_a_row_are_left_out_with_their_interval() -> None:
    odd = np.zeros(21, dtype=bool)
    odd[[8, 9]] = True
    left = irregularity.ordinary_intervals(beats(np.full(20, 0.8)), odd)
    np.testing.assert_allclose(left, np.full(17, 0.8))


def test_intervals_without_odd_beats_against_numpy() -> None:
    rr = RNG.uniform(0.1, 4.0, size=60)
    left = irregularity.ordinary_intervals(beats(rr), np.zeros(61, dtype=bool))
    np.testing.assert_allclose(left, rr[(rr > 0.2) & (rr < 3.0)])


def test_too_few_intervals_tell_nothing() -> None:
    assert probability(np.full(6, 0.8)) is None
    assert irregularity.load().probability(np.empty(0), np.empty(0, dtype=bool)) is None
    everything_odd = np.ones(41, dtype=bool)
    assert irregularity.load().probability(beats(np.full(40, 0.8)), everything_odd) is None


def test_sample_entropy_counts_against_plain_loops() -> None:
    x = RNG.normal(scale=0.1, size=30)
    far = np.abs(x[:, None] - x)
    for tolerance in (0.05, 0.12):
        for length, share in enumerate(irregularity._matches(far, tolerance), 1):
            n = x.size - length + 1
            hits = sum(
                max(abs(x[i + k] - x[j + k]) for k in range(length)) < tolerance
                for i in range(n)
                for j in range(n)
                if i != j
            )
            assert share == pytest.approx(hits / (n * (n - 1)))


def test_quantiles_against_numpy() -> None:
    for size in (7, 8, 31):
        x = RNG.normal(size=size)
        assert irregularity._ranks(x, 0.1, 0.5, 0.9) == pytest.approx(np.percentile(x, [10, 50, 90]))


def test_correlation_against_numpy() -> None:
    a, b = RNG.normal(size=20), RNG.normal(size=20)
    assert irregularity._correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert irregularity._correlation(np.ones(5), np.ones(5)) == 0.0


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    table = json.loads(irregularity.WEIGHTS.read_text())
    table["weights"]["out"] = [0.0]
    path = tmp_path / "irregularity.json"
    path.write_text(json.dumps(table))
    with pytest.raises(BundleError, match="out has shape"):
        irregularity.load(path)
    path.write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        irregularity.load(path)


def test_on_the_af_database(data_dir: Path) -> None:
    """Windows of two real ten-hour records (they were part of the fit: a check of the whole chain)."""
    afdb = pytest.importorskip("ecgedge.datasets.afdb")
    model = irregularity.load()
    right = total = 0
    for record in afdb.records(data_dir):
        if record.name not in ("04015", "08455"):
            continue
        starts = np.array([start for start, _ in record.rhythms])
        for start in np.arange(0.0, record.beats_s[-1] - 30, 300.0):
            at = int(np.searchsorted(starts, start, "right")) - 1
            label = record.rhythms[at][1] if at >= 0 else "?"
            inside = record.beats_s[(record.beats_s >= start) & (record.beats_s < start + 30)]
            told = model.probability(inside, np.zeros(inside.size, dtype=bool))
            if label in ("AFIB", "N") and told is not None:
                total += 1
                right += (told >= 0.5) == (label == "AFIB")
    assert total > 200
    assert right / total > 0.93


def test_fusion_is_the_mean_of_the_log_odds() -> None:
    scores = {"N": 0.5, "A": 0.2, "O": 0.2, "~": 0.1}
    fused = fuse(scores, 0.9)
    odds = np.log(0.2 / 0.7) / 2 + np.log(9.0) / 2
    assert fused["A"] == pytest.approx(0.9 / (1 + np.exp(-odds)))
    assert fused["~"] == 0.1
    assert sum(fused.values()) == pytest.approx(1.0)
    assert fused["N"] / fused["O"] == pytest.approx(2.5)
    assert fuse(scores, None) == scores
    assert fuse({"N": 0.0, "A": 1.0, "O": 0.0, "~": 0.0}, 0.1)["A"] == 1.0
