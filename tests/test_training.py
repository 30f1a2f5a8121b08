"""Training: recipes, the split, crops and windows, figures, and a whole small run by the command line."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_cinc import EPOCHS, PLAIN, SHIPPED, recipe_text, synthesised, tiny

pytest.importorskip("lightning", reason="needs the extra 'train'")

import lightning
import torch
from torch import nn
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

from ecgedge import cli
from ecgedge.bundle import open_bundle
from ecgedge.datasets import cinc2017
from ecgedge.datasets.record import Record
from ecgedge.errors import DataError, UsageError
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import Board, SampleBlock, Segment
from ecgedge.training import checkpoint, evaluate, metrics, run, variants
from ecgedge.training import recipe as recipes
from ecgedge.training.augment import Augmenter
from ecgedge.training.data import (
    ConditionedSet,
    CropDataset,
    EpochOrder,
    WindowDataset,
    condition,
    inner_split,
    input_list,
    load_cinc2017,
    record_windows,
    tensors,
)
from ecgedge.training.fitting import settle_norms
from ecgedge.training.model import open_model
from ecgedge.training.module import WindowClassifier
from ecgedge.training.noise import Noise


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> recipes.Recipe:
    return recipes.load(str(tiny(tmp_path_factory.mktemp("recipe"))))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums in one order, so that equal runs give equal bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- recipes


def test_the_shipped_recipe_is_the_one_in_the_shipped_manifest() -> None:
    plan, manifest = recipes.load(SHIPPED), open_bundle(SHIPPED).manifest
    assert plan.name == manifest["name"] == SHIPPED
    assert plan.preprocessing == manifest["preprocessing"]
    assert {"rate_hz": plan.preprocessing["rate_hz"], **dataclasses.asdict(plan.window)} == {
        **manifest["window"],
        "clip": manifest["inputs"][0]["clip"],
    }
    assert plan.net["length"] == round(plan.window.length_s * plan.preprocessing["rate_hz"])


def refused(text: str, folder: Path, match: str) -> None:
    path = folder / "r.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=match) as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["nonesuch", "nonesuch.toml", "../recipes/x", ""])
def test_an_unknown_recipe_lists_the_known_ones(name: str) -> None:
    with pytest.raises(DataError, match=SHIPPED):
        recipes.load(name)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("ema_decay = ", "ema_decoy = ", r"\[optimiser\]: keys \['ema_decay', 'ema_decoy'\]"),
        ("clip = 6.0\n", "", r"\[window\]: keys \['clip'\]"),
        ("seed = 1", "seed = 1\nsead = 2", r"keys \['sead'\]"),
        ("[data]", "[dates]", "'data', 'dates'"),
        ("seed = 1", "seed = = 1", "not TOML"),
        ("seed = 1", "seed = 1\nseed = 2", "not TOML"),
        ("seed = 1", "seed = 1.5", "seed = 1.5"),
        ("epochs = 2", 'epochs = "two"', "epochs = 'two'"),
        ("epochs = 2", "epochs = true", "epochs = True"),
        ("epochs = 2", "epochs = 0", "epochs = 0"),
        ("batch = 8", "batch = -1", "batch = -1"),
        ("stretch = 0.15", "stretch = [0.1]", "stretch"),
        ("class_weights = [0.6", 'class_weights = ["a"', "class_weights"),
        ('set = "cinc2017"', 'set = "cinc2018"', "cinc2018"),
        ("inner_share = 0.25", "inner_share = 0", "inner_share"),
        ("inner_share = 0.25", "inner_share = 0.25\ninner_fold = 5", "inner_fold = 5"),
        ("minimum_s = 9.0", "minimum_s = 31.0", "minimum_s"),
        ("highpass_hz = 0.5", "highpass_hz = 60", "preprocessing"),
        ("lowpass_hz = 40.0\n", "", "lowpass_hz"),
    ],
)
def test_a_recipe_that_is_off_is_refused_by_name(tmp_path: Path, old: str, new: str, match: str) -> None:
    text = recipe_text()
    assert old in text
    refused(text.replace(old, new, 1), tmp_path, match)


def test_a_table_that_is_a_number_or_bytes_that_are_no_text(tmp_path: Path) -> None:
    text = re.sub(r"\[window\]\n(?:.+\n)+", "", recipe_text())
    refused("window = 3\n" + text, tmp_path, "window = 3")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not TOML"):
        recipes.load(str(tmp_path / "b.toml"))


# ---- the inner split


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_inner_split_is_disjoint_whole_and_stratified(share: float) -> None:
    rng = np.random.default_rng(0)
    names = [f"A{i:05d}" for i in rng.permutation(2000)]
    labels = rng.choice(4, 2000, p=[0.6, 0.1, 0.27, 0.03]).tolist()
    fit, inner = inner_split(names, labels, share)
    assert sorted(fit + inner) == sorted(names)
    assert fit == [n for n in names if n in set(fit)], "order kept"
    of = dict(zip(names, labels, strict=True))
    for label in range(4):
        whole = labels.count(label)
        assert abs(sum(of[n] == label for n in inner) - share * whole) <= 1


def test_inner_split_depends_on_neither_order_nor_luck() -> None:
    names = [f"A{i:05d}" for i in range(200)]
    labels = [i % 3 for i in range(200)]
    fit, inner = inner_split(names, labels, 0.1)
    again = inner_split(names[::-1], labels[::-1], 0.1)
    assert (set(fit), set(inner)) == (set(again[0]), set(again[1]))


def test_folds_leave_every_record_out_once_and_the_usual_split_is_the_middle_one() -> None:
    names = [f"A{i:05d}" for i in range(203)]
    labels = [i % 3 for i in range(203)]
    parts = [inner_split(names, labels, 1 / 5, fold) for fold in range(1, 6)]
    assert sorted(name for _, inner in parts for name in inner) == names
    assert all(sorted(fit + inner) == names for fit, inner in parts)
    assert parts[2] == inner_split(names, labels, 1 / 5)
    of = dict(zip(names, labels, strict=True))
    counts = np.array([np.bincount([of[n] for n in inner]) for _, inner in parts])
    assert (np.ptp(counts, axis=0) <= 1).all(), "every class is shared out evenly"


def test_another_seed_or_fold_is_another_run(tmp_path: Path) -> None:
    plan = recipes.load("efficientecg-s")
    again = variants.with_seed(variants.with_fold(plan, 2, 5), 7)
    assert (again.name, again.seed) == ("efficientecg-s-fold2of5-seed7", 7)
    assert (again.data.inner_share, again.data.inner_fold) == (0.2, 2)
    assert plan.distillation is not None
    assert again.distillation is not None
    assert again.distillation.teachers == [f"{name}-fold2of5" for name in plan.distillation.teachers]
    assert again.start == f"{plan.start}-fold2of5-seed7"
    same = ("net", "optimiser", "augmentation", "window", "preprocessing", "inputs")
    assert all(getattr(again, key) == getattr(plan, key) for key in same)
    assert recipes.from_table(dataclasses.asdict(again), "kept") == again


def test_a_run_of_another_seed_and_fold_lies_beside_the_first(cinc_like: Path, tmp_path: Path) -> None:
    recipe = str(tiny(tmp_path))
    paths = [run.train(recipe, cinc_like, tmp_path, seed=4, fold=fold) for fold in ("1/3", "3/3")]
    assert [path.name for path in paths] == ["tiny-fold1of3-seed4.pt", "tiny-fold3of3-seed4.pt"]
    inner = []
    for path in paths:
        loaded = checkpoint.load(path)
        assert loaded.recipe.seed == 4
        told = evaluate.evaluate(open_model(str(path)), cinc_like)
        assert told.figures()["v2"] == loaded.inner
        inner.append(set(told.names))
    assert len(inner[0]) == pytest.approx(50 / 3, abs=4)
    assert not inner[0] & inner[1]


@pytest.mark.parametrize("words", ["0/5", "6/5", "1/1", "1/51", "2", "a/b", "-1/5", "1/5/2", ""])
def test_a_fold_that_cannot_be_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="fold"):
        variants.with_fold(recipes.load(PLAIN), *variants.fold_of(words))


def test_training_never_reads_a_validation_record(
    cinc_like: Path, plan: recipes.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = cinc2017.records

    def spy(root: Path, names: list[str], revision: str = "v2") -> Iterator[Record]:
        read.extend(names)
        return real(root, names, revision)

    monkeypatch.setattr(cinc2017, "records", spy)
    fit, inner = run.training_sets(cinc_like, plan)
    _, validation = cinc2017.published_split(cinc_like)
    assert not set(read) & set(validation)
    assert sorted(fit.names + inner.names) == sorted(read)
    assert not set(fit.names) & set(inner.names)


def test_inner_split_of_the_real_set(data_dir: Path) -> None:
    training, validation = cinc2017.published_split(data_dir)
    with cinc2017.Archive(data_dir, "cinc2017") as archive:
        known = cinc2017.labels(archive)
    fit, inner = inner_split(training, [known[n] for n in training], recipes.load(SHIPPED).data.inner_share)
    assert (len(fit), len(inner)) == (6300, 700)
    assert not (set(fit) | set(inner)) & set(validation)


# ---- windows and crops


def device_windows(counts: np.ndarray, rate_hz: float, uv_per_count: float) -> list[np.ndarray]:
    """The tensors that the stream would give the shipped model for one recording, before quantisation."""
    bundle = open_bundle(SHIPPED)
    consumer = Consumer(SHIPPED, bundle.manifest["preprocessing"], bundle.window, bundle.manifest["inputs"])
    frontend = Frontend((consumer,))
    out = frontend.push(Segment(0, 0.0, rate_hz, "declared", Board("test", rate_hz, uv_per_count, 16)))
    for at in range(0, counts.size, 77):
        out += frontend.push(SampleBlock(at, counts[at : at + 77, None].astype(np.float64), at / rate_hz))
    out += frontend.finish()
    found = [item for item in out if isinstance(item, Prepared) and not item.window.provisional]
    return [item.tensors["signal"].reshape(-1) for item in found]


def same_windows(mine: list[np.ndarray], device: list[np.ndarray]) -> None:
    assert len(mine) == len(device) > 0
    for a, b in zip(mine, device, strict=True):
        assert a.dtype == b.dtype == np.float32
        # Counts / 1000 here and counts * (1000 uV / 1000) / 1000 there: the last bit of a float32.
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


@pytest.mark.parametrize("k", [0, 1, 2, 4, 5])
def test_training_sees_the_windows_of_the_device(k: int) -> None:
    plan, (_, _, counts) = recipes.load(SHIPPED), synthesised(k)
    conditioned = condition(counts / cinc2017.COUNTS_PER_MV, cinc2017.RATE_HZ, plan.preprocessing)
    windows = record_windows(conditioned, plan.spec)
    mine = [tensors(input_list(plan), window.signal)[0].numpy().reshape(-1) for window in windows]
    same_windows(mine, device_windows(counts, cinc2017.RATE_HZ, 1000 / 1000.0))


def test_training_sees_the_windows_of_the_device_on_real_records(data_dir: Path) -> None:
    plan, names = recipes.load(SHIPPED), ["A00001", "A00003", "A00020", "A08523"]
    records = load_cinc2017(data_dir, names, plan)
    rows = WindowDataset(records, plan)
    for number, record in enumerate(cinc2017.records(data_dir, names)):
        mine = [rows[i][0][0].numpy().reshape(-1) for i in range(len(rows)) if rows[i][2] == number]
        same_windows(mine, device_windows(np.rint(record.lead() * 1000), 300.0, 1.0))


def test_window_rows_carry_label_and_record(plan: recipes.Recipe) -> None:
    rng = np.random.default_rng(0)
    lengths = [800, 900, 3000, 3001, 7500]  # below the minimum, the minimum, one, two, and more windows
    signals = [rng.normal(size=n).astype(np.float32) for n in lengths]
    rows = WindowDataset(ConditionedSet(list("abcde"), signals, [3, 2, 1, 0, 1]), plan)
    found = [(label, number) for _, label, number in rows]
    assert found == [(2, 1), (1, 2), (0, 3), (0, 3), *[(1, 4)] * 6]
    assert all(x.shape == (1, 1, 3000) and x.dtype == torch.float32 for (x,), _, _ in rows)


def crops(plan: recipes.Recipe) -> CropDataset:
    signals = [np.random.default_rng(k).normal(size=2000 + 500 * k).astype(np.float32) for k in range(4)]
    augmenter = Augmenter(plan.augmentation, plan.spec, Noise())
    return CropDataset(ConditionedSet(list("abcd"), signals, [0, 1, 2, 3]), plan, augmenter)


def test_a_crop_is_drawn_from_seed_epoch_and_record_alone(plan: recipes.Recipe) -> None:
    first, again, other = crops(plan), crops(plan), crops(dataclasses.replace(plan, seed=2))
    rows = {(epoch, k): first[epoch, k][0][0] for epoch in range(2) for k in range(4)}
    # In another order, and by another object, as another loader process has it.
    assert all(torch.equal(again[at][0][0], rows[at]) for at in reversed(rows))
    assert not any(torch.equal(other[at][0][0], x) for at, x in rows.items())
    assert not any(torch.equal(rows[0, k], rows[1, k]) for k in range(4))
    assert [first[0, k][1] for k in range(4)] == [0, 1, 2, 3]
    for x in rows.values():
        assert x.shape == (1, 1, 3000)
        assert x.abs().max() <= plan.window.clip


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_records_of_an_epoch_out(processes: int) -> None:
    orders = [EpochOrder(20, 1, 0, k, processes) for k in range(processes)]
    seen = []
    for epoch in (0, 1):
        for order in orders:
            order.set_epoch(epoch)
        parts = [list(order) for order in orders]
        assert {len(part) for part in parts} == {20 // processes} == {len(order) for order in orders}
        assert {at for part in parts for at, _ in part} == {epoch}
        records = [k for part in parts for _, k in part]
        assert len(set(records)) == len(records)
        assert set(records) <= set(range(20))
        seen.append(records)
    assert seen[0] != seen[1], "shuffled anew"
    assert [k for _, k in EpochOrder(20, 1, 1, 0, processes)] == seen[1][: 20 // processes]


# ---- figures


def decisions(seed: int, n: int = 500, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.choice(classes, n, p=[0.6, 0.1, 0.27, 0.03])
    return reference, np.where(rng.random(n) < 0.7, reference, rng.integers(0, classes, n))


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_torchmetrics(seed: int) -> None:
    reference, decided = decisions(seed)
    mine = metrics.summary(reference, decided, cinc2017.CLASSES, resamples=50)
    t, d = torch.from_numpy(reference), torch.from_numpy(decided)
    f1 = multiclass_f1_score(d, t, 4, average=None)
    assert mine["accuracy"] == pytest.approx(multiclass_accuracy(d, t, 4, average="micro").item(), abs=6e-5)
    assert mine["macro_f1"] == pytest.approx(f1.mean().item(), abs=6e-5)
    assert mine["f1_mean_n_a_o"] == pytest.approx(f1[:3].mean().item(), abs=6e-5)
    assert list(mine["f1"].values()) == pytest.approx(f1.tolist(), abs=6e-5)
    assert mine["confusion"] == multiclass_confusion_matrix(d, t, 4).tolist()
    assert mine["records"] == 500


def test_a_class_that_never_occurs_counts_as_zero() -> None:
    f1 = metrics.f1_by_class(metrics.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 4))
    np.testing.assert_allclose(f1, [2 / 3, 2 / 3, 0, 0])


def test_the_interval_holds_the_figure_repeats_and_narrows_with_more_records() -> None:
    small, large = (metrics.summary(*decisions(0, n), cinc2017.CLASSES, 300) for n in (200, 5000))
    for one in (small, large):
        for name in ("accuracy", "macro_f1"):
            low, high = one[f"{name}_interval"]
            assert low <= one[name] <= high
    width = [one["accuracy_interval"][1] - one["accuracy_interval"][0] for one in (small, large)]
    assert width[0] == pytest.approx(width[1] * 5, rel=0.3)
    # Normal approximation: +-1.96 standard errors of a share.
    p = large["accuracy"]
    assert width[1] == pytest.approx(2 * 1.96 * (p * (1 - p) / 5000) ** 0.5, rel=0.15)
    assert metrics.summary(*decisions(0, 200), cinc2017.CLASSES, 300) == small


def test_record_means_and_softmax() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 4)) * 100
    mine = metrics.softmax(logits)
    np.testing.assert_allclose(mine, torch.from_numpy(logits).softmax(dim=1).numpy(), atol=1e-12)
    record = np.array([0, 1, 1, 3, 3, 3, 0])
    means = metrics.mean_by_record(mine, record, 5)
    for number in (0, 1, 3):
        np.testing.assert_allclose(means[number], mine[record == number].mean(axis=0))
    assert means[[2, 4]].tolist() == [[0, 0, 0, 1]] * 2, "too short for a window: told noisy"


def test_the_watched_figures_are_over_records(plan: recipes.Recipe) -> None:
    """Three windows of a record, one of them sure of another class, are one decision."""
    module, logged = WindowClassifier(plan), {}
    module.log_dict = lambda values, **_: logged.update(values)
    probability = torch.tensor([[0.6, 0.4, 0, 0], [0.6, 0.4, 0, 0], [0.1, 0.9, 0, 0], [0, 0, 1, 0]])
    label, record = torch.tensor([1, 1, 1, 2]), torch.tensor([0, 0, 0, 1])
    module._seen = [(probability[:2], label[:2], record[:2]), (probability[2:], label[2:], record[2:])]
    module.on_validation_epoch_end()
    assert logged["inner_accuracy"] == 1.0
    assert module._seen == []
    # Record 1 may be too short for a window, and its class may not be the first.
    module._seen = [(probability, label, torch.tensor([0, 0, 0, 2]))]
    module.on_validation_epoch_end()
    assert logged["inner_accuracy"] == 1.0


# ---- checkpoints


def test_a_checkpoint_comes_back_as_it_was(plan: recipes.Recipe, tmp_path: Path) -> None:
    net = WindowClassifier(plan).net
    checkpoint.save(tmp_path / "x.pt", net.state_dict(), plan, {"accuracy": 0.5})
    loaded = checkpoint.load(tmp_path / "x.pt")
    assert loaded.recipe == plan
    assert loaded.inner == {"accuracy": 0.5}
    assert not loaded.net.training
    for a, b in zip(net.state_dict().values(), loaded.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_a_checkpoint_that_is_none_is_refused_in_one_line(plan: recipes.Recipe, tmp_path: Path) -> None:
    path, net = tmp_path / "x.pt", WindowClassifier(plan).net
    recipe = dataclasses.asdict(plan)
    wide = {**recipe, "net": {**recipe["net"], "stem": 8}}
    content = {"format": 1, "inner": {}, "state": net.state_dict()}
    cases: list[tuple[object, str]] = [
        ({**content, "recipe": wide}, "does not fit its recipe"),
        ({**content, "recipe": {**recipe, "architecture": "resnet"}}, "'resnet'"),
        ({**content, "recipe": {}}, "unknown or missing"),
        ({**content, "recipe": recipe, "state": 3}, "another kind"),
        ({**content, "format": 2, "recipe": recipe}, "another kind"),
        (content, "another kind"),
        (net.state_dict(), "another kind"),
        ([1, 2], "another kind"),
    ]
    for value, match in cases:
        torch.save(value, path)
        with pytest.raises(DataError, match=match) as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_refused_in_one_line(plan: recipes.Recipe, tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with pytest.raises(DataError, match=r"no checkpoint x\.pt"):
        checkpoint.load(path)
    checkpoint.save(path, WindowClassifier(plan).net.state_dict(), plan, {})
    whole = path.read_bytes()
    for damaged in (
        b"",
        b"abc",
        b"PK\x03\x04",
        b"\x80\x02.",
        whole[:100],
        whole[: len(whole) // 2],
        whole[:-10],
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"x\.pt") as caught:
            checkpoint.load(path)
        assert "\n" not in str(caught.value)


def test_a_checkpoint_runs_no_code_when_it_is_read(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'trapped'}",)

    torch.save({"format": 1, "state": Trap()}, tmp_path / "x.pt")
    with pytest.raises(DataError, match="cannot be read"):
        checkpoint.load(tmp_path / "x.pt")
    assert not (tmp_path / "trapped").exists()


# ---- norms


def test_settled_norms_have_the_statistics_of_what_they_see() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, (1, 5)), nn.BatchNorm2d(3), nn.SiLU())
    net[1].running_mean.fill_(99.0)
    data = [torch.randn(16, 1, 1, 200) * 3 + 1 for _ in range(6)]
    before = [p.clone() for p in net.parameters()]
    settle_norms(net, [(x,) for x in data], 0)
    with torch.no_grad():
        seen = torch.stack([net[0](x).mean(dim=(0, 2, 3)) for x in data]).mean(dim=0)
        spread = torch.stack([net[0](x).transpose(0, 1).flatten(1).var(dim=1) for x in data]).mean(dim=0)
    torch.testing.assert_close(net[1].running_mean, seen)
    torch.testing.assert_close(net[1].running_var, spread)
    assert net[1].momentum == 0.1
    assert not net.training
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


# ---- whole runs


def weights(path: Path) -> list[torch.Tensor]:
    return list(checkpoint.load(path).net.state_dict().values())


def epochs_logged(folder: Path) -> list[int]:
    """Epochs whose inner figures stand in the logs of all the runs in a folder."""
    found = []
    for log in sorted(
        folder.glob("log/version_*/metrics.csv"), key=lambda p: int(p.parent.name.split("_")[1])
    ):
        header, *rows = log.read_text().splitlines()
        column = {name: i for i, name in enumerate(header.split(","))}
        found += [int(row.split(",")[column["epoch"]]) for row in rows if row.split(",")[column["inner_f1"]]]
    return found


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "ecgedge", "train", *map(str, words)]


@pytest.fixture(scope="module")
def trained(
    cinc_like: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Output folder of one run by the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    words = command(tiny(folder), "--root", cinc_like, "--out", folder / "out")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    return folder / "out", subprocess.run(words, capture_output=True, text=True, env=environment, check=False)


def test_the_command_trains_quietly_and_leaves_a_checkpoint(trained) -> None:
    out, done = trained
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    loaded = checkpoint.load(out / "tiny.pt")
    assert loaded.recipe.name == "tiny"
    assert loaded.inner["records"] == 12
    assert sum(map(sum, loaded.inner["confusion"])) == 12
    assert all(torch.isfinite(w).all() for w in weights(out / "tiny.pt"))
    assert epochs_logged(out / "tiny") == [0, 1]
    with torch.no_grad():
        assert loaded.net(torch.randn(2, 1, 1, 3000)).shape == (2, 4)


@pytest.mark.usefixtures("one_thread")
def test_the_same_seed_gives_the_same_weights_and_another_others(
    trained, cinc_like: Path, tmp_path: Path
) -> None:
    same = run.train(str(tiny(tmp_path)), cinc_like, tmp_path / "same")
    other = run.train(str(tiny(tmp_path, seed=2)), cinc_like, tmp_path / "other")
    reference = weights(trained[0] / "tiny.pt")
    assert all(torch.equal(a, b) for a, b in zip(weights(same), reference, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights(other), reference, strict=True))


class Interruption(lightning.pytorch.callbacks.Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt


def interrupted(monkeypatch: pytest.MonkeyPatch, plan: Path, data: Path, out: Path) -> None:
    """A run that ends after its first epoch, with all of an interrupt's ways through Lightning."""
    real = lightning.Trainer

    def trainer(*, callbacks, **keywords):
        return real(callbacks=[*callbacks, Interruption()], **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(lightning, "Trainer", trainer)
        with pytest.raises(KeyboardInterrupt):
            run.train(str(plan), data, out)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("workers", [0, 1])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    trained, cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    plan, handler = tiny(tmp_path), signal.getsignal(signal.SIGINT)
    interrupted(monkeypatch, plan, cinc_like, tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (tmp_path / "tiny.pt").exists()
    assert (tmp_path / "tiny" / "last.ckpt").exists()
    finished = run.train(str(plan), cinc_like, tmp_path, workers=workers)
    assert epochs_logged(tmp_path / "tiny") == [0, 1]
    whole = weights(trained[0] / "tiny.pt")
    assert all(torch.equal(a, b) for a, b in zip(weights(finished), whole, strict=True))


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_run_killed_at_any_moment_goes_on_as_if_nothing_had_been(
    trained, cinc_like: Path, tmp_path: Path
) -> None:
    words = command(tiny(tmp_path), "--root", cinc_like, "--out", tmp_path, "--threads", 1)
    for wait_s in (0.0, 0.2):  # from when the first epoch is kept, or is about to be
        process = subprocess.Popen(words)
        try:
            end = time.monotonic() + 90
            while not any((tmp_path / "tiny").glob("last.*")) and time.monotonic() < end:
                time.sleep(0.005)
            time.sleep(wait_s)
        finally:
            process.kill()
            process.wait()
    finished = run.train(str(tmp_path / "tiny.toml"), cinc_like, tmp_path, threads=1)
    whole = weights(trained[0] / "tiny.pt")
    assert all(torch.equal(a, b) for a, b in zip(weights(finished), whole, strict=True))


@pytest.mark.usefixtures("one_thread")
def test_a_finished_run_is_not_trained_again(trained, cinc_like: Path, tmp_path: Path) -> None:
    plan = tiny(tmp_path)
    first = weights(run.train(str(plan), cinc_like, tmp_path))
    again = weights(run.train(str(plan), cinc_like, tmp_path))
    assert epochs_logged(tmp_path / "tiny") == [0, 1]
    for one, two, whole in zip(first, again, weights(trained[0] / "tiny.pt"), strict=True):
        assert torch.equal(one, whole)
        assert torch.equal(one, two)


@pytest.mark.timeout(300)  # three interpreters import torch
def test_two_processes_share_the_batches_out(cinc_like: Path, tmp_path: Path) -> None:
    """Their weights stay the same on both; one of them writes."""
    words = command(tiny(tmp_path), "--root", cinc_like, "--out", tmp_path, "--devices", 2, "--threads", 1)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    content = torch.load(tmp_path / "tiny" / "last.ckpt", weights_only=True)
    # 38 records in batches of 8, as with one process.
    assert (content["epoch"], content["global_step"]) == (EPOCHS - 1, 8)
    assert all(torch.isfinite(w).all() for w in weights(tmp_path / "tiny.pt"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"devices": 3}, "a batch of 8 on 3 devices"),
        ({"precision": "8"}, "precision '8'"),
    ],
)
def test_what_this_machine_cannot_do_is_said_in_one_line(
    cinc_like: Path, tmp_path: Path, changes: dict[str, object], match: str
) -> None:
    with pytest.raises(UsageError, match=match) as caught:
        run.train(str(tiny(tmp_path)), cinc_like, tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_mixed_precision_trains_and_differs(trained, cinc_like: Path, tmp_path: Path) -> None:
    mixed = weights(run.train(str(tiny(tmp_path)), cinc_like, tmp_path, threads=1, precision="bf16"))
    whole = weights(trained[0] / "tiny.pt")
    assert all(w.dtype == v.dtype and torch.isfinite(w).all() for w, v in zip(mixed, whole, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(mixed, whole, strict=True))


def test_tensorboard_reads_the_figures_of_each_epoch(trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0] / "tiny" / "tensorboard"))
    events.Reload()
    for name in ("train_loss", "inner_f1", "inner_accuracy"):
        assert len(events.Scalars(name)) == EPOCHS
    with next((trained[0] / "tiny" / "log").glob("*/metrics.csv")).open() as log:
        written = [float(row["inner_f1"]) for row in csv.DictReader(log) if row["inner_f1"]]
    assert [event.value for event in events.Scalars("inner_f1")] == pytest.approx(written, abs=1e-6)


