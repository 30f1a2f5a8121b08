"""Where does the time of a stream go, room by room?

Bytes of the simulated patient, made beforehand, go through reader and pipeline with the default models under
Python's own profiler. What built-in and numpy functions take is put down to the module that called them. The
profiler slows calls down, so shares count, not seconds; the times without it stand beside.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from pathlib import Path

import ecgedge
from benchmarks import report
from ecgedge.classifier import Classifier, open_models
from ecgedge.messages import Chunk
from ecgedge.pipeline import Pipeline
from ecgedge.ports.framed import FramesVoice
from ecgedge.ports.sources import PatientSource
from ecgedge.wire import make_reader
from ecgedge.words import DEFAULT_MODELS

QUESTION = "Where does the time of a stream go, room by room?"
SECONDS = 3600.0
ROOT = Path(ecgedge.__file__).parent
_FEW = 5


def chunks(seconds: float) -> list[Chunk]:
    """The patient in frames, a second in each read."""
    source = PatientSource(0, seconds)
    voice = FramesVoice(source.board)
    rate = source.board.rate_hz or 1.0
    out: list[Chunk] = []
    held, due = voice.hello(0, True), rate
    for run in source.runs():
        for piece, end in voice.pieces(run):
            held += piece
            if end >= due:
                out.append(Chunk(held, end / rate))
                held, due = b"", due + rate
    return [*out, Chunk(held, seconds)]


def play(read: list[Chunk], models: tuple[Classifier, ...]) -> int:
    """The stream, without a port and without a sink; how many messages it gave."""
    reader, n = make_reader("frames"), 0
    pipeline = Pipeline(models, wire=lambda: reader.counters)
    for chunk in read:
        for item in reader.push(chunk):
            n += len(pipeline.push(item))
    return n + len(pipeline.finish())


def module(function: tuple[str, int, str]) -> str | None:
    """The module of this package that a profiled function belongs to."""
    path = Path(function[0])
    return ".".join(path.relative_to(ROOT).with_suffix("").parts) if path.is_relative_to(ROOT) else None


def by_module(profile: cProfile.Profile) -> dict[str, float]:
    """Share of the time in each module, with what is outside of the package put down to its callers."""
    table = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    own: dict[str, float] = defaultdict(float)

    def put_down(function: tuple[str, int, str], seconds: float, depth: int) -> None:
        name = module(function)
        callers = table[function][4]
        if name is not None or depth == 0 or not callers:
            own[name or "elsewhere"] += seconds
            return
        whole = sum(row[2] for row in callers.values()) or 1.0
        for caller, row in callers.items():
            put_down(caller, seconds * row[2] / whole, depth - 1)

    for function, row in table.items():
        put_down(function, row[2], _FEW)
    total = sum(own.values())
    ranked = sorted(own.items(), key=lambda item: -item[1])
    return {name: round(seconds / total, 4) for name, seconds in ranked}


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("where", QUESTION)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of the stream")
    given = parser.parse_args()
    read = chunks(given.seconds)
    spent = {}
    for name, models in (("without models", ()), ("with models", DEFAULT_MODELS)):
        opened = open_models(models)
        begin_s = time.process_time()
        play(read, opened)
        spent[name] = round(time.process_time() - begin_s, 3)
    profile = cProfile.Profile()
    opened = open_models(DEFAULT_MODELS)
    profile.enable()
    messages = play(read, opened)
    profile.disable()
    shares = by_module(profile)
    figures = {
        "seconds": given.seconds,
        "messages": messages,
        "cpu_s": spent,
        "times_real_time_of_processor": {k: round(given.seconds / v) for k, v in spent.items()},
        "share_by_module": shares,
    }
    path = report.write(parser, given, QUESTION, report.model_facts(DEFAULT_MODELS), figures)
    print(figures)
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
