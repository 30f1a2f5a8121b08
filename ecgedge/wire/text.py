"""Lines of text, one sample each: the AD8232 sketch, its many copies, and Arduino's Serial Plotter.

A line holds one to eight numbers, each perhaps with a label (``512``, ``ECG: 43210``, ``-0.25``,
``raw:512,filtered:3.1``), or begins with ``!`` while an electrode is off. Every number of a line is a
lead of its own, named by its label or by a line of labels in front of the numbers, so that any can be
chosen downstream.

Text carries no checksum: all that guards against garbage is that lines must keep their form, and a digit
that became another digit cannot be seen. Nothing is delivered before a run of well-formed lines of one and
the same form; a line out of form is dropped and counted, and costs a short run before lines are believed
again. One that cannot be read at all is taken for a sample that was lost, which is told as an estimate.
"""

from __future__ import annotations

import re
from collections import deque

import numpy as np

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status
from ecgedge.wire.cobs import Splitter

MAX_LINE = 128
"""Longest line in bytes, without its line feed."""
MAX_VALUES = 8

_RUN_LINES, _RUN_BYTES = 10, 64
"""A stream is taken for text after this many well-formed lines and bytes in a row."""
_RESUME_LINES = 3
"""Well-formed lines in a row that are needed after one that was not."""
_SLIPS = 2
"""A line whose labels differ from the known ones in so many letters is damaged."""
_GIVE_UP_LINES = 32
"""Lines out of form in a row after which the stream must prove itself afresh."""

_VALUE = re.compile(
    rb"[ \t]*(?:([A-Za-z_][A-Za-z0-9_./()\-]{0,23}(?: [A-Za-z0-9_./()\-]{1,23})?)[ \t]*:[ \t]*)?"
    rb"([+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:[eE](?:\+?[01]?[0-9]|-[0-9]{1,2}))?|[nN][aA][nN])"
    rb"[ \t]*(?:[,;]|(?<=[ \t])|$)"
)
_LABEL = rb"[ \t]*[A-Za-z_][\w./()\- ]{0,23}[ \t]*"
_HEADER = re.compile(_LABEL + rb"(?:[,;\t]" + _LABEL + rb"){0,7}")
_LEADS_OFF = re.compile(rb"[ \t]*![\x20-\x7e]*")

Form = tuple[bytes | None, ...]
"""Labels of a line's values, None for a bare number."""


def parse_line(line: bytes) -> tuple[Form, tuple[float, ...]] | None:
    """Form and values of a line (without line feed); ``((), ())`` for leads off; None if neither."""
    if _LEADS_OFF.fullmatch(line):
        return (), ()
    labels: list[bytes | None] = []
    values: list[float] = []
    position = 0
    while position < len(line):
        match = _VALUE.match(line, position)
        if match is None or len(values) == MAX_VALUES:
            return None
        labels.append(match[1])
        values.append(float(match[2]))
        position = match.end()
    return (tuple(labels), tuple(values)) if values else None


def _names(form: Form, header: tuple[str, ...]) -> tuple[str, ...]:
    """What the leads are called: by the labels of a line, else by a line of labels that stood in front."""
    labels = [label for label in form if label is not None]
    if labels and len(labels) == len(form):
        return tuple(label.decode("ascii") for label in labels)
    return header if len(header) == len(form) else ()


def _alike(form: Form, known: Form) -> bool:
    """Whether a form is the known one but for a letter or two of its labels."""
    if len(form) != len(known):
        return False
    pairs = [(a or b"", b or b"") for a, b in zip(form, known, strict=True)]
    if any(len(a) != len(b) for a, b in pairs):
        return False
    return 0 < sum(x != y for a, b in pairs for x, y in zip(a, b, strict=True)) <= _SLIPS


class _Line:
    __slots__ = ("arrival_s", "form", "lost", "size", "values")

    def __init__(self, form: Form, values: tuple[float, ...], size: int, arrival_s: float, lost: int) -> None:
        self.form = form
        self.lost = lost  # lines in front of it that were damaged
        self.values = values
        self.size = size
        self.arrival_s = arrival_s