def test_a_recipe_with_the_published_augmentation_trains(cinc_like: Path, tmp_path: Path) -> None:
    head, _, _ = recipe_text(epochs=1, batch=4).partition("[augmentation]")
    path = tmp_path / "published.toml"
    path.write_text(f"{head}[published_augmentation]\np = 0.2\nfaithful = true\n")
    trained = checkpoint.load(run.train(str(path), cinc_like, tmp_path, threads=1))
    assert trained.recipe == recipes.load(str(path))
    assert all(torch.isfinite(w).all() for w in trained.net.state_dict().values())


@pytest.mark.usefixtures("one_thread")
def test_the_weights_are_the_average_over_the_steps(cinc_like: Path, tmp_path: Path) -> None:
    """With a decay of 0 the average is the last step; with the recipe's it lags behind."""
    last, slow = (
        run.train(str(tiny(tmp_path, ema_decay=decay)), cinc_like, tmp_path / str(decay))
        for decay in (0.0, 0.998)
    )
    content = torch.load(tmp_path / "0.0" / "tiny" / "last.ckpt", weights_only=True)
    final = content["current_model_state"]["net.stem.0.weight"]
    torch.testing.assert_close(checkpoint.load(last).net.stem[0].weight.detach(), final)
    assert not torch.allclose(checkpoint.load(slow).net.stem[0].weight, final, atol=1e-3)


