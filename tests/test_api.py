"""The Python API: what the command line gives, to a program."""

from __future__ import annotations

import inspect
import io
import json
import subprocess
import sys
import textwrap
import threading
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import typer
import wfdb

import ecgedge
from ecgedge import api, cli, open_stream
from ecgedge.bundle import FOLDER
from ecgedge.errors import BundleError, PortError, RecordingError, UnrecognisedError, UsageError
from ecgedge.messages import Beat, Board, Message, SampleBlock, Segment, Status, Verdict
from ecgedge.sinks.jsonl import JsonLinesSink

README = Path(__file__).resolve().parents[1] / "README.md"


def examples() -> list[str]:
    """Python code that README and the module show."""
    blocks = README.read_text(encoding="utf-8").split("```python\n")[1:]
    shown = [block.partition("```")[0] for block in blocks]
    assert api.__doc__ is not None
    return [
        *[code for code in shown if "open_stream" in code],
        textwrap.dedent(api.__doc__.partition("\n\n")[2]),
    ]


@pytest.mark.parametrize("code", examples(), ids=lambda code: f"{code.count(chr(10))} lines")
def test_the_example_runs_and_tells_what_the_demo_has(code: str) -> None:
    with redirect_stdout(io.StringIO()) as out:
        exec(compile(code, "example", "exec"), {})
    said = out.getvalue()
    assert "beats per minute" in said
    assert ": sinus" in said
    assert "AF from" in said


def test_messages_are_the_lines_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--port demo --speed max --duration 90 --seed 4 --format jsonl"
    with pytest.raises(SystemExit):
        cli.main(["stream", *words.split()])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    encoder = JsonLinesSink()
    with open_stream("demo", speed="max", duration=90, seed=4) as stream:
        told = [line for message in stream if (line := encoder.line(message)) is not None]
    # How many bytes one read brought differs from run to run; everything else does not.
    assert [without_bytes(json.loads(line)) for line in told] == [without_bytes(line) for line in lines]


def without_bytes(line: dict[str, object]) -> dict[str, object]:
    counters = line.get("counters")
    if isinstance(counters, dict):
        line["counters"] = {k: v for k, v in counters.items() if k not in ("bytes", "frames")}
    return line


def test_the_words_are_the_flags() -> None:
    command = typer.main.get_command(cli.app).commands["stream"]  # type: ignore[attr-defined]
    flags = {flag[2:].replace("-", "_") for p in command.params for flag in p.opts if flag.startswith("--")}
    taken = inspect.signature(open_stream).parameters
    assert set(taken) - {"samples"} == flags - {"format", "config", "help"}
    defaults = {p.name.rstrip("_"): p.default for p in command.params}
    for word, parameter in taken.items():
        if word in ("port", "samples", "model"):
            continue
        wanted = defaults[word]
        assert parameter.default == (1.0 if word == "speed" else wanted), word


def test_the_signal_comes_when_asked_for() -> None:
    with open_stream("demo", speed="max", duration=20, samples=True) as stream:
        messages = list(stream)
    blocks = [m for m in messages if isinstance(m, SampleBlock)]
    assert sum(block.n for block in blocks) == 5000
    assert isinstance(messages[0], Segment)
    with open_stream("demo", speed="max", duration=20) as stream:
        assert not any(isinstance(m, SampleBlock) for m in stream)


def test_a_recording_beside_the_messages(tmp_path: Path) -> None:
    with open_stream("demo", speed="max", duration=20, record=tmp_path / "rec") as stream:
        beats = [m for m in stream if isinstance(m, Beat)]
        assert stream.problems == []
    (header,) = (tmp_path / "rec").rglob("*.hea")
    record = str(header.with_suffix(""))
    assert wfdb.rdheader(record).sig_len == 5000
    marks = wfdb.rdann(record, "atr")
    assert [m.sample for m in beats] == [
        s for s, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol in "NAVF"
    ]


def test_leaving_early_ends_it_at_once_and_lets_go() -> None:
    before = set(threading.enumerate())
    with open_stream("demo", speed="max") as stream:
        first = next(stream)
        assert isinstance(first, Segment)
    assert set(threading.enumerate()) <= before
    rest = list(stream)  # what had been read already, and the end
    assert isinstance(rest[-1], Status)
    assert rest[-1].state == "ended"
    stream.close()


def test_without_with() -> None:
    stream = open_stream("demo", speed="max", duration=12)
    assert any(isinstance(m, Verdict) for m in stream)
    stream.close()


@pytest.mark.parametrize(
    ("port", "words", "error"),
    [
        ("/dev/no-such-port", {}, PortError),
        ("replay:nowhere.hea", {}, RecordingError),
        ("demo", {"speed": 0}, UsageError),
        ("demo", {"speed": "fast"}, UsageError),
        ("demo", {"fs": -1}, UsageError),
        ("demo", {"duration": float("nan")}, UsageError),
        ("demo", {"min_episode": -1}, UsageError),
        ("demo", {"protocol": "morse"}, UsageError),
        ("demo", {"lead": 7}, UsageError),
        ("demo", {"age": 200}, UsageError),
        ("demo", {"sex": "x"}, UsageError),
        ("demo", {"record": README}, UsageError),
        ("demo", {"model": "nobody"}, BundleError),
    ],
)
def test_what_makes_no_sense_is_told_at_once(
    port: str, words: dict[str, object], error: type[Exception]
) -> None:
    before = set(threading.enumerate())
    with pytest.raises(error) as caught:
        open_stream(port, **words)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert set(threading.enumerate()) <= before


def test_an_error_in_the_course_comes_after_what_was_told_before() -> None:
    with open_stream("demo", speed="max", duration=4, protocol="text") as stream:
        told: list[Message] = []
        with pytest.raises(UnrecognisedError):
            told.extend(stream)
        assert [m.state for m in told if isinstance(m, Status)][-1] == "ended"
        assert list(stream) == []


def test_an_impossible_rate_is_a_usage_error() -> None:
    with open_stream("demo", speed="max", duration=4, fs=5) as stream, pytest.raises(UsageError):
        list(stream)


def test_the_package_alone_stays_cheap() -> None:
    code = "import sys, ecgedge; print(sorted(m for m in sys.modules if m.startswith(('ecgedge', 'numpy'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ecgedge']"
    with pytest.raises(AttributeError, match="no attribute 'open_streams'"):
        _ = ecgedge.open_streams
    assert "open_stream" in ecgedge.__all__


def test_board_is_a_word_too() -> None:
    with open_stream("demo", speed="max", duration=8, board="chords-uno-r3", samples=True) as stream:
        segment = next(m for m in stream if isinstance(m, Segment))
    assert isinstance(segment.board, Board)
    assert segment.rate_hz == 250.0


@pytest.mark.parametrize("several", [False, True])
def test_a_model_may_be_named_by_its_path(several: bool) -> None:
    path = FOLDER / "efficientecg-xs.json"
    with open_stream("demo", speed="max", duration=35, model=[path] if several else path) as stream:
        models = {message.scores.model for message in stream if isinstance(message, Verdict)}
    assert models == {"efficientecg-xs"}
