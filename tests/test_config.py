"""Flags from a file and from the environment: the same values, the same errors, and where each came from."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ecgedge import cli, config
from ecgedge.errors import UsageError

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home without configuration, and no variables of ours; gives the usual file's place."""
    for name in list(config.os.environ):
        if name.startswith(config.PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    place = tmp_path / "xdg" / "ecgedge" / "config.toml"
    place.parent.mkdir(parents=True)
    return place


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What streams were asked to do; none is run."""
    from ecgedge import session

    found: list[Any] = []
    monkeypatch.setattr(session, "run_stream", lambda options, sink: found.append(options))
    return found


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        cli.main(list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(done.value.code or 0), out, err


FILE = """
port = "/dev/ttyUSB7"
baud = 57600
protocol = "text"
model = ["efficientecg-xs"]
duration = 90
lead = 1
fs = 250
speed = 20
seed = 3
min-episode = 45.5
age = 70
sex = "f"
attention = true
reconnect = false
"""
FLAGS = """
--port /dev/ttyUSB7 --baud 57600 --protocol text --model efficientecg-xs --duration 90 --lead 1 --fs 250
--speed 20 --seed 3 --min-episode 45.5 --age 70 --sex f --attention --no-reconnect
"""


def test_file_environment_and_flags_say_the_same(
    bare: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "stream", *FLAGS.split())[0] == 0
    bare.write_text(FILE)
    assert run(capsys, "stream")[0] == 0
    bare.unlink()
    for word, value in tomllib.loads(FILE).items():
        text = ",".join(value) if isinstance(value, list) else str(value)
        monkeypatch.setenv(config.variable(word), text)
    assert run(capsys, "stream")[0] == 0
    by_flags, by_file, by_environment = asked
    assert by_flags == by_file == by_environment
    assert (by_file.lead, by_file.reconnect, by_file.models) == ("1", False, ("efficientecg-xs",))


def test_every_flag_of_stream_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    _, shown, _ = run(capsys, "config", "show")
    listed = {line.removeprefix("# ").replace(":", " ").split()[0] for line in shown.splitlines()[1:]}
    _, help_, _ = run(capsys, "stream", "--help")
    flags = {word.strip(",")[2:] for word in help_.split() if word.startswith("--") and len(word) > 3}
    flags = {flag.partition("/")[0] for flag in flags}
    assert listed <= flags | {"min-episode"}
    assert {"port", "baud", "fs", "reconnect", "record", "model"} <= listed
    assert not listed & {"config", "help"}


def test_flag_beats_environment_beats_file(
    bare: Path, asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.write_text('port = "demo"\nfs = 100\nbaud = 9600\nseed = 1\n')
    monkeypatch.setenv("ECGEDGE_FS", "200")
    monkeypatch.setenv("ECGEDGE_BAUD", "57600")
    assert run(capsys, "stream", "--baud", "115200")[0] == 0
    (options,) = asked
    assert (options.seed, options.fs, options.baud) == (1, 200.0, 115200)


def test_show_is_toml_that_means_the_same_and_says_where_from(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare.write_text(FILE)
    monkeypatch.setenv("ECGEDGE_SEED", "9")
    monkeypatch.setenv("ECGEDGE_PROT", "text")
    code, shown, _ = run(capsys, "config", "show")
    assert code == 0
    read = tomllib.loads(shown)
    for word, value in tomllib.loads(FILE).items():
        assert read[word] == ("9" if word == "seed" else value)
    lines = shown.splitlines()
    assert lines[0] == f"# file: {bare}"
    assert f"baud = 57600  # {bare}" in lines
    assert 'seed = "9"  # environment ECGEDGE_SEED' in lines
    assert 'format = "text"  # default' in lines
    assert "# record: not set" in lines
    assert lines[-1] == "# the variable ECGEDGE_PROT is not of a flag"
    bare.unlink()
    assert run(capsys, "config", "show")[1].splitlines()[0] == f"# file: {bare} (not there)"


def test_what_show_prints_can_be_read_again(
    bare: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    bare.write_text(FILE)
    _, shown, _ = run(capsys, "config", "show")
    run(capsys, "stream")
    bare.write_text(shown)
    run(capsys, "stream")
    assert asked[0] == asked[1]


def test_a_named_file_is_read_in_place_of_the_usual_one(
    bare: Path,
    asked: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bare.write_text('port = "demo"\nfs = 100\n')
    other, third = tmp_path / "other.toml", tmp_path / "third.toml"
    other.write_text('port = "demo"\nseed = 5\n')
    third.write_text('port = "demo"\nseed = 6\n')
    monkeypatch.setenv("ECGEDGE_CONFIG", str(third))
    assert run(capsys, "stream", "--config", str(other))[0] == 0
    assert run(capsys, "stream")[0] == 0
    assert [(options.fs, options.seed) for options in asked] == [(None, 5), (None, 6)]


def test_a_home_in_a_path_is_expanded(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ecgedge.sinks import choice

    folders: list[Any] = []
    real = choice.stream_sink
    monkeypatch.setattr(choice, "stream_sink", lambda j, record: folders.append(record) or real(j, None))
    bare.write_text('port = "demo"\nspeed = "max"\nduration = 1\nrecord = "~/ecg"\n')
    assert run(capsys, "stream")[0] == 0
    assert folders == [Path("~/ecg").expanduser()]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prot = "text"', "unknown key 'prot'"),
        ("[stream]\nport = 'demo'", "unknown key 'stream'"),
        ("port = ", "config.toml: "),
        ("port = demo", "config.toml: "),
        ('baud = "fast"', 'baud = "fast"'),
        ("baud = true", "baud = true"),
        ("baud = 9600.9", "a whole number"),
        ("seed = 1.5", "a whole number"),
        ("seed = inf", "a whole number"),
        ("baud = [1, 2]", "baud = [1, 2]"),
        ('baud = ["1", "2"]', "one value"),
        ("attention = 3", "true or false"),
        ("port = 1979-05-27", "a text, a number"),
        ('format = "xml"', 'format = "xml"'),
        ("fs = 0", "fs 0"),
        ('speed = "fast"', "speed fast"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(
    text: str, said: str, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['port = "demo"', 'speed = "max"', "duration = 1", text]
    kept = [line for line in lines if line is text or line.split()[0] != text.split()[0]]
    bare.write_text("\n".join(kept) + "\n")
    code, out, err = run(capsys, "stream")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert "ecgedge: " in err


def test_show_writes_what_is_no_number_as_toml_does(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare.write_text("duration = inf\nfs = nan\nspeed = -inf\n")
    told = tomllib.loads(run(capsys, "config", "show")[1])
    assert told["duration"] == float("inf")
    assert told["fs"] != told["fs"]
    assert told["speed"] == -float("inf")


def test_models_may_be_told_apart_by_commas_and_blanks(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECGEDGE_MODEL", "efficientecg-xs, ecg-sl")
    assert run(capsys, "stream", "--port", "demo")[0] == 0
    assert asked[0].models == ("efficientecg-xs", "ecg-sl")


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ECGEDGE_BAUD", "1x")
    code, _, err = run(capsys, "stream", "--port", "demo")
    assert (code, err.count("\n")) == (2, 1)
    assert "environment ECGEDGE_BAUD" in err


def test_a_file_that_was_named_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "stream", "--port", "demo", "--config", str(tmp_path / "none.toml"))
    assert code == 2
    assert "no configuration file" in err
    with pytest.raises(UsageError, match="no configuration file"):
        config.settings(["port"], None, {"ECGEDGE_CONFIG": str(tmp_path / "none.toml")})


def test_the_usual_place_follows_the_base_directories() -> None:
    assert config.usual_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/ecgedge/config.toml")
    usual = Path("~/.config/ecgedge/config.toml").expanduser()
    assert config.usual_file({}) == config.usual_file({"XDG_CONFIG_HOME": "relative"}) == usual


def test_no_file_costs_no_import() -> None:
    code = (
        "import sys\nfrom ecgedge import cli\n"
        "words = 'stream --port demo --speed max --duration 1 --format jsonl'\n"
        "try:\n cli.main(words.split())\n"
        "except SystemExit: pass\n"
        "print('LOADED', 'tomllib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("LOADED False\n")
