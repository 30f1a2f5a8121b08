"""The command line: what is typed reaches the session, and what goes wrong is said in one line."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ecgedge import __version__, cli, errors, words
from ecgedge.extras import needed
from ecgedge.messages import UNKNOWN, Beat, Person, Record
from ecgedge.sinks.jsonl import load_schema

ROOT = Path(__file__).resolve().parents[1]


def run(*words: str) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as done:
        cli.main(list(words))
    assert isinstance(done.value.code, int)
    return done.value.code


@dataclasses.dataclass(frozen=True)
class FakeOptions:
    """Stands for ``session.StreamOptions``; a test holds it against the real one."""

    port: str
    baud: int | None
    protocol: str
    models: tuple[str, ...]
    duration_s: float | None
    lead: str | None
    fs: float | None
    speed: float
    seed: int
    minimum_episode_s: float
    board: str | None = None
    samples: bool = False
    person: Person = UNKNOWN
    attention: bool = False
    reconnect: bool = True


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a fake session in place; ``.asked`` holds what it was asked, ``.act`` what it does."""
    fake: Any = types.ModuleType("ecgedge.session")
    fake.StreamOptions = FakeOptions
    fake.asked = []
    fake.act = lambda sink: 0

    def run_stream(options: FakeOptions, sink: Any) -> None:
        fake.asked.append(options)
        fake.act(sink)

    def classify_files(paths: list[str], **kwargs: Any) -> int:
        fake.asked.append((paths, kwargs))
        return int(fake.act(kwargs["sink"]))

    fake.run_stream, fake.classify_files = run_stream, classify_files
    monkeypatch.setitem(sys.modules, "ecgedge.session", fake)
    monkeypatch.setitem(sys.modules, "ecgedge.classify", fake)
    monkeypatch.setattr(words, "ignored", lambda models, person: "")
    monkeypatch.setattr(words, "rhythm_models", list)
    return fake


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the only line of standard error."""
    err = capsys.readouterr().err
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert err.startswith("ecgedge: ")
    return err


# -- words to options -------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"ecgedge {__version__}\n"


def test_without_a_command_comes_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    for word in ("stream", "classify", "ports", "models", "train", "Exit codes", "Not a medical device"):
        assert word in " ".join(out.split())


def test_stream_defaults(session: Any) -> None:
    assert run("stream", "--port", "demo") == 0
    assert session.asked == [
        FakeOptions("demo", None, "auto", ("efficientecg-s", "ecg-sl"), None, None, None, 1.0, 0, 30.0)
    ]


def test_every_flag_of_stream_arrives(session: Any) -> None:
    words = (
        "stream --port replay:a.csv --baud 9600 --protocol text --model a --model b.json --format jsonl "
        "--duration 90.5 --lead V1 --fs 360 --speed max --seed 7 --min-episode 12 "
        "--age 71 --sex f --attention --no-reconnect"
    )
    assert run(*words.split()) == 0
    told = ("replay:a.csv", 9600, "text", ("a", "b.json"), 90.5, "V1", 360.0, math.inf, 7, 12.0)
    assert session.asked == [FakeOptions(*told, person=Person(71.0, "f"), attention=True, reconnect=False)]


def test_every_flag_of_classify_arrives(session: Any) -> None:
    words = "classify a.hea b.csv --model x --fs 250 --lead 1 --format jsonl --sex m"
    assert run(*words.split()) == 0
    ((paths, kwargs),) = session.asked
    sink = kwargs.pop("sink")
    assert type(sink).__name__ == "JsonLinesSink"
    asked = {"models": ("x",), "fs": 250.0, "lead": "1", "person": Person(None, "m"), "attention": False}
    assert (paths, kwargs) == (["a.hea", "b.csv"], asked)


def test_the_real_session_takes_these_options() -> None:
    real = importlib.import_module("ecgedge.session").StreamOptions
    assert {f.name for f in dataclasses.fields(real)} == {f.name for f in dataclasses.fields(FakeOptions)}
    default = real(port="demo")
    assert (default.baud, default.protocol, default.models) == (None, "auto", words.DEFAULT_MODELS)
    assert (default.speed, default.seed, default.minimum_episode_s) == (1.0, 0, 30.0)


# -- what goes wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "stream",
        "stream --port demo --speed 0",
        "stream --port demo --speed nan",
        "stream --port demo --speed fast",
        "stream --port demo --baud x",
        "stream --port demo --baud 0",
        "stream --port demo --duration -1",
        "stream --port demo --duration nan",
        "stream --port demo --duration 1e308",
        "stream --port demo --fs 0",
        "stream --port demo --min-episode -1",
        "stream --port demo --format xml",
        "stream --port demo --nonsense",
        "stream demo",
        "classify",
        "classify a.csv --fs inf",
        "nonsense",
        "models show",
        "bench --seconds nan",
        "bench --seconds inf",
        "bench --seconds 1e308",
        "bench --seconds 0",
        "bench --threads 0",
        "bench --threads 100000",
    ],
)
def test_a_mistyped_command_is_one_line_and_exit_2(
    words: str, session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words.split()) == 2
    one_line(capsys)
    assert session.asked == []


KINDS = [
    errors.EcgedgeError,
    *(kind for kind in errors.EcgedgeError.__subclasses__() if kind.__module__ == errors.__name__),
]
"""Those of the command line; the exporter has more of its own."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("format_", ["text", "jsonl"])
def test_a_foreseen_error_is_one_line_with_its_exit_code(
    kind: type[errors.EcgedgeError], format_: str, session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(sink: Any) -> None:
        raise kind("got this", "that", "Do so.")

    session.act = act
    assert run("stream", "--port", "x", "--format", format_) == kind.exit_code
    assert one_line(capsys) == "ecgedge: got this; expected that. Do so.\n"


def test_exit_codes_differ_and_are_documented() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert sorted(codes) == list(range(1, 9))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    after = readme.split("| exit code | meaning |", 1)[1].split("\n\n", 1)[0]
    table = dict(re.findall(r"^\| (\d+) \| (.+?) \|$", after, re.MULTILINE))
    assert set(table) == {"0", *map(str, codes), "130"}
    for code in (*codes, 130):
        assert f"{code} " in cli.EPILOG


def test_an_unforeseen_error_is_not_hidden(session: Any) -> None:
    def act(sink: Any) -> None:
        raise ZeroDivisionError

    session.act = act
    with pytest.raises(ZeroDivisionError):
        cli.main(["stream", "--port", "x"])


def test_classify_fails_when_a_file_did(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def act(sink: Any) -> int:
        sink.write(Record("a.csv", "m", "N", "sinus", {"N": 1.0}, 30.0, 0.0, 1))
        sink.problem("b.csv is empty")
        return 1

    session.act = act
    assert run("classify", "a.csv", "b.csv") == 5
    out, err = capsys.readouterr()
    assert out.startswith("a.csv  sinus")
    assert "1 could not be read" in out
    assert err == "ecgedge: b.csv is empty\n"


def test_ctrl_c_ends_with_the_summary_and_exit_0(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def act(sink: Any) -> None:
        sink.write(Beat(100, 0.4, None, 1.0, False))
        raise KeyboardInterrupt

    session.act = act
    assert run("stream", "--port", "x") == 0
    out, err = capsys.readouterr()
    assert "1 beat" in out
    assert err == ""


def test_ctrl_c_in_classify_is_exit_130(session: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def act(sink: Any) -> int:
        raise KeyboardInterrupt

    session.act = act
    assert run("classify", "x.csv") == 130
    assert capsys.readouterr().err == ""


def test_sigterm_ends_like_ctrl_c(session: Any) -> None:
    def act(sink: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the signal was ignored")

    before = signal.getsignal(signal.SIGTERM)
    session.act = act
    assert run("stream", "--port", "x") == 0
    assert signal.getsignal(signal.SIGTERM) is before


# -- the other commands -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (("train", "efficientecg-s", "--root", "d", "--out", "o"), "lightning", "train"),
        (("train", "efficientecg-s"), "tensorboard", "train"),
        (("evaluate", "m"), "torch", "train"),
        (("compare", "a", "b"), "torch", "train"),
        (("compare", "a", "b", "--out", "o"), "matplotlib", "plot"),
    ],
)
def test_a_workbench_command_names_the_missing_extra(
    words: tuple[str, ...], package: str, extra: str
) -> None:
    if extra == "plot":
        pytest.importorskip("torch", reason="needs the extra 'train'")
    # In a process of its own: this one may have imported the package long ago.
    code = f"import sys; sys.modules[{package!r}] = None; from ecgedge import cli; cli.main({list(words)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.returncode == errors.MissingExtraError.exit_code
    assert f".[{extra}]" in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_fault_of_our_own_is_not_blamed_on_an_extra() -> None:
    with pytest.raises(ModuleNotFoundError), needed():
        raise ModuleNotFoundError("No module named 'ecgedge.nowhere'", name="ecgedge.nowhere")


def test_train_calls_the_workbench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[Any] = []

    def train(*words: Any, **options: Any) -> None:
        calls.append((words, options))

    monkeypatch.setitem(sys.modules, "ecgedge.training.run", types.SimpleNamespace(train=train))
    assert run("train", "dualnet-s", "--root", str(tmp_path), "--out", "o") == 0
    words = ("--devices", "2", "--precision", "bf16", "--workers", "3", "--threads", "1")
    assert run("train", "dualnet-s", *words) == 0
    assert run("train", "dualnet-s", "--seed", "3", "--fold", "2/5") == 0
    plain = {"threads": None, "workers": 0, "devices": "auto", "precision": "32"}
    asked = {"threads": 1, "workers": 3, "devices": 2, "precision": "bf16"}
    assert calls == [
        (("dualnet-s", tmp_path, Path("o")), plain),
        (("dualnet-s", None, Path("runs")), asked),
        (("dualnet-s", None, Path("runs")), {**plain, "seed": 3, "fold": "2/5"}),
    ]


def test_seeds_and_folds_of_a_task_that_has_none_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning", reason="needs the extra 'train'")
    from ecgedge.training import tasks

    for name, task in tasks.TASKS.items():
        monkeypatch.setitem(tasks.TASKS, name, dataclasses.replace(task, run="recipe", varied=False))
    assert run("train", "dualnet-s", "--fold", "2/5") == 2
    assert capsys.readouterr().err.startswith(
        "ecgedge: --fold with recipe dualnet-s; expected a recipe for rhythm"
    )


@pytest.mark.parametrize("words", [("--devices", "0"), ("--devices", "x"), ("--precision", "8")])
def test_train_refuses_what_makes_no_sense(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "r", *words) == 2
    one_line(capsys)


def test_ports_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ports") == 0
    out, err = capsys.readouterr()
    assert out or "No serial port" in err


def test_models_lists_shows_and_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    told = capsys.readouterr().out.splitlines()
    assert {"efficientecg-s  rhythm  classes N A O ~", "ecg-sl  beats  classes N S V F"} <= set(told)
    assert run("models", "show", words.DEFAULT_MODELS[0]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == words.DEFAULT_MODELS[0]
    assert run("models", "verify", words.DEFAULT_MODELS[0]) == 0
    assert capsys.readouterr().out
    assert run("models", "verify", "no-such-model") == errors.BundleError.exit_code
    one_line(capsys)


# -- a process of its own ---------------------------------------------------------------------------

DEMO = ("stream", "--port", "demo", "--seed", "3")


def command(*words: str, code: str = "from ecgedge.cli import main; main()") -> list[str]:
    return [sys.executable, "-c", code, *words]


def test_the_demo_ends_with_exit_0_and_valid_lines_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom ecgedge.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(*sorted({n.split('.')[0] for n in sys.modules}), file=sys.stderr)"
    )
    words = command(*DEMO, "--speed", "max", "--duration", "40", "--format", "jsonl", code=code)
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True)
    validator = jsonschema.Draft202012Validator(load_schema())
    items = [json.loads(line) for line in done.stdout.splitlines()]
    for item in items:
        validator.validate(item)
    assert {"window", "beat", "status"} <= {item["type"] for item in items}
    assert items[-1]["type"] == "status"
    assert items[-1]["state"] == "ended"
    heavy = {"rich", "torch", "tensorflow", "scipy", "pandas", "matplotlib", "lightning", "wfdb"}
    assert not heavy & set(done.stderr.split())


def test_text_off_a_terminal_imports_no_rich() -> None:
    code = (
        "import sys\nfrom ecgedge.cli import main\ntry:\n    main()\nfinally:\n"
        "    print('rich' in sys.modules, file=sys.stderr)"
    )
    words = command(*DEMO, "--speed", "max", "--duration", "5", code=code)
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True)
    assert done.stderr == "False\n"
    assert "Not a medical device." in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_a_live_stream_cleanly(number: signal.Signals) -> None:
    words = command(*DEMO, "--speed", "4", "--format", "jsonl")
    # A shell that runs the tests in the background hands SIGINT down as ignored.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    default = functools.partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(words, preexec_fn=default, **pipes) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.3)
        process.send_signal(number)
        rest, err = process.communicate(timeout=60)
    lines = [json.loads(line) for line in (first + rest).splitlines()]
    assert err == ""
    assert process.returncode == 0
    assert lines[-1]["state"] == "ended"


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
@pytest.mark.parametrize("words", [(*DEMO, "--format", "jsonl", "--speed", "max"), ("--help",)], ids=str)
def test_a_closed_pipe_is_no_error(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command(*words), stdout=write, stderr=subprocess.PIPE, text=True, timeout=100)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
