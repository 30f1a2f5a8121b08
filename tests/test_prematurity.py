"""Early beats that mean something: rhythms by hand, annotated APCs, onsets of atrial fibrillation."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ecgedge.datasets import afdb, mitdb
from ecgedge.ectopy import Ectopy
from ecgedge.messages import Beat, BeatClass, Ectopic, Likeness, Quality, Scores, Verdict
from ecgedge.prematurity import EarlyRows, UsualInterval, unrest

if TYPE_CHECKING:
    from collections.abc import Sequence

RATE = 250.0


def story(rr_s: Sequence[float], labels: str, p: float = 0.3) -> list[BeatClass]:
    """Beats with the given intervals before them (the first has none); the QRS of a V is odd."""
    out, at = [], 1.0
    for k, (step, label) in enumerate(zip(rr_s, labels, strict=True)):
        at += step if k else 0.0
        beat = Beat(round(at * RATE), at, step if k else None, 1.0, True)
        scores = dict.fromkeys("NSVF", 0.02) | {label: 0.94}
        likeness = Likeness(p if label == "S" else 0.9, 0.5 if label == "V" else 0.99)
        out.append(BeatClass("b", beat, scores, label, likeness))
    return out


def apcs(beats: list[BeatClass]) -> list[int]:
    """Which beats are told, where every window can be read and none is called AF."""
    stage = Ectopy("b", {"S": 0.5, "V": 0.5})
    out: list[object] = []
    for message in beats:
        out += stage.push(message)
    for begin in np.arange(0.0, beats[-1].beat.time_s, 10.0):
        scores = Scores("m", 0, 0, float(begin), 30.0, {}, "N", provisional=False)
        out += stage.push(Verdict(scores, "sinus", (), Quality(1.0), 1.0, 0.05))
    out += stage.interrupt()
    numbers = {m.beat.sample: k for k, m in enumerate(beats)}
    return [numbers[e.beat.sample] for e in out if isinstance(e, Ectopic)]


def test_a_rate_that_goes_up_by_and_by_has_no_early_beats() -> None:
    rr = [0.9] * 15 + [0.9 * 0.97**k for k in range(20)] + [0.5] * 10
    assert apcs(story(rr, "N" * 15 + "S" * 30)) == []


def test_a_run_that_begins_at_once_is_told_whole() -> None:
    rr = [0.9] * 15 + [0.55] * 30 + [0.9] * 15
    assert apcs(story(rr, "N" * 15 + "S" * 30 + "N" * 15)) == list(range(15, 45))
    # Its first beat, which the model missed, began it all the same.
    assert apcs(story(rr, "N" * 16 + "S" * 29 + "N" * 15)) == list(range(16, 45))


def test_half_the_interval_with_the_usual_p_wave_is_the_end_of_a_block() -> None:
    rr = [1.6] * 15 + [0.8] * 30 + [1.6] * 15
    labels = "N" * 15 + "S" * 30 + "N" * 15
    assert apcs(story(rr, labels, p=0.95)) == []
    assert apcs(story(rr, labels, p=0.2)) == list(range(15, 45))  # another P wave: a run
    # At three fifths it is no block, whatever the P wave.
    rr = [1.6] * 15 + [0.96] * 30 + [1.6] * 15
    assert apcs(story(rr, labels, p=0.95)) == list(range(15, 45))


def test_beats_that_repeat_are_at_rest() -> None:
    assert unrest(story([0.8] * 12, "N" * 12)) == 0.0
    assert unrest(story([0.8, 0.5, 1.0] * 5, "NSN" * 5)) == pytest.approx(0.0)  # trigeminy
    assert unrest(story([0.8] * 6 + [0.45] * 6, "N" * 6 + "S" * 6)) == pytest.approx(0.0)  # a run
    assert unrest(story([0.8, 0.3, 1.6] * 5, "VVV" * 5)) == 0.0  # these tell nothing
    swing = [0.8 * (1 + 0.05 * (-1) ** k) for k in range(12)]
    assert unrest(story(swing, "N" * 12)) == pytest.approx(np.log(1.05 / 0.95))
    assert unrest(story([0.8, 0.6, 1.0], "NNN")) == 0.0  # too few to say
    assert unrest(story([0.8] * 6 + [0.0] + [0.8] * 6, "N" * 13)) == 0.0  # two at one place


def test_what_follows_counts_as_what_came_before() -> None:
    rng = np.random.default_rng(3)
    wild = list(0.7 * np.exp(rng.normal(0, 0.25, 14)))
    quiet = [0.8] * 14
    early = [0.5]
    labels = "N" * 14 + "S" + "N" * 14
    assert apcs(story(quiet + early + quiet, labels)) == [14]
    assert apcs(story(quiet + early + wild, labels)) == []
    assert apcs(story(wild + early + quiet, labels)) == []


def test_an_interval_after_a_gap_begins_a_row() -> None:
    rows = EarlyRows()
    first = Beat(0, 0.0, None, 1.0, True)
    assert not rows.push(first, None)
    assert rows.push(Beat(1, 0.5, 0.5, 1.0, True), 0.6)
    rows.pass_over(Beat(2, 1.0, 0.5, 1.0, True))
    assert not rows.push(Beat(3, 1.5, 0.5, 1.0, True), 0.6)  # as the one before it


# -- what others annotated ------------------------------------------------------------------------------


def early_ones(times_s: np.ndarray, usual_s: float) -> str:
    """What any model could know: S for each beat that is early against the usual interval, and at once."""
    rr = np.diff(times_s)
    early = (rr[1:] < 0.9 * usual_s) & (rr[1:] < 0.9 * rr[:-1])
    return "NN" + "".join("S" if x else "N" for x in early)


def test_most_early_beats_of_the_first_seconds_of_fibrillation_are_not_told(data_dir: Path) -> None:
    """All onsets of the AF Database between a minute of sinus rhythm and a minute of AF."""
    told = early = onsets = 0
    for record in afdb.records(data_dir):
        marks = [*record.rhythms, (float(record.beats_s[-1]), "")]
        for (before_s, was), ((onset_s, now), (end_s, _)) in zip(marks, pairwise(marks[1:]), strict=False):
            if (was, now) != ("N", "AFIB") or onset_s - before_s < 60 or end_s - onset_s < 60:
                continue
            times = record.beats_s[(record.beats_s > onset_s - 40) & (record.beats_s < onset_s + 60)]
            usual_s = float(np.median(np.diff(times[times < onset_s])))
            labels = early_ones(times, usual_s)
            since = times - onset_s
            counted = set(np.flatnonzero((since > 0) & (since < 30)))
            onsets += 1
            early += sum(labels[k] == "S" for k in counted)
            told += len(counted & set(apcs(story([0.0, *np.diff(times)], labels))))
    assert onsets > 50
    assert early > 500
    assert told < 0.25 * early


def test_annotated_apcs_are_told(data_dir: Path) -> None:
    """Records of DS1 without AF: the annotators' classes and times, as if a model knew them."""
    told = true = 0
    for record in mitdb.records(data_dir, ["101", "112", "118", "209", "215", "220", "223"]):
        marks = [m for m in record.beats() if m.symbol in "NLRAaJSV"]
        rr = [0.0, *(np.diff([m.sample for m in marks]) / record.rate_hz)]
        labels = "".join("S" if m.symbol in "AaJS" else "V" if m.symbol == "V" else "N" for m in marks)
        beats = story(rr, labels)
        found = set(apcs(beats))
        true += labels.count("S")
        told += sum(labels[k] == "S" for k in found)
    assert true > 100
    assert told > 0.9 * true


def test_the_usual_interval_is_that_of_normal_beats() -> None:
    usual = UsualInterval()
    for item in story([0.8, 0.8, 0.8, 0.8, 0.5, 1.1, 0.8, 0.8], "NNNNSNNN"):
        usual.push(item.beat, item.label)
    assert usual.share(Beat(0, 7.0, 0.4, 1.0, True)) == pytest.approx(0.5)
