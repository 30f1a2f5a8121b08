"""Scores after EC57: cases worked by hand, wfdb's own comparison, and the command line.

The hand-worked cases follow the printed rules of ``bxb``, ``rxr`` and ``epicmp``, which no package of
the platforms in CI brings. Rates are 100 Hz there, so the match window is 15 samples.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, Episode, Record
from ecgedge.recordings.annotations import BEATS, Annotation, read_annotations, write_annotations
from ecgedge.scoring.beats import LABELS, BeatCounts, compare_beats
from ecgedge.scoring.episodes import compare_af, episodes
from ecgedge.scoring.figures import Ratio, average, gross
from ecgedge.scoring.marks import AAMI
from ecgedge.scoring.records import Track, score
from ecgedge.scoring.report import json_lines, markdown_lines, text_lines
from ecgedge.scoring.runs import compare_runs
from ecgedge.sinks.annotations import AnnotationSink

RATE = 100.0


def beats(text: str) -> list[Annotation]:
    """``"100N 200V"`` as annotations; ``~48`` marks quality with a subtype, ``+(AFIB`` a rhythm."""
    out = []
    for word in text.split():
        digits = len(word) - len(word.lstrip("0123456789"))
        sample, symbol, rest = int(word[:digits]), word[digits], word[digits + 1 :]
        subtype = int(rest) if symbol == "~" and rest else 0
        out.append(Annotation(sample, symbol, subtype=subtype, aux=rest if symbol == "+" else ""))
    return out


def compared(reference: str, test: str, skip_s: float = 0.0, end: int | None = 100_000) -> BeatCounts:
    return compare_beats(beats(reference), beats(test), rate_hz=RATE, skip_s=skip_s, end=end)


def pairs(counts: BeatCounts) -> dict[str, int]:
    """The matrix without its zeros, as ``{"Nn": 2}``."""
    rows = zip(LABELS, counts.matrix, strict=True)
    return {r + t.lower(): n for r, row in rows for t, n in zip(LABELS, row, strict=True) if n}


# Beats


@pytest.mark.parametrize(
    ("reference", "test", "expected"),
    [
        ("100N 200V 300N", "101N 199V 300N", {"Nn": 2, "Vv": 1}),
        ("100N", "115N", {"Nn": 1}),  # 150 ms apart: still the same beat
        ("100N", "116N", {"No": 1, "On": 1}),
        ("100N 200N", "100N", {"Nn": 1, "No": 1}),
        ("100N", "95N 103V", {"Nv": 1, "On": 1}),  # the nearer of two
        ("100N 112V", "110N", {"No": 1, "Vn": 1}),
        ("100A 200j 300e 400S 500a 600J 700n", "", {"So": 7}),
        ("100L 200R 300B 400E 500r 600F 700/ 800f 900Q", "", {"No": 3, "Vo": 2, "Fo": 1, "Qo": 3}),
        ("100| 200x 300+(N 400~1 500N", "500N", {"Nn": 1}),  # none of the first four is a beat
    ],
)
def test_beats_are_matched_within_150_ms(reference: str, test: str, expected: dict[str, int]) -> None:
    assert pairs(compared(reference, test)) == expected


def test_every_beat_code_of_the_format_has_an_aami_class() -> None:
    assert set(AAMI) == BEATS


def test_ventricular_flutter_is_excluded() -> None:
    """Beats the test sees there are neither right nor wrong; flutter waves are no beats."""
    reference = "100N 200[ 220! 240! 400] 500N"
    assert pairs(compared(reference, "100N 230V 300V 500N")) == {"Nn": 2}
    assert pairs(compared("100N 200[ 220!", "100N 230V 900V")) == {"Nn": 1}  # to the end of the record
    # Flutter of the test's own making excuses nothing.
    assert pairs(compared("100N 200N 300N", "100N 150[ 200N 250] 300N")) == {"Nn": 2, "No": 1}


def test_shutdown_is_counted_apart() -> None:
    """From a quality mark with bits 4 and 5 to the next quality mark."""
    off = compared("100N 200N 300N 400N", "100N 150~48 350~0 400N")
    assert pairs(off) == {"Nn": 2, "Nx": 2}
    assert off.figures()["shutdown"] == Ratio(2, 4)
    assert off.figures()["qrs_se"] == Ratio(2, 4)
    assert pairs(compared("100N 150~48 350~0 400N", "100N 200N 400N")) == {"Nn": 2, "Xn": 1}
    # One mark between two beats, as in the AHA database: from and to 150 ms beside them.
    assert pairs(compared("100N 200N 300N", "100N 150~-1 300N")) == {"Nn": 2, "Nx": 1}
    assert pairs(compared("100N 112N 300N", "100N 150~-1 300N")) == {"Nn": 2, "No": 1}


def test_the_first_five_minutes_are_left_out() -> None:
    far = "29000N 29900N 30100N 30200N"
    assert pairs(compare_beats(beats(far), beats("30100N"), rate_hz=RATE, end=40_000)) == {"Nn": 1, "No": 1}
    # A test beat just before the limit may match a reference beat just after it ...
    assert pairs(compared("105N 200N", "95N 200N", skip_s=1.0)) == {"Nn": 2}
    # ... and one just after the limit that belongs to a beat before it is not held against the test.
    assert pairs(compared("95N 200N", "105N 200N", skip_s=1.0)) == {"Nn": 1}


def test_the_comparison_ends_with_the_record_or_the_last_reference_beat() -> None:
    assert pairs(compared("100N", "100N 200N 900N", end=500)) == {"Nn": 1, "On": 1}
    assert pairs(compared("100N", "100N 200N 900N", end=None)) == {"Nn": 1}


def test_figures_of_a_matrix_worked_by_hand() -> None:
    """Fusion and unclassifiable beats called V are forgiven; those called S only if unclassifiable."""
    counts = BeatCounts()
    matrix = {
        "Nn": 90,
        "Nv": 2,
        "Ns": 3,
        "No": 5,
        "Ss": 6,
        "Sn": 3,
        "Sv": 1,
        "Vv": 16,
        "Vn": 2,
        "Vs": 1,
        "Vo": 1,
    }
    matrix |= {"Fv": 4, "Fs": 1, "Ff": 1, "Qv": 1, "Qs": 2, "On": 7, "Ov": 2, "Os": 1}
    for (row, column), n in matrix.items():
        counts.matrix[LABELS.index(row)][LABELS.index(column.upper())] = n
    expected = {
        "qrs_se": (133, 139),
        "qrs_ppv": (133, 143),
        "v_se": (16, 20),
        "v_ppv": (16, 16 + 2 + 1 + 2),
        "v_fpr": (5, 5 + 90 + 3 + 6 + 3 + 1 + 1 + 2 + 7 + 1),
        "s_se": (6, 10),
        "s_ppv": (6, 6 + 3 + 1 + 1 + 1),
        "shutdown": (0, 139),
    }
    assert counts.figures() == {name: Ratio(*parts) for name, parts in expected.items()}


def test_gross_pools_counts_and_average_weighs_records_alike() -> None:
    records = [{"qrs_se": Ratio(9, 10), "v_se": Ratio(0, 0)}, {"qrs_se": Ratio(45, 90), "v_se": Ratio(1, 4)}]
    assert gross(records) == {"qrs_se": Ratio(54, 100), "v_se": Ratio(1, 4)}
    assert average(records) == {"qrs_se": pytest.approx(0.7), "v_se": 0.25}  # undefined has no say
    assert average([{"v_se": Ratio()}]) == {"v_se": None}


# Runs


def runs(reference: str, test: str, kind: str = "V") -> dict[str, tuple[float, float]]:
    counts = compare_runs(beats(reference), beats(test), kind, rate_hz=RATE, skip_s=0.0)  # type: ignore[arg-type]
    figures = counts.figures("x")
    return {name[2:]: (r.part, r.whole) for name, r in figures.items() if r.whole}


def row(labels: str, first: int = 100) -> str:
    return " ".join(f"{first + 100 * k}{label}" for k, label in enumerate(labels))


@pytest.mark.parametrize(
    ("reference", "test", "expected"),
    [
        ("NVVN", "NVVN", {"couplet_se": (1, 1), "couplet_ppv": (1, 1)}),
        ("NVVN", "NVNN", {"couplet_se": (0, 1)}),
        ("NVVVN", "NVVVN", {"short_se": (1, 1), "short_ppv": (1, 1)}),
        ("NVVVVVN", "NVVNVVN", {"short_se": (0, 1), "couplet_ppv": (2, 2)}),
        ("NVVVVVVVN", "NVVVVVNVN", {"long_se": (0, 1), "short_ppv": (1, 1)}),
        ("NVVVVVVN", "NVVVVVVN", {"long_se": (1, 1), "long_ppv": (1, 1)}),
        ("NVFVN", "NVVVN", {"short_se": (1, 1), "short_ppv": (1, 1)}),  # fusion continues a run of V
        ("NVVAVN", "NVVVVN", {"couplet_se": (1, 1), "short_ppv": (0, 1)}),  # S ends one
        ("NVV", "NVVN", {"couplet_ppv": (1, 1)}),  # a run that nothing ended is not counted
    ],
)
def test_runs_of_v(reference: str, test: str, expected: dict[str, tuple[float, float]]) -> None:
    assert runs(row(reference), row(test)) == expected


def test_flutter_is_a_long_run_of_v_and_fibrillation_one_of_s() -> None:
    flutter = "100N 200[ 300! 400] 500N"
    assert runs(flutter, "100N 250V 300V 350V 500N") == {"long_se": (0, 1), "short_ppv": (1, 1)}
    assert runs(flutter, flutter) == {"long_se": (1, 1), "long_ppv": (1, 1)}
    af = "100N 150+(AFIB 200N 300N 400N 450+(N 500N"
    assert runs(af, af, "S") == {"long_se": (1, 1), "long_ppv": (1, 1)}
    assert runs(af, row("NNNNN"), "S") == {"long_se": (0, 1)}
    assert runs(af, af) == {}


def test_runs_of_s() -> None:
    assert runs(row("NAAJN"), row("NAANN"), "S") == {"short_se": (0, 1), "couplet_ppv": (1, 1)}


# Episodes


def af(reference: str, test: str, **more: float | bool | None) -> list[float]:
    options = {"skip_s": 0.0, "end": 100_000, "minimum_s": 30.0, **more}
    counts = compare_af(beats(reference), beats(test), rate_hz=RATE, **options)  # type: ignore[arg-type]
    return [
        *(counts.found, counts.reference, counts.confirmed, counts.test),
        *(counts.reference_s, counts.test_s, counts.overlap_s),
    ]


def test_episodes_by_overlap_and_durations_by_seconds() -> None:
    reference = "0+(N 10000+(AFIB 20000+(N 50000+(AFIB 60000+(N"
    assert af(reference, "15000+(AFIB 25000+(N") == [1, 2, 1, 1, 200.0, 100.0, 50.0]
    assert af(reference, "12000+(AFIB 13000+(N 14000+(AFIB 15000+(N 70000+(AFIB 71000+(N") == [
        *(1, 2, 2, 3),
        *(200.0, 30.0, 20.0),
    ]
    assert af(reference, "0+(N") == [0, 2, 0, 0, 200.0, 0.0, 0.0]


def test_short_reference_episodes_count_in_durations_only() -> None:
    reference = "1000+(AFIB 3999+(N 10000+(AFIB 13000+(N"
    assert af(reference, "0+(N") == [0, 1, 0, 0, 59.99, 0.0, 0.0]
    assert af(reference, "0+(N", minimum_s=0.0)[:2] == [0, 2]


def test_a_last_episode_lasts_to_the_end() -> None:
    marks = beats("100+(AFIB 500N")
    assert episodes(marks, ("(AFIB",), 2000) == [(100, 2000)]
    assert episodes(marks, ("(AFIB",), None) == [(100, 500)]


def test_what_lies_in_the_first_five_minutes_is_cut_off() -> None:
    assert af("0+(AFIB 40000+(N", "35000+(AFIB 50000+(N", skip_s=300.0) == [1, 1, 1, 1, 100.0, 150.0, 50.0]
    assert af("0+(AFIB 32000+(N", "31000+(AFIB", skip_s=300.0, end=33_000) == [0, 0, 1, 1, 20.0, 20.0, 10.0]


def test_flutter_is_neutral_or_counts_as_af() -> None:
    reference = "0+(N 10000+(AFL 20000+(AFIB 30000+(N"
    test = "15000+(AFIB 25000+(N"
    assert af(reference, test) == [1, 1, 1, 1, 100.0, 50.0, 50.0]
    assert af(reference, test, flutter_is_af=True) == [1, 1, 1, 1, 200.0, 100.0, 100.0]
    only = "0+(N 10000+(AFL 20000+(N"
    assert af(only, "12000+(AFIB 18000+(N") == [0, 0, 0, 0, 0.0, 0.0, 0.0]
    assert af(only, "12000+(AFIB 22000+(N") == [0, 0, 0, 1, 0.0, 20.0, 0.0]
    assert af(only, "12000+(AFIB 18000+(N", flutter_is_af=True) == [1, 1, 1, 1, 100.0, 60.0, 60.0]


# Records


def test_a_test_at_another_rate_is_brought_to_the_reference_s() -> None:
    reference = Track("r", beats(row("N" * 10)), 100.0, 2000)
    test = Track("r", [replace(m, sample=m.sample * 5 // 2) for m in reference.marks], 250.0)
    got = score(reference, test, skip_s=0.0)
    assert got.beats is not None
    assert pairs(got.beats) == {"Nn": 10}
    assert got.seconds == 20.0


def test_what_a_side_does_not_mark_is_said_and_not_scored() -> None:
    rhythm, only_beats = beats("0+(N 1000+(AFIB 9000+(N"), beats(row("NNN"))
    both = Track("r", sorted(rhythm + only_beats, key=lambda m: m.sample), 100.0, 10_000)
    got = score(both, Track("r", only_beats), skip_s=0.0)
    assert got.af is None
    assert got.notes == ("the test marks no rhythm",)
    got = score(Track("r", rhythm, 100.0), both, skip_s=0.0)
    assert got.beats is None
    assert got.notes == ("the reference marks no beats",)
    nothing = score(both, Track("r", []), skip_s=0.0).figures()  # an empty file found nothing
    assert nothing["qrs_se"] == Ratio(0, 3)
    assert nothing["af_episode_se"] == Ratio(0, 1)
    with pytest.raises(UsageError, match="--fs"):
        score(Track("r", only_beats), Track("r", only_beats))


def test_reports_say_the_same_in_every_form() -> None:
    scores = [
        score(Track(name, beats(row(reference)), 100.0, 5000), Track(name, beats(row(test))), skip_s=0.0)
        for name, reference, test in (("a", "NNNNVNNN", "NNNNVNN"), ("b", "NN", "NNNN"))
    ]
    objects = [json.loads(line) for line in json_lines(scores)]
    assert [o["type"] for o in objects] == ["score", "score", "gross", "average"]
    assert objects[0]["figures"]["qrs_se"] == [7 / 8, 7, 8]
    assert objects[2]["figures"]["qrs_ppv"] == [9 / 11, 9, 11]
    assert objects[3]["figures"]["qrs_ppv"] == pytest.approx((1 + 2 / 4) / 2)
    text, markdown = "\n".join(text_lines(scores)), "\n".join(markdown_lines(scores))
    for word in ("87.50", "81.82", "75.00", "Gross", "Average"):
        assert word in text
        assert word in markdown
    assert "| b | 100.00 | 50.00 |" in markdown


# Against the wfdb package, on real records


def shaken(marks: list[Annotation], seed: int) -> list[Annotation]:
    """Beats moved a little, some left out, some added."""
    rng = random.Random(seed)
    out = []
    for mark in (m for m in marks if m.is_beat):
        if rng.random() > 0.05:
            out.append(Annotation(max(0, mark.sample + rng.randint(-40, 40)), "N"))
        if rng.random() < 0.03:
            out.append(Annotation(mark.sample + rng.randint(100, 140), "N"))
    return sorted(out, key=lambda m: m.sample)


@pytest.mark.parametrize("record", ["100", "119", "201", "222"])
def test_beats_agree_with_the_comparison_of_the_wfdb_package(
    record: str, data_dir: Path, tmp_path: Path
) -> None:
    """Records without ventricular flutter, over which the two differ by design."""
    processing = pytest.importorskip("wfdb.processing")
    packed = data_dir / "mitdb.zip"
    if not packed.is_file():
        pytest.skip("needs mitdb.zip in the folder that ECGEDGE_DATA names")
    with zipfile.ZipFile(packed) as archive:
        name = next(n for n in archive.namelist() if n.endswith(f"/{record}.atr"))
        (tmp_path / f"{record}.atr").write_bytes(archive.read(name))
    reference = read_annotations(tmp_path / f"{record}.atr")
    test = shaken(reference, int(record))
    counts = compare_beats(reference, test, rate_hz=360.0, skip_s=0.0, end=650_000)
    theirs = processing.compare_annotations(
        *(_samples(marks) for marks in (reference, test)), window_width=round(0.15 * 360)
    )
    beat, nothing = "NSVFQ", "OX"
    mine = (counts.count(beat, beat), counts.count(nothing, beat), counts.count(beat, nothing))
    assert mine == (theirs.tp, theirs.fp, theirs.fn)
    assert theirs.fp > 20
    assert theirs.fn > 20


def _samples(marks: list[Annotation]) -> object:
    import numpy as np

    return np.array([mark.sample for mark in marks if mark.is_beat])


# The command, and the files that ``classify`` writes for it


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecgedge", *map(str, words)], capture_output=True, text=True, timeout=60
    )


def test_the_command_scores_all_records_that_two_folders_share(tmp_path: Path) -> None:
    ref, test = tmp_path / "ref", tmp_path / "test"
    ref.mkdir()
    test.mkdir()
    for name in ("a", "b", "c"):
        write_annotations(ref / f"{name}.atr", beats("0+(N 100N 200N 300V 400N 500N"))
        (ref / f"{name}.hea").write_text(f"{name} 1 100 1000\n{name}.dat 16\n")
    for name in ("a", "b"):
        write_annotations(test / f"{name}.ecg", beats("0+(N 100N 200N 300N 400N"))
    done = run("score", ref, test, "--skip", "0", "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert [o.get("record") for o in objects] == ["a", "b", None, None]
    assert objects[2]["figures"]["qrs_se"] == [0.8, 8, 10]
    assert done.stderr == "ecgedge: without a test, left out: c\n"
    one = run("score", ref / "c.atr", test / "a.ecg", "--skip", "0")
    assert one.returncode == 0
    assert "80.00" in one.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nowhere.atr", "nothing.ecg"), 5, "not there"),
        ((".", "."), 5, "no record in common"),
        ((".", ".", "--skip", "-1"), 2, "--skip"),
        ((".", ".", "--skip", "nan"), 2, "--skip"),
        ((".", ".", "--skip", "1e308"), 2, "--skip"),
        ((".", ".", "--fs", "0"), 2, "--fs"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ecgedge", "score", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def told(sink: AnnotationSink, path: str, model: str = "m") -> None:
    for sample in (50, 150, 250):
        sink.write(Beat(sample, sample / 100, None, 1.0, True))
    for state, offset in (("open", 180), ("closed", 220)):
        sink.write(Episode("AF", state, model, 100, offset, 1.0, offset / 100, 0.9))  # type: ignore[arg-type]
    sink.write(Record(path, model, "A", "AF", {}, 3.0, 0.0, 1))


def test_classified_recordings_become_annotation_files(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    sink = AnnotationSink(tmp_path / "new")
    told(sink, "data/r1.hea")
    told(sink, "data/r2.hea")
    sink.close()
    for name in ("r1", "r2"):
        marks = wfdb.rdann(str(tmp_path / "new" / name), "ecg")
        assert list(marks.sample) == [0, 50, 100, 150, 220, 250]
        assert marks.symbol == ["+", "N", "+", "N", "+", "N"]
        assert [note for note in marks.aux_note if note] == ["(N", "(AFIB", "(N"]


def test_annotation_files_are_not_mixed_up(tmp_path: Path) -> None:
    sink = AnnotationSink(tmp_path)
    told(sink, "one/r.hea")
    with pytest.raises(UsageError, match=r"one/r\.hea and two/r\.hea"):
        told(sink, "two/r.hea")
    with pytest.raises(UsageError, match="several rhythm models"):
        told(sink, "one/s.hea", "another")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="--annotations"):
        AnnotationSink(tmp_path / "file")
    (tmp_path / "t.ecg").mkdir()
    with pytest.raises(RecordingError, match="cannot be written"):
        told(AnnotationSink(tmp_path), "t.hea")


def test_nothing_is_written_of_a_recording_that_failed(tmp_path: Path) -> None:
    sink = AnnotationSink(tmp_path)
    sink.write(Beat(10, 0.1, None, 1.0, True))
    sink.problem("cut off")
    told(sink, "r.hea")
    assert [m.sample for m in read_annotations(tmp_path / "r.ecg") if m.is_beat] == [50, 150, 250]
