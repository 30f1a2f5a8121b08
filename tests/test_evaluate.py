"""``evaluate`` and ``compare``: their figures, what they read, and what they say."""

from __future__ import annotations

import dataclasses
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from scipy import stats
from small_cinc import SHIPPED, tiny
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_precision,
    multiclass_recall,
)

from ecgedge import cli
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.classify import classify
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError, UsageError
from ecgedge.messages import Board, Message, Record, SampleBlock
from ecgedge.recordings import Recording
from ecgedge.training import checkpoint, compare, evaluate, metrics, run, scored_sets
from ecgedge.training import recipe as recipes
from ecgedge.training.model import open_model
from ecgedge.training.module import WindowClassifier

HEADLINE = ("accuracy", "macro_f1", "f1_mean_n_a_o")


def told(seed: int, n: int = 600, right: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    """Classes of records, and what somebody says of them."""
    rng = np.random.default_rng(seed)
    reference = rng.choice(4, n, p=[0.6, 0.1, 0.27, 0.03])
    return reference, np.where(rng.random(n) < right, reference, rng.integers(0, 4, n))


# ---- figures


@pytest.mark.parametrize("seed", range(3))
def test_recall_and_precision_are_those_of_torchmetrics(seed: int) -> None:
    reference, said = told(seed)
    mine = metrics.summary(reference, said, cinc2017.CLASSES, resamples=20)
    t, d = torch.from_numpy(reference), torch.from_numpy(said)
    recall, precision = (f(d, t, 4, average=None) for f in (multiclass_recall, multiclass_precision))
    assert list(mine["recall"].values()) == pytest.approx(recall.tolist(), abs=6e-5)
    assert list(mine["precision"].values()) == pytest.approx(precision.tolist(), abs=6e-5)


def test_what_was_never_there_or_never_told_has_no_recall_or_precision() -> None:
    mine = metrics.summary(np.array([0, 0, 1]), np.array([0, 2, 2]), cinc2017.CLASSES, resamples=20)
    assert mine["recall"] == {"N": 0.5, "A": 0.0, "O": None, "~": None}
    assert mine["precision"] == {"N": 1.0, "A": None, "O": 0.0, "~": None}


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_calibration_error_is_that_of_torchmetrics(sharpness: float) -> None:
    rng = np.random.default_rng(0)
    logits = sharpness * rng.normal(size=(2000, 4))
    reference = np.array([rng.choice(4, p=p) for p in metrics.softmax(logits / sharpness)])
    probabilities = metrics.softmax(logits)
    theirs = multiclass_calibration_error(torch.from_numpy(probabilities), torch.from_numpy(reference), 4, 15)
    assert metrics.calibration_error(probabilities, reference) == pytest.approx(theirs.item(), abs=1e-6)


def test_sure_and_right_is_calibrated_and_sure_and_wrong_is_not() -> None:
    sure = np.eye(4)[[0, 1, 2, 3]]
    assert metrics.calibration_error(sure, np.arange(4)) == 0
    assert metrics.calibration_error(sure, (np.arange(4) + 1) % 4) == 1


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 0), (3, 4), (10, 25), (800, 700), (1, 2000)])
def test_mcnemar_is_the_exact_binomial_test(first: int, second: int) -> None:
    n = first + second
    expected = stats.binomtest(first, n, 0.5).pvalue if n else 1.0
    assert metrics.mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_difference_is_that_of_the_summaries_and_turns_with_its_sides() -> None:
    reference, one = told(0)
    _, other = told(1, right=0.8)
    other = np.where(np.random.default_rng(9).random(600) < 0.8, reference, one)
    forth, back = (
        metrics.difference(reference, a, b, cinc2017.CLASSES, 300) for a, b in ((one, other), (other, one))
    )
    a, b = (metrics.summary(reference, said, cinc2017.CLASSES, 20) for said in (one, other))
    for name in HEADLINE:
        assert forth[name] == pytest.approx(b[name] - a[name], abs=1.1e-4)
        assert forth[name] == -back[name]
        low, high = forth[f"{name}_interval"]
        assert [-high, -low] == pytest.approx(back[f"{name}_interval"], abs=1e-4)
        assert low < forth[name] < high
    only = int(((one == reference) & (other != one)).sum())
    assert forth["only_first_right"] == back["only_second_right"] == only
    assert forth["mcnemar_p"] == back["mcnemar_p"] < 1e-6