def test_a_kept_run_of_another_recipe_or_a_broken_one_is_refused(
    trained, cinc_like: Path, tmp_path: Path
) -> None:
    last = trained[0] / "tiny" / "last.ckpt"
    (tmp_path / "tiny").mkdir()
    kept = tmp_path / "tiny" / "last.ckpt"
    kept.write_bytes(last.read_bytes())
    with pytest.raises(DataError, match="another recipe"):
        run.train(str(tiny(tmp_path, stem=8)), cinc_like, tmp_path)
    kept.write_bytes(last.read_bytes()[:500])
    with pytest.raises(DataError, match=r"last\.ckpt cannot be read") as caught:
        run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    assert "Delete" in str(caught.value)


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_epoch(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = WindowClassifier.training_step

    def poisoned(self, batch, batch_idx):
        if self.current_epoch == 1:
            batch = ([x * float("nan") for x in batch[0]], batch[1])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(WindowClassifier, "training_step", poisoned)
    with pytest.raises(DataError, match="loss became nan in epoch 2") as caught:
        run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "tiny.pt").exists()
    kept = torch.load(tmp_path / "tiny" / "last.ckpt", weights_only=True)
    assert all(torch.isfinite(w).all() for w in kept["state_dict"].values())
    monkeypatch.undo()
    run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    assert epochs_logged(tmp_path / "tiny") == [0, 1]


