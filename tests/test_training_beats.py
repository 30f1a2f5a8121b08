"""Training a beat model: recipes, labels, rules, augmentation, whole small runs, and the figures."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from torchmetrics.functional.classification import multiclass_f1_score
from wfdb import processing

from ecgedge.beat_figures import INTERVALS
from ecgedge.datasets import mitdb
from ecgedge.datasets.record import Record
from ecgedge.errors import DataError, UsageError
from ecgedge.messages import Beat
from ecgedge.models import build
from ecgedge.models.ecg_sl import BeatDecoder
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.recordings.annotations import Annotation, encode
from ecgedge.scoring.beats import BeatCounts
from ecgedge.training import checkpoint, tasks
from ecgedge.training.beats import evaluate, figures, report, run, sets, weak
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats.augment import augment
from ecgedge.training.beats.data import CLASSES, NONE, SYMBOLS, find_beats, match, rows_of, stack, windows_of
from ecgedge.training.beats.module import Reconstruction
from ecgedge.training.recipe import RECIPES

SMALL = {"channels": [4, 4, 4, 4, 4], "width": 8, "layers": 1, "heads": 2, "feedforward": 8}
NAMES = ["101", "106", "108"]
ALONE = {"weak": 0, "made": 0, "blocked": 0, "fibrillating": 0, "records": 0}
"""Nothing but these records."""


def recipe_text(shipped: str = "ecg-sl", **changes: object) -> str:
    """A shipped recipe with a small net; ``changes`` replace the values of keys, wherever they stand."""
    values = {**SMALL, "batch": 4, "epochs": 1, "beat_epochs": 1, "masked_epochs": 1, **changes}
    text = (RECIPES / f"{shipped}.toml").read_text(encoding="utf-8")
    for key, value in values.items():
        line = f"{key} = {json.dumps(value)}"
        text, n = re.subn(rf"^{key} = .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        assert n == 1, key
    return text


def small(folder: Path, shipped: str = "ecg-sl", **changes: object) -> Path:
    path = folder / "small.toml"
    path.write_text(recipe_text(shipped, name="small", **changes), encoding="utf-8")
    return path


def counts_of(seed: int, seconds: float) -> np.ndarray:
    """Two leads of a simulated patient, the second one turned over, int16."""
    one = np.concatenate([piece.counts for piece in SimulatedPatient(seed, seconds).pieces()])
    return np.stack([one, -one], axis=1).astype("<i2")


def write_record(folder: Path, name: str, counts: np.ndarray, rate: float, marks: dict[str, bytes]) -> None:
    gain = 1000 / UV_PER_COUNT
    lines = [f"{name}.dat 16 {gain}/mV 16 0 0 0 0 {lead}\n" for lead in ("MLII", "V1")]
    leads = "".join(lines[: counts.shape[1]])
    (folder / f"{name}.hea").write_text(f"{name} {counts.shape[1]} {rate:g} {len(counts)}\n{leads}")
    (folder / f"{name}.dat").write_bytes(counts.astype("<i2").tobytes())
    for annotator, content in marks.items():
        (folder / f"{name}.{annotator}").write_bytes(content)


def mitdb_like(root: Path) -> Path:
    """Three records of a minute; every tenth beat is told S, every seventh V."""
    folder = root / "mitdb"
    folder.mkdir()
    for k, name in enumerate(NAMES):
        counts = counts_of(k, 60.0)
        beats = find_beats(counts[:, 0].astype(float), RATE_HZ)
        marks = [
            Annotation(b.sample, "A" if n % 10 == 4 else "V" if n % 7 == 3 else "N")
            for n, b in enumerate(beats)
        ]
        write_record(folder, name, counts, RATE_HZ, {"atr": encode(marks)})
    (folder / "RECORDS").write_text("\n".join(NAMES))
    (root / "splits").mkdir(exist_ok=True)
    lists = {"train": NAMES, "test": NAMES[:1]}
    (root / "splits" / "mitdb_dechazal.json").write_text(json.dumps(lists))
    return root


@pytest.fixture(scope="module")
def mit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mitdb_like(tmp_path_factory.mktemp("mit"))


# -- recipes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("ecg-sl*.toml")))
def test_shipped_recipes_are_whole(name: str) -> None:
    plan = recipes.load(name)
    assert plan.name == name
    assert tasks.of_recipe(name).run == "beats.run"
    assert recipes.from_table(checkpoint.dataclasses.asdict(plan), "again") == plan


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("task", "rhythm", "task"),
        ("set", "nowhere", "set"),
        ("emit", [6], "emit"),
        ("emit", [14, 6], "places"),
        ("class_weights", [1.0, 2.0], "class_weights"),
        ("clip", 0.0, "clip"),
        ("template_beats", 8, "medians"),
        ("polarity", 1.5, "augmentation"),
        ("highpass_hz", 50.0, "preprocessing"),
        ("epochs", 0, "epochs"),
        ("leads", [], "leads"),
        ("blocked", -1, "blocked"),
        ("fibrillating", -1, "fibrillating"),
        ("beside", ["cinc2017"], "beside"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_one_line(
    tmp_path: Path, key: str, value: object, named: str
) -> None:
    with pytest.raises(DataError, match=named) as caught:
        recipes.load(str(small(tmp_path, "ecg-sl-svdb", **{key: value})))
    assert "\n" not in str(caught.value)


# -- labels -------------------------------------------------------------------------------------------


def beat(sample: int) -> Beat:
    return Beat(sample, sample / 360, None, 1.0, True)


def test_matching_is_mutual_and_near() -> None:
    marks = [Annotation(s, c) for s, c in ((100, "N"), (400, "A"), (700, "V"), (1000, "j"), (1300, "Q"))]
    beats = [beat(s) for s in (104, 380, 420, 755, 1001, 1300)]
    told = match(beats, marks, 360.0)
    # 380 and 420 are as near to one mark, which has the first of them; 755 is 55 off, and 54 is 150 ms.
    assert [CLASSES[k] if k != NONE else "-" for k in told] == ["N", "S", "-", "-", "N", "-"]


def test_matching_agrees_with_wfdb(data_dir: Path) -> None:
    (record,) = mitdb.records(data_dir, ["208"])
    beats = find_beats(record.lead(), record.rate_hz)
    marks = record.beats()
    theirs = processing.compare_annotations(
        np.array([m.sample for m in marks]), np.array([b.sample for b in beats]), round(0.15 * record.rate_hz)
    )
    told = match(beats, [replace(m, symbol="N") for m in marks], record.rate_hz)
    assert abs(int((told == CLASSES.index("N")).sum()) - theirs.tp) <= 2


def test_rows_hold_each_beats_own_label() -> None:
    plan = recipes.load("ecg-sl")
    signal = counts_of(0, 60.0)[:, 0].astype(float)
    beats = find_beats(signal, RATE_HZ)
    windows = windows_of(signal, RATE_HZ, plan.spec, plan.preprocessing, beats)
    labels = np.arange(len(beats), dtype=np.int8) % 4
    rows = rows_of(windows, labels, plan.spec)
    assert rows[rows != NONE].tolist() == labels.tolist()
    assert stack([windows], [rows], plan.spec, 8.0).segments.dtype == np.float16


def test_rules_are_right_on_annotated_records(data_dir: Path) -> None:
    plan = recipes.load("ecg-sl")
    names = {"100", "209", "220", "223", "118", "119"} & set(mitdb.inter_patient_split(data_dir)[0])
    found = sets.windows(sets.pieces(data_dir, plan, names, 0), plan)
    told = weak.by_rules(found, "O" * (int(found.records.max()) + 1), plan.spec)
    both = (told != NONE) & (found.labels != NONE)
    for name, least in (("N", 0.97), ("S", 0.85), ("V", 0.9)):
        said = both & (told == CLASSES.index(name))
        assert said.sum() > 20
        assert (found.labels[said] == CLASSES.index(name)).mean() > least
    # In atrial fibrillation nothing is told early, whatever the intervals.
    assert set(np.unique(weak.by_rules(found, "A" * 10, plan.spec))) <= {NONE, CLASSES.index("N")}


def test_made_recordings_keep_the_classes_of_the_others(data_dir: Path) -> None:
    plan = recipes.load("ecg-sl")
    plan = replace(plan, data=replace(plan.data, made=3))
    pieces = list(sets.made_pieces(data_dir, plan, {"119", "220"}))
    assert len(pieces) == 2 * 2 + 3
    names = sorted({"119", "220"})
    for record, made in zip(mitdb.records(data_dir, names), (pieces[0], pieces[2]), strict=True):
        was = Counter(SYMBOLS[m.symbol] for m in record.beats() if m.symbol in SYMBOLS)
        now = Counter(SYMBOLS[m.symbol] for m in made.told)
        assert now["V"] == was["V"]
        assert now["S"] > was["S"] + 20
        assert now.total() == was.total()
    found = sets.windows(pieces[:4], plan)
    told = (found.labels == CLASSES.index("S")).sum()
    assert told > 0.9 * sum(SYMBOLS[m.symbol] == "S" for piece in pieces[:4] for m in piece.told)


def test_blocked_recordings_lose_normal_beats_alone(data_dir: Path) -> None:
    plan = recipes.load("ecg-sl")
    plan = replace(plan, data=replace(plan.data, blocked=3))
    pieces = list(sets.blocked_pieces(data_dir, plan, {"119", "220"}))
    assert len(pieces) == 2 * 2 + 3
    for record, piece in zip(mitdb.records(data_dir, ["119", "220"]), (pieces[0], pieces[2]), strict=True):
        was = Counter(SYMBOLS[m.symbol] for m in record.beats() if m.symbol in SYMBOLS)
        now = Counter(SYMBOLS[m.symbol] for m in piece.told)
        assert {k: now[k] for k in "SVF"} == {k: was[k] for k in "SVF"}
        assert 0.5 * was["N"] < now["N"] < was["N"] - 50


def test_fibrillating_recordings_keep_all_classes(data_dir: Path) -> None:
    plan = recipes.load("ecg-sl")
    plan = replace(plan, data=replace(plan.data, fibrillating=3))
    pieces = list(sets.fibrillating_pieces(data_dir, plan, {"119", "220"}))
    assert len(pieces) == 2 * 2 + 3
    for record, piece in zip(mitdb.records(data_dir, ["119", "220"]), (pieces[0], pieces[2]), strict=True):
        assert [m.symbol for m in piece.told] == [m.symbol for m in record.beats() if m.symbol in SYMBOLS]


# -- augmentation -------------------------------------------------------------------------------------


def batch(n: int = 6) -> list[torch.Tensor]:
    torch.manual_seed(3)
    parts = [torch.randn(n, 1, 16, columns) for columns in (80, 80, len(INTERVALS))]
    parts[2] = 0.2 * parts[2].clamp(-3, 3)
    parts[2][..., -1] = 1.0
    for part in parts:
        part[:, :, :2] = 0.0  # empty places
    return parts


def test_no_augmentation_changes_nothing() -> None:
    for a, b in zip(augment(batch(), recipes.AugmentationOptions()), batch(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_augmentation_keeps_the_template_and_the_empty_places() -> None:
    plan = recipes.load("ecg-sl")
    given = batch()
    before = given[0] - given[1]
    made = augment(given, plan.augmentation)
    template = made[0] - made[1]
    factor = (template * before).sum(dim=(1, 2, 3)) / (before**2).sum(dim=(1, 2, 3))
    assert torch.allclose(template, before * factor[:, None, None, None], atol=1e-4)
    assert (factor.abs() > 0.5).all()
    for part in made:
        assert not part[:, :, :2].any()
        assert (part[:, :, 2:] != 0).any()
    assert (made[2][:, :, 2:, INTERVALS.index("a beat is there")] == 1).all()
    for part, untouched in zip(given, batch(), strict=True):
        assert torch.equal(part, untouched)


# -- whole runs ---------------------------------------------------------------------------------------


def test_a_run_goes_through_its_stages_and_is_not_run_again(mit: Path, tmp_path: Path) -> None:
    path = small(tmp_path, inner=["106"], **ALONE)
    made = run.train(str(path), mit, tmp_path / "out")
    trained = checkpoint.load_as(made, recipes.from_table)
    assert trained.inner["beats"] > 40
    stages = {folder.name for folder in (tmp_path / "out" / "small").iterdir()}
    assert stages == set(run.STAGES)
    first = {k: v.clone() for k, v in trained.net.state_dict().items()}
    again = checkpoint.load_as(run.train(str(path), mit, tmp_path / "out"), recipes.from_table)
    assert all(torch.equal(v, first[k]) for k, v in again.net.state_dict().items())
    with pytest.raises(DataError, match="another recipe"):
        run.train(str(small(tmp_path, inner=["108"], **ALONE)), mit, tmp_path / "out")


def test_a_set_beside_is_learned_from_and_not_chosen_by(mit: Path, tmp_path: Path) -> None:
    """In the form of SVDB: 128 Hz, its own leads, beats in ``atr``."""
    root = mitdb_like(tmp_path)
    folder = root / "svdb"
    folder.mkdir()
    counts = counts_of(9, 60.0)
    beats = find_beats(counts[:, 0].astype(float), RATE_HZ)
    marks = [Annotation(b.sample, "S" if n % 3 else "N") for n, b in enumerate(beats)]
    write_record(folder, "800", counts, RATE_HZ, {"atr": encode(marks)})
    (folder / "RECORDS").write_text("800\n")
    path = small(tmp_path, "ecg-sl-svdb", inner=["106"], **ALONE)
    plan = recipes.load(str(path))
    both, alone = (
        sets.load_sets(root, plan),
        sets.load_sets(mit, replace(plan, data=replace(plan.data, beside=[]))),
    )
    more = both.fit.labels[len(alone.fit) :]
    told = Counter(more[more != NONE].tolist())
    assert told[CLASSES.index("S")] == pytest.approx(2 * 2 / 3 * len(beats), abs=6)  # of both leads
    assert set(told) == {CLASSES.index("N"), CLASSES.index("S")}
    assert len(set(both.fit.records)) == len(set(alone.fit.records)) + 2
    np.testing.assert_array_equal(both.inner.segments, alone.inner.segments)
    made = checkpoint.load_as(run.train(str(path), root, tmp_path / "out"), recipes.from_table)
    assert made.inner["beats"] == sum((alone.inner.labels != NONE).ravel())
    with pytest.raises(DataError, match="svdb"):
        sets.load_sets(mit, plan)


def test_pre_training_brings_the_error_down(mit: Path, tmp_path: Path) -> None:
    path = small(tmp_path, inner=["106"], **ALONE)
    plan = replace(recipes.load(str(path)), augmentation=recipes.AugmentationOptions())
    loaded = sets.load_sets(mit, plan)
    torch.manual_seed(0)
    net = build(plan.architecture, plan.net)
    module = Reconstruction(net, BeatDecoder(80, (4,) * 5, 8), plan, masked=False)  # type: ignore[arg-type]
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    given = run.batch(loaded.unlabelled, slice(0, 16))
    losses = []
    for _ in range(80):
        loss = module.loss_of(given)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


def test_a_net_learns_what_is_told(mit: Path, tmp_path: Path) -> None:
    """V is told of every seventh beat whatever it looks like: the positions cannot tell, so N wins."""
    path = small(tmp_path, inner=["106"], **ALONE, beat_epochs=0, masked_epochs=0, epochs=3)
    trained = checkpoint.load_as(run.train(str(path), mit, tmp_path / "out"), recipes.from_table)
    assert set(trained.inner["f1"]) == set(CLASSES)
    assert trained.inner["recall"]["F"] is None


# -- figures ------------------------------------------------------------------------------------------


def test_a_perfect_annotator_has_perfect_figures(mit: Path) -> None:
    (record,) = mitdb.records(mit, ["101"])
    marks = record.beats()
    told = np.array([{"N": 0, "A": 1, "V": 2}[m.symbol] for m in marks])
    counts = evaluate.count(record, [beat(m.sample) for m in marks], told)
    rows = evaluate.figures({"101": counts, "106": counts})
    for name in "NSV":
        assert rows[name]["f1"] == 1.0
        assert rows[name]["f1_interval"] == [1.0, 1.0]
    assert rows["F"]["f1"] is None


def test_figures_are_ec57s_with_escape_beats_as_n() -> None:
    marks = [Annotation(400 * k, c) for k, c in enumerate("NjAVFQAVN", 1)]
    record = Record("x", np.zeros((4000, 1)), 360.0, ("I",), annotations={"atr": tuple(marks)})
    told = "NNSVVSNNS"
    counts = evaluate.count(
        record, [beat(m.sample) for m in marks], np.array([CLASSES.index(c) for c in told])
    )
    rows = evaluate._point([counts])
    # S: A found, Q forgiven, A missed, N called S. V: V found, F forgiven, V missed.
    assert (rows["S"]["sensitivity"], rows["S"]["ppv"]) == (0.5, 0.5)
    assert (rows["V"]["sensitivity"], rows["V"]["ppv"]) == (0.5, 1.0)
    assert (rows["N"]["beats"], rows["N"]["hits"]) == (3, 2)
    ratios = counts.figures()
    assert ratios["s_ppv"].value == rows["S"]["ppv"]
    assert ratios["v_se"].value == rows["V"]["sensitivity"]


def test_summary_against_torchmetrics() -> None:
    plan = recipes.load("ecg-sl")
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, (50, 8)).astype(np.int8)
    logits = rng.normal(size=(50, 8, 4)) + 2 * np.eye(4)[labels.clip(0)]
    told = figures.summary(labels, logits, plan)
    known = labels.reshape(-1) >= 0
    wanted = multiclass_f1_score(
        torch.from_numpy(logits.reshape(-1, 4)[known].argmax(axis=1)),
        torch.from_numpy(labels.reshape(-1)[known].astype(np.int64)),
        4,
        average="none",
    )
    assert list(told["f1"].values()) == pytest.approx(wanted.tolist(), abs=1e-4)
    assert told["macro_f1"] == pytest.approx(float(wanted[:3].mean()), abs=1e-4)


def test_evaluate_prints_and_keeps_the_table(
    mit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small(tmp_path, inner=["106"], **ALONE, beat_epochs=0, masked_epochs=0)
    made = run.train(str(path), mit, tmp_path / "out")
    (kept,) = report.command(str(made), mit, int8=False, data=None, split=None, out=tmp_path / "told")
    shown = capsys.readouterr().out
    assert "mitdb inner, 1 records" in shown
    content = json.loads(kept.read_text())
    counts = BeatCounts(content["matrices"]["106"])
    (record,) = mitdb.records(mit, ["106"])
    assert counts.count("NSV", "NSVFQOX") == len(record.beats())
    for odd in ({"data": "cinc2017", "split": None}, {"data": None, "split": "validation"}):
        with pytest.raises(UsageError):
            report.command(str(made), mit, int8=False, out=None, **odd)  # type: ignore[arg-type]


# -- other tasks, on synthesised recordings in the form of their sets -----------------------------------


def ptbxl_like(root: Path) -> Path:
    """24 recordings of 10 s at 100 Hz: every other one with a superclass of MI, some with none."""
    folder = root / "ptbxl"
    (folder / "records100").mkdir(parents=True)
    rows = []
    for k in range(24):
        codes = ("{'NORM': 100.0}", "{'IMI': 80.0, 'LVH': 50.0}", "{'SR': 0.0}")[k % 3]
        rows.append([k + 1, "1.0", "60.0", "1", codes, str(1 + k % 10), f"records100/{k:05}_lr", "none"])
        counts = counts_of(k, 12.0)
        at = np.arange(1000) * RATE_HZ / 100
        lead = np.interp(at, np.arange(len(counts)), counts[:, 0])
        write_record(folder / "records100", f"{k:05}_lr", np.rint(lead)[:, None], 100, {})
        header = folder / "records100" / f"{k:05}_lr.hea"
        header.write_text(header.read_text().replace("MLII", "V5"))
    heads = ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr"]
    with (folder / "ptbxl_database.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([heads, *rows])
    statements = ",description,diagnostic_class\nNORM,,NORM\nIMI,,MI\nLVH,,HYP\nSR,,\n"
    (folder / "scp_statements.csv").write_text(statements)
    return root


def apnea_like(root: Path) -> Path:
    """Three nights of four minutes at 100 Hz, every other minute with apnoea."""
    folder = root / "apnea-ecg"
    folder.mkdir()
    for k, name in enumerate(("a01", "b01", "c01", "x01")):
        counts = counts_of(k, 245.0)
        at = np.arange(24_000) * RATE_HZ / 100
        lead = np.interp(at, np.arange(len(counts)), counts[:, 0])
        marks = [Annotation(6000 * m, "AN"[(k + m) % 2]) for m in range(4)]
        write_record(folder, name, np.rint(lead)[:, None], 100, {"apn": encode(marks)} if k < 3 else {})
    (folder / "RECORDS").write_text("a01\nb01\nc01\nx01\n")
    return root


def test_superclasses_of_ptbxl_several_at_a_time(tmp_path: Path) -> None:
    root = ptbxl_like(tmp_path)
    path = small(tmp_path, "ecg-sl-ptbxl", records=0, beats=12, emit=[0, 12])
    plan = recipes.load(str(path))
    loaded = sets.load_sets(root, plan)
    # Folds 1 to 8 to fit, 9 to choose; the tenth is left alone.
    assert int(loaded.fit.records.max()) + 1 == 20
    assert int(loaded.inner.records.max()) + 1 == 2
    first = [loaded.fit.labels[loaded.fit.records == k][0].tolist() for k in range(3)]
    assert first == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1], [0, 0, 0, 0, 0]]
    trained = checkpoint.load_as(run.train(str(path), root, tmp_path / "out"), recipes.from_table)
    assert set(trained.inner["f1"]) == {"NORM", "MI", "STTC", "CD", "HYP"}


def test_minutes_of_apnea(tmp_path: Path) -> None:
    root = apnea_like(tmp_path)
    path = small(tmp_path, "ecg-sl-apnea", inner_share=0.33, records=0, batch=1)
    loaded = sets.load_sets(root, recipes.load(str(path)))
    # One window a minute: no heart beats 120 times here.
    assert len(loaded.fit) + len(loaded.inner) == 12
    assert sorted(np.concatenate([loaded.fit.labels, loaded.inner.labels])[:, 0]) == [0] * 6 + [1] * 6
    made = run.train(str(path), root, tmp_path / "out")
    assert checkpoint.load_as(made, recipes.from_table).inner["windows"] == 4


def test_rhythm_of_cinc_2017(cinc_like: Path, tmp_path: Path) -> None:
    made = {}
    for pooling in ("attention", "mean"):
        path = small(tmp_path, "ecg-sl-rhythm", records=10, inner_share=0.25, pooling=pooling)
        out = tmp_path / pooling
        made[pooling] = checkpoint.load_as(run.train(str(path), cinc_like, out), recipes.from_table)
    assert made["mean"].net.pool is None
    assert set(made["attention"].inner["f1"]) == {"N", "A", "O", "~"}
    with pytest.raises(UsageError, match="mitdb"):
        evaluate.open_model(str(tmp_path / "mean" / "small.pt"), cinc_like)