def test_the_interval_of_a_difference_is_paired() -> None:
    """Accuracy of two that err on the same records: the normal approximation for paired shares."""
    reference, one = told(0, 4000)
    other = one.copy()
    other[:200] = reference[:200]
    row = metrics.difference(reference, one, other, cinc2017.CLASSES, 1000)
    low, high = row["accuracy_interval"]
    gained = (other == reference).astype(float) - (one == reference)
    assert (high - low) / 2 == pytest.approx(1.96 * gained.std() / 4000**0.5, rel=0.15)
    same = metrics.difference(reference, one, one, cinc2017.CLASSES, 100)
    assert [same[name] for name in HEADLINE] == [0, 0, 0]
    assert same["mcnemar_p"] == 1.0


@pytest.mark.parametrize("name", ["accuracy", "macro_f1"])
def test_intervals_agree_with_scipys_bootstrap(name: str) -> None:
    reference, said = told(3)

    def figure(rows: np.ndarray) -> float:
        r, s = reference[rows], said[rows]
        if name == "accuracy":
            return float((r == s).mean())
        return float(np.mean([2 * ((r == k) & (s == k)).sum() / ((r == k).sum() + (s == k).sum())
                              for k in range(4)]))  # fmt: skip

    theirs = stats.bootstrap(
        (np.arange(600),),
        figure,
        vectorized=False,
        n_resamples=4000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    ours = metrics.summary(reference, said, cinc2017.CLASSES)[f"{name}_interval"]
    # A fortieth of the resamples lies beyond either end, within the luck of 2000 of them.
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.1 * (theirs.high - theirs.low) / 2)


def test_two_classes_are_told_by_how_the_first_is_found() -> None:
    """Counts as on paper: 30 of 40 found, 5 of 60 told by mistake."""
    reference, said = np.repeat([0, 0, 1, 1], [30, 10, 5, 55]), np.repeat([0, 1, 0, 1], [30, 10, 5, 55])
    mine = metrics.summary(reference, said, ("AF", "-"), 20)
    assert mine["sensitivity"] == 0.75
    assert mine["specificity"] == pytest.approx(55 / 60, abs=6e-5)
    assert mine["ppv"] == pytest.approx(30 / 35, abs=6e-5)
    assert "f1_mean_n_a_o" not in mine
    none = metrics.summary(np.ones(9, int), np.ones(9, int), ("AF", "-"), 20)
    assert (none["sensitivity"], none["ppv"], none["sensitivity_interval"]) == (None, None, None)
    assert none["specificity"] == 1


def test_windows_of_one_record_are_drawn_together() -> None:
    """Records that are right or wrong as a whole: the interval is that of records, not of windows."""
    rng = np.random.default_rng(4)
    right = rng.random(100) < 0.8
    reference = np.repeat(rng.integers(0, 2, 100), 30)
    said = np.where(np.repeat(right, 30), reference, 1 - reference)
    groups = np.repeat(np.arange(100), 30)
    mine = metrics.summary(reference, said, ("AF", "-"), 500, groups)
    low, high = mine["accuracy_interval"]
    share = right.mean()
    assert (high - low) / 2 == pytest.approx(1.96 * (share * (1 - share) / 100) ** 0.5, rel=0.15)
    assert mine["accuracy"] == pytest.approx(share, abs=6e-5)
    assert mine["records"] == 100
    gain = metrics.difference(reference, said, reference, ("AF", "-"), 500, groups)
    assert gain["accuracy"] == pytest.approx(1 - mine["accuracy"], abs=1.1e-4)
    assert gain["accuracy_interval"] == pytest.approx([1 - high, 1 - low], abs=0.03)
    assert gain["mcnemar_p"] is None


