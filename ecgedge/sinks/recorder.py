"""The recorder: the stream's samples, beats, rhythm and events kept on disk.

A session is a folder, named by its start in UTC, with ``events.jsonl`` (what ``--format jsonl`` prints)
and WFDB records of up to an hour, ``ecg-000`` and so on. Samples reach the operating system at most
``FLUSH_S`` late and the disk at most ``SYNC_S`` late, so that a killed program loses less than a second
and a power cut less than ``SYNC_S + FLUSH_S`` and the time of one sync. Annotations wait one more second
for beats that are found late; a rhythm change is known, and written, when its episode is.

Numbers that the record's format cannot hold are left out, each with a note that tells it, while they are few
(damaged lines of text); a board whose numbers are beyond it all the time gets a record in coarser steps.

A disk that is full or gone ends the recording, not the stream: it is said once, tried again every
``RETRY_S``, and goes on in a new record, in the same folder where that is still there, else in a new one.
A folder that is deleted or hidden by another disk is missed at the next sync.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from math import ceil, floor, inf
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.arrivals import now_s
from ecgedge.messages import (
    Beat,
    BeatClass,
    Ectopic,
    EctopicRun,
    Episode,
    Gap,
    SampleBlock,
    Segment,
    Status,
    Verdict,
)
from ecgedge.recordings.annotations import LEADS_OFF, LEADS_ON, NOTE, RHYTHM, Annotation
from ecgedge.recordings.disk import Disk
from ecgedge.recordings.fit import Fit, open_fit
from ecgedge.recordings.layout import RECORDED
from ecgedge.recordings.writer import RecordWriter
from ecgedge.sinks import Sink
from ecgedge.sinks.eventlog import EventLog
from ecgedge.sinks.jsonl import JsonLinesSink
from ecgedge.sinks.labels import BEAT, RhythmLabels, beat_code
from ecgedge.sinks.part import Part

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Message

FLUSH_S = 0.5
"""Samples are handed to the operating system when this many seconds of them are held."""
SYNC_S = 10.0
"""Seconds between two syncs to the disk."""
RECORD_S = 3600.0
"""Seconds of stream after which a new record begins, at whole multiples."""
LONGEST_FILL_S = 60.0
"""A longer gap is not filled with "no sample" but begins a new record."""
LONGEST_HELD_S = 60.0
"""No samples of a live board are held back for longer: an arrival further back is on a replay's clock."""
RETRY_S = 10.0
"""Seconds after which a disk that failed is tried again."""


def _open_fit(segment: Segment, counts: Floats) -> Fit:
    board = segment.board
    names = board.lead_names or (("ECG",) if board.leads == 1 else ())
    return open_fit(counts, segment.rate_hz, board.uv_per_count, board.bits, names)


