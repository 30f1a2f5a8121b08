"""WFDB records written so that they can be read at any moment, also after the writer was killed.

How each file bears being cut off, as the ``wfdb`` package and the WFDB library read it:

* ``.dat`` only grows, by whole frames; a torn last frame is no sample.
* ``.hea`` appears, by renaming, after the first samples are there. It leaves the number of samples to the
  size of the ``.dat``, and so cannot carry the time of day either (its field follows the number): that
  stands in a comment until the record is closed and the header is replaced, again by renaming.
* ``.atr`` ends in zeros, written ahead of the annotations that take their place. A zero word ends the
  file, and a reader that goes on finds only more of them: whatever part of a write reached the file,
  something that ends properly is there. (Without its zeros, a file cut inside a text breaks readers.)
  A label that belongs further back, as a rhythm that took a minute to be sure of, makes a new file that
  takes the place of the old one by renaming; another code for a beat takes the place of the old one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right, insort_right
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.recordings.annotations import END, Annotation, Encoder, code_word
from ecgedge.recordings.disk import Disk
from ecgedge.recordings.layout import Layout, header_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ecgedge.messages import Floats

AHEAD = 4096
"""Zero bytes kept at the end of an annotation file that is being written."""


class SampleFile:
    """A file of samples that grows.

    Parameters
    ----------
    head : bytes before the first sample
    """

    def __init__(self, disk: Disk, path: Path, layout: Layout, head: bytes = b"") -> None:
        self.layout = layout
        self.n = 0
        """Frames so far, those not yet written included."""
        self._file = disk.create(path)
        self._size = 0
        self._held: list[bytes] = [head]
        self.held = 0
        """Frames not yet written."""
        self._sums = [0] * layout.leads
        self._starts: list[int] = []

    @property
    def sums(self) -> tuple[tuple[int, int], ...]:
        """First value and sum of each lead, as a header wants them."""
        return tuple(zip(self._starts or self._sums, self._sums, strict=True))

    def append(self, counts: Floats) -> None:
        """Take counts of shape (n, leads); not a number is stored as "no sample"."""
        values = self.layout.quantise(counts)
        if not self._starts and len(values):
            self._starts = values[0].tolist()
        totals = values.sum(axis=0, dtype=np.int64).tolist()
        self._sums = [a + b for a, b in zip(self._sums, totals, strict=True)]
        self._held.append(self.layout.pack(values))
        self.n += len(counts)
        self.held += len(counts)

    def fill(self, n: int) -> None:
        """Take ``n`` frames without a sample."""
        self.append(np.full((n, self.layout.leads), np.nan))

    def flush(self) -> None:
        """Hand everything to the operating system."""
        data = b"".join(self._held)
        if data:
            self._file.write(self._size, data)
            self._size += len(data)
        self._held, self.held = [], 0

    def sync(self) -> None:
        """Have the disk keep what was flushed."""
        self._file.sync()

    def close(self) -> None:
        """Close the file, as it is."""
        self._file.close()


_by_sample = attrgetter("sample")


class _Marks:
    """Annotations in order of their samples. An hour has thousands, nearly all alike but for the sample: of
    these only the sample is kept for each."""

    def __init__(self) -> None:
        self.samples = array("q")
        self._alike: list[Annotation] = []  # with sample 0; equal ones are one object
        self._known: dict[Annotation, Annotation] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Annotation]:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, k: int) -> Annotation:
        return replace(self._alike[k], sample=self.samples[k])

    def __setitem__(self, k: int, annotation: Annotation) -> None:
        self.samples[k], self._alike[k] = annotation.sample, self._shared(annotation)

    def insert(self, k: int, annotation: Annotation) -> None:
        """Put one in front of the k-th."""
        self.samples.insert(k, annotation.sample)
        self._alike.insert(k, self._shared(annotation))

    def remove(self, annotation: Annotation) -> None:
        """Take out one that is there."""
        k = bisect_left(self.samples, annotation.sample)
        while self[k] != annotation:
            k += 1
        del self.samples[k], self._alike[k]

    def _shared(self, annotation: Annotation) -> Annotation:
        alike = replace(annotation, sample=0)
        return self._known.setdefault(alike, alike)


class AnnotationFile:
    """An ``.atr`` file that grows, in order of the samples, and can be read at any moment."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._encoder = Encoder()
        self._written = _Marks()
        self._places = array("q")  # of these in the file, bytes
        self._waiting: list[Annotation] = []
        self._rhythm: list[Annotation] = []
        self._stale = False  # the file holds what it should not, or lacks what belongs further back
        self._end = 0
        self._size = AHEAD
        self._file = disk.create(path)
        try:
            self._file.write(0, bytes(AHEAD))
        except OSError:
            self._file.close()
            raise

    def add(self, annotation: Annotation) -> None:
        """Take one annotation; it is written by the flush that reaches its sample."""
        if self._written and annotation.sample < self._written.samples[-1]:
            self._written.insert(bisect_right(self._written.samples, annotation.sample), annotation)
            self._stale = True
        else:
            insort_right(self._waiting, annotation, key=_by_sample)

    def recode(self, sample: int, symbol: str) -> None:
        """Give the beat at a sample another code; nothing happens where there is none."""
        for marks, samples in ((self._waiting, None), (self._written, self._written.samples)):
            k = (
                bisect_left(marks, sample, key=_by_sample)
                if samples is None
                else bisect_left(samples, sample)
            )
            while k < len(marks) and marks[k].sample == sample and not marks[k].is_beat:
                k += 1
            if k < len(marks) and marks[k].sample == sample:
                marks[k] = replace(marks[k], symbol=symbol)
                if samples is not None and not self._stale:
                    at, word = code_word(symbol, sample - (samples[k - 1] if k else 0))
                    self._file.write(self._places[k] + at, word)
                return

    def set_rhythm(self, rhythm: list[Annotation]) -> None:
        """Replace all rhythm labels by these."""
        for old in [a for a in self._rhythm if a not in rhythm]:
            if old in self._waiting:
                self._waiting.remove(old)
            else:
                self._written.remove(old)
                self._stale = True
        for new in [a for a in rhythm if a not in self._rhythm]:
            self.add(new)
        self._rhythm = list(rhythm)

    def flush(self, settled: float) -> bool:
        """Write what lies at samples up to ``settled``; whether the file was replaced by a new one."""
        n = next((k for k, a in enumerate(self._waiting) if a.sample > settled), len(self._waiting))
        due, self._waiting = self._waiting[:n], self._waiting[n:]
        if self._stale:
            self._written_more(due)
            self._rebuild()
            return True
        pieces = [self._encoder.encode((annotation,)) for annotation in due]
        data = b"".join(pieces)
        if data:
            if self._end + len(data) + len(END) > self._size:
                room = bytes(AHEAD + len(data))
                self._file.write(self._size, room)
                self._size += len(room)
            self._file.write(self._end, data)
            self._places.extend(accumulate((len(piece) for piece in pieces[:-1]), initial=self._end))
            self._end += len(data)
            self._written_more(due)
        return False

    def _written_more(self, annotations: list[Annotation]) -> None:
        for annotation in annotations:
            self._written.insert(len(self._written), annotation)

    def _rebuild(self) -> None:
        encoder, data, places = Encoder(), bytearray(), array("q")
        for annotation in self._written:  # thousands: none is kept
            places.append(len(data))
            data += encoder.encode((annotation,))
        self._disk.replace(self._path, bytes(data) + bytes(AHEAD))
        self._file.close()
        self._file = self._disk.reopen(self._path)
        self._encoder, self._stale = encoder, False
        self._places = places
        self._end, self._size = len(data), len(data) + AHEAD

    def sync(self) -> None:
        """Have the disk keep what was flushed."""
        self._file.sync()

    def finish(self) -> None:
        """Write everything, and cut the zeros down to the end mark."""
        self.flush(np.inf)
        self._file.truncate(self._end + len(END))
        self._size = self._end + len(END)

    def close(self) -> None:
        """Close the file, as it is."""
        self._file.close()


