"""The benchmark of ectopic beats: its arithmetic against scikit-learn's and plain counting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import ectopy
from ecgedge.messages import Beat, Ectopic
from ecgedge.recordings.annotations import Annotation, write_annotations
from ecgedge.scoring.beats import compare_beats

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
RATE = 360


def told(codes: str, readable: bool = True) -> ectopy.Told:
    """A beat a second of these classes; events where the letter is a capital."""
    out = ectopy.Told()
    for k, code in enumerate(codes):
        sample = (k + 1) * RATE
        out.beats.append(sample)
        out.classes[sample] = code.upper()
        if code in "SV":
            kind = "APC" if code == "S" else "PVC"
            beat = Beat(sample, sample / RATE, 1.0, 1.0, True)
            out.events[sample] = Ectopic(kind, "b", beat, 0.9, 0.7)  # type: ignore[arg-type]
    out.ground.push(0.0, float(len(codes) + 1), (readable, 0.1))
    out.ground.settle_all()
    return out


def marks(codes: str) -> list[Annotation]:
    return [Annotation((k + 1) * RATE, code) for k, code in enumerate(codes)]


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    truth = ["".join(rng.choice(list("NNNNSV"), 200)) for _ in range(5)]
    said = ["".join(c if rng.random() < 0.8 else rng.choice(list("NSV")) for c in row) for row in truth]
    rows = []
    for true, found in zip(truth, said, strict=True):
        reference = marks(true.replace("S", "A"))
        rows.append(
            ectopy.hits(compare_beats(reference, told(found).marks("class"), rate_hz=RATE, skip_s=0.0))
        )
    figures = ectopy.summary(rows)
    every, all_said = list("".join(truth)), list("".join(said))
    precision, recall, f1, counts = metrics.precision_recall_fscore_support(
        every, all_said, labels=["N", "S", "V"]
    )
    for k, name in enumerate("NSV"):
        row = figures[name]
        assert (row["se"], row["ppv"], row["f1"]) == pytest.approx((recall[k], precision[k], f1[k]), abs=1e-4)
        assert row["beats"] == counts[k]
        low, high = row["f1_interval"]
        assert low <= row["f1"] <= high
    assert figures["macro_f1_nsv"] == pytest.approx(np.mean(f1), abs=1e-4)
    assert figures["F"]["se"] is None


def test_an_event_is_what_passed_the_gates() -> None:
    found = told("NsSvVfN")
    assert "".join(mark.symbol for mark in found.marks("class")) == "NAAVVFN"
    assert "".join(mark.symbol for mark in found.marks("event")) == "NNANVFN"


def test_escape_beats_are_normal_here(tmp_path: Path) -> None:
    write_annotations(tmp_path / "r.atr", marks("NejnAaJSVEF"))
    assert "".join(mark.symbol for mark in ectopy.reference(tmp_path / "r.atr")) == "NNNNAaJSVEF"


def test_false_alarms_are_counted_over_judged_hours_of_records_without_any() -> None:
    n = 1800
    heard = {
        "none": told("N" * (n - 3) + "sSS"),
        "some": told("S" * n),
        "unread": told("S" + "N" * (n - 1), readable=False),
    }
    heard["unread"].events.clear()
    truth = {"none": marks("N" * n), "some": marks("A" + "N" * (n - 1)), "unread": marks("N" * n)}
    apc = ectopy.alarms(heard, truth, 0.0)["APC"]
    assert apc["records"] == ["none", "unread"]
    assert (apc["class"], apc["event"]) == (4, 2)
    assert apc["judged_hours"] == pytest.approx((n + 1) / 3600, abs=1e-3)
    assert apc["event_per_judged_hour"] == pytest.approx(2 * 3600 / (n + 1), abs=0.01)
    assert apc["class_per_hour"] == pytest.approx(4 * 3600 / (2 * (n + 1)), abs=0.01)
    assert apc["inconclusive"] == 0.5
    later = ectopy.alarms(heard, truth, float(n - 1))["APC"]
    assert later["event"] == 2
    assert later["class"] == 2


def test_a_second_opinion_is_held_against_the_truth() -> None:
    heard = told("SSN")
    first, second = heard.events.values()
    heard.events = {
        first.beat.sample: Ectopic("APC", "b", first.beat, 0.9, 0.7, confirmed=True),
        second.beat.sample: Ectopic("APC", "b", second.beat, 0.9, 0.7, confirmed=False),
    }
    found = ectopy.opinions({"r": heard}, {"r": marks("ANN")})
    assert found["agreed"] == {"true": 1, "false": 0}
    assert found["denied"] == {"true": 0, "false": 1}
