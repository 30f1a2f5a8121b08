"""Seeds of a rhythm model side by side: what the exporter found, its refusals, the spread."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

from benchmarks import report, seeds
from ecgedge.bundle import open_bundle

NAME = "efficientecg-s"


def run(words: list[str], out: Path, monkeypatch: pytest.MonkeyPatch) -> report.Json:
    monkeypatch.setattr("sys.argv", ["x", *words, "--root", str(out), "--out", str(out), "--runs", str(out)])
    report.run(seeds.main)
    return report.read("seeds", out)


def test_all_seeds_are_judged_and_their_spread_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {f"{NAME}-seed6": 0.79, f"{NAME}-seed9": 0.85}

    def judged(checkpoint: Path, root: Path) -> report.Json:
        made: report.Json = json.loads(json.dumps(seeds.shipped(NAME)))
        made["validation"]["int8"]["macro_f1"] = scores[checkpoint.stem]
        return made | ({"refused": "too few equal"} if checkpoint.stem.endswith("9") else {})

    monkeypatch.setattr(seeds, "judged", judged)
    result = run(["--seeds", "9", "5", "6"], tmp_path, monkeypatch)
    assert result["command"] == "python -m benchmarks.seeds --seeds 9 5 6"
    found = result["figures"]
    assert [one["seed"] for one in found["seeds"]] == [5, 6, 9]
    assert [one["ships"] for one in found["seeds"]] == [True, False, False]
    own = open_bundle(NAME).manifest["metrics"]["validation"]["int8"]["macro_f1"]
    values = [own, *scores.values()]
    said = found["spread"]["validation"]["int8"]["macro_f1"]
    assert said["mean"] == pytest.approx(statistics.mean(values), abs=6e-5)
    assert said["sd"] == pytest.approx(statistics.stdev(values), abs=6e-5)
    assert found["spread"]["inner"]["int8"]["accuracy"]["sd"] == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "would not have let go: seed 9 (too few equal)." in printed
    assert "| seed 5 (ships) | seed 6 | seed 9 |" in printed


def test_a_checkpoint_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(["--seeds", "6"], tmp_path, monkeypatch)
    assert f"{NAME}-seed6.pt" in capsys.readouterr().err
