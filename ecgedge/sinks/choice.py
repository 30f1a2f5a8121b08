"""Which sinks a command line asks for; each is imported only where it is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.places import check_folder

if TYPE_CHECKING:
    from ecgedge.sinks import Sink


def stream_sink(jsonl: bool, record: Path | None = None) -> Sink:
    """Sinks of ``ecgedge stream``: screen or JSON lines, and a recorder before them where one is wanted.

    Raises
    ------
    UsageError : the recorder's folder cannot be one
    """
    if record is not None:
        check_folder("--record", record)
    screen: Sink
    if jsonl:
        from ecgedge.sinks.jsonl import JsonLinesSink

        screen = JsonLinesSink()
    else:
        from ecgedge.sinks.terminal import TerminalSink

        screen = TerminalSink()
    if record is None:
        return screen
    from ecgedge.sinks.recorder import Recorder
    from ecgedge.sinks.tee import Tee

    return Tee(Recorder(record, screen.problem), screen)


def record_sink(jsonl: bool, annotations: Path | None = None) -> Sink:
    """Sinks of ``ecgedge classify``: lines or JSON lines, and annotation files where they are wanted.

    Raises
    ------
    UsageError : the annotations' folder cannot be one
    """
    screen: Sink
    if jsonl:
        from ecgedge.sinks.jsonl import JsonLinesSink

        screen = JsonLinesSink()
    else:
        from ecgedge.sinks.records import RecordSink

        screen = RecordSink()
    if annotations is None:
        return screen
    from ecgedge.sinks.annotations import AnnotationSink
    from ecgedge.sinks.tee import Tee

    return Tee(AnnotationSink(annotations), screen)
