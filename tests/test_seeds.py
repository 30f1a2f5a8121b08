"""Seeds of a rhythm model side by side: what the exporter found, its refusals, the spread."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

from benchmarks import report, seeds
from ecgedge.bundle import open_bundle
from ecgedge.training import recipe as recipes

NAME = "efficientecg-s"


def run(words: list[str], out: Path, monkeypatch: pytest.MonkeyPatch) -> report.Json:
    monkeypatch.setattr("sys.argv", ["x", *words, "--root", str(out), "--out", str(out), "--runs", str(out)])
    report.run(seeds.main)
    return report.read("seeds", out)


def test_all_seeds_are_judged_and_their_spread_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own_seed = recipes.load(NAME).seed
    low, high = own_seed - 1, own_seed + 2
    scores = {f"{NAME}-seed{low}": 0.79, f"{NAME}-seed{high}": 0.85}

    def judged(checkpoint: Path, root: Path) -> report.Json:
        made: report.Json = json.loads(json.dumps(seeds.shipped(NAME)))
        made["validation"]["int8"]["macro_f1"] = scores[checkpoint.stem]
        return made | ({"refused": "too few equal"} if checkpoint.stem.endswith(f"seed{high}") else {})

    monkeypatch.setattr(seeds, "judged", judged)
    words = ["--seeds", *map(str, (high, own_seed, low))]
    result = run(words, tmp_path, monkeypatch)
    assert result["command"] == f"python -m benchmarks.seeds {' '.join(words)}"
    found = result["figures"]
    assert [one["seed"] for one in found["seeds"]] == [own_seed, low, high]
    assert [one["ships"] for one in found["seeds"]] == [True, False, False]
    own = open_bundle(NAME).manifest["metrics"]["validation"]["int8"]["macro_f1"]
    values = [own, *scores.values()]
    said = found["spread"]["validation"]["int8"]["macro_f1"]
    assert said["mean"] == pytest.approx(statistics.mean(values), abs=6e-5)
    assert said["sd"] == pytest.approx(statistics.stdev(values), abs=6e-5)
    assert found["spread"]["inner"]["int8"]["accuracy"]["sd"] == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"would not have let go: seed {high} (too few equal)." in printed
    assert f"| seed {own_seed} (ships) | seed {low} | seed {high} |" in printed


def test_a_checkpoint_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(["--seeds", "123"], tmp_path, monkeypatch)
    assert f"{NAME}-seed123.pt" in capsys.readouterr().err
