"""The figures in README are those in the result files, and these are right and not stale.

What the benchmarks compute is computed here again by other means: plain counting, the command line,
scipy, the bytes of an annotation file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import runpy
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks import mitdb_replay, report, rhythm_accuracy, stream_cost, tables
from ecgedge.bundle import FOLDER, list_bundles, open_bundle
from ecgedge.classifier import open_models
from ecgedge.datasets.archive import Archive
from ecgedge.datasets.cinc2017 import CLASSES, published_split
from ecgedge.errors import EcgedgeError

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(tables.RESULTS)
PROGRAMS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("[!_]*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
FEW = 20


@pytest.fixture(params=NAMES)
def result(request: pytest.FixtureRequest) -> report.Json:
    """Each result file in turn."""
    return report.read(request.param)


def test_readme_shows_what_the_result_files_say() -> None:
    text = tables.README.read_text(encoding="utf-8")
    assert text == tables.rendered(text), "run: python -m benchmarks.tables"


def test_readme_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="accuracy: begin"):
        tables.rendered("# ecgedge\n")


def test_every_result_file_has_its_benchmark_and_every_benchmark_its_file() -> None:
    questions = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "\nQUESTION = " in path.read_text(encoding="utf-8")
    }
    assert questions == set(NAMES) == {path.stem for path in report.RESULTS.glob("*.json")}


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_asked_for_help_gives_that_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("tensorflow", "matplotlib"):
        pytest.importorskip(package)
    for word, code in (("--help", 0), ("--no-such-option", 2)):
        monkeypatch.setattr(sys, "argv", [name, word])
        with pytest.raises(SystemExit) as done:
            runpy.run_module(f"benchmarks.{name}", run_name="__main__")
        assert done.value.code == code
        out, err = capsys.readouterr()
        assert (out + err).startswith(f"usage: python -m benchmarks.{name} ")


@pytest.mark.parametrize("name", NAMES)
def test_a_result_names_the_whole_command_and_its_machine(name: str) -> None:
    body = report.read(name)
    assert body["command"] == f"python -m benchmarks.{name}", "a partial run must not be kept"
    assert body["question"] == tables.RESULTS[name].QUESTION
    machine = body["machine"]
    assert machine["cpu"]
    assert machine["cores"] >= machine["cores_used"] >= 1
    assert machine["python"].startswith("3.")
    assert body["date"] >= "2025"


def test_no_result_is_older_than_the_bundles(result: report.Json) -> None:
    assert result["models"] == report.model_facts(result["models"]), "run: python -m benchmarks"
    if result["models"]:
        assert result["shared"] == report.shared_hashes(), "run: python -m benchmarks"
    for name, facts in result["models"].items():
        assert hashlib.sha256((FOLDER / f"{name}.tflite").read_bytes()).hexdigest() == facts["sha256"]


def test_every_shipped_rhythm_bundle_was_scored() -> None:
    figures = report.read("accuracy")["figures"]["cinc2017"]["models"]
    assert set(figures) == {n for n in list_bundles() if open_bundle(n).manifest["task"] == "rhythm"}
    for name, model in figures.items():
        said = open_bundle(name).manifest["metrics"]
        assert model["manifest"] == {part: said[part] for part in ("inner", "validation")}


def test_the_device_decides_as_the_exporter_saw_it_decide() -> None:
    # Two roads to one figure: recording, pipeline and Record here; batches and scores there.
    for model in report.read("accuracy")["figures"]["cinc2017"]["models"].values():
        said = model["manifest"]["validation"]
        assert model["v2"]["confusion"] == said["int8"]["confusion"]


# Rhythm accuracy


def counted(reference: str, decisions: str) -> dict[str, float]:
    """Accuracy and F1 by counting, as one would on paper."""
    pairs = list(zip(reference, decisions, strict=True))
    f1 = {}
    for name in CLASSES:
        hits = sum(r == d == name for r, d in pairs)
        told, there = decisions.count(name), reference.count(name)
        precision, recall = hits / told if told else 0.0, hits / there if there else 0.0
        f1[name] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {
        "accuracy": sum(r == d for r, d in pairs) / len(pairs),
        "macro_f1": sum(f1.values()) / 4,
        "f1_mean_n_a_o": (f1["N"] + f1["A"] + f1["O"]) / 3,
    }


@pytest.mark.parametrize("revision", rhythm_accuracy.REVISIONS)
def test_accuracy_and_f1_follow_from_the_kept_decisions(revision: str) -> None:
    figures = report.read("accuracy")["figures"]["cinc2017"]
    reference = figures["reference"][revision]
    assert figures["records"] == len(reference) == 1528
    for model in figures["models"].values():
        row, decisions = model[revision], model["decisions"]
        for name, value in counted(reference, decisions).items():
            assert row[name] == pytest.approx(value, abs=5.1e-5)
        for k, name in enumerate(CLASSES):
            mine = [d for r, d in zip(reference, decisions, strict=True) if r == name]
            assert row["confusion"][k] == [mine.count(other) for other in CLASSES]
            assert row["recall"][name] == pytest.approx(mine.count(name) / len(mine), abs=5.1e-5)
            told = decisions.count(name)
            assert row["precision"][name] == pytest.approx(mine.count(name) / told, abs=5.1e-5)


def test_what_is_conclusive_follows_from_the_kept_verdicts() -> None:
    figures = report.read("accuracy")["figures"]["cinc2017"]
    for model in figures["models"].values():
        rows = list(zip(figures["reference"]["v2"], model["decisions"], model["verdicts"], strict=True))
        kept = [(r, d) for r, d, v in rows if v != "?"]
        assert all(v in (d, "?") for _, d, v in rows)
        sure = model["conclusive"]
        assert sure["records"] == len(kept)
        assert sure["inconclusive_records"] == pytest.approx(1 - len(kept) / len(rows), abs=5.1e-5)
        assert sure["accuracy"] == pytest.approx(sum(r == d for r, d in kept) / len(kept), abs=5.1e-5)
        silent = [v == "?" for r, _, v in rows if r == "A"]
        assert sure["inconclusive_by_class"]["A"] == pytest.approx(sum(silent) / len(silent), abs=5.1e-5)


def test_the_bootstrap_interval_agrees_with_the_binomial_one() -> None:
    stats = pytest.importorskip("scipy.stats")
    for model in report.read("accuracy")["figures"]["cinc2017"]["models"].values():
        row = model["v2"]
        right = round(row["accuracy"] * row["records"])
        interval = stats.binomtest(right, row["records"]).proportion_ci(method="wilson")
        assert row["accuracy_interval"] == pytest.approx([interval.low, interval.high], abs=3e-3)
        assert row["macro_f1_interval"][0] < row["macro_f1"] < row["macro_f1_interval"][1]


def test_the_first_records_come_out_as_kept_and_as_the_command_line_says(
    data_dir: Path, tmp_path: Path
) -> None:
    figures = rhythm_accuracy.measure(data_dir, open_models(rhythm_accuracy.bundle_names()), FEW)
    kept = report.read("accuracy")["figures"]["cinc2017"]
    for name, model in figures["models"].items():
        assert model["decisions"] == kept["models"][name]["decisions"][:FEW]
        assert model["verdicts"] == kept["models"][name]["verdicts"][:FEW]
    assert figures["reference"]["v3"] == kept["reference"]["v3"][:FEW]

    _, names = published_split(data_dir)
    paths = []
    with Archive(data_dir, "cinc2017") as archive:
        text = archive.read("training2017/REFERENCE.csv").decode()
        for name in names[:FEW]:
            for suffix in (".hea", ".mat"):
                (tmp_path / f"{name}{suffix}").write_bytes(archive.read(f"training2017/{name}{suffix}"))
            paths.append(tmp_path / f"{name}.hea")
    known = dict(csv.reader(io.StringIO(text)))
    assert figures["reference"]["v2"] == "".join(known[name] for name in names[:FEW])
    words = [sys.executable, "-m", "ecgedge", "classify", "--format", "jsonl", *map(str, paths)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    records = [row for row in map(json.loads, done.stdout.splitlines()) if row["type"] == "record"]
    model = figures["models"]["efficientecg-s"]
    assert "".join(row["label"] for row in records) == model["decisions"]
    told = [row["label"] if row["verdict"] != "inconclusive" else "?" for row in records]
    assert "".join(told) == model["verdicts"]
    assert sum(row["windows"] for row in records) == model["windows"]


def test_an_unpacked_folder_gives_the_same_as_the_archive(data_dir: Path, tmp_path: Path) -> None:
    if not (data_dir / "cinc2017.zip").is_file():
        pytest.skip("needs cinc2017.zip in ECGEDGE_DATA")
    _, names = published_split(data_dir)
    with zipfile.ZipFile(data_dir / "cinc2017.zip") as archive:
        members = [f"training2017/{name}{end}" for name in names[:2] for end in (".hea", ".mat")]
        archive.extractall(tmp_path / "cinc2017", members)
    models = open_models(rhythm_accuracy.bundle_names())
    packed = list(rhythm_accuracy.classified(data_dir, names[:2], models))
    assert list(rhythm_accuracy.classified(tmp_path, names[:2], models)) == packed


# The stream's cost


def test_a_short_stream_is_measured_and_says_that_it_was_short(tmp_path: Path) -> None:
    # In a process of its own: memory is only measured from one that is smaller than the command.
    words = ["--seconds", "60", "--runs", "1", "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "benchmarks.stream_cost", *words], check=True, cwd=ROOT)
    body = report.read("stream_cost", tmp_path)
    assert body["command"] == "python -m benchmarks.stream_cost --seconds 60.0 --runs 1"
    figures = body["figures"]
    code = (
        "import atexit, runpy, sys; from pathlib import Path; "
        "atexit.register(lambda: print(Path('/proc/self/status').read_text(), file=sys.stderr)); "
        "runpy.run_module('ecgedge', run_name='__main__')"
    )
    for form in stream_cost.FORMS:
        row = figures[form]
        assert row["times_real_time"]["median"] == pytest.approx(60 / row["wall_s"]["median"], abs=1)
        assert row["wall_s"]["median"] > figures["import_s"]["ecgedge.session"]["min"] / 2
        if not Path("/proc/self/status").exists():
            continue
        options = stream_cost.command(60, form).split()[3:]
        done = subprocess.run([sys.executable, "-c", code, *options], capture_output=True, text=True)
        kilobytes = next(line.split()[1] for line in done.stderr.splitlines() if line.startswith("VmHWM"))
        assert row["peak_resident_mb"]["median"] == pytest.approx(int(kilobytes) * 1.024e-3, rel=0.1)
    assert figures["first_sample_s"]["median"] > 0
    late = figures["verdict_delay"]
    assert late["windows"] == late["compute_ms"]["n"] == 3  # from 0, 10, 20 s on; the end cuts one off
    assert 0 < late["wait_s"]["p50"] < late["total_s"]["p50"]
    assert 0 < late["compute_cpu_ms"]["p50"] <= late["compute_cpu_ms"]["max"]
    assert figures["bundle_bytes"]["efficientecg-s.tflite"] == len(open_bundle("efficientecg-s").model)


def test_targets_compare_in_the_right_direction() -> None:
    good = stream_cost.TARGETS
    assert all(stream_cost.met(good).values())
    bad = {name: limit * (0.99 if name == "times_real_time" else 1.01) for name, limit in good.items()}
    assert not any(stream_cost.met(bad).values())


def test_a_command_that_fails_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_cost, "STREAM", "python -m ecgedge stream --port /dev/none")
    with pytest.raises(EcgedgeError, match="exit code 3"):
        stream_cost.once(1, "jsonl")


# The replay


def on_grid(spans: mitdb_replay.Spans, step_s: float = 0.1) -> npt.NDArray[np.bool_]:
    """Membership of every step of 100 s."""
    t = (np.arange(1000) + 0.5) * step_s
    inside = np.zeros(t.size, dtype=np.bool_)
    for begin_s, end_s in spans:
        inside |= (t >= begin_s) & (t < end_s)
    return inside


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([], [(1.0, 2.0)]),
        ([(0.0, 10.0)], [(10.0, 20.0)]),
        ([(0.0, 50.0), (60.0, 100.0)], [(5.0, 7.5), (40.0, 70.0), (99.0, 100.0)]),
    ],
)
def test_shared_seconds_are_those_on_a_fine_grid(one: mitdb_replay.Spans, other: mitdb_replay.Spans) -> None:
    both = on_grid(one) & on_grid(other)
    assert mitdb_replay.shared(one, other) == pytest.approx(both.sum() * 0.1)
    assert mitdb_replay.total(other) == pytest.approx(on_grid(other).sum() * 0.1)


def rhythm_changes(data: bytes) -> list[tuple[int, str]]:
    """Sample and name of every rhythm change in an annotation file (MIT format), read byte by byte."""
    skip, num, sub, chn, aux = 59, 60, 61, 62, 63
    at = sample = 0
    out = []
    while (word := struct.unpack_from("<H", data, at)[0]) != 0:
        kind, low = word >> 10, word & 0x3FF
        at += 2
        if kind == skip:
            high, rest = struct.unpack_from("<HH", data, at)
            sample += (high << 16) + rest
            at += 4
        elif kind == aux:
            text = data[at : at + low].rstrip(b"\0").decode()
            at += low + low % 2
            if text.startswith("("):
                out.append((sample, text))
        elif kind not in (num, sub, chn):
            sample += low
    return out


def test_a_replayed_record_is_whole_and_as_kept(data_dir: Path) -> None:
    pytest.importorskip("wfdb")
    row = mitdb_replay.measure(data_dir, ("222",))["records"]["222"]
    kept = report.read("mitdb_replay")["figures"]["records"]
    assert row == kept["222"]
    with Archive(data_dir, "mitdb") as archive:
        for name, figures in kept.items():
            first_line = archive.read(f"mitdb/{name}.hea").decode().splitlines()[0].split()
            length, rate_hz = int(first_line[3]), float(first_line[2])
            assert figures["sent"] == figures["samples"] == length
            assert figures["delivered"] + figures["in_gaps"] == length
            changes = rhythm_changes(archive.read(f"mitdb/{name}.atr"))
            ends = [sample for sample, _ in changes[1:]] + [length]
            for rhythm, key in (("(AFIB", "reference_af_s"), ("(AFL", "reference_flutter_s")):
                spans = [(a, b) for (a, what), b in zip(changes, ends, strict=True) if what == rhythm]
                assert figures[key] == pytest.approx(sum(b - a for a, b in spans) / rate_hz, abs=0.051)


def test_af_episodes_are_found_in_every_record_with_af() -> None:
    for row in report.read("mitdb_replay")["figures"]["records"].values():
        assert row["af_episodes"]
        assert row["af_s"] == pytest.approx(sum(b - a for a, b in row["af_episodes"]), abs=0.5)
        assert row["duration_sensitivity"] == pytest.approx(row["common_s"] / row["reference_af_s"], abs=1e-3)
        assert row["duration_ppv"] == pytest.approx(row["common_s"] / row["af_s"], abs=1e-3)