class RecordWriter:
    """One record: ``NAME.hea``, ``NAME.dat``, ``NAME.atr``, readable from its first flush on.

    Parameters
    ----------
    started : time of the first sample
    comments : lines for the header

    Raises
    ------
    OSError
        From every method that writes.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        layout: Layout,
        *,
        started: datetime | None = None,
        comments: tuple[str, ...] = (),
        disk: Disk | None = None,
    ) -> None:
        self.name = name
        self.layout = layout
        self._disk = disk or Disk()
        self._folder = folder
        self._started = started
        self._comments = comments
        self._has_header = False
        self._folder_changed = False
        self.samples = SampleFile(self._disk, folder / f"{name}.dat", layout)
        try:
            self.annotations = AnnotationFile(self._disk, folder / f"{name}.atr")
        except OSError:
            self.samples.close()
            self._disk.remove(folder / f"{name}.dat")
            self._disk.remove(folder / f"{name}.atr")
            raise

    @property
    def readable(self) -> bool:
        """Whether samples and header are there."""
        return self._has_header

    def flush(self, settled: float) -> None:
        """Hand samples, and annotations up to sample ``settled``, to the operating system."""
        self.samples.flush()
        if self.annotations.flush(settled):
            self._folder_changed = True
        if not self._has_header and self.samples.n:
            self.samples.sync()
            self.annotations.sync()
            self._put_header(None)

    def _put_header(self, n_samples: int | None) -> None:
        sums = self.samples.sums if n_samples is not None else ()
        comments = list(self._comments)
        if self._started is not None:
            comments.insert(0, f"started {self._started.isoformat(timespec='milliseconds')}")
        text = header_text(self.name, self.layout, n_samples, self._started, comments, sums)
        self._disk.replace(self._folder / f"{self.name}.hea", text.encode("latin-1", "replace"))
        self._disk.sync_folder(self._folder)
        self._has_header, self._folder_changed = True, False

    def sync(self) -> None:
        """Have the disk keep what was flushed."""
        self.samples.sync()
        self.annotations.sync()
        if self._folder_changed:
            self._disk.sync_folder(self._folder)
            self._folder_changed = False

    def finish(self) -> None:
        """Write the rest, then the header that knows number, sum and time of the samples."""
        self.flush(np.inf)
        self.annotations.finish()
        self.sync()
        if self._has_header:
            self._put_header(self.samples.n)
        self.close()

    def close(self) -> None:
        """Close the files as they are; nothing is written."""
        for file in (self.samples, self.annotations):
            with suppress(OSError):
                file.close()

    def remove(self) -> None:
        """Close and remove the files."""
        self.close()
        for suffix in (".hea", ".dat", ".atr"):
            self._disk.remove(self._folder / f"{self.name}{suffix}")
