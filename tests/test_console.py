"""Every command with standard streams that are closed, or that cannot say every character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgedge.bundle import open_bundle

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell, and file names that are bytes")

PROGRAM = [sys.executable, "-m", "ecgedge"]
DEMO = ("stream", "--port", "demo", "--speed", "max", "--duration", "5")


def record(folder: Path, name: bytes = b"r.csv") -> bytes:
    """A recording of twelve seconds under a name that need not be text."""
    path = folder / os.fsdecode(name)
    at = np.arange(12 * 100) / 100
    rows = [f"{t:.2f},{np.exp(-(((t % 0.8) / 0.02) ** 2)):.3f}\n" for t in at]
    try:
        path.write_text("".join(["time [s],lead [mV]\n", *rows]), encoding="utf-8")
    except OSError:
        pytest.skip("a file system whose names are text")
    return os.fsencode(path)


def shell(redirection: str, *words: str | bytes, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """The program started by a shell with its streams redirected."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *PROGRAM, *words],
        env={**os.environ, **variables},
        capture_output=True,
        timeout=100,
    )


@pytest.mark.parametrize(
    "words",
    [DEMO, (*DEMO, "--format", "jsonl"), ("models",), ("--version",), ("config", "show"), ("boards",)],
    ids=" ".join,
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_command_ends_well_with_streams_closed(words: tuple[str, ...], closed: str) -> None:
    done = shell(closed, *words)
    assert (done.returncode, done.stderr) == (0, b"")
    assert bool(done.stdout) == (">&-" not in closed.replace("2>&-", ""))


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_recording_is_classified_with_a_stream_closed(tmp_path: Path, closed: str) -> None:
    done = shell(closed, "classify", record(tmp_path), "--model", "efficientecg-xs")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"efficientecg-xs" in done.stdout) == (closed == "2>&-")


def test_a_mistake_with_standard_error_closed_keeps_its_exit_code(tmp_path: Path) -> None:
    assert shell("2>&-", "classify", str(tmp_path / "none.csv")).returncode == 5


def test_models_are_opened_by_a_program_without_standard_error() -> None:
    code = (
        "import os, sys; sys.stderr = None; os.close(2)\n"
        "from ecgedge.bundle import open_bundle; from ecgedge.classifier import Classifier\n"
        "print(len(Classifier(open_bundle('ecg-sl')).bundle.model))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, timeout=100, check=True)
    assert int(done.stdout) == len(open_bundle("ecg-sl").model)


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii", "latin-1", "utf-8:surrogateescape"])
@pytest.mark.parametrize("name", [b"bad\xff.csv", "電µ.csv".encode()], ids=["bytes", "text"])
def test_a_name_that_cannot_be_said_is_escaped(tmp_path: Path, name: bytes, encoding: str) -> None:
    path = record(tmp_path, name)
    done = shell("", "classify", path, "--model", "efficientecg-xs", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    done.stdout.decode(encoding.partition(":")[0])
    done = shell("", "classify", path, "--format", "jsonl", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    last = json.loads(done.stdout.decode("ascii").splitlines()[-1])
    assert os.fsencode(last["path"]) == path


def test_json_is_ascii_whatever_the_output_can_say() -> None:
    done = shell("", "probe", "--port", "demo", "--speed", "max", "--seconds", "12", "--json")
    assert json.loads(done.stdout.decode("ascii"))["samples"] == 3000
    done = shell("", "models", "show", "danet", PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout.decode("ascii")) == open_bundle("danet").manifest


def test_the_live_line_comes_through_on_a_terminal_of_ascii() -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "TERM": "xterm"}
    words = [*PROGRAM, *DEMO]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as run:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
        assert run.wait(60) == 0
    os.close(ours)
    assert b"heart rate" in shown
    assert b"Traceback" not in shown


@pytest.mark.parametrize(
    "name", [b"bad\xff.csv", b"p$^$.csv", "電.csv".encode()], ids=["bytes", "mathtext", "text"]
)
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("plot", "{}", "--model", "efficientecg-xs"), "matplotlib"),
        (("explain", "{}", "--at", "6"), "matplotlib"),
        (("convert", "{}", "--to", "parquet"), "pyarrow"),
        (("convert", "{}", "--to", "parquet", "--out", "{}.parquet"), "pyarrow"),
        (("convert", "{}", "--to", "edf"), "edfio"),
        (("convert", "{}", "--to", "wfdb"), "numpy"),
        (("stream", "--port", "replay:{}", "--speed", "max", "--record", "kept"), "numpy"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, tuple) else x,
)
def test_a_file_of_any_name_is_worked_on(
    tmp_path: Path, name: bytes, words: tuple[str, ...], extra: str
) -> None:
    pytest.importorskip(extra)
    path = os.fsdecode(record(tmp_path, name))
    before = set(os.listdir(tmp_path))  # noqa: PTH208
    run = [*PROGRAM, *(word.format(path) for word in words)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, b"")
    assert set(os.listdir(tmp_path)) > before  # noqa: PTH208
