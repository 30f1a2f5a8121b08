"""Classified recordings as WFDB annotation files, one a recording, ready for ``ecgedge score``."""

from __future__ import annotations

from pathlib import Path, PurePath

from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, Episode, Message, Record
from ecgedge.recordings.annotations import RHYTHM, Annotation, write_annotations

ANNOTATOR = "ecg"
"""Ending of the files that are written."""
BEAT, AF, NO_AF = "N", "(AFIB", "(N"


class AnnotationSink:
    """Beats and AF episodes of each recording in ``FOLDER/RECORD.ecg``.

    ``N`` marks a beat of any class. The rhythm is ``(AFIB`` inside the episodes and ``(N`` outside, which
    says no more than that no episode was found there. Samples are the recording's own.

    Parameters
    ----------
    folder : where the files go; made where it is not there
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"--annotations {folder}", "a folder, or a name for a new one")
        self._folder = folder
        self._beats: list[int] = []
        self._episodes: dict[int, Episode] = {}
        self._written: dict[str, str] = {}
        self._model: str | None = None

    def write(self, message: Message) -> None:
        """Collect beats and episodes; a recording's last word writes its file.

        Raises
        ------
        UsageError
            A second model, or two recordings that would write the same file.
        RecordingError
            The file cannot be written.
        """
        if isinstance(message, Beat):
            self._beats.append(message.sample)
        elif isinstance(message, Episode):
            self._episodes[message.onset] = message  # the latest word on it
        elif isinstance(message, Record):
            self._store(message)

    def _store(self, record: Record) -> None:
        self._model = self._model or record.model
        if record.model != self._model:
            raise UsageError("--annotations with several models", "one model")
        name = PurePath(record.path).stem
        before = self._written.setdefault(name, record.path)
        path = self._folder / f"{name}.{ANNOTATOR}"
        if before != record.path:
            raise UsageError(f"{before} and {record.path} would both write {path}", "records of other names")
        marks = [Annotation(sample, BEAT) for sample in self._beats] + [Annotation(0, RHYTHM, aux=NO_AF)]
        for episode in self._episodes.values():
            marks.append(Annotation(episode.onset, RHYTHM, aux=AF))
            marks.append(Annotation(episode.offset, RHYTHM, aux=NO_AF))
        # Sorting keeps order where samples are equal: AF from the first sample on stands after ``(N``.
        marks.sort(key=lambda mark: mark.sample)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_annotations(path, marks)
        except OSError as error:
            raise RecordingError(f"{path} cannot be written ({error.strerror})") from None
        self._forget()

    def _forget(self) -> None:
        self._beats, self._episodes = [], {}

    def problem(self, text: str) -> None:
        """A recording ended early: nothing is written of it."""
        self._forget()

    def close(self) -> None:
        """Nothing is left open."""
