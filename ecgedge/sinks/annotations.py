"""Classified recordings as WFDB annotation files, one a recording, ready for ``ecgedge score``."""

from __future__ import annotations

from math import inf
from pathlib import Path, PurePath

from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, BeatClass, Ectopic, EctopicRun, Episode, Message, Record
from ecgedge.places import check_folder
from ecgedge.recordings.annotations import RHYTHM, Annotation, write_annotations
from ecgedge.sinks import Sink
from ecgedge.sinks.labels import BEAT, NO_AF, RhythmLabels, beat_code

ANNOTATOR = "ecg"
"""Ending of the files that are written."""


class AnnotationSink(Sink):
    """Beats and rhythms of each recording in ``FOLDER/RECORD.ecg``, in the codes of ``labels``.

    Samples are the recording's own.

    Parameters
    ----------
    folder : where the files go; made where it is not there
    """

    def __init__(self, folder: Path) -> None:
        check_folder("--annotations", folder)
        self._folder = folder
        self._beats: dict[int, str] = {}
        self._rhythm = RhythmLabels()
        self._written: dict[str, str] = {}
        self._model: str | None = None

    def write(self, message: Message) -> None:
        """Collect beats and rhythms; a recording's last word writes its file.

        Raises
        ------
        UsageError
            A second rhythm model, or two recordings that would write the same file.
        RecordingError
            The file cannot be written.
        """
        if isinstance(message, Beat):
            self._beats[message.sample] = BEAT
        elif isinstance(message, BeatClass | Ectopic):
            self._beats[message.beat.sample] = beat_code(message)
        elif isinstance(message, Episode | EctopicRun):
            self._rhythm.push(message)
        elif isinstance(message, Record):
            self._store(message)

    def _store(self, record: Record) -> None:
        self._model = self._model or record.model
        if record.model != self._model:
            raise UsageError("--annotations with several rhythm models", "one of them")
        name = PurePath(record.path).stem
        before = self._written.setdefault(name, record.path)
        path = self._folder / f"{name}.{ANNOTATOR}"
        if before != record.path:
            raise UsageError(f"{before} and {record.path} would both write {path}", "records of other names")
        marks = [Annotation(sample, code) for sample, code in self._beats.items()]
        marks += [Annotation(0, RHYTHM, aux=NO_AF)]
        marks += [Annotation(sample, RHYTHM, aux=label) for sample, label in self._rhythm.within(0, inf)]
        # Sorting keeps order where samples are equal: AF from the first sample on stands after ``(N``.
        marks.sort(key=lambda mark: mark.sample)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_annotations(path, marks)
        except OSError as error:
            raise RecordingError(f"{path} cannot be written ({error.strerror})") from None
        self._forget()

    def _forget(self) -> None:
        self._beats, self._rhythm = {}, RhythmLabels()

    def problem(self, text: str) -> None:
        """A recording ended early: nothing is written of it."""
        self._forget()
