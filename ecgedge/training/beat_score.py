"""Fit the weights of the R-peak detector's score: ``python -m ecgedge.training.beat_score [--root DIR]``.

Every tenth record of the CinC 2017 training list, the noisy class left out, from its first to its last beat,
again and again for about two minutes: clean the first time, then with electrode motion (the second half of
record em of the Noise Stress Test Database). A record takes part if the detector and XQRS of the wfdb package
agree on every beat of it: these beats are the truth.

The detector runs with the weights at hand, its candidates are labelled and the weights fitted to them by
logistic regression; that is done again with the new weights until they decide which candidates there are.
Every other record is kept for testing; its figures for a few cuts come last. The shipped cut is the lowest of
them that leaves +P at 0 dB above 80 % there.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import resample_poly
from wfdb.processing import xqrs_detect

from ecgedge.datasets import cinc2017, nstdb
from ecgedge.datasets.archive import data_root
from ecgedge.recordings.annotations import Annotation
from ecgedge.rpeaks import BAND, RATE_HZ, RPeakDetector
from ecgedge.scoring.beats import BeatCounts, compare_beats
from ecgedge.training.data import condition

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.humps import Hump
    from ecgedge.messages import Bools, Floats, Signal32

EVERY, SECONDS, LEAST_S, LEAST_BEATS = 10, 90.0, 20.0, 15
SNR_DB = (6.0, 3.0, 0.0)
CUTS = (-0.5, -1.0, -1.5, -2.0)
ROUNDS, RIDGE, STEPS = 3, 1.0, 30
SETTLED_S, AGREED_S, NEAR_S = 2.0, 0.08, 0.1
START = (0.0, 2.4, 3.7, 1.0, -0.6, -4.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0, -3.0)
"""Weights of the first round: any that find most beats will do."""


@dataclass(frozen=True)
class Take:
    """A noisy record as the detector gets it."""

    signal: Signal32
    """Conditioned, at ``RATE_HZ``."""
    beats_s: Floats
    noisy_from_s: float
    snr_db: float


class Watched(RPeakDetector):
    """A detector that keeps what its score weighed."""

    def __init__(self) -> None:
        super().__init__(0, 0.0, RATE_HZ)
        self.places: list[int] = []
        self.rows: list[tuple[float, ...]] = []

    def _terms(self, c: Hump, since: int, ahead: float) -> tuple[float, ...]:
        terms = super()._terms(c, since, ahead)
        if since == self._since(c.at):  # not within the refractory time: there the question is another
            self.places.append(c.at)
            self.rows.append(terms)
        return terms


def _agreed(signal: Floats, rate_hz: float) -> list[int]:
    """Beats of a clean record, as samples; none where the two detectors do not agree on every one."""
    detector = RPeakDetector(0, 0.0, rate_hz)
    beats = detector.push(condition(signal, rate_hz, BAND)) + detector.finish()
    first, last = SETTLED_S * rate_hz, signal.size - rate_hz
    own = [beat.sample for beat in beats if first < beat.sample < last]
    other = [int(k) for k in xqrs_detect(signal, rate_hz, verbose=False) if first < k < last]
    if len(own) != len(other) or len(own) < LEAST_BEATS:
        return []
    return own if np.abs(np.subtract(own, other)).max() <= AGREED_S * rate_hz else []


def takes(root: Path) -> list[list[Take]]:
    """For each record that takes part, its noisy versions."""
    names = sorted(cinc2017.published_split(root)[0])[::EVERY]
    motion = next(record for record in nstdb.records(root) if record.name == "em")
    noise = resample_poly(motion.signal[len(motion.signal) // 2 :], 5, 6, axis=0)  # to CinC's 300 Hz
    rng, out = np.random.default_rng(0), []
    for record in cinc2017.records(root, names):
        signal, rate_hz = record.lead(), record.rate_hz
        if cinc2017.CLASSES[cinc2017.class_of(record)] == "~" or signal.size < LEAST_S * rate_hz:
            continue
        beats = _agreed(signal, rate_hz)
        if not beats:
            continue
        first, last = (beats[k] - round(0.25 * rate_hz) for k in (0, -1))
        piece = signal[first:last] - np.linspace(0.0, signal[last] - signal[first], last - first)
        times = 1 + max(2, int(np.ceil(SECONDS * rate_hz / piece.size)))
        whole = np.tile(piece, times)
        marks = np.concatenate([np.array(beats[:-1]) - first + k * piece.size for k in range(times)])
        begin = int(rng.integers(len(noise) - whole.size))
        added = noise[begin : begin + whole.size, int(rng.integers(noise.shape[1]))]
        on = np.where(np.arange(whole.size) >= piece.size, added, 0.0)
        versions = []
        for snr_db in SNR_DB:
            mixed = whole + on * nstdb.gain(whole, added, marks.tolist(), rate_hz, snr_db)
            begin_s = piece.size / rate_hz
            versions.append(Take(condition(mixed, rate_hz, BAND), marks / rate_hz, begin_s, snr_db))
        out.append(versions)
    return out


def candidates(some: list[Take]) -> tuple[Floats, Bools]:
    """What the score weighed in noise, shape (n, terms), and which candidates are beats, shape (n,)."""
    rows, labels = [], []
    for take in some:
        detector = Watched()
        detector.push(take.signal)
        detector.finish()
        at_s = np.array(detector.places) / RATE_HZ
        for at, row in zip(at_s, detector.rows, strict=True):
            if at > take.noisy_from_s:
                rows.append(row)
                labels.append(bool(np.abs(take.beats_s - at).min() < NEAR_S))
    return np.array(rows), np.array(labels)


def logistic(x: Floats, y: Bools) -> tuple[float, ...]:
    """Weights of a logistic regression (Newton's method, a little ridge), to two decimals."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    mean[0], deviation[0] = 0.0, 1.0
    z = (x - mean) / deviation
    ridge = np.diag([0.0] + [RIDGE] * (x.shape[1] - 1))
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-z @ weights))
        slope = z.T @ (p - y) + ridge @ weights
        weights -= np.linalg.solve((z.T * (p * (1 - p))) @ z + ridge, slope)
    plain = weights / deviation
    plain[0] -= (plain * mean)[1:].sum()
    return tuple(round(float(w), 2) for w in plain)


