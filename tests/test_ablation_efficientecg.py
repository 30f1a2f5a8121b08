"""EfficientECG's ablation: its windows of MIT-BIH against the wfdb package, its recipes, whole small runs."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")
pytest.importorskip("wfdb", reason="needs the extra 'train'")

import torch
import wfdb
from torchmetrics.functional.classification import multiclass_f1_score

from benchmarks import ablation_efficientecg as ablation
from benchmarks import report
from ecgedge.datasets.record import Subject
from ecgedge.messages import Person
from ecgedge.training import recipe as recipes
from ecgedge.training.data import ConditionedSet

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


def test_gains_are_differences_and_202_is_left_out() -> None:
    """What torchmetrics makes of the windows, with and without those of the person who is in DS1, too."""
    rng = np.random.default_rng(0)
    reference, told, before = rng.integers(0, 4, (3, 300))
    names = np.repeat(["100", "202", "233"], 100)
    test = ConditionedSet(names.tolist(), [], reference.tolist())
    groups = np.unique(names, return_inverse=True)[1]
    asked = ablation.Question(recipes.load("efficientecg-s-fused"), ablation.AAMI_CLASSES, test, test, groups)
    made = ablation.scored(asked, told, before)
    for which, kept in (("all", names == names), ("without 202", names != "202")):
        pairs = [(torch.from_numpy(x[kept]), torch.from_numpy(reference[kept])) for x in (told, before)]
        f1, first = (float(multiclass_f1_score(*pair, 4, average="macro")) for pair in pairs)
        assert made[which]["macro_f1"] == pytest.approx(f1, abs=1e-4)
        assert made[which]["gain"]["macro_f1"] == pytest.approx(f1 - first, abs=2e-4)
        assert sum(map(sum, made[which]["confusion"])) == kept.sum()
    assert (made["all"]["records"], made["without 202"]["records"]) == (3, 2)


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nets of a few channels in place of the recipes'."""
    load = recipes.load

    def smaller(name: str) -> recipes.Recipe:
        plan = load(name)
        net = {**plan.net, "stem": 4, "channels": [4, 8], "repeats": [1, 1], "kernels": [7, 7], "head": 8}
        data = dataclasses.replace(plan.data, inner_share=0.25)
        short = dataclasses.replace(plan.optimiser, batch=8)
        return dataclasses.replace(plan, net=net, data=data, optimiser=short)

    monkeypatch.setattr(ablation.recipes, "load", smaller)


def whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], root: Path, out: Path, *words: str
) -> tuple[report.Json, list[str]]:
    """The command's result, and what it printed."""
    small(monkeypatch)
    monkeypatch.setattr("sys.argv", ["x", *words, "--root", str(root), "--out", str(out)])
    report.run(ablation.main)
    result = report.read("ablation_efficientecg", out)
    assert result["command"] == f"python -m benchmarks.ablation_efficientecg {' '.join(words)}"
    return result, capsys.readouterr().out.splitlines()


@pytest.mark.timeout(300)
def test_the_whole_of_it_on_records_like_those_of_cinc2017(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--set", "cinc2017", "--epochs", "2", "--every", "1")
    result, printed = whole(monkeypatch, capsys, cinc_like, tmp_path, *words)
    part = result["figures"]["cinc2017"]
    assert sum(part["fitted_on"]) + sum(part["scored_on"]) == 50
    assert list(part["nets"]) == list(ablation.VARIANTS)
    sizes = [net["parameters"] for net in part["nets"].values()]
    assert sizes == sorted(set(sizes)), "each has more than the one before"
    for title, net in part["nets"].items():
        (one,) = net["runs"]
        assert one["all"]["records"] == sum(part["scored_on"])
        row = f"| CinC 2017, inner validation records | {title} | {net['parameters']:,} | "
        assert sum(line.startswith(row) for line in printed) == 1
    assert part["nets"]["backbone"]["runs"][0]["all"]["gain"]["macro_f1"] == 0


@pytest.mark.timeout(300)
def test_the_whole_of_it_on_two_records_of_mitdb(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (data_dir / "mitdb.zip").is_file():
        pytest.skip("needs mitdb.zip in ECGEDGE_DATA")
    words = ("--set", "mitdb", "--epochs", "1", "--every", "4", "--records", "2")
    result, printed = whole(monkeypatch, capsys, data_dir, tmp_path, *words)
    part = result["figures"]["mitdb"]
    assert sum(part["scored_on"]) == 2 * 360, "windows of 10 s every 5 s of half an hour"
    assert sum(part["fitted_on"]) == 2 * 360 / 4
    for net in part["nets"].values():
        assert net["runs"][0]["all"]["records"] == 2
    rows = [line for line in printed if line.startswith("| MIT-BIH")]
    assert len(rows) == 6
    assert sum("without 202" in row for row in rows) == 3


def test_the_kept_figures_follow_from_their_counts() -> None:
    """Whole runs of the very budget that the command has without options."""
    for part in report.read("ablation_efficientecg")["figures"].values():
        for net in part["nets"].values():
            for one in net["runs"]:
                counts = np.array(one["all"]["confusion"])
                assert counts.sum() == sum(part["scored_on"])
                assert counts.sum(axis=1).tolist() == part["scored_on"]
                each = [2 * counts[k, k] / (counts[k].sum() + counts[:, k].sum()) for k in range(4)]
                assert one["all"]["macro_f1"] == pytest.approx(np.mean(each), abs=6e-5)
                backbone = part["nets"]["backbone"]["runs"][one["seed"] - 1]["all"]["macro_f1"]
                gain = one["all"]["macro_f1"] - backbone
                assert one["all"]["gain"]["macro_f1"] == pytest.approx(gain, abs=1.1e-4)
