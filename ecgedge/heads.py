"""Models at work, one class a task: what the frontend prepared -> what the model says of it.

* rhythm: windows -> verdicts and AF episodes;
* beats: rows of beats -> a class for each;
* apc: windows, asked only where a beat was called APC -> whether the model agrees, and what it looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.ectopy import Ectopy
from ecgedge.errors import UsageError
from ecgedge.features import make_inputs
from ecgedge.frontend import Consumer
from ecgedge.messages import ApcWindow, BeatClass, Ectopic, EctopicRun, Episode, Message, Scores, Verdict
from ecgedge.rhythm import AfEpisodes
from ecgedge.verdict import judge

if TYPE_CHECKING:
    from ecgedge.bundle import Bundle
    from ecgedge.classifier import Classifier
    from ecgedge.frontend import Cut, Prepared, PreparedBeats
    from ecgedge.messages import Window

EDGE_S = 0.3
"""A beat nearer to a window's edge was no APC of that window in training, nor none."""
KEPT_S = 120.0
"""No beat is called APC later than this."""


def consumer(bundle: Bundle) -> Consumer:
    """What the frontend is to prepare for a bundle."""
    manifest = bundle.manifest
    window = bundle.row if bundle.task == "beats" else bundle.window
    return Consumer(
        bundle.name, manifest["preprocessing"], window, manifest["inputs"], bare=bundle.task == "apc"
    )


class RhythmHead:
    """Verdicts and AF episodes of one model.

    Parameters
    ----------
    classifier : opened bundle of the task ``rhythm``
    minimum_s : shortest episode that is told, seconds
    """

    def __init__(self, classifier: Classifier, minimum_s: float) -> None:
        self._classifier = classifier
        bundle = classifier.bundle
        thresholds = bundle.manifest["thresholds"]
        self.name = bundle.name
        self.longest_s = bundle.window.length_s + 2 * bundle.window.hop_s
        """From the end of an interval to the last word on it, seconds."""
        self._episodes = AfEpisodes(
            bundle.name,
            hop_s=bundle.window.hop_s,
            on=thresholds["af_on"],
            off=thresholds["af_off"],
            minimum_s=minimum_s,
        )

    def push(self, item: Prepared) -> tuple[Verdict, list[Episode]]:
        """Judge a window."""
        window, manifest = item.window, self._classifier.bundle.manifest
        probabilities = self._classifier.probabilities(self._classifier.logits(item.tensors))
        scores = Scores(
            model=self.name,
            first=window.first,
            last=window.last,
            time_s=window.time_s,
            seconds=window.seconds,
            scores=probabilities,
            label=max(probabilities, key=probabilities.__getitem__),
            provisional=window.provisional,
        )
        confidence = manifest["thresholds"]["confidence"]
        verdict = judge(scores, item.quality, item.irregularity, manifest["words"], confidence)
        return verdict, self._episodes.push(verdict)

    def interrupt(self, sample: int, time_s: float) -> list[Episode]:
        """No window will reach across: an episode that has gone on too long without a vote ends."""
        return self._episodes.interrupt(sample, time_s)

    def finish(self) -> list[Episode]:
        """The stream has ended."""
        return self._episodes.finish()


