"""The ablation's windows of MIT-BIH against the wfdb package, its recipes and its table."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")
pytest.importorskip("wfdb", reason="needs the extra 'train'")

import wfdb

from benchmarks import ablation
from ecgedge.datasets.record import Subject
from ecgedge.messages import Person
from ecgedge.training import recipe as recipes

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = {"N": "NLRB", "S": "AaJSejn", "V": "VEr", "F": "F"}


@pytest.mark.parametrize(
    ("symbols", "label"),
    [("NNN", "N"), ("LRB", "N"), ("NAN", "S"), ("jNN", "S"), ("NVN", "V"), ("AVF", "V"), ("FNA", "F")],
)
def test_a_window_is_called_after_its_gravest_beat(symbols: str, label: str) -> None:
    found = ablation.window_label(list(symbols))
    assert found is not None
    assert ablation.AAMI_CLASSES[found] == label


@pytest.mark.parametrize("symbols", ["", "Q", "//", "QfQ"])
def test_a_window_without_a_beat_that_has_a_class_is_left_out(symbols: str) -> None:
    assert ablation.window_label(list(symbols)) is None


def test_age_and_sex_are_taken_over_and_what_is_unknown_stays_so() -> None:
    assert ablation.person_of(Subject("1", 69, "M")) == Person(69, "m")
    assert ablation.person_of(Subject("1", None, "F")) == Person(None, "f")
    assert ablation.person_of(Subject()) == Person()


def test_windows_labels_and_persons_are_those_of_wfdb(data_dir: Path, tmp_path: Path) -> None:
    """Record 208 has N, S, V and F; 222 has S."""
    archive = data_dir / "mitdb.zip"
    if not archive.is_file():
        pytest.skip("needs mitdb.zip")
    names = ["208", "222"]
    with zipfile.ZipFile(archive) as packed:
        for member in packed.namelist():
            if member.rpartition("/")[2].partition(".")[0] in names:
                (tmp_path / member.rpartition("/")[2]).write_bytes(packed.read(member))
    plan = ablation.mitdb_plan(recipes.load("efficientecg-s-fused"))
    made = ablation.load_mitdb(data_dir, names, plan)
    assert made.contexts is not None
    for name in names:
        rows = [k for k, other in enumerate(made.names) if other == name]
        marks = wfdb.rdann(str(tmp_path / name), "atr")
        header = wfdb.rdheader(str(tmp_path / name))
        expected = []
        for begin in range(0, int(header.sig_len / 360) - 10 + 1, 5):
            inside = (marks.sample >= begin * 360) & (marks.sample < (begin + 10) * 360)
            letters = {s for s, there in zip(marks.symbol, inside, strict=True) if there}
            kinds = [k for k in "VFSN" if letters & set(SYMBOLS[k])]
            expected += [kinds[0]] if kinds else []
        assert [ablation.AAMI_CLASSES[made.labels[k]] for k in rows] == expected
        age, sex = header.comments[0].split()[:2]
        assert {made.contexts[k].person for k in rows} == {Person(int(age), sex.lower())}
        assert all(made.signals[k].shape == (1000,) for k in rows)
        for k in rows[::40]:
            times = made.contexts[k].times_s
            assert 0 <= times.min() <= times.max() < 10


def test_the_nets_are_trained_alike_but_for_what_is_joined() -> None:
    base = ablation.mitdb_plan(recipes.load("efficientecg-s-fused"))
    plans = [ablation.variant(title, base, 3, 7) for title in ablation.VARIANTS]
    assert [len(plan.inputs) for plan in plans] == [1, 3, 5]
    for plan in plans:
        assert (plan.seed, plan.optimiser.epochs, plan.net["length"]) == (3, 7, 1000)
        for key in ("optimiser", "augmentation", "window", "preprocessing", "distillation"):
            assert getattr(plan, key) == getattr(plans[0], key)
    assert len({plan.name for plan in plans}) == 3
    assert plans[0].distillation is None


def test_rarer_classes_weigh_more_by_the_root() -> None:
    plan = ablation.weighted(recipes.load("efficientecg-s-fused"), [0] * 400 + [1] * 100 + [2] * 4)
    assert plan.optimiser.class_weights == [1.0, 2.0, 10.0, 20.0]


def test_figures_are_torchmetrics_ones() -> None:
    import torch
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_f1_score

    rng = np.random.default_rng(0)
    reference, told = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    made = ablation.figures(reference, told, ablation.AAMI_CLASSES)
    pair = torch.from_numpy(told), torch.from_numpy(reference)
    assert made["macro_f1"] == pytest.approx(float(multiclass_f1_score(*pair, 4, average="macro")), abs=1e-4)
    assert made["accuracy"] == pytest.approx(float(multiclass_accuracy(*pair, 4, average="micro")), abs=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_of_it_on_two_records(data_dir: Path, tmp_path: Path) -> None:
    words = ["--set", "mitdb", "--records", "2", "--epochs", "1", "--threads", "1"]
    place = ["--root", str(data_dir), "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ablation", *words, *place],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    result = json.loads((tmp_path / "ablation.json").read_text())
    assert result["command"].endswith("--set mitdb --epochs 1 --threads 1 --records 2")
    nets = result["figures"]["mitdb"]["nets"]
    assert list(nets) == list(ablation.VARIANTS)
    for row in nets.values():
        (one,) = row["runs"]
        assert one["all"]["n"] == sum(result["figures"]["mitdb"]["scored_on"])
    table = [line for line in done.stdout.splitlines() if line.startswith("| mitdb")]
    assert len(table) == 6


def test_more_seeds_give_a_mean_and_a_spread() -> None:
    assert ablation.spread([0.5]) == "0.500"
    values = [0.5, 0.6, 0.8]
    assert ablation.spread(values) == f"{np.mean(values):.3f} +/- {np.std(values, ddof=1):.3f}"
    run = {"macro_f1": 0.5, "accuracy": 0.7, "f1": {"N": 0.9}}
    runs = [{"seed": 1, "all": run}, {"seed": 2, "all": {**run, "macro_f1": 0.7}}]
    lines = ablation.lines({"mitdb": {"nets": {"backbone": {"runs": runs}}}})
    assert lines[-1].startswith("| mitdb, all | backbone | 2 | 0.600 +/- 0.141 | 0.700 +/- 0.000 |")
