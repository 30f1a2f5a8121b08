"""Classes of beats, and the windows over them -> premature beats that are worth telling, and rows of them.

A class alone is not enough: noise and fibrillation are full of beats that look early or odd. So a beat is
told as an event only when every window over it has been heard, some 30 s later, and

* most windows over it are readable (``coverage.ground``; the window's own quality gate, see ``quality``);
* its class has at least the probability that the bundle asks for;
* an **APC** (class S) comes early, at once, in a rhythm that is regular on either side of it, and not where a
  block of every second beat ends (``prematurity``); its QRS is the usual one of this person; and AF is not
  likely there: the mean probability of AF over these windows is below ``coverage.AF_LIKELY``;
* a **PVC** (class V) has a QRS that is not the usual one. Its shape is what gives it away, in AF as well, and
  late ones are some.

Beats that pass no gate break a row: noise never makes a run.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

from ecgedge.coverage import JUDGED, UNREADABLE, Coverage, ground
from ecgedge.messages import Beat, BeatClass, Ectopic, EctopicKind, EctopicRun, Verdict
from ecgedge.prematurity import AROUND, UNREST, EarlyRows, UsualInterval, ends_block, unrest

USUAL_QRS = 0.92
"""Least correlation of a QRS that is the usual one. Chosen on DS1 of the MIT-BIH Arrhythmia Database."""
KEPT_S = 120.0
"""No class of a beat is told later than this."""
KINDS: dict[str, EctopicKind] = {"S": "APC", "V": "PVC"}
"""Kind of event of each class that can be one."""
ROW = 3
"""Fewest ectopic beats of a run, bigeminy or trigeminy."""
STEPS = {1: "run", 2: "bigeminy", 3: "trigeminy"}
"""Name of a row by how many beats it is from one ectopic beat to the next."""


@dataclass(slots=True)
class _Row:
    """Ectopic beats of one kind that have followed each other regularly so far."""

    of: EctopicKind
    first: Beat
    last: Beat
    beats: int = 1
    step: int | None = None
    told: bool = False


class Rows:
    """Judged beats in order -> couplets, runs, bigeminy, trigeminy."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._row: _Row | None = None
        self._since = 0  # beats since the last ectopic one

    def push(self, beat: Beat, kind: EctopicKind | None) -> list[EctopicRun]:
        """Take the next beat, and which kind of ectopic beat it is, if it is one."""
        out = self.end() if beat.rr_s is None else []
        row = self._row
        if kind is None:
            self._since += 1
            longest = max(STEPS) if row is None or row.step is None else row.step
            return out + (self.end() if self._since >= longest else [])
        step, self._since = self._since + 1, 0
        if row is not None and row.of == kind and row.step in (None, step):
            row.step, row.last, row.beats = step, beat, row.beats + 1
        else:
            out += self.end()
            follows = row is not None and row.of == kind and step in STEPS
            self._row = _Row(kind, row.last, beat, 2, step) if follows and row else _Row(kind, beat, beat)
        row = self._row
        assert row is not None
        if row.beats >= ROW and not row.told:
            row.told = True
            out.append(self._run(row, STEPS[row.step or 1], "open"))
        return out

    def end(self) -> list[EctopicRun]:
        """Whatever goes on ends here."""
        row, self._row, self._since = self._row, None, 0
        if row is None:
            return []
        if row.told:
            return [self._run(row, STEPS[row.step or 1], "closed")]
        return [self._run(row, "couplet", "closed")] if row.beats == 2 and row.step == 1 else []

    def _run(self, row: _Row, kind: str, state: str) -> EctopicRun:
        return EctopicRun(
            kind=kind,  # type: ignore[arg-type]  # a name of STEPS, or couplet
            state=state,  # type: ignore[arg-type]  # open or closed
            of=row.of,
            model=self._model,
            onset=row.first.sample,
            offset=row.last.sample,
            onset_s=row.first.time_s,
            offset_s=row.last.time_s,
            beats=row.beats,
        )


class Ectopy:
    """Events of one stream.

    Parameters
    ----------
    model : name that the events carry: of the model that classes the beats
    least : probability that each class needs, by class (S, V), 0-1
    """

    def __init__(self, model: str, least: dict[str, float]) -> None:
        self._model, self._least = model, least
        self._beats: deque[BeatClass] = deque()
        self._coverage: Coverage[tuple[bool, float]] = Coverage(ground)
        self._settled_s = 0.0
        self._past: deque[BeatClass] = deque(maxlen=AROUND + 1)
        """The latest beats that were judged."""
        self._usual = UsualInterval()
        self._early = EarlyRows()
        self._rows = Rows(model)

    def push(self, message: BeatClass | Verdict) -> list[Ectopic | EctopicRun]:
        """Take a beat's class, or a verdict of the rhythm model; both in order.

        Provisional verdicts are passed over; one without a probability of AF counts as one of none.
        """
        if isinstance(message, BeatClass):
            self._beats.append(message)
            return self._decide() if message.beat.time_s < self._settled_s else []
        if message.scores.provisional:
            return []
        scores = message.scores
        vote = message.readable, message.af_probability or 0.0
        self._coverage.push(scores.time_s, scores.time_s + scores.seconds, vote)
        self._settled_s = scores.time_s
        return self._decide()

    def interrupt(self) -> list[Ectopic | EctopicRun]:
        """The stretch has ended: no window will cover what came so far, and no row goes on."""
        self._coverage.settle_all()
        self._settled_s = float("inf")
        out = [*self._decide(), *self._rows.end()]
        self._settled_s = 0.0
        self._usual.pause()
        return out

    def _decide(self) -> list[Ectopic | EctopicRun]:
        """Judge the beats that no later window can cover."""
        out: list[Ectopic | EctopicRun] = []
        while self._beats and self._beats[0].beat.time_s < self._settled_s:
            out += self._judge(self._beats.popleft())
        self._coverage.forget(self._settled_s - KEPT_S)
        return out

    def _judge(self, item: BeatClass) -> list[Ectopic | EctopicRun]:
        beat = item.beat
        self._past.append(item)
        word = self._coverage.word(beat.time_s)
        if word in (None, UNREADABLE):
            self._usual.pause()
            self._early.pass_over(beat)
            return list(self._rows.end())
        share = self._usual.share(beat)
        self._usual.push(beat, item.label)
        early = self._early.push(beat, share if word == JUDGED else None)
        kind = KINDS.get(item.label) if item.probability >= self._least.get(item.label, 0.0) else None
        usual_qrs = item.likeness.qrs >= USUAL_QRS
        if kind == "PVC" and usual_qrs:
            kind = None
        if kind == "APC" and not (early and usual_qrs and self._means_something(item, share)):
            kind = None
        out: list[Ectopic | EctopicRun] = []
        if kind is not None:
            out.append(Ectopic(kind, item.model, beat, item.probability, share))
        return out + self._rows.push(beat, kind)

    def _means_something(self, item: BeatClass, share: float | None) -> bool:
        """Whether an early beat stands in a regular rhythm, and is not one of each two that was blocked."""
        if share is None or ends_block(share, item.likeness.p):
            return False
        return max(unrest(self._past), unrest([item, *islice(self._beats, AROUND)])) < UNREST
