"""Cross-validation of a rhythm net: a whole small run, its folds, its spread."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

from small_cinc import TINY_NET

from benchmarks import folds, report
from ecgedge.datasets import cinc2017
from ecgedge.training import recipe as recipes


@pytest.mark.timeout(300)
def test_every_training_record_is_scored_once(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = recipes.load("efficientecg-xs")
    assert plan.distillation is not None
    options = dataclasses.replace(plan.optimiser, batch=8)
    small = dataclasses.replace(plan, net=dict(TINY_NET), optimiser=options)
    monkeypatch.setattr(folds.recipes, "load", lambda _: small)
    words = ["--folds", "3", "--epochs", "2"]
    monkeypatch.setattr("sys.argv", ["x", *words, "--root", str(cinc_like), "--out", str(tmp_path)])
    report.run(folds.main)
    result = report.read("folds", tmp_path)
    assert result["command"] == f"python -m benchmarks.folds {' '.join(words)}"
    found = result["figures"]
    training, _ = cinc2017.published_split(cinc_like)
    assert found["pooled"]["records"] == sum(one["records"] for one in found["folds"]) == len(training)
    assert all(one["fitted_on"] + one["records"] == len(training) for one in found["folds"])
    known = cinc2017.labels_by_record(cinc_like)
    rows = [sum(row) for row in found["pooled"]["confusion"]]
    assert rows == [sum(known[name] == k for name in training) for k in range(4)]
    for key in folds.HEADLINE:
        values = [one[key] for one in found["folds"]]
        assert found["spread"][key]["mean"] == pytest.approx(statistics.mean(values), abs=6e-5)
        assert found["spread"][key]["sd"] == pytest.approx(statistics.stdev(values), abs=6e-5)
    printed = capsys.readouterr().out
    assert f"{found['spread']['macro_f1']['mean']:.3f} ± " in printed


def test_one_fold_is_none(capsys: pytest.CaptureFixture[str], cinc_like: Path, monkeypatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--folds", "1", "--root", str(cinc_like)])
    with pytest.raises(SystemExit):
        report.run(folds.main)
    assert "fold 1 of 1" in capsys.readouterr().err
