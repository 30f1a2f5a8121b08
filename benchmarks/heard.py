"""What the product says of a recording, with the moment at which it says it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from benchmarks.outcomes import AF, NONE, SILENT
from ecgedge.classifier import Classifier
from ecgedge.classify import classify
from ecgedge.messages import Beat, Board, Episode, Message, Record, SampleBlock, Verdict
from ecgedge.recordings import Recording
from ecgedge.sinks import Sink
from ecgedge.verdict import AF as CLASS
from ecgedge.verdict import INCONCLUSIVE

BLOCK_S = 0.2
"""Seconds of signal handed over at once."""


class Paced:
    """Stands in for a recording: the same samples in small blocks, and how far they have got."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._rate_hz = recording.board.rate_hz or 1.0
        self.board: Board = recording.board
        self.reached_s = 0.0
        """Time of the stream at the end of the block handed over last."""

    def blocks(self) -> Iterator[SampleBlock]:
        """The recording's samples."""
        for block in self._recording.blocks(round(BLOCK_S * self._rate_hz)):
            self.reached_s = (block.first + block.n) / self._rate_hz
            yield block


@dataclass
class Heard:
    """What one model said of one recording."""

    model: str
    words: dict[str, str]
    """The model's word for each of its classes."""
    windows: list[Verdict] = field(default_factory=list)
    """Those that are not provisional."""
    episodes: dict[int, Episode] = field(default_factory=dict)
    """The latest word on each, by onset."""
    told_s: dict[int, float] = field(default_factory=dict)
    """Time of the stream at which each was told first, by onset."""
    record: Record | None = None

    def told(self) -> str:
        """One letter a window, see ``outcomes``."""
        return "".join(letter(v.verdict, self.words) for v in self.windows)

    def probabilities(self) -> list[float]:
        """Of AF, one a window, to four digits."""
        return [round(v.af_probability or 0.0, 4) for v in self.windows]


def letter(verdict: str, words: dict[str, str]) -> str:
    """A verdict as one letter, see ``outcomes``."""
    if verdict == INCONCLUSIVE:
        return SILENT
    return AF if verdict == words[CLASS] else NONE


def listen(
    recording: Recording, path: str, models: tuple[Classifier, ...], sinks: dict[str, Sink]
) -> list[Heard]:
    """Classify a recording as the product does.

    Parameters
    ----------
    path : the recording's name in its last message
    sinks : by model name, what also gets all messages that concern the model

    Returns
    -------
    heard : one a model
    """
    paced = Paced(recording)
    heard = {m.bundle.name: Heard(m.bundle.name, m.bundle.manifest["words"]) for m in models}
    for message in classify(cast(Recording, paced), path, models):
        for name in concerned(message, heard):
            if name in sinks:
                sinks[name].write(message)
        if isinstance(message, Verdict) and not message.scores.provisional:
            heard[message.scores.model].windows.append(message)
        elif isinstance(message, Episode):
            heard[message.model].episodes[message.onset] = message
            heard[message.model].told_s.setdefault(message.onset, paced.reached_s)
        elif isinstance(message, Record):
            heard[message.model].record = message
    return list(heard.values())


def concerned(message: Message, heard: dict[str, Heard]) -> list[str]:
    """Names of the models that a message is about."""
    if isinstance(message, Beat):
        return list(heard)
    return [message.model] if isinstance(message, Episode | Record) else []
