"""The export command: what it writes, what it prints, and what it says when it cannot."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'export'")
pytest.importorskip("onnx2tf", reason="needs the extra 'export'")
pytest.importorskip("lightning", reason="needs the extra 'export'")

import torch

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError, MissingExtraError
from ecgedge.golden import verify
from ecgedge.models import build
from ecgedge.training import checkpoint
from ecgedge.training import recipe as recipes
from ecgedge.training.data import WindowDataset, load_cinc2017
from export import __main__ as command

SHIPPED = "efficientecg-s"
ROOT = Path(__file__).resolve().parents[1]


# ---- the whole of it, once


@pytest.fixture(scope="module")
def exported(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Folder of the bundle that the command writes, and what it printed on both streams."""
    folder = tmp_path_factory.mktemp("export") / "new"
    words = [sys.executable, "-m", "export", SHIPPED, "--root", str(data_dir), "--out", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_prints_its_own_lines_and_no_others(exported: tuple[Path, str, str]) -> None:
    folder, printed, errors = exported
    scored = open_bundle(str(folder / f"{SHIPPED}.json")).manifest["metrics"]
    rows = [(part, kind) for part in ("inner", "validation") for kind in scored[part]]
    assert {kind for _, kind in rows} >= {"float", "int8"}
    patterns = [
        r"converted: float \d+ bytes, int8 \d+ bytes",
        r"gate passed: parity \d\.\de-\d\d, equal decisions [01]\.\d{4}",
        *(rf"{part} +{kind} +accuracy 0\.\d{{4}}  macro F1 0\.\d{{4}}" for part, kind in rows),
        rf"bundle written: {SHIPPED}, \d+ bytes, in {re.escape(str(folder))}",
    ]
    lines = printed.splitlines()
    assert len(lines) == len(patterns), printed
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), line
    assert errors == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_bundle_is_sound_and_scores_as_the_shipped_one(exported: tuple[Path, str, str]) -> None:
    made, shipped = open_bundle(str(exported[0] / f"{SHIPPED}.json")), open_bundle(SHIPPED)
    assert len(verify(made)) == len(verify(shipped))
    assert set(made.manifest) == set(shipped.manifest)
    for key in ("name", "classes", "words", "window", "preprocessing", "parameters", "data"):
        assert made.manifest[key] == shipped.manifest[key], key
    for part in ("inner", "validation"):
        assert set(made.manifest["metrics"][part]) == set(shipped.manifest["metrics"][part])
        for kind in shipped.manifest["metrics"][part]:
            mine, theirs = made.manifest["metrics"][part][kind], shipped.manifest["metrics"][part][kind]
            for figure in ("accuracy", "macro_f1", "f1_mean_n_a_o"):
                assert mine[figure] == pytest.approx(theirs[figure], abs=0.003), (part, kind, figure)
            assert mine["records"] == theirs["records"] == {"inner": 700, "validation": 1528}[part]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_bundle_decides_as_the_shipped_one(exported: tuple[Path, str, str], data_dir: Path) -> None:
    plan = recipes.load(SHIPPED)
    names = cinc2017.published_split(data_dir)[1][:50]
    rows = WindowDataset(load_cinc2017(data_dir, names, plan), plan)
    firsts = {rows[i][2]: rows[i][0][0].numpy() for i in reversed(range(len(rows)))}
    assert len(firsts) == 50
    made, shipped = (
        Classifier(open_bundle(name)) for name in (str(exported[0] / f"{SHIPPED}.json"), SHIPPED)
    )
    shape = tuple(open_bundle(SHIPPED).manifest["inputs"][0]["shape"])
    for window in firsts.values():
        mine, theirs = (
            next(iter(one.raw(one.quantise({"signal": window.reshape(shape)})).values())).reshape(-1)
            for one in (made, shipped)
        )
        assert int(np.argmax(mine)) == int(np.argmax(theirs))


# ---- what goes wrong


@pytest.fixture
def own_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(command, "CHECKPOINTS", tmp_path)
    return tmp_path


def refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> tuple[str, int]:
    """One line on standard error and the exit code of the command."""
    monkeypatch.setattr(sys, "argv", ["export", *words])
    with pytest.raises(SystemExit) as ended:
        command.main()
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("export: ")
    assert err.count("\n") == 1, err
    return err, ended.value.code


def test_no_such_checkpoint(capfd, monkeypatch, tmp_path: Path) -> None:
    said, code = refused(capfd, monkeypatch, "nonesuch", "--root", str(tmp_path))
    assert "no checkpoint nonesuch.pt" in said
    assert code == DataError.exit_code


def test_no_data(capfd, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ECGEDGE_DATA", raising=False)
    out = tmp_path / "out"
    assert refused(capfd, monkeypatch, SHIPPED, "--out", str(out))[1] == DataError.exit_code
    assert not out.exists()
    said, code = refused(capfd, monkeypatch, SHIPPED, "--root", str(tmp_path), "--out", str(out))
    assert "cinc2017" in said
    assert code == DataError.exit_code
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "cinc2017_dualnet.json").write_text(
        json.dumps({"train": ["A00001"], "validation": ["A00002"]})
    )
    said, _ = refused(capfd, monkeypatch, SHIPPED, "--root", str(tmp_path), "--out", str(out))
    assert "neither cinc2017.zip" in said


