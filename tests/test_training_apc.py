"""Windows with a premature atrial beat: labels, manual attention, made beats, figures, steps of training."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

from ecgedge.errors import DataError, UsageError  # noqa: E402
from ecgedge.recordings.annotations import Annotation  # noqa: E402
from ecgedge.training import checkpoint, tasks  # noqa: E402
from ecgedge.training.apc import evaluate, figures, premature, run  # noqa: E402
from ecgedge.training.apc import recipe as recipes  # noqa: E402
from ecgedge.training.apc.data import Recording, scorable  # noqa: E402
from ecgedge.training.apc.draw import Pieces, StepWindows  # noqa: E402
from ecgedge.training.apc.sets import Sets, load_mitdb, training_lists  # noqa: E402
from ecgedge.training.apc.waves import Wave, WeightOptions, delineate, marked, marked_p, weights  # noqa: E402
from ecgedge.training.noise import Noise  # noqa: E402
from ecgedge.training.recipe import RECIPES  # noqa: E402
from ecgedge.training.trainer import Machine  # noqa: E402

RATE = 150.0
SHIPPED = ("danet", "danet-h", "danet-cnn", "danet-af")
QUIET = {"stretch": 0.0, "noise": 0.0, "wander": 0.0, "cut_out": 0.0}


def plan(**changes: Any) -> recipes.ApcRecipe:
    """The shipped recipe, small and quiet."""
    base = recipes.load("danet")
    steps = [dataclasses.replace(step, epochs=2) for step in base.steps]
    small = {"length": 1500, "weigher": 4, "channels": [4] * 8}
    quiet = dataclasses.replace(base.augmentation, **QUIET)
    optimiser = dataclasses.replace(base.optimiser, batch=8, epoch_windows=32)
    made = dataclasses.replace(
        base, name="tiny", net=small, steps=steps, augmentation=quiet, optimiser=optimiser
    )
    return dataclasses.replace(made, **changes)


def pulses(times_s: list[float], seconds: float = 60.0, width_s: float = 0.02) -> np.ndarray:
    """Narrow bumps of height 1."""
    t = np.arange(round(seconds * RATE)) / RATE
    return sum(np.exp(-0.5 * ((t - at) / width_s) ** 2) for at in times_s).astype(np.float32)


def recording(name: str, early_s: list[float], weighted: bool = True) -> Recording:
    """A minute at 75 beats a minute; each early beat stands for the ordinary one after it."""
    grid = [0.8 * k + 0.4 for k in range(74)]
    ordinary = [t for t in grid if not any(0 <= t - early < 0.8 for early in early_s)]
    signal = pulses(ordinary + early_s)
    manual = np.clip(signal, 0, 1) if weighted else None
    return Recording(name, signal, np.array(early_s), np.array(ordinary) * RATE, weights=manual)


# Recipes


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_recipes_can_be_read(name: str) -> None:
    made = recipes.load(name)
    assert made.name == name
    assert tasks.of_recipe(name) is tasks.TASKS["apc"]
    assert recipes.from_table(dataclasses.asdict(made), "again") == made


def test_the_compared_nets_learn_from_the_same_for_as_long() -> None:
    danet, hard, plain = (recipes.load(name) for name in SHIPPED[:3])
    for other in (hard, plain):
        for field in ("net", "preprocessing", "window", "data", "attention", "optimiser", "augmentation"):
            assert getattr(danet, field) == getattr(other, field)
        told = [step.epochs for step in danet.steps if step.trains != "weigher"]
        assert sum(told) == sum(step.epochs for step in other.steps)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": {"set": "ludb"}}, "one of"),
        ({"data": {"set": "mitdb", "inner": []}}, "records of mitdb"),
        ({"data": {"set": "mitdb", "inner": ["101"], "inner_share": 0.1}}, "records of mitdb"),
        ({"data": {"set": "mitdb", "inner": ["101"], "made": 1.5}}, "0 to 1"),
        ({"steps": []}, "one or more"),
        ({"steps": [{"trains": "all", "epochs": 1, "peak_rate": 0.1}]}, "5 or more"),
        ({"steps": [{"trains": "nothing", "epochs": 1, "peak_rate": 0.1}]}, "one or more"),
        ({"steps": [{"trains": "all", "epoch": 1, "peak_rate": 0.1}]}, "unknown or missing"),
        ({"architecture": "danet-cnn"}, "a weigher in danet only"),
        ({"net": {"length": 1000}}, "1500"),
        ({"attention": {"p": 2.0, "qrs": 0.3, "t": 0.3, "elsewhere": 0.1}}, "weights of 0 to 1"),
    ],
)
def test_what_no_run_can_use_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        recipes.from_table(dataclasses.asdict(plan()) | change, "x.toml")


# Waves


def test_manual_attention_holds_inside_a_wave_and_slopes_beside_it() -> None:
    options = WeightOptions(p=1.0, qrs=0.3, t=0.4, elsewhere=0.1, edge_s=0.04)
    waves = [Wave("P", 0.10, 0.20), Wave("QRS", 0.30, 0.40), Wave("T", 0.38, 0.60)]
    curve = weights(waves, 100, 100.0, options)
    assert curve[10:21] == pytest.approx(1.0)
    assert curve[30:35] == pytest.approx(0.3)
    assert curve[38:61] == pytest.approx(0.4)  # the greater one where two meet
    assert curve[8] == pytest.approx(0.55)  # half-way down the cosine
    assert curve[[0, 5, 26, 70]] == pytest.approx(0.1)
    assert (curve >= np.float32(0.1)).all()


def test_delineated_waves_are_an_onset_a_peak_and_an_end_in_a_row() -> None:
    row = [(0, ")"), (10, "("), (20, "p"), (30, ")"), (40, "N"), (60, "("), (70, "t"), (90, ")"), (95, "(")]
    found = marked([Annotation(at, symbol) for at, symbol in row], 100.0)
    assert found == [Wave("P", 0.1, 0.3), Wave("T", 0.6, 0.9)]
    (only,) = marked_p([Annotation(50, "p"), Annotation(70, "N")], 100.0)
    assert (only.onset_s + only.end_s) / 2 == pytest.approx(0.5)


def test_the_annotators_waves_are_those_that_wfdb_reads(data_dir: Path, tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    from ecgedge.datasets import ludb
    from ecgedge.datasets.archive import Archive

    record = next(ludb.records(data_dir, ("ii",)))
    with Archive(data_dir, "ludb") as archive:
        name = next(m for m in archive.members() if m.endswith(f"/{record.name}.ii"))
        (tmp_path / "r.ii").write_bytes(archive.read(name))
    read = wfdb.rdann(str(tmp_path / "r"), "ii")
    found = marked(record.annotations["ii"], record.rate_hz)
    kinds = {"p": "P", "N": "QRS", "t": "T"}
    wanted = Counter(kinds[symbol] for symbol in read.symbol if symbol in kinds)
    assert Counter(wave.kind for wave in found) == wanted
    ends = [s for s, symbol in zip(read.sample, read.symbol, strict=True) if symbol == ")"]
    assert [round(wave.end_s * record.rate_hz) for wave in found] == ends


def test_neurokit_finds_the_p_waves_that_ludb_s_annotators_marked(data_dir: Path) -> None:
    pytest.importorskip("neurokit2")
    from itertools import islice

    from ecgedge.datasets import ludb
    from ecgedge.training.data import condition

    spec = recipes.load("danet").preprocessing
    off = []
    for record in islice(ludb.records(data_dir, ("ii",)), 8):
        truth = marked(record.annotations["ii"], record.rate_hz)
        peaks = np.array([m.sample / record.rate_hz for m in record.annotations["ii"] if m.symbol == "N"])
        signal = condition(record.lead("ii"), record.rate_hz, spec)
        found = [w for w in delineate(signal, RATE, peaks) if w.kind == "P"]
        for wave in (w for w in truth if w.kind == "P"):
            middle = (wave.onset_s + wave.end_s) / 2
            off.append(min(abs((w.onset_s + w.end_s) / 2 - middle) for w in found))
    assert len(off) > 30
    assert np.median(off) < 0.02


# Labels


@pytest.mark.parametrize(
    ("at_s", "label"),
    [(9.9, 0), (10.0, None), (10.29, None), (10.31, 1), (19.69, 1), (19.71, None), (20.0, 0)],
)
def test_a_beat_near_the_edge_of_a_window_counts_neither_way(at_s: float, label: int | None) -> None:
    assert recording("r", [at_s]).label(10.0, 10.0, 0.3) == label


def test_windows_and_labels_are_those_counted_by_hand(data_dir: Path, tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    from ecgedge.datasets.archive import Archive

    made = recipes.load("danet-cnn")
    windows = scorable(load_mitdb(data_dir, ["220"], made), made)
    with Archive(data_dir, "mitdb") as archive:
        (tmp_path / "220.atr").write_bytes(archive.read("mitdb/220.atr"))
    read = wfdb.rdann(str(tmp_path / "220"), "atr")
    early = [s / 360 for s, symbol in zip(read.sample, read.symbol, strict=True) if symbol in "AaJS"]
    assert len(early) == 94
    wanted, unclear = {}, 0
    for begin in [*np.arange(0, 1795.1, 5.0), 650000 / 360 - 10]:
        inside = [at - begin for at in early if begin <= at < begin + 10]
        if inside and not any(0.3 <= at < 9.7 for at in inside):
            unclear += 1
        else:
            wanted[round(begin, 1)] = int(bool(inside))
    got = dict(zip(np.round(windows.begin_s, 1), windows.labels, strict=True))
    assert got == wanted
    assert windows.unclear == unclear
    assert windows.signals.shape == (len(wanted), 1500)
    assert np.abs(windows.signals.mean(axis=1)).max() < 0.1
    assert np.abs(windows.signals).max() <= made.window.clip


def test_nobody_is_in_two_lists(data_dir: Path) -> None:
    from ecgedge.datasets import mitdb

    fit, inner = training_lists(data_dir, recipes.load("danet"))
    _, test = mitdb.inter_patient_split(data_dir)
    assert sorted(inner) == sorted(recipes.load("danet").data.inner)
    assert not {*fit} & {*inner}
    assert not {*fit, *inner} & {*test}
    assert len(fit) + len(inner) == len(test) == 22


# Made beats


def test_a_moved_beat_is_early_and_what_follows_comes_up() -> None:
    beats = np.array([0.8 * k + 0.4 for k in range(12)]) * RATE
    signal = pulses((beats / RATE).tolist(), 10.0)
    chosen = premature.Advance(peak=int(beats[6]), earlier=45, cut=20, p_gain=1.0)
    out = premature.moved(signal, RATE, chosen)
    assert out.size == signal.size - 20
    found = np.flatnonzero((out[1:-1] > 0.7) & (out[1:-1] >= out[:-2]) & (out[1:-1] > out[2:])) + 1
    wanted = np.concatenate((beats[:6], [beats[6] - 45], beats[7:] - 20))
    assert found == pytest.approx(wanted, abs=1.5)
    curve = premature.moved_weights(np.clip(signal, 0.1, 1), RATE, chosen, 0.1)
    assert curve.size == out.size
    assert np.flatnonzero(curve > 0.9) == pytest.approx(np.flatnonzero(out > 0.9), abs=1)


def test_beats_are_moved_only_where_the_rhythm_is_even_and_by_as_much_as_said() -> None:
    rng = np.random.default_rng(1)
    even = np.array([0.8 * k + 0.4 for k in range(12)]) * RATE
    for share in (premature.EARLY, premature.HARDLY):
        for _ in range(50):
            chosen = premature.choose(even, RATE, share, rng)
            if chosen is None:
                assert share == premature.HARDLY
                continue
            assert share[0] - 0.02 <= 1 - chosen.earlier / 120 <= share[1] + 0.02
            assert 0 <= chosen.cut <= chosen.earlier
    assert premature.choose(even[:4], RATE, premature.EARLY, rng) is None
    ragged = np.cumsum([0.5, 0.9, 0.5, 0.9, 0.5, 0.9, 0.5, 0.9]) * RATE
    assert premature.choose(ragged, RATE, premature.EARLY, rng) is None


@pytest.mark.parametrize("made", [0.0, 1.0])
def test_drawn_windows_hold_what_their_label_says(made: float) -> None:
    """Early beats are the only ones after a short interval, so the intervals tell what was drawn."""
    recipe = plan(data=dataclasses.replace(plan().data, made=made))
    sets = [recording("a", [11.3, 25.0, 41.0]), recording("b", [])]
    pieces = Pieces(sets, [], recipe, Noise())
    rng = np.random.default_rng(2)
    labels = []
    for _ in range(60):
        signal, attention, label = pieces.labelled(rng)
        assert signal.shape == (1500,)
        assert attention is not None
        assert attention.shape == (1500,)
        tall = signal > 0.6 * signal.max()
        peaks = np.flatnonzero(tall & (signal >= np.roll(signal, 1)) & (signal > np.roll(signal, -1)))
        shortest = np.diff(peaks).min() / RATE
        assert (shortest < 0.72) == bool(label)
        labels.append(label)
    assert 8 <= sum(labels) <= 35  # a third


def test_the_same_index_draws_the_same_window_and_another_one_does_not() -> None:
    recipe = plan()
    windows = StepWindows(Pieces([recording("a", [11.6])], [], recipe, Noise()), recipe, 1)
    first, again, other = (windows[at][0] for at in ((0, 3), (0, 3), (1, 3)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# Figures


def test_areas_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    rng = np.random.default_rng(3)
    for ties in (False, True):
        labels = (rng.random(300) < 0.15).astype(np.int64)
        scores = rng.normal(labels * 0.8, 1.0)
        scores = np.round(scores) if ties else scores
        given = torch.from_numpy(1 / (1 + np.exp(-scores))), torch.from_numpy(labels)
        wanted = float(binary_average_precision(*given)), float(binary_auroc(*given))
        assert figures.average_precision(labels, scores) == pytest.approx(wanted[0], abs=1e-5)
        assert figures.area_under_roc(labels, scores) == pytest.approx(wanted[1], abs=1e-5)
    assert figures.average_precision(np.zeros(5, dtype=np.int64), np.arange(5.0)) is None
    assert figures.area_under_roc(np.ones(5, dtype=np.int64), np.arange(5.0)) is None


def test_a_threshold_finds_the_stated_share_and_no_lower_one_is_needed() -> None:
    rng = np.random.default_rng(4)
    labels = (rng.random(500) < 0.2).astype(np.int64)
    scores = rng.normal(labels, 1.0)
    at = figures.threshold_at(labels, scores, 0.8)
    found = figures.rates(labels, scores >= at)
    assert found["sensitivity"] >= 0.8
    assert figures.rates(labels, scores > at)["sensitivity"] < 0.8
    assert found["found"] + found["missed"] == labels.sum()
    assert found["specificity"] == pytest.approx(
        ((scores < at) & (labels == 0)).sum() / (labels == 0).sum(), abs=1e-4
    )


def test_tables_leave_record_232_out_of_the_headline_and_count_hours() -> None:
    names = ["100"] * 10 + ["105"] * 36 + ["232"] * 20
    labels = np.array([1] * 5 + [0] * 5 + [0] * 36 + [1] * 20)
    scores = np.array([1.0] * 4 + [-1.0] * 6 + [1.0] * 9 + [-1.0] * 27 + [1.0] * 20)
    from ecgedge.training.apc.data import Scorable

    windows = Scorable(names, np.zeros(66), labels, np.zeros((66, 4), dtype=np.float32), None, 3)
    told = evaluate.tables(windows, scores, 0.0, 5.0)
    assert told["without_232"]["sensitivity"] == 0.8
    assert told["all"]["sensitivity"] == 0.96
    assert told["free"]["records"] == ["105"]
    assert told["free"]["hours"] == 0.05
    assert told["free"]["false_windows_per_hour"] == 180.0
    assert told["unclear_windows"] == 3


# Training


@pytest.fixture
def sets() -> Sets:
    """Synthesised recordings."""
    fit = [recording("a", [11.3, 25.0, 41.0]), recording("b", [30.0]), recording("c", [])]
    return Sets(fit, [recording("d", [20.4]), recording("e", [])], [], fit[1:])


def parts(path: Path, prefix: str) -> dict[str, Any]:
    """Weights and statistics of a part of a kept net."""
    state = torch.load(path, weights_only=True)["state"]
    return {name: value for name, value in state.items() if name.startswith(prefix)}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_each_step_trains_its_part_and_leaves_the_other_alone(sets: Sets, tmp_path: Path) -> None:
    path = run.fit(plan(), tmp_path, tmp_path, Machine(threads=1), sets=sets)
    first, second, third = (tmp_path / "tiny" / f"step-{k}.pt" for k in (1, 2, 3))
    for name, value in parts(first, "weigher").items():  # but for the rounding of the average
        torch.testing.assert_close(parts(second, "weigher")[name], value, rtol=1e-5, atol=1e-7)
    assert not same(parts(first, "classifier"), parts(second, "classifier"))
    assert not same(parts(second, "weigher"), parts(third, "weigher"))
    assert not same(parts(second, "classifier"), parts(third, "classifier"))
    trained = checkpoint.load_as(path, recipes.from_table)
    assert same(trained.net.state_dict(), parts(third, ""))
    assert trained.inner["positive"] == scorable(sets.inner, plan()).labels.sum()


def test_an_interrupted_run_ends_with_the_very_weights(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.fit(plan(), tmp_path, tmp_path / "whole", Machine(threads=1), sets=sets)
    drawn = StepWindows.__getitem__

    def fails(self: StepWindows, at: tuple[int, int]) -> Any:
        if self._number == 1 and at[0] == 1:  # second step, second epoch
            raise KeyboardInterrupt
        return drawn(self, at)

    monkeypatch.setattr(StepWindows, "__getitem__", fails)
    with pytest.raises(KeyboardInterrupt):
        run.fit(plan(), tmp_path, tmp_path / "cut", Machine(threads=1), sets=sets)
    assert not (tmp_path / "cut" / "tiny.pt").exists()
    monkeypatch.setattr(StepWindows, "__getitem__", drawn)
    again = run.fit(plan(), tmp_path, tmp_path / "cut", Machine(threads=1), sets=sets)
    assert same(parts(whole, ""), parts(again, ""))


def test_a_kept_run_of_another_recipe_is_not_gone_on_with(sets: Sets, tmp_path: Path) -> None:
    run.fit(plan(steps=plan().steps[:1]), tmp_path, tmp_path, Machine(threads=1), sets=sets)
    (tmp_path / "tiny" / "step-1.pt").unlink()
    with pytest.raises(DataError, match="another recipe"):
        run.fit(plan(seed=9), tmp_path, tmp_path, Machine(threads=1), sets=sets)


@pytest.mark.parametrize("architecture", ["danet-h", "danet-cnn"])
def test_the_other_nets_train_too(architecture: str, sets: Sets, tmp_path: Path) -> None:
    made = plan(architecture=architecture, steps=[recipes.Step("all", 2, 0.001)])
    hard = architecture == "danet-h"
    inner = [dataclasses.replace(r, weights=r.weights if hard else None) for r in sets.inner]
    path = run.fit(made, tmp_path, tmp_path, Machine(threads=1), sets=dataclasses.replace(sets, inner=inner))
    trained = checkpoint.load_as(path, recipes.from_table)
    assert len(run.scores(trained.net, scorable(inner, made))) == trained.inner["windows"]


def test_a_recipe_is_trained_from_the_data_sets(data_dir: Path, tmp_path: Path) -> None:
    text = (RECIPES / "danet-cnn.toml").read_text(encoding="utf-8")
    text = text.replace("epochs = 24", "epochs = 1").replace("epoch_windows = 1536", "epoch_windows = 320")
    assert text.count("[16, 16, 32, 32, 64, 64, 96, 96]") == text.count("borrowed = 0.5") == 1
    text = text.replace("[16, 16, 32, 32, 64, 64, 96, 96]", "[4, 4, 4, 4, 4, 4, 4, 4]")
    (tmp_path / "x.toml").write_text(text.replace("borrowed = 0.5", "borrowed = 0.0"), encoding="utf-8")
    task = tasks.of_recipe(str(tmp_path / "x.toml"))
    path = tasks.module(task.run).train(str(tmp_path / "x.toml"), data_dir, tmp_path, threads=1)
    trained = checkpoint.load_as(path, recipes.from_table)
    assert path.name == "danet-cnn.pt"
    assert trained.inner["windows"] > 2000
    assert checkpoint.name_and_task(path) == ("danet-cnn", "apc")


def test_another_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="task 'rhythm'"):
        evaluate.open_model("efficientecg-s")
    af = recipes.load("danet-af")
    from ecgedge.models import build

    checkpoint.save(tmp_path / "af.pt", build(af.architecture, af.net).state_dict(), af, {})
    with pytest.raises(UsageError, match="cinc2017"):
        evaluate.open_model(str(tmp_path / "af.pt"))


def test_evaluate_says_of_the_bundle_what_the_exporter_saw(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from ecgedge.bundle import list_bundles, open_bundle
    from ecgedge.training.apc import report

    if "danet" not in list_bundles():
        pytest.skip("needs the bundle danet")
    (path,) = report.command("danet", data_dir, int8=False, data=None, split=None, out=tmp_path)
    told = json.loads(path.read_text(encoding="utf-8"))["figures"]
    kept = open_bundle("danet").manifest["metrics"]["inner"]["int8"]
    assert told["records"] == kept["records"]
    assert told["all"]["average_precision"] == pytest.approx(kept["all"]["average_precision"], abs=2e-4)
    said = capsys.readouterr().out
    assert all(len(line) <= 80 for line in said.splitlines())
    with pytest.raises(UsageError, match="--data cinc2017"):
        report.command("danet", data_dir, int8=False, data="cinc2017", split=None, out=None)
    with pytest.raises(UsageError, match="--split validation"):
        report.command("danet", data_dir, int8=False, data=None, split="validation", out=None)
