"""The benchmark of attention: regions where annotators marked them, kept runs, figures in the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from benchmarks import danet  # noqa: E402
from ecgedge.models import build  # noqa: E402
from ecgedge.training import checkpoint  # noqa: E402
from ecgedge.training.apc import recipe as recipes  # noqa: E402
from ecgedge.training.apc import run  # noqa: E402


class Tall(torch.nn.Module):
    """Attends to whatever is more than two standard deviations high: QRS complexes."""

    def weigher(self, signal: Any) -> Any:
        return torch.where(signal > 2.0, 20.0, -20.0)


def test_attention_is_averaged_where_ludb_s_annotators_marked_the_waves(data_dir: Path) -> None:
    told = danet.in_waves(data_dir, {"tall": Tall()}, recipes.load("danet"))
    assert 30 <= told["AF"]["records"] + told["sinus"]["records"] <= 40  # every fifth of 200
    assert "P" not in told["AF"]["tall"]  # nobody marks P waves in fibrillation
    sinus = told["sinus"]["tall"]
    assert 0.2 < sinus["QRS"] < 0.6
    assert max(sinus["P"], sinus["elsewhere"]) < 0.01
    assert sinus["T"] < 0.1


def test_what_is_whole_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = recipes.load("danet-cnn")
    state = build(plan.architecture, plan.net).state_dict()
    checkpoint.save(tmp_path / "danet-cnn.pt", state, plan, {})
    trained = []
    monkeypatch.setattr(run, "fit", lambda plan, *_, **__: trained.append(plan.name))
    monkeypatch.setattr(danet, "load_sets", lambda *_: None)
    runs = danet.Runs(tmp_path, tmp_path)
    assert runs.checkpoint(plan) == tmp_path / "danet-cnn.pt"
    assert trained == []
    runs.checkpoint(danet.seeded(plan, 2))
    assert trained == ["danet-cnn-seed2"]
    assert danet.seeded(plan, plan.seed) == plan


def test_the_table_says_means_over_seeds() -> None:
    def one(ap: float, se: float) -> dict[str, Any]:
        part = {"sensitivity": se, "specificity": 0.9}
        at = {"without_232": part, "all": part, "free": {"false_windows_per_hour": 12.0}}
        test = {"without_232": {"average_precision": ap}, "all": {"average_precision": ap / 2}}
        return {"test": test, "at_0.8": at}

    head = {
        "windows": 100, "positive": 9, "average_precision": 0.4, "average_precision_interval": [0.1, 0.7],
        "sensitivity": 0.6, "specificity": 0.9, "precision": 0.2,
    }  # fmt: skip
    free = {"records": ["105"], "false_windows_per_hour": 3.0}
    figures = {
        "nets": {"DANet": {"parameters": 172403, "runs": [one(0.4, 0.7), one(0.6, 0.9)]}},
        "bundle": {"without_232": head, "all": head, "free": free},
        "attention": {"ludb": {"sinus": {"records": 3, "APC": {"P": 0.9, "QRS": 0.3}}}},
    }
    machine = {"cpu": "x", "cores": 2, "cores_used": 1, "system": "y", "python": "3"}
    result = {
        "figures": figures, "machine": machine, "models": {}, "command": "c", "date": "d", "ecgedge": "e",
    }  # fmt: skip
    text = "\n".join(danet.lines(result))
    assert "| DANet | 172 k | 0.500 ± 0.141 | 0.250 ± 0.071 | 0.800 ± 0.141 | 0.900 ± 0.000 | 12 |" in text
    assert "| sinus, 3 records | APC | 0.90 | 0.30 | - | - |" in text
    assert "9 of 100" in text
