"""AF episodes and durations: EC57's episode comparison after the convention of ``epicmp``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ecgedge.scoring.figures import Ratio
from ecgedge.scoring.marks import SKIP_S, Interval, Mark, is_rhythm, samples

FIBRILLATION = ("(AFIB",)
FLUTTER = ("(AFL",)
MINIMUM_S = 30.0
"""Shortest reference episode that counts in the episode sensitivity, seconds."""
MAJORITY = 0.5
"""Share of a window that a rhythm must fill to be the window's."""


@dataclass(frozen=True, slots=True)
class EpisodeCounts:
    """Episodes found and not, and the seconds behind the duration figures."""

    found: int = 0
    """Reference episodes that a test episode overlaps."""
    reference: int = 0
    """Reference episodes of at least the minimum duration."""
    confirmed: int = 0
    """Test episodes that a reference episode overlaps."""
    test: int = 0
    reference_s: float = 0.0
    """Duration of all reference episodes, short ones included, seconds."""
    test_s: float = 0.0
    """Duration of all test episodes outside what is neutral, seconds."""
    overlap_s: float = 0.0

    def figures(self, prefix: str) -> dict[str, Ratio]:
        """Sensitivity and positive predictivity, of episodes and of duration."""
        return {
            f"{prefix}_episode_se": Ratio(self.found, self.reference),
            f"{prefix}_episode_ppv": Ratio(self.confirmed, self.test),
            f"{prefix}_duration_se": Ratio(self.overlap_s, self.reference_s),
            f"{prefix}_duration_ppv": Ratio(self.overlap_s, self.test_s),
        }


def episodes(marks: Sequence[Mark], rhythms: tuple[str, ...], end: int | None) -> list[Interval]:
    """Intervals of the rhythms, from the change into one of them to the next change out of all of them.

    A rhythm still there at the last mark lasts to the record's end, or to that mark where ``end`` is not
    known, after the convention of ``epicmp``.
    """
    found: list[Interval] = []
    onset: int | None = None
    for mark in marks:
        if not is_rhythm(mark):
            continue
        wanted = mark.aux.startswith(rhythms)
        if wanted and onset is None:
            onset = mark.sample
        elif not wanted and onset is not None:
            found.append((onset, mark.sample))
            onset = None
    if onset is not None:
        found.append((onset, max(marks[-1].sample, end or 0)))
    return found


def is_fibrillation(
    window: Interval, fibrillation: Sequence[Interval], flutter: Sequence[Interval]
) -> bool | None:
    """Whether a window is in AF by the reference's intervals; None where it is too much of flutter to say."""
    af, other = (_overlap([window], spans) / (window[1] - window[0]) for spans in (fibrillation, flutter))
    if af >= MAJORITY:
        return True
    return None if af + other >= MAJORITY else False


def compare_af(
    reference: Sequence[Mark],
    test: Sequence[Mark],
    *,
    rate_hz: float,
    skip_s: float = SKIP_S,
    end: int | None = None,
    minimum_s: float = MINIMUM_S,
    flutter_is_af: bool = False,
) -> EpisodeCounts:
    """Compare AF episodes of two annotators: EC57's episode comparison, in the convention of ``epicmp``.

    An episode is found (confirmed) by any overlap. Atrial flutter of the reference is neutral: test AF
    inside it is neither right nor wrong. With ``flutter_is_af`` it counts as AF instead. Only reference
    episodes of at least ``minimum_s`` inside the test period count as missed or found; ``epicmp`` counts
    all unless told otherwise. Test episodes and durations count all.

    Parameters
    ----------
    reference, test : marks in order of time, samples at the reference's rate
    rate_hz : that rate
    skip_s : learning period, seconds
    end : last sample of the record, where known
    minimum_s : shortest reference episode of the episode sensitivity, seconds
    flutter_is_af : count the reference's atrial flutter as AF
    """
    start = samples(skip_s, rate_hz)
    wanted = FIBRILLATION + FLUTTER if flutter_is_af else FIBRILLATION
    ref = _clipped(episodes(reference, wanted, end), start, end)
    tst = _clipped(episodes(test, FIBRILLATION + FLUTTER if flutter_is_af else FIBRILLATION, end), start, end)
    neutral = [] if flutter_is_af else episodes(reference, FLUTTER, end)
    # What is left of every test episode outside neutral time; one that is wholly inside does not exist.
    judged = [left for left in (_without(episode, neutral) for episode in tst) if left]
    long_enough = [e for e in ref if e[1] - e[0] >= minimum_s * rate_hz]
    return EpisodeCounts(
        found=sum(_overlap([e], tst) > 0 for e in long_enough),
        reference=len(long_enough),
        confirmed=sum(_overlap(parts, ref) > 0 for parts in judged),
        test=len(judged),
        reference_s=_length(ref) / rate_hz,
        test_s=sum(_length(parts) for parts in judged) / rate_hz,
        overlap_s=_overlap(ref, tst) / rate_hz,
    )


def _clipped(intervals: Sequence[Interval], start: int, end: int | None) -> list[Interval]:
    clipped = [(max(a, start), b if end is None else min(b, end)) for a, b in intervals]
    return [(a, b) for a, b in clipped if b > a]


def _without(episode: Interval, neutral: Sequence[Interval]) -> list[Interval]:
    parts = [episode]
    for off, on in neutral:
        cut = [((a, min(b, off)), (max(a, on), b)) for a, b in parts]
        parts = [(a, b) for pair in cut for a, b in pair if b > a]
    return parts


def _length(intervals: Sequence[Interval]) -> int:
    return sum(b - a for a, b in intervals)


def _overlap(some: Sequence[Interval], others: Sequence[Interval]) -> int:
    return sum(max(0, min(b, d) - max(a, c)) for a, b in some for c, d in others)
