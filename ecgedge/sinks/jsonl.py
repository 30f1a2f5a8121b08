"""Messages as JSON lines: one object a line, after ``events.schema.json`` beside this file.

Every object has ``schema`` (the version below) and ``type``. Times are seconds since the first sample,
rounded to the microsecond; ``first`` and ``last`` are stream samples, ``last`` one past the end. Lines are
ASCII, so that no output's encoding can spoil them.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

from ecgedge.messages import (
    ApcWindow,
    Beat,
    BeatClass,
    Ectopic,
    EctopicRun,
    EctopyCount,
    EctopyOf,
    Episode,
    Gap,
    Hrv,
    Message,
    Period,
    Record,
    SampleBlock,
    Scores,
    Segment,
    Status,
    Verdict,
    Window,
)
from ecgedge.sinks import Sink

SCHEMA_VERSION = 1

NOT_WRITTEN: tuple[type, ...] = (SampleBlock, Window, Scores, Segment)
"""Messages without a line of their own: the signal itself, what a ``window`` repeats, and the Segment,
whose board and rate stand in every ``status`` after it."""

Json = dict[str, Any]

_ENCODE = json.JSONEncoder(allow_nan=False).encode  # json.dumps makes one for each line


def load_schema() -> Json:
    """Return the JSON Schema (draft 2020-12) that every line satisfies."""
    from importlib.resources import files

    text = files("ecgedge.sinks").joinpath("events.schema.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


@cache
def _quoted(text: str) -> str:
    """A name as JSON; there are few."""
    return _ENCODE(text)


def _number(value: float | None, digits: int = 6) -> float | None:
    """Round for the reader; None for what JSON cannot say (not a number, infinity)."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), digits)


def _scores(scores: dict[str, float]) -> Json:
    return {name: _number(value) for name, value in scores.items()}


def _window(message: Verdict) -> Json:
    scores = message.scores
    return {
        "type": "window",
        "model": scores.model,
        "first": int(scores.first),
        "last": int(scores.last),
        "time_s": _number(scores.time_s),
        "seconds": _number(scores.seconds),
        "scores": _scores(scores.scores),
        "label": scores.label,
        "verdict": message.verdict,
        "reasons": list(message.reasons),
        "quality": _number(message.quality.index, 4),
        "quality_reasons": list(message.quality.reasons),
        "af_probability": _number(message.af_probability),
        "irregularity": _number(message.irregularity),
        "provisional": bool(scores.provisional),
    }


def _episode(message: Episode) -> Json:
    return {
        "type": "episode",
        "kind": message.kind,
        "state": message.state,
        "model": message.model,
        "first": int(message.onset),
        "last": int(message.offset),
        "onset_s": _number(message.onset_s),
        "offset_s": _number(message.offset_s),
        "probability": _number(message.probability),
    }


def _text(value: float | None, digits: int = 6) -> str:
    """A number as JSON; null for what JSON cannot say (not a number, infinity)."""
    return "null" if value is None or value - value != 0 else f"{value:.{digits}f}"


# Most lines are of beats and statuses: their text is put together here, in a fourth of the time.


def _beat(message: Beat) -> str:
    return (
        f'"type": "beat", "sample": {message.sample}, "time_s": {_text(message.time_s)}, '
        f'"rr_s": {_text(message.rr_s)}, "amplitude_mv": {_text(message.amplitude_mv)}'
    )


def _beat_class(message: BeatClass) -> str:
    beat = message.beat
    scores = ", ".join([f'"{name}": {value:.4f}' for name, value in message.scores.items()])
    return (
        f'"type": "beat_class", "model": {_quoted(message.model)}, "sample": {beat.sample}, '
        f'"time_s": {_text(beat.time_s)}, "rr_s": {_text(beat.rr_s)}, "class": "{message.label}", '
        f'"probability": {message.probability:.4f}, "scores": {{{scores}}}'
    )


