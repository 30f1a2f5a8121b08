"""Beat by beat: the matching of ANSI/AAMI EC57 after the convention of ``bxb``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ecgedge.scoring.figures import Ratio
from ecgedge.scoring.marks import (
    FOREVER,
    SKIP_S,
    WINDOW_S,
    BeatTrack,
    Mark,
    beat_track,
    inside,
    samples,
)

LABELS = "NSVFQOX"
"""Rows (reference) and columns (test) of the confusion matrix: the five AAMI classes, O for no beat at
all, X for no beat because of shutdown."""

Pair = tuple[int | None, int | None]
"""Positions of a matched reference and test beat; None for the side that has no partner."""


def _empty() -> list[list[int]]:
    return [[0] * len(LABELS) for _ in LABELS]


@dataclass(frozen=True)
class BeatCounts:
    """The confusion matrix of EC57's beat-by-beat comparison, and the figures that are read from it."""

    matrix: list[list[int]] = field(default_factory=_empty)
    """``matrix[reference][test]``, in the order of ``LABELS``."""

    def __add__(self, other: BeatCounts) -> BeatCounts:
        rows = zip(self.matrix, other.matrix, strict=True)
        return BeatCounts([[a + b for a, b in zip(*pair, strict=True)] for pair in rows])

    def count(self, reference: str, test: str) -> int:
        """Pairs whose reference label is in ``reference`` and whose test label is in ``test``."""
        rows = [self.matrix[LABELS.index(r)] for r in reference]
        return sum(row[LABELS.index(t)] for row in rows for t in test)

    def figures(self) -> dict[str, Ratio]:
        """Sensitivity and positive predictivity of QRS, V and S, the V false positive rate.

        EC57's figures of the beat-by-beat comparison: QRS, VEB and SVEB detection, with the beats missed in
        shutdown told beside. After the convention of ``bxb``: a beat that the test calls V counts against V
        only where the reference says N, S or none (fusion and unclassifiable beats are forgiven either
        way); one that it calls S, where the reference says N, V, F or none. Beats missed in shutdown are
        missed.
        """
        beats, nothing = "NSVFQ", "OX"
        hits = self.count(beats, beats)
        ventricular, false_v = self.count("V", "V"), self.count("NSOX", "V")
        supra, false_s = self.count("S", "S"), self.count("NVFOX", "S")
        not_v = self.count("NSFQOX", "NSFQ")
        return {
            "qrs_se": Ratio(hits, hits + self.count(beats, nothing)),
            "qrs_ppv": Ratio(hits, hits + self.count(nothing, beats)),
            "v_se": Ratio(ventricular, self.count("V", LABELS)),
            "v_ppv": Ratio(ventricular, ventricular + false_v),
            "v_fpr": Ratio(false_v, false_v + not_v),
            "s_se": Ratio(supra, self.count("S", LABELS)),
            "s_ppv": Ratio(supra, supra + false_s),
            "shutdown": Ratio(self.count(beats, "X"), hits + self.count(beats, nothing)),
        }


def compare_beats(
    reference: Sequence[Mark],
    test: Sequence[Mark],
    *,
    rate_hz: float,
    skip_s: float = SKIP_S,
    end: int | None = None,
    window_s: float = WINDOW_S,
) -> BeatCounts:
    """Compare two annotators beat by beat: EC57's beat-by-beat comparison, in the convention of ``bxb``.

    Each reference beat is matched to at most one test beat no more than 150 ms away, the nearer of two
    neighbours first. The first five minutes (``skip_s``) are left out. Test beats inside the reference's
    ventricular flutter or fibrillation are not counted; beats without partner are paired with O, or with
    X inside the other side's shutdown.

    Parameters
    ----------
    reference, test : marks in order of time, samples at the reference's rate
    rate_hz : that rate
    skip_s : learning period, seconds
    end : last sample of the record; without it, the comparison ends with the reference's last beat
    window_s : match window, seconds
    """
    window, start = samples(window_s, rate_hz), samples(skip_s, rate_hz)
    ref, tst = beat_track(reference, window), beat_track(test, window)
    counts = BeatCounts()
    for r, t in _pairs(ref.times, tst.times, window, start, end):
        if r is not None and t is not None:
            rows, columns = ref.labels[r], tst.labels[t]
        elif r is not None:
            rows, columns = ref.labels[r], "X" if inside(tst.shutdown, ref.times[r]) else "O"
        elif t is not None and not inside(ref.flutter, tst.times[t]):
            rows, columns = _no_reference(ref, tst.times[t]), tst.labels[t]
        else:
            continue
        counts.matrix[LABELS.index(rows)][LABELS.index(columns)] += 1
    return counts


def _no_reference(reference: BeatTrack, time: int) -> str:
    return "X" if inside(reference.shutdown, time) else "O"


def _pairs(
    reference: Sequence[int], test: Sequence[int], window: int, start: int, end: int | None
) -> Iterator[Pair]:
    """Walk both lists in time; give every beat once, with its partner or None.

    A beat takes the next one of the other side if that is within the window and no later neighbour is
    nearer to it.
    """
    r, t = bisect_left(reference, start), bisect_left(test, start)

    def at(times: Sequence[int], k: int) -> int:
        return times[k] if k < len(times) else FOREVER

    first, early = at(reference, r), at(test, t - 1) if t else -FOREVER
    if first - early <= window and first - early < abs(first - at(test, t)):
        # A test beat of the learning period matches the first beat that counts.
        yield r, t - 1
        r += 1
    elif start and at(test, t) - start <= window and abs(first - at(test, t + 1)) < abs(first - at(test, t)):
        # The first test beat may belong to a reference beat of the learning period; as the next one is
        # nearer to the first reference beat, it is not held against the test.
        t += 1
    limit = FOREVER - 1 if end is None else end
    while (end is None and r < len(reference)) or (
        end is not None and min(at(reference, r), at(test, t)) <= limit
    ):
        ref, tst = at(reference, r), at(test, t)
        if tst < ref:
            paired = ref - tst <= window and ref - tst < abs(ref - at(test, t + 1))
            yield (r if paired else None), t
            r, t = r + paired, t + 1
        else:
            paired = tst - ref <= window and tst - ref < abs(tst - at(reference, r + 1))
            yield r, (t if paired else None)
            r, t = r + 1, t + paired