# ---- evaluations


def save_untrained(folder: Path, **changes: object) -> Path:
    """A checkpoint of a tiny net that knows nothing, and so tells different classes."""
    plan = recipes.load(str(tiny(folder, **changes)))
    torch.manual_seed(5)
    net = WindowClassifier(plan).net
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    path = folder / f"{plan.name}.pt"
    checkpoint.save(path, net.state_dict(), plan, {})
    return path


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("checkpoint"))


def test_a_checkpoint_scores_as_training_scores_it(cinc_like: Path, untrained: Path) -> None:
    loaded = checkpoint.load(untrained)
    _, inner = run.training_sets(cinc_like, loaded.recipe)
    mine = evaluate.evaluate(open_model(str(untrained)), cinc_like)
    assert mine.names == inner.names
    assert mine.figures()["v2"] == run.score(loaded.net, inner, loaded.recipe)
    assert (mine.model, mine.arithmetic, mine.temperature) == ("tiny", "float32", 1.0)
    assert len(set(mine.decisions().tolist())) > 1
    for name, letter, newer in zip(mine.names, mine.reference["v2"], mine.reference["v3"], strict=True):
        assert (letter == newer) != (name == "A00060"), "labelled otherwise in v3"


def test_the_validation_split_is_the_published_list(cinc_like: Path, untrained: Path) -> None:
    mine = evaluate.evaluate(open_model(str(untrained)), cinc_like, "cinc2017", "validation")
    assert mine.names == cinc2017.published_split(cinc_like)[1]
    for record, letter in zip(cinc2017.records(cinc_like, mine.names), mine.reference["v2"], strict=True):
        assert record.labels["v2"] == (letter,)


def test_a_record_without_a_window_counts_as_told_noisy(cinc_like: Path, tmp_path: Path) -> None:
    path = save_untrained(tmp_path, minimum_s=29.0)
    mine = evaluate.evaluate(open_model(str(path)), cinc_like)
    lengths = [len(record.signal) / 300 for record in cinc2017.records(cinc_like, mine.names)]
    short = [k for k, seconds in enumerate(lengths) if seconds < 29]
    assert 0 < len(short) < len(lengths)
    assert {mine.decisions()[k] for k in short} == {3}
    assert mine.windows >= len(lengths) - len(short)


class Counts:
    """A recording of one lead, as ``classify`` reads it."""

    def __init__(self, name: str, counts: np.ndarray) -> None:
        self.board = Board(name, 300.0, 1.0, 16)
        self._counts = counts

    def blocks(self) -> list[SampleBlock]:
        return [SampleBlock(0, self._counts[:, None], self._counts.size / 300.0)]


def as_classified(record: cinc2017.Record) -> Record:
    """What ``ecgedge classify`` says of a record at its end."""
    counts: Recording = Counts(record.name, np.rint(record.lead() * 1000))  # type: ignore[assignment]
    said: list[Message] = list(classify(counts, record.name, (Classifier(open_bundle(SHIPPED)),)))
    assert isinstance(said[-1], Record)
    return said[-1]


def same_as_classified(root: Path, names: list[str], mine: evaluate.Evaluation) -> None:
    at = {name: k for k, name in enumerate(mine.names)}
    for record in cinc2017.records(root, names):
        device = as_classified(record)
        row = mine.probabilities[at[record.name]]
        # One step of the int8 input may fall the other way: see test_training's windows.
        np.testing.assert_allclose(row, [device.scores[c] for c in cinc2017.CLASSES], atol=0.02)
        assert cinc2017.CLASSES[int(np.argmax(row))] == device.label


def test_a_bundle_scores_as_the_device_classifies(cinc_like: Path) -> None:
    mine = evaluate.evaluate(open_model(SHIPPED), cinc_like, split="validation")
    assert (mine.model, mine.arithmetic) == (SHIPPED, "int8")
    assert mine.temperature == open_bundle(SHIPPED).manifest["temperature"]
    same_as_classified(cinc_like, mine.names, mine)