def _ectopic(message: Ectopic) -> Json:
    beat = message.beat
    return {
        "type": "ectopic",
        "kind": message.kind,
        "model": message.model,
        "sample": int(beat.sample),
        "time_s": _number(beat.time_s),
        "rr_s": _number(beat.rr_s),
        "prematurity": _number(message.prematurity, 4),
        "probability": _number(message.probability, 4),
        "confirmed": message.confirmed,
    }


def _run(message: EctopicRun) -> Json:
    return {
        "type": "run",
        "kind": message.kind,
        "state": message.state,
        "of": message.of,
        "model": message.model,
        "first": int(message.onset),
        "last": int(message.offset),
        "onset_s": _number(message.onset_s),
        "offset_s": _number(message.offset_s),
        "beats": int(message.beats),
        "bpm": _number(message.bpm, 2),
    }


def _apc_window(message: ApcWindow) -> Json:
    attention = message.attention
    return {
        "type": "apc_window",
        "model": message.model,
        "first": int(message.first),
        "last": int(message.last),
        "time_s": _number(message.time_s),
        "seconds": _number(message.seconds),
        "probability": _number(message.probability, 4),
        "called": bool(message.called),
        "attention": None if attention is None else [round(weight, 4) for weight in attention.tolist()],
        "attention_hz": None if attention is None else _number(message.rate_hz),
    }


def _gap(message: Gap) -> Json:
    return {
        "type": "gap",
        "first": int(message.first),
        "samples": int(message.n),
        "time_s": _number(message.time_s),
        "seconds": _number(message.seconds),
        "cause": message.cause,
        "estimated": bool(message.estimated),
    }


def _status(message: Status) -> str:
    c = message.counters
    return (
        f'"type": "status", "sample": {message.sample}, "time_s": {_text(message.time_s)}, '
        f'"state": "{message.state}", "text": {_ENCODE(message.text)}, '
        f'"heart_rate_bpm": {_text(message.heart_rate_bpm, 2)}, '
        f'"verdict": {"null" if message.verdict is None else _quoted(message.verdict)}, '
        f'"probability": {_text(message.probability)}, "quality": {_text(message.quality, 4)}, '
        f'"mains_hz": {_text(message.mains_hz, 2)}, "mains_share": {_text(message.mains_share, 4)}, '
        f'"counters": {{"bytes": {c.bytes}, "discarded_bytes": {c.discarded_bytes}, "frames": {c.frames}, '
        f'"bad_frames": {c.bad_frames}, "samples": {c.samples}, "lost": {c.lost}, '
        f'"lost_estimated": {c.lost_estimated}, "leads_off": {c.leads_off}}}'
    )


def _source(segment: Segment | None) -> str:
    """What every status says of the signal's source."""
    name, rate_hz, source = (
        (segment.board.name, segment.rate_hz, segment.source) if segment else (None, None, None)
    )
    return f', "board": {_ENCODE(name)}, "rate_hz": {_text(rate_hz)}, "rate_source": {_ENCODE(source)}'


def _hrv(message: Hrv) -> Json:
    return {
        "type": "hrv",
        "span": message.span,
        "first": int(message.first),
        "last": int(message.last),
        "time_s": _number(message.time_s),
        "seconds": _number(message.seconds),
        "rr_intervals": int(message.rr_intervals),
        "heart_rate_bpm": _number(message.heart_rate_bpm, 2),
        "lowest_bpm": _number(message.lowest_bpm, 2),
        "highest_bpm": _number(message.highest_bpm, 2),
        "nn_intervals": int(message.nn_intervals),
        "coverage": _number(message.coverage, 4),
        "inconclusive": _number(message.inconclusive, 4),
        "mean_nn_ms": _number(message.mean_nn_ms, 2),
        "sdnn_ms": _number(message.sdnn_ms, 2),
        "rmssd_ms": _number(message.rmssd_ms, 2),
        "pnn50": _number(message.pnn50, 4),
    }


