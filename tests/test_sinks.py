"""The sinks: JSON lines against their schema, the terminal on a terminal and off it, the summary."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
import select
import typing
from contextlib import closing
from typing import Any

import jsonschema
import numpy as np
import pytest

from ecgedge import messages
from ecgedge.messages import (
    ApcWindow,
    Beat,
    BeatClass,
    Board,
    Counters,
    Ectopic,
    EctopicRun,
    EctopyCount,
    EctopyOf,
    Episode,
    Gap,
    Hrv,
    Likeness,
    Message,
    Period,
    Quality,
    Record,
    SampleBlock,
    Scores,
    Segment,
    Status,
    Verdict,
    Window,
)
from ecgedge.session import LiveStream, StreamOptions
from ecgedge.sinks import jsonl
from ecgedge.sinks.jsonl import JsonLinesSink, load_schema
from ecgedge.sinks.lines import SOURCES
from ecgedge.sinks.records import RecordSink
from ecgedge.sinks.summary import CAUSES, Summary
from ecgedge.sinks.tee import Tee
from ecgedge.sinks.terminal import TerminalSink
from ecgedge.sinks.words import clock_time, percent


def scores(model: str = "m", first: int = 0, label: str = "N", provisional: bool = False) -> Scores:
    values = {"N": 0.02, "A": 0.02, "O": 0.02, "~": 0.02}
    values[label] = 0.94
    return Scores(model, first, first + 7500, first / 250, 30.0, values, label, provisional)


def verdict(said: str = "sinus", **kwargs: Any) -> Verdict:
    reasons = ("low signal quality",) if said == "inconclusive" else ()
    return Verdict(scores(**kwargs), said, reasons, Quality(0.91, reasons), 0.94, 0.02, 0.01)


BOARD = Board("demo", 250.0, 5.0, 16)
SEGMENT = Segment(0, 0.0, 250.0, "declared", BOARD)
ALIKE = Likeness(0.8, 0.99)
COUNTERS = Counters(1000, 3, 40, 1, 9990, 10, 5, 25)
SIGNAL = np.zeros(3000, np.float32)

EXAMPLES: dict[type, list[Message]] = {
    Verdict: [
        verdict(),
        verdict("inconclusive", provisional=True),
        Verdict(
            dataclasses.replace(scores(), scores={"N": np.float32(0.25), "A": np.float64(0.75)}),  # type: ignore[dict-item]
            "AF",
            (),
            Quality(np.float32(0.5), ("mains hum",)),  # type: ignore[arg-type]
            np.float32(0.75),  # type: ignore[arg-type]
        ),
    ],
    Episode: [
        Episode("AF", "open", "m", 100, 7600, 0.4, 30.4, 0.9),
        Episode("AF", "closed", "m", np.int64(100), 9000, 0.4, np.float64(36.0), 1.0),  # type: ignore[arg-type]
    ],
    Beat: [
        Beat(0, 0.0, None, 812.0, False),
        Beat(np.int64(250), 1.0, 1.0, -0.8, True),  # type: ignore[arg-type]
        Beat(9, 0.036, 0.5, float("nan"), True),
    ],
    BeatClass: [
        BeatClass("b", Beat(250, 1.0, 1.0, -0.8, True), {"N": 0.1, "S": 0.9, "V": 0.0, "F": 0.0}, "S", ALIKE),
        BeatClass("b", Beat(np.int64(9), 0.1, None, 1.0, True), {"N": np.float64(1.0)}, "N", ALIKE),  # type: ignore[arg-type]
    ],
    Ectopic: [
        Ectopic("APC", "b", Beat(250, 1.0, 0.6, 1.0, True), 0.93, 0.71),
        Ectopic("PVC", "b", Beat(250, 1.0, None, 1.0, True), 1.0, None, confirmed=False),
    ],
    EctopicRun: [
        EctopicRun("couplet", "closed", "PVC", "b", 100, 200, 0.4, 0.8, 2),
        EctopicRun("bigeminy", "open", "APC", "b", 100, 800, 0.4, 3.2, 3),
    ],
    ApcWindow: [
        ApcWindow("d", 0, 2500, 0.0, 10.0, 0.87, True, rate_hz=150.0),
        ApcWindow("d", 0, 2500, 0.0, 10.0, 0.12, False, np.array([0.0, 0.25, 1.0], np.float32), 150.0),
    ],
    EctopyCount: [
        EctopyCount(
            *("hour", "b", 0, 900000, 0.0, 3600.0, 3500.0, 120.0, 0.02, 4321),
            EctopyOf(12, 12.8, 0.003, 1),
            EctopyOf(40, 41.1, 0.0093, 2, 1, 4, 1, 2),
        ),
        EctopyCount("stream", "b", 0, 0, 0.0, 0.0, 0.0, 0.0, None, 0, EctopyOf(), EctopyOf()),
    ],
    Gap: [Gap(10, 25, 0.04, 0.1, cause) for cause in typing.get_args(messages.GapCause)]
    + [Gap(10, 25, 0.04, 0.1, "silent", estimated=True)],
    Status: [
        Status(0, 0.0, "waiting"),
        Status(2500, 10.0, "streaming", "", 71.6, "sinus", 0.97, 0.9, COUNTERS),
        Status(2500, 10.0, "streaming", heart_rate_bpm=float("inf")),
        Status(9, 0.1, "streaming", mains_hz=50.04, mains_share=0.31),
        Status(9, 0.1, "unrecognised", 'bytes: "\n\x00 é'),
    ],
    Hrv: [
        Hrv(
            "5 min",
            0,
            75000,
            0.0,
            300.0,
            350,
            299.0,
            70.2,
            61.0,
            93.0,
            340,
            0.97,
            0.02,
            855.0,
            41.0,
            38.0,
            0.11,
        ),
        Hrv("stream", 0, 0, 0.0, 0.0, 0, 0.0, None, None, None, 0, 0.0, 0.0, None, None, None, None),
    ],
    Period: [
        Period("hour", "m", 0, 900000, 0.0, 3600.0, 3500.0, 700.0, 0.2, 0.05, 2, 72.0, 50.0, 140.0),
        Period("stream", "m", 0, 0, 0.0, 0.0, 0.0, 0.0, None, None, 0, None, None, None),
    ],
    Record: [
        Record("a b/é.mat", "m", "N", "sinus", {"N": 0.9, "A": 0.1}, 30.0, 0.0, 1),
        Record("short.csv", "m", None, "inconclusive", {}, 2.0, 1.0, 0),
    ],
    Segment: [SEGMENT, Segment(500, 2.0, 194.0, "measured", Board("text"))],
    SampleBlock: [SampleBlock(0, np.zeros((3, 1)), 0.0)],
    Window: [Window(0, 7500, 0.0, 30.0, SIGNAL, 100.0, 0.0, False)],
    Scores: [scores()],
}
WRITTEN = [(kind, n) for kind in jsonl.ENCODERS for n in range(len(EXAMPLES[kind]))]
VALIDATOR = jsonschema.Draft202012Validator(load_schema())


def encode(*items: Message) -> list[dict[str, Any]]:
    out = io.StringIO()
    sink = JsonLinesSink(out)
    for item in items:
        sink.write(item)
    sink.close()
    return [json.loads(line) for line in out.getvalue().splitlines()]


# -- the schema -------------------------------------------------------------------------------------


def test_the_schema_is_a_valid_one_of_draft_2020_12() -> None:
    schema = load_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_object_of_the_schema_is_closed() -> None:
    for name, definition in load_schema()["$defs"].items():
        assert definition["additionalProperties"] is False, name
        assert set(definition["required"]) == set(definition["properties"]), name


def test_the_schema_defines_the_types_that_are_written_and_no_other() -> None:
    defined = {
        d["properties"]["type"]["const"] for d in load_schema()["$defs"].values() if "type" in d["properties"]
    }
    of_beats = {"beat", "beat_class", "ectopic", "run", "apc_window", "ectopy"}
    assert defined == {"window", "episode", "gap", "hrv", "period", "status", "record"} | of_beats
    assert {encode(EXAMPLES[kind][0])[0]["type"] for kind in jsonl.ENCODERS} == defined


def test_no_message_type_escapes() -> None:
    union = set(typing.get_args(Message))
    assert union == set(jsonl.ENCODERS) | set(jsonl.NOT_WRITTEN)
    assert not set(jsonl.ENCODERS) & set(jsonl.NOT_WRITTEN)
    assert union == set(EXAMPLES), "give every message type an example here"
    dataclasses_there = {
        item for item in vars(messages).values() if isinstance(item, type) and dataclasses.is_dataclass(item)
    }
    inner = {
        messages.Chunk,
        messages.Board,
        messages.Stretch,
        messages.Piece,
        messages.StretchEnd,
        messages.Quality,
        messages.Person,
        messages.Context,
        messages.EctopyOf,
        messages.Counters,
        messages.Likeness,
    }
    assert dataclasses_there - union == inner, "a new noun: is it a Message, or does it stay between stages?"


def test_an_unknown_message_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Chunk"):
        JsonLinesSink(io.StringIO()).write(messages.Chunk(b"", 0.0))  # type: ignore[arg-type]


def test_the_schemas_words_are_those_of_the_messages() -> None:
    defs = load_schema()["$defs"]
    hints = typing.get_type_hints(Status)
    assert set(defs["status"]["properties"]["state"]["enum"]) == set(typing.get_args(hints["state"]))
    assert set(defs["gap"]["properties"]["cause"]["enum"]) == set(typing.get_args(messages.GapCause))
    source = typing.get_args(typing.get_type_hints(Segment)["source"])
    assert set(defs["status"]["properties"]["rate_source"]["enum"]) == {*source, None}
    counters = {field.name for field in dataclasses.fields(Counters)}
    assert set(defs["counters"]["properties"]) == counters
    assert set(CAUSES) == set(typing.get_args(messages.GapCause))
    assert set(SOURCES) == set(source)


# -- JSON lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "n"), WRITTEN, ids=[f"{k.__name__}-{n}" for k, n in WRITTEN])
def test_every_example_satisfies_the_schema(kind: type, n: int) -> None:
    (body,) = encode(EXAMPLES[kind][n])
    VALIDATOR.validate(body)
    assert body["schema"] == jsonl.SCHEMA_VERSION


@pytest.mark.parametrize("kind", jsonl.ENCODERS, ids=lambda k: k.__name__)
def test_the_schema_refuses_what_is_missing_or_added(kind: type) -> None:
    (body,) = encode(EXAMPLES[kind][0])
    assert not VALIDATOR.is_valid({**body, "extra": 1})
    for key in body:
        assert not VALIDATOR.is_valid({k: v for k, v in body.items() if k != key}), key


@pytest.mark.parametrize("kind", jsonl.NOT_WRITTEN, ids=lambda k: k.__name__)
def test_what_has_no_line_writes_none(kind: type) -> None:
    assert encode(*EXAMPLES[kind]) == []


def test_a_window_says_all_that_was_promised() -> None:
    (body,) = encode(verdict("inconclusive", model="x", first=2500))
    assert body == {
        "schema": 1,
        "type": "window",
        "model": "x",
        "first": 2500,
        "last": 10000,
        "time_s": 10.0,
        "seconds": 30.0,
        "scores": {"N": 0.94, "A": 0.02, "O": 0.02, "~": 0.02},
        "label": "N",
        "verdict": "inconclusive",
        "reasons": ["low signal quality"],
        "quality": 0.91,
        "quality_reasons": ["low signal quality"],
        "af_probability": 0.02,
        "irregularity": 0.01,
        "provisional": False,
    }


def test_a_status_names_the_board_and_the_rate_of_the_latest_segment() -> None:
    before, first, second = encode(
        Status(0, 0.0, "waiting"),
        SEGMENT,
        Status(10, 0.04, "streaming"),
        EXAMPLES[Segment][1],
        Status(600, 2.5, "streaming"),
    )
    assert (before["board"], before["rate_hz"], before["rate_source"]) == (None, None, None)
    assert (first["board"], first["rate_hz"], first["rate_source"]) == ("demo", 250.0, "declared")
    assert (second["board"], second["rate_hz"], second["rate_source"]) == ("text", 194.0, "measured")


def test_attention_is_told_with_its_rate_or_not_at_all() -> None:
    without, with_it = encode(*EXAMPLES[ApcWindow])
    assert (without["attention"], without["attention_hz"]) == (None, None)
    assert (with_it["attention"], with_it["attention_hz"]) == ([0.0, 0.25, 1.0], 150.0)


def test_one_line_each_whatever_the_text_holds() -> None:
    out = io.StringIO()
    JsonLinesSink(out).write(Status(0, 0.0, "waiting", 'two\nlines, "quoted" \u2028 é'))
    assert out.getvalue().count("\n") == 1
    assert json.loads(out.getvalue())["text"] == 'two\nlines, "quoted" \u2028 é'


def test_lines_are_there_as_soon_as_a_read_is_over() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream, os.fdopen(read) as reader:
        for sample, sink in enumerate((JsonLinesSink(stream), Tee(JsonLinesSink(stream)))):
            sink.write(Beat(sample, 0.1, None, 1.0, False))
            sink.flush()
            assert json.loads(reader.readline())["sample"] == sample


def test_the_session_flushes_after_each_read() -> None:
    out = io.StringIO()

    class Sink(JsonLinesSink):
        shown = 0

        def flush(self) -> None:
            self.shown = len(out.getvalue())

    sink = Sink(out)
    live = LiveStream(StreamOptions("demo", duration_s=60.0, speed=math.inf), sink)
    with closing(live):
        for _ in range(3):
            assert live.step()
            assert sink.shown == len(out.getvalue())
    assert sink.shown > 0


def test_problems_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    for sink in (JsonLinesSink(), RecordSink(), TerminalSink()):
        sink.problem("it broke")
        out, err = capsys.readouterr()
        assert (out, err) == ("", "ecgedge: it broke\n")


# -- the terminal -----------------------------------------------------------------------------------

STREAM: list[Message] = [
    SEGMENT,
    verdict(provisional=True),
    verdict(provisional=True),
    verdict(),
    verdict(first=2500),
    verdict("AF", first=5000, label="A"),
    Episode("AF", "open", "m", 5000, 12500, 20.0, 50.0, 0.9),
    Gap(12500, 25, 50.0, 0.1, "lost"),
    Status(13000, 52.0, "leads_off", "electrode off: check the leads", counters=COUNTERS),
    Status(13100, 52.4, "leads_off", "electrode off: check the leads", counters=COUNTERS),
    Episode("AF", "closed", "m", 5000, 15000, 20.0, 60.0, 0.88),
    verdict("inconclusive", first=17500, label="~"),
    Status(25000, 100.0, "ended", "", 71.6, "AF", 0.94, 0.9, COUNTERS),
]


def plain(items: list[Message]) -> list[str]:
    out = io.StringIO()
    sink = TerminalSink(out)
    for item in items:
        sink.write(item)
    sink.close()
    sink.close()
    return out.getvalue().splitlines()


def test_off_a_terminal_there_is_a_line_for_each_event_and_no_escape() -> None:
    lines = plain(STREAM)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", "".join(lines))
    events = lines[: lines.index("")]
    assert [line.split()[0] for line in events] == [
        "0:00.0",  # the board
        "0:30.0",  # sinus, provisional, once
        "0:30.0",  # sinus
        "0:50.0",  # AF; the second sinus window is no news
        "0:50.0",  # episode, told when it was sure
        "0:50.0",  # gap
        "0:52.0",  # electrode off, once
        "1:00.0",  # episode ended
        "1:40.0",  # inconclusive
    ]
    assert "provisional" in events[1]
    assert "A 0.94" in events[3]
    assert "AF episode since 0:20.0" in events[4]
    assert "gap of 0.10 s (25 samples)" in events[5]
    assert "low signal quality" in events[8]


def test_the_summary_gives_shares_burden_episodes_and_loss() -> None:
    text = "\n".join(plain(STREAM)[-9:])
    assert "1:40.0 of stream" in text
    assert "m: 4 windows: sinus 50 %, AF 25 %, inconclusive 25 %" in text
    assert "m: AF burden 40 % in 1 episode" in text
    assert "0:20.0 to 1:00.0, probability 0.88" in text
    assert (
        "9990 samples received, 10 lost (exact), about 5 lost (estimated), 25 with an electrode off" in text
    )
    assert text.endswith("Not a medical device.")


def test_an_estimated_gap_says_so() -> None:
    (line,) = [x for x in plain([Gap(1, 250, 0.0, 1.0, "silent", True)]) if "gap of" in x]
    assert "about 1.00 s (about 250 samples)" in line


def ectopic(kind: str, at: float, share: float | None = 0.7, **kwargs: Any) -> Ectopic:
    return Ectopic(kind, "b", Beat(round(250 * at), at, 0.6, 1.0, True), 0.93, share, **kwargs)  # type: ignore[arg-type]


def test_ectopic_beats_are_told_one_by_one_but_never_in_floods() -> None:
    flood: list[Message] = [ectopic("APC", 10.0 + 5 * k) for k in range(13)]
    lines = [line for line in plain([*flood, ectopic("PVC", 12.0, None)]) if "C at " in line]
    assert [line.split()[:2] for line in lines] == [["0:10.0", "APC"], ["1:10.0", "APC"], ["0:12.0", "PVC"]]
    assert "30 % early" in lines[0]
    assert "11 more before it" in lines[1]
    assert "early" not in lines[2]


def test_a_second_opinion_stands_with_the_event() -> None:
    said = plain([ectopic("APC", 1.0, confirmed=True), ectopic("APC", 100.0, confirmed=False)])
    assert ", confirmed (b)" in said[0]
    assert ", not confirmed (b)" in said[1]


def test_rows_of_ectopic_beats_in_words() -> None:
    def row(kind: str, state: str, of: str, beats: int) -> EctopicRun:
        return EctopicRun(kind, state, of, "b", 0, 500, 0.0, 2.0, beats)  # type: ignore[arg-type]

    said = plain(
        [
            row("run", "open", "PVC", 3),
            row("run", "closed", "APC", 5),
            row("couplet", "closed", "PVC", 2),
            row("bigeminy", "open", "PVC", 3),
            row("trigeminy", "closed", "APC", 4),
        ]
    )
    assert [line.split("  ")[-1] for line in said[:5]] == [
        "run of 3 ventricular beats at 0:00.0, 60/min, going on",
        "run of 5 supraventricular beats at 0:00.0, 120/min",
        "PVC couplet at 0:00.0, 30/min",
        "PVC bigeminy since 0:00.0",
        "APC trigeminy ended: 0:00.0 to 0:02.0, 4 APCs",
    ]


HOUR_WORDS = (
    "APC 12 (12.8 an hour, 0.3 % of beats, 1 couplet), PVC 40 (41.1 an hour, 0.9 % of beats, 2 couplets, "
    "1 run of up to 4, 1 x bigeminy, 2 x trigeminy); judged 58:20.0 (2:00.0 of it AF), inconclusive 2.0 %"
)


def test_the_summary_has_ectopic_beats_over_what_was_judged() -> None:
    hour, nothing = EXAMPLES[EctopyCount]
    whole = dataclasses.replace(hour, span="stream")  # type: ignore[type-var]
    text = "\n".join(plain([hour, whole]))
    assert f"b: {HOUR_WORDS}" in text
    assert "1:00:00  b: hour 1: APC 12" in text
    assert "b: ectopic beats unknown, nothing was judged" in "\n".join(plain([nothing]))


def test_an_open_episode_counts_up_to_where_it_got() -> None:
    summary = Summary()
    summary.add(Episode("AF", "open", "m", 0, 7500, 0.0, 30.0, 0.9))
    summary.add(Status(15000, 60.0, "ended"))
    assert summary.burden("m") == pytest.approx(0.5)
    assert any("not ended" in line for line in summary.lines())


def test_a_stream_that_gave_nothing_has_no_summary() -> None:
    assert plain([]) == []


def on_terminal(items: list[Message]) -> str:
    """Return all that a pseudo-terminal was sent."""
    pytest.importorskip("termios", reason="needs pseudo-terminals")
    master, slave = os.openpty()
    shown = b""
    try:
        with os.fdopen(slave, "w", encoding="utf-8") as stream:
            sink = TerminalSink(stream)
            for item in items:
                sink.write(item)
            sink.close()
            while select.select([master], [], [], 0.1)[0]:
                shown += os.read(master, 65536)
    finally:
        os.close(master)
    return shown.decode()


@pytest.fixture
def colour_terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.usefixtures("colour_terminal")
def test_on_a_terminal_the_status_line_is_live() -> None:
    shown = on_terminal(STREAM)
    assert "\x1b[" in shown
    live = next(part for part in re.split(r"\r|\n", shown) if "heart rate" in part)
    assert "lost 10 + about 5" in live
    assert "AF episode since" in shown
    assert "AF burden 40 %" in shown
    assert shown.count("\x1b[?25h") >= shown.count("\x1b[?25l") > 0  # the cursor comes back


def test_on_a_narrow_terminal_the_live_line_keeps_to_its_row(colour_terminal: pytest.MonkeyPatch) -> None:
    colour_terminal.setenv("COLUMNS", "30")
    shown = on_terminal([STREAM[-1]])
    live = next(part for part in re.split(r"\r|\n", shown) if "heart rate" in part)
    assert len(re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", live)) <= 30


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (59.96, "1:00.0"), (61.25, "1:01.2"), (3599.99, "60:00.0"), (86399.6, "24:00:00")],
)
def test_clock_time(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0001, "0.1 %"), (0.05, "5.0 %"), (0.0999, "10 %"), (0.995, "99.5 %"), (1, "100 %")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


# -- records ----------------------------------------------------------------------------------------


def test_classified_records_are_one_line_each_with_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    sink = RecordSink()
    sink.write(verdict())
    for item in [EXAMPLES[EctopyCount][0], *EXAMPLES[Record]]:
        sink.write(item)
    sink.problem("c.hea is empty")
    sink.close()
    sink.close()
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a b/é.mat  sinus  N  [N 0.900 A 0.100]  0:30.0, 1 window, 0 % inconclusive  (m)",
        f"  4321 beats: {HOUR_WORDS}  (b)",
        "short.csv  inconclusive  no window  0:02.0",
        "m: 2 records: 1 inconclusive, 1 sinus",
        "1 could not be read",
        "Not a medical device.",
    ]
    assert err == "ecgedge: c.hea is empty\n"