class Recorder(Sink):
    """A sink that records; needs the SampleBlocks of the stream beside its events.

    Parameters
    ----------
    folder : where session folders go; made when needed
    tell : told, in one line, when recording stops for a fault and when it goes on
    disk, clock, now : the outside world, for tests: files, the clock of arrival times, the time of day
    """

    def __init__(
        self,
        folder: Path,
        tell: Callable[[str], None],
        *,
        disk: Disk | None = None,
        clock: Callable[[], float] = now_s,
        now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
    ) -> None:
        self._root, self._tell = folder, tell
        self._disk, self._clock, self._now = disk or Disk(), clock, now
        self._encoder = JsonLinesSink()
        self._segment: Segment | None = None
        self._fit: Fit | None = None  # of the segment's board at its rate
        self._coarse: tuple[float, ...] = ()
        self._zero: datetime | None = None  # when stream sample 0 was taken
        self._folder: Path | None = None
        self._events: EventLog | None = None
        self._record: Part | None = None
        self._previous: Part | None = None
        self._n_records = 0
        self._model: str | None = None
        self._labels = RhythmLabels()
        self._news = False  # whether the latest episode or row may change labels
        self._broken = False
        self._retry_s = 0.0
        self._flushed_s = self._synced_s = clock()
        self._is_closed = False

    @property
    def folder(self) -> Path | None:
        """The session's folder, once there is one."""
        return self._folder

    def write(self, message: Message) -> None:
        """Record one message; a disk that fails is told and stops the recording, never the stream."""
        line = self._encoder.line(message)
        if isinstance(message, Segment):
            self._begin_segment(message)
        elif isinstance(message, SampleBlock):
            self._zero = self._zero or self._time_of_zero(message)
        elif isinstance(message, Episode | EctopicRun):
            self._follow(message)
        elif isinstance(message, Verdict) and self._model is None:
            self._model = message.scores.model
        if self._is_closed or (self._broken and self._clock() < self._retry_s):
            return
        try:
            self._open_session()
            if line is not None and self._events is not None:
                self._events.add(line)
            self._take(message)
            self._keep_up(message)
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Finish the records; a second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._finish(self._previous)
            self._finish(self._record)
            if self._events is not None:
                self._events.flush()
                self._events.sync()
        except OSError as error:
            self._fail(error)
        if self._events is not None:
            self._events.let_go()

    # -- messages ------------------------------------------------------------------------------------

    def _begin_segment(self, segment: Segment) -> None:
        before, self._segment = self._segment, segment
        if before is None or (before.board, before.rate_hz) != (segment.board, segment.rate_hz):
            self._fit = None

    def _time_of_zero(self, block: SampleBlock) -> datetime:
        """When stream sample 0 was taken, from the first samples that are told. They came some time ago where
        samples are held back until the rate is measured, or until the board says what it is."""
        segment, now = self._segment, self._now()
        assert segment is not None, "samples come after their Segment"
        held_s = self._clock() - block.arrival_s
        if not 0.0 <= held_s <= LONGEST_HELD_S:  # virtual time
            return now
        end_s = segment.time_s + (block.first + block.n - segment.first) / segment.rate_hz
        return now - timedelta(seconds=held_s + end_s)

    def _take(self, message: Message) -> None:
        if isinstance(message, SampleBlock):
            self._block(message)
        elif isinstance(message, Beat):
            self._annotate(message.sample, BEAT)
        elif isinstance(message, BeatClass | Ectopic):
            self._recode(message)
        elif isinstance(message, Gap):
            self._gap(message)
        elif isinstance(message, Episode | EctopicRun) and self._news:
            self._label_rhythm()

    def _annotate(self, sample: int, symbol: str, aux: str = "") -> None:
        for part in (self._record, self._previous):
            if part is not None and part.covers(sample):
                part.annotate(sample, symbol, aux)
                return

    def _recode(self, message: BeatClass | Ectopic) -> None:
        """Give a beat that is there already the code that its class has, where that is another one."""
        if (code := beat_code(message)) != BEAT:
            for part in (self._record, self._previous):
                if part is not None and part.covers(message.beat.sample):
                    part.writer.annotations.recode(message.beat.sample - part.first, code)
                    return

    def _gap(self, gap: Gap) -> None:
        """Note a gap. Loose electrodes are noted as they come, from the samples themselves."""
        if gap.cause == "leads_off" or gap.seconds > LONGEST_FILL_S:
            return
        about = "about " if gap.estimated else ""
        self._annotate(gap.first, NOTE, f"gap: {about}{gap.n} samples {gap.cause}")

    def _follow(self, found: Episode | EctopicRun) -> None:
        """Keep episodes of the first rhythm model, and rows of ectopic beats; labels are drawn from them."""
        if isinstance(found, Episode):
            self._model = self._model or found.model
        self._news = (isinstance(found, EctopicRun) or found.model == self._model) and self._labels.push(
            found
        )

    def _label_rhythm(self) -> None:
        for part in (self._previous, self._record):
            if part is not None:
                part.writer.annotations.set_rhythm(self._rhythm(part))

    def _rhythm(self, part: Part) -> list[Annotation]:
        """Changes of rhythm inside one record."""
        labels = self._labels.within(part.first, part.last if part.closed else inf)
        return [Annotation(sample - part.first, RHYTHM, aux=label) for sample, label in labels]

    # -- samples -------------------------------------------------------------------------------------

    def _block(self, block: SampleBlock) -> None:
        first, counts = block.first, block.counts
        while len(counts):
            part = self._part_for(first, counts)
            n = part.fit.take(counts[: part.until - first])
            if n and block.leads_off != part.leads_off:
                part.leads_off = block.leads_off
                part.annotate(first, NOTE, LEADS_OFF if block.leads_off else LEADS_ON)
            part.append(counts[:n])
            first, counts = first + n, counts[n:]

    def _part_for(self, first: int, counts: Floats) -> Part:
        """The record that a sample goes to: the open one, filled up to there, or a new one."""
        part, segment = self._record, self._segment
        assert segment is not None, "samples come after their Segment"
        if self._fit is None:
            self._fit = _open_fit(segment, counts)
        if part is not None:
            missing = first - part.last
            fits = part.fit is self._fit and part.writer.layout == self._fit.layout
            short = 0 <= missing <= LONGEST_FILL_S * segment.rate_hz and first < part.until
            if fits and short:
                if missing:
                    part.writer.samples.fill(missing)
                return part
            if fits:
                self._fit.narrow()
            self._rotate()
        return self._open_record(segment, first, self._fit)

    def _open_record(self, segment: Segment, first: int, fit: Fit) -> Part:
        assert self._folder is not None
        assert self._zero is not None
        rate, board = segment.rate_hz, segment.board
        time_s = segment.time_s + (first - segment.first) / rate
        boundary_s = (floor(time_s / RECORD_S + 1e-9) + 1) * RECORD_S
        until = segment.first + ceil((boundary_s - segment.time_s) * rate - 1e-6)
        writer = RecordWriter(
            self._folder,
            f"ecg-{self._n_records:03d}",
            fit.layout,
            started=self._zero + timedelta(seconds=time_s),
            comments=(
                f"first stream sample {first}, second {time_s:.3f} of the stream",
                f"board {board.name}",
                "A, V, F mark beats of a class found by a model, N all others",
                "(AFIB to (N is an AF episode found by a model",
                RECORDED,
            ),
            disk=self._disk,
        )
        self._n_records += 1
        self._record = Part(writer, segment, fit, first, max(until, first + 1))
        self._label_rhythm()
        self._tell_steps(writer)
        return self._record

    def _tell_steps(self, writer: RecordWriter) -> None:
        """Say once where a lead's numbers are so large that they are no longer kept as they come."""
        coarse = tuple(steps for steps in writer.layout.steps if steps < 1.0)
        if coarse and coarse != self._coarse:
            steps = f"steps of {1.0 / min(coarse):g}"
            self._tell(f"numbers beyond 24 bits keep coming: {writer.name} holds them in {steps}")
        self._coarse = coarse

    def _rotate(self) -> None:
        """End the record's samples; its annotations stay open for what is learned later."""
        self._finish(self._previous)
        self._previous, self._record = self._record, None
        if self._previous is not None:
            self._previous.closed = True
            self._previous.writer.flush(-1)
            self._labels.forget(self._previous.first)

    def _finish(self, part: Part | None) -> None:
        if part is not None:
            part.closed = True
            part.writer.annotations.set_rhythm(self._rhythm(part))
            part.writer.finish()

    # -- the disk ------------------------------------------------------------------------------------

    def _open_session(self) -> None:
        """Make the session's folder and event log, at the first message; after a fault open them again.

        Where they are gone, the folder having been deleted or another disk being there, a new session begins.
        """
        if self._events is not None and self._events.is_open:
            return
        if self._events is not None:
            with suppress(FileNotFoundError):
                self._events.reopen()
                return
        stamp = f"{self._now():%Y%m%dT%H%M%SZ}"
        names = [stamp, *(f"{stamp}-{k}" for k in range(2, 1000))]
        self._disk.make_folder(self._root)
        folder = next(f for f in (self._root / name for name in names) if not f.exists())
        self._disk.make_folder(folder)
        try:
            self._events = EventLog(self._disk, folder / "events.jsonl")
        except OSError:  # each retry makes another
            self._disk.remove(folder / "events.jsonl")
            with suppress(OSError):
                folder.rmdir()
            raise
        self._folder, self._n_records = folder, 0

    def _keep_up(self, message: Message) -> None:
        """Flush and sync where it is time."""
        now, part = self._clock(), self._record
        stopped = isinstance(message, Status) and message.state in ("silent", "unplugged", "ended")
        held = part.writer.samples.held / part.segment.rate_hz if part is not None else 0.0
        if held >= FLUSH_S or now - self._flushed_s >= FLUSH_S or stopped:
            self._flush()
            self._flushed_s = now
        if now - self._synced_s >= SYNC_S or stopped:
            self._sync()
            self._synced_s = self._clock()

    def _flush(self) -> None:
        newest = self._record.last if self._record is not None else 0
        for part in (self._previous, self._record):
            if part is not None:
                part.writer.flush(part.settled(newest))
        if self._events is not None:
            self._events.flush()
        if self._broken and self._record is not None:
            self._broken = False
            self._tell(f"recording again, in {self._record.writer.name} of {self._folder}")

    def _sync(self) -> None:
        for part in (self._previous, self._record):
            if part is not None:
                part.writer.sync()
        if self._events is not None:
            self._events.sync()

    def _fail(self, error: OSError) -> None:
        """Let go of all files as they are: those of a disk that was gone stay dead when it is back."""
        for part in (self._previous, self._record):
            if part is None:
                continue
            if part.writer.readable:
                part.writer.close()
            else:
                part.writer.remove()
                self._n_records -= 1
        self._previous = self._record = None
        if self._events is not None:
            self._events.let_go()
        self._retry_s = self._clock() + RETRY_S
        if not self._broken:
            self._broken = True
            reason = error.strerror or str(error)
            going = "" if self._is_closed else "; the stream goes on, recording is tried again"
            self._tell(f"recording to {self._root} stopped: {reason}{going}")