def score(some: list[Take]) -> dict[float, BeatCounts]:
    """Beats in noise, by signal-to-noise ratio."""
    out: dict[float, BeatCounts] = {}
    for take in some:
        detector = RPeakDetector(0, 0.0, RATE_HZ)
        found = [Annotation(b.sample, "N") for b in detector.push(take.signal) + detector.finish()]
        truth = [Annotation(round(at * RATE_HZ), "N") for at in take.beats_s]
        counts = compare_beats(truth, found, rate_hz=RATE_HZ, skip_s=take.noisy_from_s, end=take.signal.size)
        out[take.snr_db] = out.get(take.snr_db, BeatCounts()) + counts
    return out


def main() -> None:
    """Fit, say the weights and how they do."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder of the data sets (default: ECGEDGE_DATA)")
    records = takes(data_root(parser.parse_args().root))
    fitted, kept = ([take for record in records[k::2] for take in record] for k in (0, 1))
    Watched.weights = START
    for _ in range(ROUNDS):
        Watched.weights = logistic(*candidates(fitted))
    print(f"{len(records)} records, every other one for the fit: {Watched.weights}")
    RPeakDetector.weights = Watched.weights
    for cut in CUTS:
        RPeakDetector.cut = cut
        for snr_db, counts in score(kept).items():
            ratios = counts.figures()
            said = f"sensitivity {ratios['qrs_se'].value:.4f}, +P {ratios['qrs_ppv'].value:.4f}"
            print(f"cut {cut:g}, {snr_db:g} dB: {said}")


if __name__ == "__main__":
    main()