def _period(message: Period) -> Json:
    return {
        "type": "period",
        "span": message.span,
        "model": message.model,
        "first": int(message.first),
        "last": int(message.last),
        "time_s": _number(message.time_s),
        "seconds": _number(message.seconds),
        "judged_s": _number(message.judged_s),
        "af_s": _number(message.af_s),
        "burden": _number(message.burden),
        "inconclusive": _number(message.inconclusive, 4),
        "episodes": int(message.episodes),
        "heart_rate_bpm": _number(message.heart_rate_bpm, 2),
        "lowest_bpm": _number(message.lowest_bpm, 2),
        "highest_bpm": _number(message.highest_bpm, 2),
    }


def _ectopy(message: EctopyCount) -> Json:
    return {
        "type": "ectopy",
        "span": message.span,
        "model": message.model,
        "first": int(message.first),
        "last": int(message.last),
        "time_s": _number(message.time_s),
        "seconds": _number(message.seconds),
        "judged_s": _number(message.judged_s),
        "af_s": _number(message.af_s),
        "inconclusive": _number(message.inconclusive, 4),
        "beats": int(message.beats),
        "apc": _ectopy_of(message.apc),
        "pvc": _ectopy_of(message.pvc),
    }


def _ectopy_of(kind: EctopyOf) -> Json:
    return {
        "count": int(kind.count),
        "per_hour": _number(kind.per_hour, 2),
        "burden": _number(kind.burden),
        "couplets": int(kind.couplets),
        "runs": int(kind.runs),
        "longest_run": int(kind.longest_run),
        "bigeminies": int(kind.bigeminies),
        "trigeminies": int(kind.trigeminies),
    }


def _record(message: Record) -> Json:
    return {
        "type": "record",
        "path": message.path,
        "model": message.model,
        "label": message.label,
        "verdict": message.verdict,
        "scores": _scores(message.scores),
        "seconds": _number(message.seconds),
        "inconclusive": _number(message.inconclusive, 4),
        "windows": int(message.windows),
    }


ENCODERS: dict[type, Callable[[Any], Json | str]] = {
    Verdict: _window,
    Episode: _episode,
    Beat: _beat,
    BeatClass: _beat_class,
    Ectopic: _ectopic,
    EctopicRun: _run,
    ApcWindow: _apc_window,
    Gap: _gap,
    Hrv: _hrv,
    Period: _period,
    EctopyCount: _ectopy,
    Status: _status,
    Record: _record,
}
"""One encoder a message that is written: its object, or the text inside the braces. A message type is either
here or in ``NOT_WRITTEN``."""


class JsonLinesSink(Sink):
    """Writes each message as one line.

    Parameters
    ----------
    stream : where the lines go; standard output when not given
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._source = _source(None)

    def line(self, message: Message) -> str | None:
        """Return the message's line, or None for one without a line of its own.

        Raises
        ------
        TypeError : a message type this sink has never heard of
        """
        encoder = ENCODERS.get(type(message))
        if encoder is None:
            if isinstance(message, NOT_WRITTEN):
                if isinstance(message, Segment):
                    self._source = _source(message)
                return None
            raise TypeError(f"no JSON object is defined for {type(message).__name__}")
        body = encoder(message)
        if isinstance(body, str):
            more = self._source if isinstance(message, Status) else ""
            return f'{{"schema": {SCHEMA_VERSION}, {body}{more}}}\n'
        return _ENCODE({"schema": SCHEMA_VERSION, **body}) + "\n"

    def write(self, message: Message) -> None:
        """Write one line."""
        line = self.line(message)
        if line is not None:
            self._stream.write(line)

    def flush(self) -> None:
        """Let readers have the lines."""
        self._stream.flush()

    def problem(self, text: str) -> None:
        """Write ``text`` to standard error."""
        print(f"ecgedge: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Flush; the stream's last ``status`` is the summary."""
        self.flush()
