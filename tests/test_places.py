"""Places that cannot be looked at, and names that no file can have: one line and the command's exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecgedge import cli, places
from ecgedge.errors import BundleError, EcgedgeError, RecordingError, UsageError

LONG = "n" * 300
"""Longer than a name may be on the file systems of Linux, macOS and Windows."""

DEMO = ("stream", "--port", "demo", "--speed", "max", "--duration", "1")


@pytest.fixture(params=["long", "closed"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A path at which nothing can be looked at."""
    monkeypatch.chdir(tmp_path)
    if request.param == "long":
        yield LONG
        return
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    if os.access(folder, os.X_OK):
        pytest.skip("this user may look everywhere")
    yield str(folder / "x")
    folder.chmod(0o700)


COMMANDS: list[tuple[tuple[str, ...], int]] = [
    (("stream", "--port", "{}"), 3),
    (("stream", "--port", "replay:{}"), 5),
    (("stream", "--port", "replay:{}.csv"), 5),
    (("stream", "--port", "demo", "--config", "{}"), 2),
    ((*DEMO, "--record", "{}"), 2),
    ((*DEMO, "--model", "{}.json"), 4),
    ((*DEMO, "--model", "{}"), 4),
    (("classify", "{}"), 5),
    (("classify", "{}", "--annotations", "{}"), 2),
    (("classify", "x.csv", "--model", "{}.tflite"), 4),
    (("convert", "{}.csv", "--to", "wfdb"), 5),
    (("score", "{}", "{}"), 5),
    (("models", "show", "{}.json"), 4),
    (("data", "list", "--root", "{}"), 6),
    (("data", "fetch", "cinc2017", "--root", "{}"), 6),
    (("probe", "--port", "{}"), 3),
    (("bench", "--compare", "{}"), 2),
]


@pytest.mark.parametrize(
    ("words", "code"), COMMANDS, ids=lambda x: " ".join(x) if isinstance(x, tuple) else x
)
def test_a_place_out_of_reach_is_one_line(
    nowhere: str, words: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main([word.format(nowhere) for word in words])
    err = capsys.readouterr().err
    assert (done.value.code, err.count("\n")) == (code, 1)
    assert err.startswith("ecgedge: ")
    assert nowhere in err


def test_a_microcontroller_s_files_cannot_go_out_of_reach(nowhere: str) -> None:
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    from ecgedge import mcu
    from ecgedge.bundle import open_bundle

    with pytest.raises(EcgedgeError, match="cannot be written"):
        mcu.export(open_bundle("ecg-sl"), Path(nowhere))


@pytest.mark.parametrize("words", [("evaluate", "ecg-sl"), ("train", "ecg-sl")], ids=" ".join)
def test_results_cannot_go_out_of_reach(
    nowhere: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    with pytest.raises(SystemExit) as done:
        cli.main([*words, "--root", str(tmp_path), "--out", nowhere])
    assert (done.value.code, "--out" in capsys.readouterr().err) == (2, True)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder in which nobody makes another")
def test_a_folder_that_cannot_be_made_is_refused() -> None:
    from ecgedge.training.place import made

    with pytest.raises(UsageError, match="a folder that can be written"):
        made(Path("/proc/a"))


def test_a_name_with_a_nul_is_refused() -> None:
    from ecgedge import open_stream
    from ecgedge.bundle import open_bundle

    with pytest.raises(UsageError, match="null"):
        open_stream("demo", record="a\0b")
    with pytest.raises(RecordingError, match=r"no such|null"):
        open_stream("replay:a\0b.csv")
    with pytest.raises(RecordingError, match=r"no such|null"):
        open_stream("replay:a\0b")
    with pytest.raises(BundleError, match="null"):
        open_bundle("a\0b.json")


def test_a_folder_is_there_or_can_be_made(tmp_path: Path) -> None:
    places.check_folder("x", tmp_path)
    places.check_folder("x", tmp_path / "new" / "newer")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    for other in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="a folder"):
            places.check_folder("x", other)


@pytest.mark.skipif(os.name != "posix", reason="users by number")
@pytest.mark.parametrize("words", [DEMO, ("config", "show")], ids=" ".join)
def test_a_user_without_a_home_needs_none(words: tuple[str, ...]) -> None:
    """As in a container that was given nothing but a number."""
    code = (
        "import pwd, sys\n"
        "def unknown(number): raise KeyError(number)\n"
        "pwd.getpwuid = unknown\n"
        "from ecgedge.cli import main\nmain()"
    )
    without = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CONFIG_HOME")}
    run = [sys.executable, "-c", code, *words]
    done = subprocess.run(run, env=without, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    home = subprocess.run(
        run, env={**without, "ECGEDGE_RECORD": "~/x"}, capture_output=True, text=True, timeout=100
    )
    assert (home.returncode, home.stderr.count("\n")) == (2, 1)
    assert "no home is known" in home.stderr


@pytest.mark.skipif(os.name != "posix", reason="rights")
def test_a_home_out_of_reach_holds_no_configuration(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", nowhere)
    with pytest.raises(SystemExit) as done:
        cli.main(["config", "show"])
    assert (done.value.code or 0) == 0
    assert "(not there)" in capsys.readouterr().out
