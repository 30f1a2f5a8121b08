"""``ecgedge evaluate``: a checkpoint or a bundle, on labelled records that took no part in its fitting.

Records go through the device's conditioning, windows and inputs; a bundle is scored by the device's own
classifier. What is decided, and how, is the data set's: see ``scored_sets``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge import __version__
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError
from ecgedge.messages import Person
from ecgedge.training import metrics, scored_sets
from ecgedge.training.data import condition, context_of, record_windows, within

if TYPE_CHECKING:
    from pathlib import Path

    from ecgedge.datasets.record import Record
    from ecgedge.messages import Floats, Window
    from ecgedge.training.metrics import Labels
    from ecgedge.training.model import Model

FORMAT = 2


@dataclass(frozen=True)
class Evaluation:
    """What a model made of the records of a split."""

    model: str
    arithmetic: str
    sha256: str
    temperature: float
    set: str
    split: str
    cases: str
    """What was decided: ``records`` or ``windows``."""
    classes: list[str]
    records: int
    windows: int
    names: list[str]
    """One a case."""
    groups: list[int]
    """Which record each case is of, from 0."""
    reference: dict[str, list[str]]
    """Class of each case, by label revision."""
    probabilities: list[list[float]]
    """One row a case, one column a class."""
    calibration: dict[str, float]
    """Expected calibration error of records and of windows, with the temperature and without."""

    @property
    def title(self) -> str:
        """Model and records in words."""
        return f"{self.model} ({self.arithmetic}), {self.set} {self.split}, {self.records} records"

    @property
    def revision(self) -> str:
        """The label revision of the headline."""
        return next(iter(self.reference))

    def labels(self, revision: str | None = None) -> Labels:
        """Class index of each case; default: by the headline's revision."""
        return np.array([self.classes.index(one) for one in self.reference[revision or self.revision]])

    def decisions(self) -> Labels:
        """Class index told of each case."""
        return np.asarray(np.array(self.probabilities).argmax(axis=1))

    def together(self) -> Labels | None:
        """Which cases belong together in the bootstrap; None where every case is a record."""
        return None if self.cases == "records" else np.array(self.groups)

    def figures(self) -> dict[str, dict[str, Any]]:
        """Figures against each label revision."""
        told, groups = self.decisions(), self.together()
        return {r: metrics.summary(self.labels(r), told, self.classes, groups=groups) for r in self.reference}


def evaluate(model: Model, root: Path, data: str = "cinc2017", split: str | None = None) -> Evaluation:
    """Score every record of a split (None: the set's default).

    A record too short for any window counts as told noisy (the last class).

    Raises
    ------
    UsageError, DataError
        For an unknown set or split, or one that is missing or damaged.
    """
    scored, split = scored_sets.find(data, split)
    names = scored.names(root, split, model.data)
    cases: list[scored_sets.Case] = []
    groups: list[int] = []
    logits: list[Floats] = []
    for number, record in enumerate(scored.records(root, names)):
        windows, each = _logits(model, record)
        for case in scored.split_up(record, windows):
            cases.append(case)
            groups.append(number)
            logits.append(each[case.windows])
        _tell(number + 1, len(names))
    if not cases:
        raise DataError(f"{data} {split}: nothing to score", "records with windows")
    revisions = [r for r in cases[0].reference if all(r in case.reference for case in cases)]
    reference = {r: [case.reference[r] for case in cases] for r in revisions}
    labels = np.array([scored.classes.index(one) for one in reference[revisions[0]]])
    calibrated = [scored.by_class(metrics.softmax(part / model.temperature)) for part in logits]
    plain = [scored.by_class(metrics.softmax(part)) for part in logits]
    return Evaluation(
        model=model.name,
        arithmetic=model.arithmetic,
        sha256=model.sha256,
        temperature=model.temperature,
        set=data,
        split=split,
        cases=scored.cases,
        classes=list(scored.classes),
        records=len(names),
        windows=sum(map(len, logits)),
        names=[case.name for case in cases],
        groups=groups,
        reference=reference,
        probabilities=np.round(_by_case(calibrated), 6).tolist(),
        calibration={
            **_errors("", calibrated, labels, scored.cases),
            **_errors("_without_temperature", plain, labels, scored.cases),
        },
    )


def _logits(model: Model, record: Record) -> tuple[list[Window], Floats]:
    """The windows of a record's first lead, and their logits, shape (windows, classes)."""
    signal = condition(record.lead(), record.rate_hz, model.preprocessing)
    context = context_of(record.lead(), record.rate_hz, model.window.rate_hz, Person())
    windows = record_windows(signal, model.window)
    each = [model.logits(w.signal, within(context, w.time_s, w.seconds)) for w in windows]
    return windows, np.array(each).reshape(-1, len(cinc2017.CLASSES))


def _by_case(parts: list[Floats]) -> Floats:
    """Mean over the windows of each case, shape (cases, classes)."""
    case = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return metrics.mean_by_record(np.concatenate(parts), case, len(parts))


def _errors(ending: str, parts: list[Floats], labels: Labels, cases: str) -> dict[str, float]:
    """Expected calibration errors of windows, and of records where these are decided."""
    windows = metrics.calibration_error(np.concatenate(parts), np.repeat(labels, [len(p) for p in parts]))
    out = {f"windows{ending}": round(windows, 4)}
    if cases == "records":
        out[f"records{ending}"] = round(metrics.calibration_error(_by_case(parts), labels), 4)
    return out


def _tell(done: int, records: int) -> None:
    """Keep a line on a terminal up to date."""
    if sys.stderr.isatty() and (done % max(1, records // 50) == 0 or done == records):
        end = "\r\x1b[K" if done == records else ""
        print(f"\r\x1b[Krecord {done}/{records}{end}", end="", file=sys.stderr, flush=True)


def note(evaluation: Evaluation) -> str:
    """What is to be said of its records."""
    return scored_sets.SETS[evaluation.set].splits[evaluation.split]


def save(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation with its figures as JSON."""
    content = {
        "evaluation": FORMAT,
        "ecgedge": __version__,
        "note": note(evaluation),
        "figures": evaluation.figures(),
        **asdict(evaluation),
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path) -> Evaluation:
    """Read what ``save`` wrote.

    Raises
    ------
    DataError
        If it is something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["evaluation"] != FORMAT:
            raise DataError(
                f"{path.name} is of format {content['evaluation']}", f"format {FORMAT}", "Evaluate anew."
            )
        found = Evaluation(**{name: content[name] for name in Evaluation.__dataclass_fields__})
        _check(found)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise DataError(f"{path.name} cannot be read ({error!r})", "what ecgedge evaluate wrote") from None
    return found


def _check(evaluation: Evaluation) -> None:
    """Raise one of the errors of damaged values if it does not hang together."""
    scored = scored_sets.SETS[evaluation.set]
    n = len(evaluation.names)
    shape = np.array(evaluation.probabilities, dtype=np.float64).shape
    if (shape, len(evaluation.groups)) != ((n, len(scored.classes)), n) or not n:
        raise ValueError(f"{n} names, probabilities of shape {shape}")
    if tuple(evaluation.classes) != scored.classes or not evaluation.reference:
        raise ValueError(f"classes {evaluation.classes}, labels {list(evaluation.reference)}")
    if any(len(evaluation.labels(revision)) != n for revision in evaluation.reference):
        raise ValueError("not a label for every name")
    if evaluation.split not in scored.splits or evaluation.cases != scored.cases:
        raise ValueError(f"{evaluation.cases} of {evaluation.split}")