def test_a_bundle_scores_as_the_device_classifies_real_records(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model(SHIPPED)
    inner = scored_sets.SETS["cinc2017"]
    some = inner.names(data_dir, "inner", model.data)[:200:25]
    monkeypatch.setattr(inner, "names", lambda *_: some)
    mine = evaluate.evaluate(model, data_dir)
    assert mine.names == some
    assert set(mine.reference) == {"v2", "v3"}
    same_as_classified(data_dir, some, mine)


def test_int8_takes_the_bundle_of_a_checkpoints_name(tmp_path: Path) -> None:
    plan = recipes.load(SHIPPED)
    checkpoint.save(tmp_path / "x.pt", WindowClassifier(plan).net.state_dict(), plan, {})
    assert open_model(str(tmp_path / "x.pt")).arithmetic == "float32"
    model = open_model(str(tmp_path / "x.pt"), int8=True)
    assert (model.name, model.arithmetic) == (SHIPPED, "int8")
    assert model.data == plan.data


def test_windows_of_mitdb_are_af_where_the_reference_of_wfdb_says_so(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record 202 has AF and flutter, 100 neither."""
    wfdb = pytest.importorskip("wfdb")
    if not (data_dir / "mitdb.zip").is_file():
        pytest.skip("needs mitdb.zip in ECGEDGE_DATA")
    scored, model = scored_sets.SETS["mitdb"], open_model(SHIPPED)
    assert len(scored.names(data_dir, "ds1", None)) == len(scored.names(data_dir, "ds2", None)) == 22
    monkeypatch.setattr(scored, "names", lambda *_: ["100", "202"])
    mine = evaluate.evaluate(model, data_dir, "mitdb", "ds2")
    with zipfile.ZipFile(data_dir / "mitdb.zip") as packed:
        for name in ("202.hea", "202.atr"):
            (tmp_path / name).write_bytes(packed.read(f"mitdb/{name}"))
    n, marks = wfdb.rdheader(str(tmp_path / "202")).sig_len, wfdb.rdann(str(tmp_path / "202"), "atr")
    rhythm = np.full(n, "", dtype="U8")
    for sample, note in zip(marks.sample, marks.aux_note, strict=True):
        if note.startswith("("):
            rhythm[sample:] = note.rstrip("\0")
    expected = {f"100 {begin} s": "-" for begin in range(0, 1771, 10)}
    for begin in range(0, n // 360 - 29, 10):
        piece = rhythm[begin * 360 : (begin + 30) * 360]
        af, flutter = (piece == "(AFIB").mean(), (piece == "(AFL").mean()
        if af >= 0.5 or af + flutter < 0.5:
            expected[f"202 {begin} s"] = "AF" if af >= 0.5 else "-"
    found = dict(zip(mine.names, mine.reference["atr"], strict=True))
    assert {name: found[name] for name in expected} == expected
    assert len(found) - len(expected) <= 2, "the last window ends with the record"
    assert mine.records == 2
    assert sorted(set(mine.groups)) == [0, 1]
    af = np.array([row[0] for row in mine.probabilities])
    true = np.array([one == "AF" for one in mine.reference["atr"]])
    assert stats.mannwhitneyu(af[true], af[~true]).statistic / (true.sum() * (~true).sum()) > 0.95
    evaluate.save(mine, tmp_path / "x.json")
    assert evaluate.read(tmp_path / "x.json") == mine


# ---- files


@pytest.fixture(scope="module")
def kept(cinc_like: Path, untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two evaluations of the inner records."""
    folder = tmp_path_factory.mktemp("kept")
    first = evaluate.evaluate(open_model(str(untrained)), cinc_like)
    evaluate.save(first, folder / "first.json")
    rolled = [row[1:] + row[:1] for row in first.probabilities]
    evaluate.save(dataclasses.replace(first, model="rolled", probabilities=rolled), folder / "second.json")
    return folder


def test_an_evaluation_comes_back_as_it_was(kept: Path) -> None:
    one = evaluate.read(kept / "first.json")
    evaluate.save(one, kept / "again.json")
    assert (kept / "again.json").read_bytes() == (kept / "first.json").read_bytes()
    content = json.loads((kept / "first.json").read_text())
    assert content["figures"] == json.loads(json.dumps(one.figures()))
    assert content["note"] == scored_sets.SETS["cinc2017"].splits["inner"]


def test_files_are_compared_without_the_data(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    words = [str(kept / name) for name in ("first.json", "second.json")]
    first, second = compare.evaluations(words, None, "cinc2017", "inner")
    (row,) = compare.differences([first, second])
    assert row["accuracy"] == pytest.approx(
        second.figures()["v2"]["accuracy"] - first.figures()["v2"]["accuracy"], abs=1.1e-4
    )
    monkeypatch.setenv("COLUMNS", "80")
    assert typed("compare", *words, "--out", tmp_path / "o") == 0
    out = capsys.readouterr().out
    assert "rolled (float32)" in out
    assert f"{row['accuracy']:+.4f}" in out
    written = json.loads((tmp_path / "o" / "comparison.json").read_text())
    assert written["differences"][0]["mcnemar_p"] == row["mcnemar_p"]
    assert written["first"]["model"] == "tiny"


def test_other_records_or_too_few_models_are_not_compared(kept: Path) -> None:
    one = evaluate.read(kept / "first.json")
    parts = ("names", "groups", "probabilities")
    fewer = dataclasses.replace(
        one,
        **{part: getattr(one, part)[:-1] for part in parts},
        reference={revision: said[:-1] for revision, said in one.reference.items()},
    )
    evaluate.save(fewer, kept / "fewer.json")
    with pytest.raises(DataError, match="differ in their records") as caught:
        compare.evaluations([str(kept / n) for n in ("first.json", "fewer.json")], None, "cinc2017", "inner")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="two or more"):
        compare.evaluations([str(kept / "first.json")], None, "cinc2017", "inner")


def test_models_of_one_name_are_told_apart(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As two checkpoints of one recipe in two folders; neither's files may lie on the other's."""
    pytest.importorskip("matplotlib")
    again = dataclasses.replace(evaluate.read(kept / "second.json"), model="tiny")
    evaluate.save(again, kept / "again.json")
    words = [kept / name for name in ("first.json", "again.json", "second.json")]
    assert typed("compare", *words, "--out", tmp_path) == 0
    assert "tiny (float32) #2" in " ".join(capsys.readouterr().out.split())
    stem = "tiny-float32-cinc2017-inner"
    for name, word in ((stem, "first"), (f"{stem}-2", "again")):
        assert evaluate.read(tmp_path / f"{name}.json") == evaluate.read(kept / f"{word}.json")
        assert (tmp_path / f"{name}.png").is_file()


def test_a_file_of_another_split_than_asked_for_is_refused(kept: Path) -> None:
    words = [str(kept / name) for name in ("first.json", "second.json")]
    assert len(compare.evaluations(words, None, "cinc2017", "inner")) == 2
    for asked in (("cinc2017", "validation"), ("mitdb", None)):
        with pytest.raises(UsageError, match=r"first\.json is of cinc2017 inner; expected"):
            compare.evaluations(words, None, *asked)


def test_a_model_is_compared_on_the_split_of_the_file_beside_it(
    cinc_like: Path, untrained: Path, tmp_path: Path
) -> None:
    one = evaluate.evaluate(open_model(str(untrained)), cinc_like, "cinc2017", "validation")
    evaluate.save(one, tmp_path / "x.json")
    told = compare.evaluations([str(tmp_path / "x.json"), str(untrained)], cinc_like)
    assert told[0] == told[1] == one


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reference", {}),
        ("reference", {"v3": ["N"]}),
        ("probabilities", [[1.0]]),
        ("names", []),
        ("classes", ["N", "A"]),
        ("set", "other"),
        ("split", "ds1"),
    ],
)
def test_an_evaluation_that_does_not_hang_together_is_refused(
    kept: Path, tmp_path: Path, key: str, value: object
) -> None:
    content = json.loads((kept / "first.json").read_text())
    (tmp_path / "x.json").write_text(json.dumps(content | {key: value}))
    with pytest.raises(DataError, match=r"x\.json cannot be read") as caught:
        evaluate.read(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", '{"evaluation": 1}', '{"evaluation": 2}'])
def test_a_file_that_is_no_evaluation_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=r"x\.json") as caught:
        evaluate.read(tmp_path / "x.json")
    assert "\n" not in str(caught.value)


# ---- the commands


def typed(*words: object) -> int:
    with pytest.raises(SystemExit) as done:
        cli.main([str(word) for word in words])
    assert isinstance(done.value.code, int)
    return done.value.code


def test_evaluate_prints_what_it_writes(
    cinc_like: Path, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    image = pytest.importorskip("matplotlib.image")
    monkeypatch.setenv("COLUMNS", "80")
    words = ("evaluate", untrained, "--split", "validation", "--root", cinc_like, "--out", tmp_path / "o")
    assert typed(*words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    paths = [Path(line) for line in out.splitlines()[-2:]]
    assert [path.suffix for path in paths] == [".json", ".png"]
    content = json.loads(paths[0].read_text())
    first, other = content["figures"]["v2"], content["figures"]["v3"]
    for name in HEADLINE:
        assert f"{first[name]:.4f} (" in out
        assert f"{other[name]:.4f}" in out
    assert f"{content['calibration']['records']:.3f}" in out
    assert "every look at them counts" in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines()[:-2])
    pixels = image.imread(paths[1])
    assert pixels.ndim == 3
    assert pixels.std() > 0.05, "something is drawn"


@pytest.mark.parametrize(
    ("words", "code", "match"),
    [
        (("evaluate", "nonesuch.pt"), 6, "no checkpoint nonesuch.pt"),
        (("evaluate", "nonesuch"), 4, "no model 'nonesuch'"),
        (("evaluate", SHIPPED, "--split", "test"), 2, "--split test; expected one of inner, validation"),
        (("evaluate", SHIPPED, "--data", "mitdb", "--split", "inner"), 2, "expected one of ds1, ds2"),
        (("evaluate", SHIPPED, "--data", "mitdb"), 6, "the data set mitdb"),
        (("evaluate", SHIPPED, "--data", "mitbih"), 2, "--data mitbih"),
        (("evaluate", SHIPPED, "--root", "nowhere"), 6, "nowhere"),
        (("compare", SHIPPED), 2, "1 model to compare"),
        (("compare", SHIPPED, "nonesuch.pt"), 6, "nonesuch.pt"),
    ],
)
def test_the_commands_say_what_is_wrong_in_one_line(
    words: tuple[str, ...],
    code: int,
    match: str,
    cinc_like: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECGEDGE_DATA", str(cinc_like))
    assert typed(*words) == code
    out, err = capsys.readouterr()
    assert match in err
    assert (out, err.count("\n")) == ("", 1)


def test_a_checkpoint_of_another_architecture_is_said_in_one_line(
    tmp_path: Path, cinc_like: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_untrained(tmp_path)
    content = torch.load(path, weights_only=True)
    content["recipe"]["net"]["stem"] = 8
    torch.save(content, path)
    assert typed("evaluate", path, "--root", cinc_like) == DataError.exit_code
    err = capsys.readouterr().err
    assert "does not fit its recipe" in err
    assert err.count("\n") == 1


def test_the_command_needs_no_more_than_it_says(tmp_path: Path, monkeypatch, capsys) -> None:
    """Pictures are refused before any record is read."""
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert typed("evaluate", SHIPPED, "--root", tmp_path, "--out", tmp_path / "o") == 7
    assert "[plot]" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