class BeatHead:
    """Classes of beats, and the ectopic events that follow from them.

    Parameters
    ----------
    classifier : opened bundle of the task ``beats``
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        bundle = classifier.bundle
        thresholds = bundle.manifest["thresholds"]
        self.name = bundle.name
        self._ectopy = Ectopy(bundle.name, {"S": thresholds["apc"], "V": thresholds["pvc"]})

    def push(self, item: PreparedBeats) -> list[BeatClass]:
        """Class a row of beats."""
        classes = self._classifier.bundle.classes
        rows = self._classifier.logits(item.tensors).reshape(-1, len(classes))[: len(item.beats)]
        shifted = (rows - rows.max(axis=1, keepdims=True)) / self._classifier.bundle.manifest["temperature"]
        weights = np.exp(shifted)
        weights /= weights.sum(axis=1, keepdims=True)
        best = weights.argmax(axis=1).tolist()
        return [
            BeatClass(self.name, beat, dict(zip(classes, row, strict=True)), classes[k], likeness)
            for beat, row, k, likeness in zip(item.beats, weights.tolist(), best, item.likeness, strict=True)
        ]

    def follow(self, message: BeatClass | Verdict) -> list[Ectopic | EctopicRun]:
        """Events that a class or a verdict makes certain."""
        return self._ectopy.push(message)

    def interrupt(self) -> list[Ectopic | EctopicRun]:
        """The stretch has ended."""
        return self._ectopy.interrupt()


class ApcHead:
    """A second opinion on premature atrial beats.

    Parameters
    ----------
    classifier : opened bundle of the task ``apc``
    attention : whether what the model looked at is told, too
    """

    def __init__(self, classifier: Classifier, attention: bool) -> None:
        self._classifier = classifier
        manifest = classifier.bundle.manifest
        self._least = manifest["thresholds"]["apc"]
        names = {entry["kind"]: entry["name"] for entry in manifest["outputs"]}
        self._logits = names["logits"]
        self._attention = names.get("attention") if attention else None
        self._windows: deque[Window] = deque()
        self._said: dict[int, ApcWindow] = {}  # by first sample

    def push(self, item: Cut) -> None:
        """Keep a window that may be asked for."""
        window = item.window
        self._windows.append(window)
        while self._windows[0].time_s < window.time_s - KEPT_S:
            self._said.pop(self._windows.popleft().first, None)

    def confirm(self, events: Iterable[Ectopic | EctopicRun]) -> list[Message]:
        """The events, each APC after what the model says of the window that has it nearest to its middle."""
        out: list[Message] = []
        for event in events:
            window = self._around(event) if isinstance(event, Ectopic) and event.kind == "APC" else None
            if window is None or not isinstance(event, Ectopic):
                out.append(event)
                continue
            said = self._said.get(window.first)
            if said is None:
                said = self._said[window.first] = self._ask(window)
                out.append(said)
            out.append(replace(event, confirmed=said.called))
        return out

    def _around(self, event: Ectopic) -> Window | None:
        at = event.beat.time_s
        near = [w for w in self._windows if w.time_s + EDGE_S <= at <= w.time_s + w.seconds - EDGE_S]
        return min(near, key=lambda w: abs(w.time_s + w.seconds / 2 - at), default=None)

    def _ask(self, window: Window) -> ApcWindow:
        bundle = self._classifier.bundle
        outputs = self._classifier.outputs(make_inputs(bundle.manifest["inputs"], window.signal))
        probabilities = self._classifier.probabilities(outputs[self._logits].reshape(-1))
        probability = probabilities[bundle.classes[1]]
        weights = outputs[self._attention].reshape(-1) if self._attention is not None else None
        return ApcWindow(
            model=bundle.name,
            first=window.first,
            last=window.last,
            time_s=window.time_s,
            seconds=window.seconds,
            probability=probability,
            called=probability >= self._least,
            attention=weights[: window.signal.size].astype(np.float32) if weights is not None else None,
            rate_hz=window.rate_hz,
        )


class Heads:
    """The models of one stream, each by its name.

    Parameters
    ----------
    classifiers : opened models; of the task ``beats`` at most one, beside one of ``rhythm``; of ``apc`` at
        most one, beside one of ``beats``
    minimum_s : shortest AF episode that is told, seconds
    attention : whether attention is told; needs a model of the task ``apc``

    Raises
    ------
    UsageError
        For models that do not go together.
    """

    def __init__(self, classifiers: Iterable[Classifier], minimum_s: float, attention: bool = False) -> None:
        by_task = check_models(classifiers, attention)
        self.rhythm = {c.bundle.name: RhythmHead(c, minimum_s) for c in by_task["rhythm"]}
        self._leading = next(iter(self.rhythm), None)
        self.beats = BeatHead(by_task["beats"][0]) if by_task["beats"] else None
        self._apc = ApcHead(by_task["apc"][0], attention) if by_task["apc"] else None

    def window(self, item: Prepared) -> tuple[Verdict, list[Message]]:
        """A verdict, and what else follows from it."""
        verdict, episodes = self.rhythm[item.model].push(item)
        out: list[Message] = [*episodes]
        if self.beats is not None and item.model == self._leading:
            out += self._confirmed(self.beats.follow(verdict))
        return verdict, out

    def row(self, item: PreparedBeats) -> list[Message]:
        """Classes of beats, and what else follows from them."""
        assert self.beats is not None
        out: list[Message] = []
        for said in self.beats.push(item):
            out += [said, *self._confirmed(self.beats.follow(said))]
        return out

    def cut(self, item: Cut) -> None:
        """Keep a window that may be asked for."""
        assert self._apc is not None
        self._apc.push(item)

    def interrupt(self, sample: int, time_s: float) -> list[Message]:
        """The stretch has ended; may be called again while nothing comes."""
        out: list[Message] = []
        for head in self.rhythm.values():
            out += head.interrupt(sample, time_s)
        if self.beats is not None:
            out += self._confirmed(self.beats.interrupt())
        return out

    def finish(self) -> list[Message]:
        """The stream has ended."""
        return [episode for head in self.rhythm.values() for episode in head.finish()]

    def _confirmed(self, events: list[Ectopic | EctopicRun]) -> list[Message]:
        return list(events) if self._apc is None else self._apc.confirm(events)


def check_models(classifiers: Iterable[Classifier], attention: bool = False) -> dict[str, list[Classifier]]:
    """Sort models by their task.

    Raises
    ------
    UsageError
        For models that do not go together; see ``Heads``.
    """
    by_task: dict[str, list[Classifier]] = {"rhythm": [], "beats": [], "apc": []}
    for classifier in classifiers:
        by_task[classifier.bundle.task].append(classifier)
    names = {task: [c.bundle.name for c in found] for task, found in by_task.items()}
    for task in ("beats", "apc"):
        if len(names[task]) > 1:
            raise UsageError(f"{len(names[task])} models of the task {task}: {', '.join(names[task])}", "one")
    for task, beside, example in (("beats", "rhythm", "efficientecg-s"), ("apc", "beats", "ecg-sl")):
        if names[task] and not names[beside]:
            raise UsageError(
                f"model {names[task][0]} without one of the task {beside}",
                "one beside it",
                f"Add: --model {example}",
            )
    if attention and not names["apc"]:
        raise UsageError("--attention without a model of the task apc", "one", "Add: --model danet")
    return by_task
