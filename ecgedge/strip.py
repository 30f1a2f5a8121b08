"""A part of a recording with what the code of ``classify`` says of it: what ``plot`` and others draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.classifier import open_models
from ecgedge.classify import classify
from ecgedge.errors import UsageError
from ecgedge.messages import Beat, BeatClass, Ectopic, EctopicRun, Episode, Gap, Verdict
from ecgedge.recordings import Recording, open_recording
from ecgedge.words import DEFAULT_MODELS

if TYPE_CHECKING:
    from ecgedge.messages import Floats

SPAN_S = 60.0
"""Seconds shown where no end is given."""
LONGEST_S = 600.0
LATE_S = 90.0
"""Windows, episodes and events of a moment come no later than this."""


@dataclass
class Strip:
    """All that is drawn."""

    title: str
    lead: str
    model: str
    """Whose verdicts these are."""
    rate_hz: float
    in_mv: bool
    from_s: float
    to_s: float
    signal: Floats
    """Millivolt or counts from ``from_s`` on; not-a-number where there is nothing."""
    beats: list[Beat] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)
    """APC, PVC or fusion, of the beats that are one, by the sample of the R peak."""
    rows: dict[int, EctopicRun] = field(default_factory=dict)
    """Latest word on each row of ectopic beats, by onset."""
    gaps: list[Gap] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    episodes: dict[int, Episode] = field(default_factory=dict)
    """Latest word on each, by onset."""

    def verdict(self, start_s: float, end_s: float) -> Verdict | None:
        """The full window whose middle is nearest to that of a row, if it lies in it; else a provisional."""
        middle = (start_s + end_s) / 2
        best: tuple[bool, float] | None = None
        found = None
        for verdict in self.verdicts:
            scores = verdict.scores
            away = abs(scores.time_s + scores.seconds / 2 - middle)
            covers = scores.time_s < end_s and scores.time_s + scores.seconds > start_s
            rank = (scores.provisional, away)
            if covers and (best is None or rank < best):
                best, found = rank, verdict
        return found


def read_strip(
    path: Path,
    *,
    models: tuple[str, ...] = DEFAULT_MODELS,
    from_s: float = 0.0,
    to_s: float | None = None,
    lead: str | None = None,
    fs: float | None = None,
) -> Strip:
    """Read a part of a recording and what the models say of it; verdicts are those of the first.

    Raises
    ------
    UsageError
        Times that make no span of this recording, or one too long to draw.
    RecordingError, BundleError
        See ``open_recording`` and ``open_models``.
    """
    recording = open_recording(path, fs, lead if lead is not None else 0)
    rate = recording.board.rate_hz
    assert rate is not None, "recordings always have a rate"
    seconds = recording.n_samples / rate
    end_s = min(from_s + SPAN_S if to_s is None else to_s, seconds)
    if not 0 <= from_s < end_s:
        raise UsageError(f"--from {from_s:g} --to {end_s:g}", f"a span within 0 to {seconds:.1f} s")
    if end_s - from_s > LONGEST_S:
        raise UsageError(
            f"a strip of {end_s - from_s:g} s", f"at most {LONGEST_S:g} s", "See --from and --to."
        )
    strip = Strip(
        title=recording.board.name,
        lead=recording.lead_names[0],
        model="",
        rate_hz=rate,
        in_mv=recording.board.uv_per_count is not None,
        from_s=from_s,
        to_s=end_s,
        signal=signal_between(recording, round(from_s * rate), round(end_s * rate)),
    )
    _listen(strip, recording, path, models)
    return strip


def signal_between(recording: Recording, first: int, last: int) -> Floats:
    """Samples of the first lead in millivolt, or counts of unknown scale; not-a-number where none are."""
    out = np.full(last - first, np.nan)
    for block in recording.blocks():
        if block.first >= last:
            break
        a, b = max(block.first, first), min(block.first + block.n, last)
        if a < b and not block.leads_off:
            out[a - first : b - first] = block.counts[a - block.first : b - block.first, 0]
    scale = recording.board.uv_per_count
    return out if scale is None else out * (scale / 1000.0)


def _listen(strip: Strip, recording: Recording, path: Path, models: tuple[str, ...]) -> None:
    """Take the messages up to a good while after the strip's end: windows and episodes come late."""
    classifiers = open_models(models)
    strip.model = next((c.bundle.name for c in classifiers if c.bundle.task == "rhythm"), "")
    for message in classify(recording, str(path), classifiers):
        if isinstance(message, Beat):
            if message.time_s > strip.to_s + LATE_S:
                break
            if strip.from_s <= message.time_s < strip.to_s:
                strip.beats.append(message)
        elif isinstance(message, Gap):
            strip.gaps.append(message)
        elif isinstance(message, Verdict):
            if message.scores.model == strip.model:
                strip.verdicts.append(message)
        elif isinstance(message, Episode):
            if message.model == strip.model:
                strip.episodes[message.onset] = message
        elif isinstance(message, EctopicRun):
            strip.rows[message.onset] = message
        elif isinstance(message, Ectopic):
            strip.kinds[message.beat.sample] = message.kind
        elif isinstance(message, BeatClass) and message.label == "F":
            strip.kinds[message.beat.sample] = "fusion"
