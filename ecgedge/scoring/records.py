"""Annotation files and folders of them -> scores, record by record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ecgedge.errors import RecordingError, UsageError
from ecgedge.places import absent, is_file
from ecgedge.recordings.annotations import read_annotations
from ecgedge.recordings.wfdb import parse_header
from ecgedge.scoring.beats import BeatCounts, compare_beats
from ecgedge.scoring.episodes import EpisodeCounts, compare_af
from ecgedge.scoring.figures import Ratio
from ecgedge.scoring.marks import SKIP_S, Mark, has_beats, has_rhythm, samples
from ecgedge.scoring.runs import RunCounts, compare_runs

_RESOLUTION = re.compile(rb"## time resolution: ([\d.]+)")


@dataclass(frozen=True)
class Track:
    """One annotation file."""

    name: str
    """Record name: the file name without its ending."""
    marks: list[Mark]
    rate_hz: float | None = None
    """Samples per second, where a header beside the file or the file itself tells."""
    n_samples: int | None = None
    """Length of the record, where a header tells."""


@dataclass(frozen=True)
class RecordScore:
    """All comparisons of one record; None for what the files do not hold."""

    record: str
    seconds: float | None = None
    """Length of the test period, where the record's length is known."""
    beats: BeatCounts | None = None
    v_runs: RunCounts | None = None
    s_runs: RunCounts | None = None
    af: EpisodeCounts | None = None
    """Atrial flutter neutral."""
    af_afl: EpisodeCounts | None = None
    """Atrial flutter counted as AF."""
    notes: tuple[str, ...] = field(default=())
    """What could not be compared, in words."""

    def figures(self) -> dict[str, Ratio]:
        """Every figure of merit by name."""
        out: dict[str, Ratio] = {}
        if self.beats:
            out |= self.beats.figures()
        for prefix, runs in (("v", self.v_runs), ("s", self.s_runs)):
            if runs:
                out |= runs.figures(prefix)
        for prefix, counts in (("af", self.af), ("af_afl", self.af_afl)):
            if counts:
                out |= counts.figures(prefix)
        return out


def score(
    reference: Track, test: Track, *, skip_s: float = SKIP_S, rate_hz: float | None = None
) -> RecordScore:
    """Make every comparison of EC57 that both files allow: beat by beat, run by run, AF episodes.

    A comparison is left out, with a note, where the reference has nothing of its kind, or where the test
    holds marks of the other kind only (beats without rhythms, or the reverse). An empty test file is no
    excuse: it found nothing.

    Parameters
    ----------
    reference, test : the two annotators of one record
    skip_s : learning period at the start that is left out, seconds
    rate_hz : samples per second of the reference where its files do not tell

    Raises
    ------
    UsageError
        No sampling rate is known.
    """
    rate = reference.rate_hz or rate_hz or test.rate_hz
    if rate is None:
        raise UsageError(
            f"{reference.name}: no sampling rate", "a header beside the annotations", "Give it with --fs."
        )
    ours, theirs = reference.marks, _at_rate(test, rate)
    end = reference.n_samples
    notes = []
    beats = v_runs = s_runs = af = af_afl = None
    test_beats, test_rhythm = has_beats(theirs), has_rhythm(theirs)
    if has_beats(ours) and (test_beats or not test_rhythm):
        beats = compare_beats(ours, theirs, rate_hz=rate, skip_s=skip_s, end=end)
        v_runs = compare_runs(ours, theirs, "V", rate_hz=rate, skip_s=skip_s, end=end)
        s_runs = compare_runs(ours, theirs, "S", rate_hz=rate, skip_s=skip_s, end=end)
    else:
        notes.append(f"{'the test' if has_beats(ours) else 'the reference'} marks no beats")
    if has_rhythm(ours) and (test_rhythm or not test_beats):
        af = compare_af(ours, theirs, rate_hz=rate, skip_s=skip_s, end=end)
        af_afl = compare_af(ours, theirs, rate_hz=rate, skip_s=skip_s, end=end, flutter_is_af=True)
    else:
        notes.append(f"{'the test' if has_rhythm(ours) else 'the reference'} marks no rhythm")
    seconds = None if end is None else max(0.0, end / rate - skip_s)
    return RecordScore(reference.name, seconds, beats, v_runs, s_runs, af, af_afl, tuple(notes))


def _at_rate(track: Track, rate_hz: float) -> list[Mark]:
    """Marks at another sampling rate; at the same one, the marks themselves."""
    if track.rate_hz is None or track.rate_hz == rate_hz:
        return track.marks
    ratio = rate_hz / track.rate_hz
    return [replace(mark, sample=samples(mark.sample, ratio)) for mark in track.marks]


def open_track(path: Path) -> Track:
    """Read an annotation file, and the header beside it where there is one.

    Raises
    ------
    RecordingError
        The file cannot be read or is no annotation file.
    """
    marks = read_annotations(path)
    rate, length = _resolution(path), None
    header = path.with_suffix(".hea")
    if is_file(header):
        parsed = parse_header(header.read_text(encoding="latin-1"), str(header))
        rate, length = rate or parsed.rate_hz, parsed.n_samples
        if length is not None and rate != parsed.rate_hz:
            length = samples(length, (rate or 1.0) / parsed.rate_hz)
    return Track(path.stem, marks, rate, length)


def _resolution(path: Path) -> float | None:
    """Samples per second that the annotation file states of itself."""
    with path.open("rb") as file:
        found = _RESOLUTION.search(file.read(256))
    return float(found[1]) if found and float(found[1]) > 0 else None


def find_pairs(
    reference: Path, test: Path, annotators: tuple[str, str]
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Pair annotation files of the same record.

    Parameters
    ----------
    reference, test : files, or folders; a folder stands for all its files of the annotator
    annotators : file name endings of the reference and of the test in folders

    Returns
    -------
    pairs : files of the records that both sides have, sorted by name
    missing : names of the reference's records that the test does not have

    Raises
    ------
    RecordingError
        Something does not exist, or no record is in common.
    """
    for path in (reference, test):
        if why := absent(path):
            raise RecordingError(f"{path}: not there ({why})", "an annotation file, or a folder of them")
    if reference.is_file() and test.is_file():
        return [(reference, test)], []
    sides = [_by_record(p, a) for p, a in zip((reference, test), annotators, strict=True)]
    common = sorted(sides[0].keys() & sides[1].keys())
    if not common:
        wanted = " and ".join(
            f"{p}/*.{a}" if p.is_dir() else str(p) for p, a in zip((reference, test), annotators, strict=True)
        )
        raise RecordingError(f"no record in common between {wanted}", "files of the same names")
    missing = sorted(sides[0].keys() - sides[1].keys()) if test.is_dir() else []
    return [(sides[0][name], sides[1][name]) for name in common], missing


def _by_record(path: Path, annotator: str) -> dict[str, Path]:
    if path.is_file():
        return {path.stem: path}
    return {found.stem: found for found in path.glob(f"*.{annotator}") if found.is_file()}


def score_paths(
    reference: Path,
    test: Path,
    *,
    annotators: tuple[str, str] = ("atr", "ecg"),
    skip_s: float = SKIP_S,
    rate_hz: float | None = None,
) -> tuple[Iterator[RecordScore], list[str]]:
    """Score all records in common; see ``find_pairs`` and ``score``.

    Returns
    -------
    scores : one a record, made as they are asked for
    missing : records without a test
    """
    pairs, missing = find_pairs(reference, test, annotators)
    scores = (score(open_track(r), open_track(t), skip_s=skip_s, rate_hz=rate_hz) for r, t in pairs)
    return scores, missing