def test_more_in_a_batch_than_there_are_records(cinc_like: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="38 records to fit on, 64 a batch: 0 steps"):
        run.train(str(tiny(tmp_path, batch=64)), cinc_like, tmp_path)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("nonesuch", "--root", ".", "--out", "o"), "no recipe 'nonesuch'"),
        ((PLAIN, "--root", "nowhere", "--out", "o"), "nowhere is not a folder"),
        ((PLAIN, "--root", ".", "--out", "o"), "cinc2017"),
        ((SHIPPED, "--root", ".", "--out", "o"), "no checkpoint efficientecg-s-float-seed5.pt"),
    ],
)
def test_the_command_says_what_is_wrong_in_one_line(
    words: tuple[str, ...],
    match: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *words])
    assert ended.value.code == DataError.exit_code
    printed = capfd.readouterr()
    assert printed.out == ""
    assert match in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "o").exists()


class Screen(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stays on it: each line as it was last written over."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


def test_a_terminal_gets_a_line_an_epoch(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    path = run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    monkeypatch.undo()
    first, *epochs, settling, last, rest = screen.lines()
    assert first == "reading and conditioning the records"
    assert len(epochs) == 2
    for k, line in enumerate(epochs, 1):
        figures = r"loss \d\.\d{3}  inner macro F1 0\.\d{3}  accuracy \d\.\d{3}  \d+ s"
        assert re.fullmatch(rf"epoch {k}/2  {figures}", line)
    assert re.search(
        r"\repoch 1/2  \[#{6}\.{18}\] 1/4  \d:\d\d:\d\d left", screen.getvalue().replace("\x1b[K", "")
    )
    assert settling.startswith("measuring")
    assert last.startswith(f"wrote {path}: inner macro F1 0.")
    assert rest == ""
    assert capfd.readouterr() == ("", ""), "nothing of Lightning's own"


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_service_stopped_ends_with_130_and_keeps_the_last_epoch(cinc_like: Path, tmp_path: Path) -> None:
    words = command(tiny(tmp_path, epochs=5000), "--root", cinc_like, "--out", tmp_path)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        kept, end = tmp_path / "tiny" / "last.ckpt", time.monotonic() + 90
        while not kept.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, printed) == (130, b"")
    assert torch.load(kept, weights_only=True)["epoch"] >= 0