class TextDecoder:
    """Bytes of a board that prints its samples -> Board (once), SampleBlock.

    Counters: every byte belongs to a line that was delivered or is blank, or is held (one unfinished
    line and the run that is being judged), or is counted in ``discarded_bytes``. ``frames`` are lines
    delivered, ``bad_frames`` lines dropped; the first, perhaps partial line counts in neither.
    The boundaries of blocks follow the chunks, the samples do not.
    """

    def __init__(self) -> None:
        self.protocol: str | None = None
        self._splitter = Splitter(b"\n", MAX_LINE)
        self._first = True
        self._form: Form | None = None
        self._leads = 0
        self._labels: Form = ()  # as announced
        self._header: tuple[str, ...] = ()  # of the latest line of labels
        self._run: deque[_Line] = deque()
        self._need = (_RUN_LINES, _RUN_BYTES)
        self._bad_run = 0
        self._lost = 0  # lines damaged since the last one that was kept
        self._next = 0
        self._bytes = self._discarded = self._frames = self._bad = self._leads_off = 0

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far."""
        return Counters(
            bytes=self._bytes,
            discarded_bytes=self._discarded + self._splitter.thrown,
            frames=self._frames,
            bad_frames=self._bad,
            samples=self._frames,
            leads_off=self._leads_off,
        )

    def push(self, chunk: Chunk) -> list[Board | SampleBlock | Status]:
        """What the bytes up to here say."""
        self._bytes += len(chunk.data)
        out: list[Board | SampleBlock | Status] = []
        ready: list[_Line] = []
        for unit in self._splitter.push(chunk.data):
            if self._first:
                # Whatever it says, it may be the rest of a longer number.
                self._first = False
                self._discarded += 1 + (0 if unit is None else len(unit))
            else:
                self._line(unit, chunk.arrival_s, ready, out)
        self._deliver(ready, out)
        return out

    def finish(self) -> list[Board | SampleBlock | Status]:
        """The stream has ended: an unfinished line may be half a number and is discarded."""
        self._discarded += self._splitter.flush()
        self._drop_run()
        return []

    def _line(
        self, unit: bytes | None, now: float, ready: list[_Line], out: list[Board | SampleBlock | Status]
    ) -> None:
        text = None if unit is None else unit.rstrip(b"\r")
        if text == b"":
            return
        parsed = None if text is None else parse_line(text)
        if parsed is not None and not self._fits(parsed[0]) and self._need == (_RUN_LINES, _RUN_BYTES):
            self._drop_run()
            self._form = None  # nothing is proven yet: this line may be the first of the true form
        if unit is None or parsed is None or not self._fits(parsed[0]):
            if text is not None and _HEADER.fullmatch(text):
                parts = re.split(rb"[,;\t]", text)
                words = parts if len(parts) > 1 else text.split()
                self._header = tuple(word.strip().decode("ascii") for word in words)
            self._drop_run()
            # A line that reads well in quite another form was printed so; it is no sample that was lost. A
            # carriage return inside a line shows that its line feed was lost, and the next hangs on it.
            if parsed is None or _alike(parsed[0], self._form or ()):
                self._lost += 1 + (0 if text is None else text.count(b"\r"))
            self._reject(1 + (0 if unit is None else len(unit)))
            return
        form, values = parsed
        if form and self._form is None:
            self._form = form
        lost, self._lost = self._lost if self.protocol is not None else 0, 0
        self._run.append(_Line(form, values, len(unit) + 1, now, lost))
        lines, size = self._need
        if len(self._run) < lines or (size and sum(line.size for line in self._run) < size):
            return
        self._need, self._bad_run = (1, 0), 0
        self.protocol = "text"
        labels = self._form or ()
        leads = len(labels) or max(1, self._leads)
        if leads != self._leads or (labels and labels != self._labels):
            self._deliver(ready, out)
            self._leads, self._labels = leads, labels
            out.append(Board("text", leads=leads, lead_names=_names(self._form or (), self._header)))
        ready.extend(self._run)
        self._run.clear()

    def _fits(self, form: Form) -> bool:
        return not form or self._form is None or form == self._form

    def _reject(self, size: int) -> None:
        self._discarded += size
        self._bad += 1
        self._bad_run += 1
        if self.protocol is None or self._bad_run >= _GIVE_UP_LINES:
            self._need, self._form = (_RUN_LINES, _RUN_BYTES), None
            self._lost = 0  # so much of it is no damage; what is missing timing will tell
        elif self._need != (_RUN_LINES, _RUN_BYTES):
            self._need = (_RESUME_LINES, 0)

    def _drop_run(self) -> None:
        self._discarded += sum(line.size for line in self._run)
        self._bad += len(self._run)
        self._bad_run += len(self._run)
        self._lost += sum(1 + line.lost for line in self._run)
        self._run.clear()

    def _deliver(self, ready: list[_Line], out: list[Board | SampleBlock | Status]) -> None:
        """Lines that came together become one block, up to where some are missing in between."""
        start = 0
        for k, line in enumerate(ready, start=1):
            after = ready[k] if k < len(ready) else None
            if (
                after is None
                or after.lost
                or (after.arrival_s, not after.values) != (line.arrival_s, not line.values)
            ):
                self._block(ready[start:k], out)
                start = k
        ready.clear()

    def _block(self, lines: list[_Line], out: list[Board | SampleBlock | Status]) -> None:
        off, lost = not lines[0].values, lines[0].lost
        missing = (float("nan"),) * self._leads
        self._next += lost
        out.append(
            SampleBlock(
                first=self._next,
                counts=np.array([missing if off else line.values for line in lines], np.float64),
                arrival_s=lines[0].arrival_s,
                leads_off=off,
                estimated=lost > 0,
            )
        )
        self._next += len(lines)
        self._frames += len(lines)
        self._leads_off += len(lines) if off else 0