def test_a_folder_that_cannot_be_made(capfd, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    where = ("--root", str(tmp_path), "--out", str(tmp_path / "file" / "x"))
    said, code = refused(capfd, monkeypatch, SHIPPED, *where)
    assert "--out" in said
    assert code == 2


def test_a_broken_checkpoint(capfd, monkeypatch, own_checkpoints: Path) -> None:
    whole = (ROOT / "export" / "checkpoints" / f"{SHIPPED}.pt").read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        (own_checkpoints / "x.pt").write_bytes(content)
        said, code = refused(capfd, monkeypatch, "x", "--root", str(own_checkpoints))
        assert "x.pt cannot be read" in said
        assert code == DataError.exit_code


def test_a_checkpoint_of_another_net_or_name(capfd, monkeypatch, own_checkpoints: Path) -> None:
    plan = recipes.load(SHIPPED)
    state = build(plan.architecture, {"stem": 8}).state_dict()
    checkpoint.save(own_checkpoints / f"{SHIPPED}.pt", state, plan, {})
    said, code = refused(capfd, monkeypatch, SHIPPED, "--root", str(own_checkpoints))
    assert "does not fit its recipe" in said
    assert code == DataError.exit_code
    content = {"format": 1, "inner": {}, "state": state}
    recipe = {**dataclasses.asdict(plan), "architecture": "resnet"}
    torch.save({**content, "recipe": recipe}, own_checkpoints / "x.pt")
    said, _ = refused(capfd, monkeypatch, str(own_checkpoints / "x.pt"), "--root", str(own_checkpoints))
    assert "'resnet'" in said
    fine = build(plan.architecture, plan.net).state_dict()
    checkpoint.save(own_checkpoints / "x.pt", fine, plan, {})
    said, _ = refused(capfd, monkeypatch, "x", "--root", str(own_checkpoints))
    assert f"x.pt holds '{SHIPPED}'" in said
    checkpoint.save(own_checkpoints / "x.pt", fine, dataclasses.replace(plan, task="poetry"), {})
    said, _ = refused(capfd, monkeypatch, str(own_checkpoints / "x.pt"), "--root", str(own_checkpoints))
    assert "x.pt is a model for the task 'poetry'" in said
    torch.save({**content, "recipe": ["x"]}, own_checkpoints / "x.pt")
    assert "another kind of file" in refused(capfd, monkeypatch, "x", "--root", str(own_checkpoints))[0]


def test_a_checkpoint_by_its_path(capfd, monkeypatch, tmp_path: Path) -> None:
    """It may be called as it likes; what comes after the checkpoint is the same."""
    copy = tmp_path / "mine.pt"
    copy.write_bytes((ROOT / "export" / "checkpoints" / f"{SHIPPED}.pt").read_bytes())
    said, _ = refused(capfd, monkeypatch, str(copy), "--root", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "cinc2017" in said
    said, code = refused(capfd, monkeypatch, str(tmp_path / "none.pt"), "--root", str(tmp_path))
    assert "no checkpoint none.pt" in said
    assert code == DataError.exit_code


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("onnx2tf", "export")])
def test_a_missing_extra_is_one_line(package: str, extra: str, tmp_path: Path) -> None:
    """A process in which the package cannot be found, as without the extra."""
    hidden = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['export', {SHIPPED!r}]; "
    words = [sys.executable, "-c", hidden + "from export.__main__ import main; main()"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == MissingExtraError.exit_code
    assert done.stdout == ""
    assert done.stderr.startswith(f"export: this command needs {package}, which is not installed")
    assert done.stderr.count("\n") == 1
    assert f"pip install '.[{extra}]'" in done.stderr


# ---- the converters' chatter


CHATTER = """
import os, subprocess, sys, warnings
from ecgedge.errors import EcgedgeError
from export.quiet import quiet

print("before")
try:
    with quiet("talk"):
        print("from Python")
        os.write(1, b"from C, 1\\n")
        os.write(2, b"from C, 2\\n")
        subprocess.run([sys.executable, "-c", "print('from a program')"], check=True)
        warnings.warn("a warning")
        {end}
except BaseException as error:
    print(type(error).__name__, str(error))
print("after")
"""


def talk(end: str) -> tuple[list[str], str]:
    """Lines on standard output, and standard error, of a step that converts, prints, and ends somehow."""
    words = [sys.executable, "-c", CHATTER.format(end=end)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines(), done.stderr


def test_chatter_is_held_back() -> None:
    assert talk("pass") == (["before", "after"], "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("RuntimeError('it broke\\nat line 2')", "RuntimeError: it broke"),
        ("SystemExit(1)", "SystemExit: 1"),
        ("KeyError()", "KeyError: "),
    ],
)
def test_chatter_is_shown_when_the_step_fails(error: str, said: str) -> None:
    lines, errors = talk(f"raise {error}")
    assert lines == [
        "before",
        f"ConversionError talk failed ({said}). What it printed stands above.",
        "after",
    ]
    for line in ("from Python", "from C, 1", "from C, 2", "from a program"):
        assert line in errors


def test_errors_of_ours_pass_through() -> None:
    lines, errors = talk("raise EcgedgeError('ours')")
    assert lines == ["before", "EcgedgeError ours", "after"]
    assert "from C, 1" in errors


def test_an_interrupt_passes_through_and_gives_the_streams_back() -> None:
    assert talk("raise KeyboardInterrupt") == (["before", "KeyboardInterrupt ", "after"], "")
