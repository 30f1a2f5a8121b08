"""Classes of beats and rows of ectopic ones in annotation files, as the wfdb package reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from test_recorder import Bench, notes, records

from ecgedge.messages import Beat, BeatClass, Ectopic, EctopicRun, Episode, Likeness, Message, Record
from ecgedge.recordings.annotations import Annotation
from ecgedge.recordings.disk import Disk
from ecgedge.recordings.writer import AnnotationFile
from ecgedge.sinks.annotations import AnnotationSink

RATE = 250.0


def beat(sample: int) -> Beat:
    return Beat(sample, sample / RATE, 0.8, 1.0, True)


def classed(sample: int, label: str) -> BeatClass:
    return BeatClass("b", beat(sample), {label: 1.0}, label, Likeness(1.0, 1.0))


def event(kind: str, sample: int) -> Ectopic:
    return Ectopic(kind, "b", beat(sample), 0.9, 0.7)  # type: ignore[arg-type]


def row(kind: str, of: str, onset: int, offset: int, state: str = "closed") -> EctopicRun:
    at = onset / RATE, offset / RATE
    return EctopicRun(kind, state, of, "b", onset, offset, *at, 3)  # type: ignore[arg-type]


def af(onset: int, offset: int, state: str = "closed") -> Episode:
    return Episode("AF", state, "m", onset, offset, onset / RATE, offset / RATE, 0.9)  # type: ignore[arg-type]


STORY: list[Message] = [
    *map(beat, range(100, 2000, 100)),
    classed(100, "N"),
    classed(200, "S"),  # an event follows
    classed(300, "S"),  # none does
    classed(400, "V"),
    classed(500, "F"),
    event("APC", 200),
    event("PVC", 400),
]


def written(folder: Path, story: list[Message]) -> list[tuple[int, str, str]]:
    """What wfdb reads of the annotation file that ``classify --annotations`` writes."""
    sink = AnnotationSink(folder)
    for message in [*story, Record("r.hea", "m", "N", "sinus", {"N": 1.0}, 30.0, 0.0, 1)]:
        sink.write(message)
    read = wfdb.rdann(str(folder / "r"), "ecg")
    return list(zip(read.sample.tolist(), read.symbol, read.aux_note, strict=True))


def test_a_beat_has_the_code_of_its_event_or_of_fusion(tmp_path: Path) -> None:
    codes = {sample: symbol for sample, symbol, _ in written(tmp_path, STORY) if symbol != "+"}
    assert {s: c for s, c in codes.items() if c != "N"} == {200: "A", 400: "V", 500: "F"}
    assert sorted(codes) == list(range(100, 2000, 100))


@pytest.mark.parametrize(
    ("found", "labels"),
    [
        ([row("run", "PVC", 300, 500)], [(0, "(N"), (300, "(VT"), (501, "(N")]),
        ([row("run", "APC", 300, 500)], [(0, "(N"), (300, "(SVTA"), (501, "(N")]),
        ([row("couplet", "PVC", 300, 400)], [(0, "(N")]),
        ([row("trigeminy", "APC", 300, 900)], [(0, "(N")]),  # MIT-BIH has no such rhythm
        ([row("run", "PVC", 300, 500), af(100, 900)], [(0, "(N"), (100, "(AFIB"), (900, "(N")]),
        (
            [row("bigeminy", "PVC", 300, 700), row("run", "PVC", 700, 900)],  # the beat at 700 is in both
            [(0, "(N"), (300, "(B"), (700, "(VT"), (901, "(N")],
        ),
        ([af(100, 500, "open"), af(100, 700)], [(0, "(N"), (100, "(AFIB"), (700, "(N")]),
    ],
)
def test_rhythms(tmp_path: Path, found: list[Message], labels: list[tuple[int, str]]) -> None:
    read = written(tmp_path, [*map(beat, range(100, 2000, 100)), *found])
    assert [(sample, aux) for sample, symbol, aux in read if symbol == "+"] == labels


# -- the recorder: the file is there while the news comes -----------------------------------------------


def test_a_class_that_comes_late_changes_the_code_in_its_place(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for sample in range(100, 4000, 100):
        bench.play(100)
        bench.recorder.write(beat(sample))
    (stem,) = records(tmp_path)
    size = stem.with_suffix(".atr").stat().st_size
    for message in STORY[19:]:
        bench.recorder.write(message)
    found = {s: c for s, c, _ in notes(stem) if c != "N"}  # at once, without a flush
    assert found == {200: "A", 400: "V", 500: "F"}
    assert stem.with_suffix(".atr").stat().st_size == size
    bench.recorder.write(row("run", "PVC", 700, 900, "open"))
    assert not any(c == "+" for _, c, _ in notes(stem))
    bench.recorder.write(row("run", "PVC", 700, 900))
    bench.recorder.close()
    read = notes(stem)
    assert [(s, a) for s, c, a in read if c == "+"] == [(700, "(VT"), (901, "(N")]
    assert {s: c for s, c, _ in read if c not in "N+"} == {200: "A", 400: "V", 500: "F"}


def test_codes_are_changed_wherever_they_stand(tmp_path: Path) -> None:
    """Waiting or written, behind long intervals and notes, in a stale file, again and again."""
    rng = np.random.default_rng(4)
    file = AnnotationFile(Disk(), tmp_path / "r.atr")
    expected: dict[int, str] = {}
    sample = 0
    for step in range(300):
        sample += int(rng.choice([40, 900, 1023, 1024, 5000, 70_000]))
        file.add(Annotation(sample, "N"))
        expected[sample] = "N"
        if step % 7 == 0:
            file.add(Annotation(sample, '"', aux="note" * int(rng.integers(1, 5))))
        if step % 50 == 30:
            file.add(Annotation(sample - 3000, "+", aux="(VT"))  # belongs further back
        if step % 3 == 0:
            chosen = int(rng.choice(list(expected)))
            expected[chosen] = str(rng.choice(list("AVFN")))
            file.recode(chosen, expected[chosen])
        if step % 5 == 0:
            file.flush(sample - 500)
    file.recode(1, "V")  # no beat is there
    file.finish()
    file.close()
    read = wfdb.rdann(str(tmp_path / "r"), "atr")
    found = {s: c for s, c in zip(read.sample.tolist(), read.symbol, strict=True) if c not in '"+'}
    assert found == expected
