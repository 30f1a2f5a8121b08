"""Recordings through the pipeline, from end to end: what ``ecgedge classify`` says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ecgedge.classifier import Classifier, open_models
from ecgedge.errors import EcgedgeError
from ecgedge.heads import check_models
from ecgedge.messages import UNKNOWN, Message, Person, Record, Verdict
from ecgedge.pipeline import Pipeline
from ecgedge.recordings import Recording, open_recording
from ecgedge.verdict import INCONCLUSIVE
from ecgedge.words import DEFAULT_MODELS

if TYPE_CHECKING:
    from ecgedge.sinks import Sink


def classify_files(
    paths: Iterable[str],
    *,
    models: tuple[str, ...] = DEFAULT_MODELS,
    fs: float | None = None,
    lead: str | None = None,
    minimum_episode_s: float = 30.0,
    person: Person = UNKNOWN,
    attention: bool = False,
    sink: Sink,
) -> int:
    """Classify recordings one after another with the stream's own code; models are opened once.

    Returns the number of files that could not be read; each is told through ``sink.problem``.

    Raises
    ------
    BundleError
        If a model cannot be opened.
    UsageError
        If the models do not go together.
    """
    classifiers = open_models(models)
    check_models(classifiers, attention)
    failed = 0
    for path in paths:
        try:
            recording = open_recording(path, fs, lead)
            for message in classify(recording, path, classifiers, minimum_episode_s, person, attention):
                sink.write(message)
            sink.flush()
        except EcgedgeError as error:
            failed += 1
            sink.problem(str(error))
    return failed


def classify(
    recording: Recording,
    path: str,
    classifiers: tuple[Classifier, ...],
    minimum_episode_s: float = 30.0,
    person: Person = UNKNOWN,
    attention: bool = False,
) -> Iterator[Message]:
    """All messages of one recording, a Record for each rhythm model at the end."""
    pipeline = Pipeline(classifiers, minimum_episode_s=minimum_episode_s, person=person, attention=attention)
    verdicts: list[Verdict] = []

    def kept(messages: list[Message]) -> list[Message]:
        verdicts.extend(m for m in messages if isinstance(m, Verdict) and not m.scores.provisional)
        return messages

    yield from kept(pipeline.push(recording.board))
    for block in recording.blocks():
        yield from kept(pipeline.push(block))
    yield from kept(pipeline.finish())
    for classifier in (c for c in classifiers if c.bundle.task == "rhythm"):
        mine = [v for v in verdicts if v.scores.model == classifier.bundle.name]
        yield _record(path, classifier, mine, pipeline.time_s)


def _record(path: str, classifier: Classifier, verdicts: list[Verdict], seconds: float) -> Record:
    """Mean of the scores over windows; the words of the best class, unless most windows told nothing."""
    bundle = classifier.bundle
    n = len(verdicts)
    if not n:
        return Record(path, bundle.name, None, INCONCLUSIVE, {}, seconds, 1.0, 0)
    scores = {c: sum(v.scores.scores[c] for v in verdicts) / n for c in bundle.classes}
    label = max(scores, key=scores.__getitem__)
    silent = sum(v.verdict == INCONCLUSIVE for v in verdicts) / n
    said = INCONCLUSIVE if silent > 0.5 or label == "~" else bundle.manifest["words"][label]
    return Record(path, bundle.name, label, said, scores, seconds, silent, n)
