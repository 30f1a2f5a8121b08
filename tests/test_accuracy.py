"""What ``benchmarks.accuracy`` found, computed again by other means.

By the command line (``classify --annotations``, ``score``), by scipy, by plain counting over what the result
file keeps of every window, and from files that the benchmark does not read.
"""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import accuracy, af_mitdb, outcomes, pictures, report, tables
from benchmarks.heard import Heard, Paced, listen
from benchmarks.unpacked import unpack
from ecgedge.classifier import open_models
from ecgedge.classify import classify
from ecgedge.datasets.archive import Archive
from ecgedge.messages import Episode, Scores, Verdict
from ecgedge.recordings import open_recording

RESULT = report.read("accuracy")
MITDB = RESULT["figures"]["mitdb"]
MODELS = list(MITDB["models"])
WITH_AF = {"201", "202", "203", "210", "217", "219", "221", "222"}
"""Records with AF after the database's own documentation."""
EC57 = [(skip, flutter) for skip in af_mitdb.SKIPS for flutter in af_mitdb.CONVENTIONS]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> report.Json:
    """Each model's figures on MIT-BIH."""
    figures: report.Json = MITDB["models"][request.param]
    return figures


def everything(model: report.Json) -> list[tuple[str, str, float, str]]:
    """Reference, what was told, probability and record of every window."""
    return [
        (true, said, float(p), name)
        for name, row in model["records"].items()
        for true, said, p in zip(
            row["windows"]["reference"],
            row["windows"]["told"],
            row["windows"]["probability"].split(),
            strict=True,
        )
    ]


# The result file says of itself what a reader must know


def test_readme_says_how_often_the_validation_records_were_looked_at() -> None:
    said = RESULT["figures"]["development"]["cinc2017_looks"]
    assert said == accuracy.DEVELOPMENT["cinc2017_looks"]
    assert set(said) == set(MODELS)
    readme = " ".join(tables.README.read_text(encoding="utf-8").split())
    assert f"{len(said['efficientecg-s'])} times for `efficientecg-s` (" in readme
    assert all(look in readme for look in said["efficientecg-s"])


def test_result_and_readme_say_how_often_mitdb_was_looked_at() -> None:
    said = RESULT["figures"]["development"]
    readme = " ".join(tables.README.read_text(encoding="utf-8").split())
    assert said["mitdb_looks"] == accuracy.DEVELOPMENT["mitdb_looks"]
    assert "nothing that reports AF" in said["fitted_on_mitdb"]
    for words in (
        "Fitted on MIT-BIH was nothing that reports AF",
        f"looked at {len(accuracy.DEVELOPMENT['mitdb_looks'])} times",
        "somewhat optimistic",
    ):
        assert words in readme
    assert "record 200" in readme


def test_goals_are_judged_by_the_figures(model: report.Json) -> None:
    row = model["ec57"]["whole"]["flutter_neutral"]
    assert model["targets"] == {"duration_se": 0.95, "duration_ppv": 0.80}
    for key, limit in model["targets"].items():
        assert model["met"][key] == (row[key]["gross"] >= limit)


# Episodes and durations


@pytest.mark.parametrize(("skip", "flutter"), EC57)
def test_gross_and_average_follow_from_the_records(model: report.Json, skip: str, flutter: str) -> None:
    rows = [row["ec57"][skip][flutter] for row in model["records"].values()]
    assert len(rows) == 48
    for key, part, whole in (
        ("episode_se", "found", "reference"),
        ("episode_ppv", "confirmed", "test"),
        ("duration_se", "overlap_s", "reference_s"),
        ("duration_ppv", "overlap_s", "test_s"),
    ):
        kept = model["ec57"][skip][flutter][key]
        shares = [row[part] / row[whole] for row in rows if row[whole]]
        gross = sum(row[part] for row in rows) / sum(row[whole] for row in rows)
        assert kept["gross"] == pytest.approx(gross, abs=6e-5)
        assert kept["average"] == pytest.approx(sum(shares) / len(shares), abs=1e-3)
        assert kept["records"] == len(shares)
        assert kept["interval"][0] <= kept["gross"] <= kept["interval"][1]


def test_af_is_where_the_database_says(model: report.Json) -> None:
    assert {name for name, row in model["records"].items() if row["reference_af_s"]} == WITH_AF
    spans = [s for row in model["records"].values() for s in row["reference_af_s"]]
    assert sum(b - a for a, b in spans) / 60 == pytest.approx(132.6, abs=0.1)
    assert len(spans) == 107
    assert sum(b - a >= 30 for a, b in spans) == 43
    flutter = [s for row in model["records"].values() for s in row["reference_flutter_s"]]
    assert sum(b - a for a, b in flutter) / 60 == pytest.approx(13.1, abs=0.1)


def test_classify_and_score_say_the_same(data_dir: Path, tmp_path: Path) -> None:
    """The commands that a reader can repeat, in processes of their own."""
    name = "222"
    with Archive(data_dir, "mitdb") as archive:
        unpack(archive, [f"mitdb/{name}"], tmp_path)
    words = [sys.executable, "-m", "ecgedge"]
    heard = subprocess.run(
        [
            *words,
            "classify",
            tmp_path / f"{name}.hea",
            "--format",
            "jsonl",
            "--annotations",
            tmp_path / "said",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [json.loads(line) for line in heard.stdout.splitlines()]
    row = MITDB["models"]["efficientecg-s"]["records"][name]
    windows = [x for x in lines if x["type"] == "window" and not x["provisional"]]
    told = ["?" if x["verdict"] == "inconclusive" else "A" if x["verdict"] == "AF" else "-" for x in windows]
    assert "".join(told) == row["windows"]["told"]
    closed = [x for x in lines if x["type"] == "episode" and x["state"] == "closed"]
    assert len(closed) == len(row["told_from_to_at_s"])
    for skip, seconds in af_mitdb.SKIPS.items():
        done = subprocess.run(
            [*words, "score", tmp_path, tmp_path / "said", "--skip", str(seconds), "--format", "jsonl"],
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(done.stdout.splitlines()[0])["figures"]
        for flutter, prefix in af_mitdb.CONVENTIONS.items():
            kept = row["ec57"][skip][flutter]
            for key, part, whole in (
                ("episode_se", "found", "reference"),
                ("episode_ppv", "confirmed", "test"),
                ("duration_se", "overlap_s", "reference_s"),
                ("duration_ppv", "overlap_s", "test_s"),
            ):
                _, scored_part, scored_whole = said[f"{prefix}_{key}"]
                assert kept[part] == pytest.approx(scored_part, abs=0.006)
                assert kept[whole] == pytest.approx(scored_whole, abs=0.006)


def test_burden_and_alarms_follow_from_the_spans(model: report.Json) -> None:
    count, hours, errors = 0, 0.0, []
    for row in model["records"].values():
        t = np.arange(0.05, row["seconds"], 0.1)

        def on(spans: list[list[float]], t: Any = t) -> Any:
            return np.any([(t >= s[0]) & (t < s[1]) for s in spans] or [np.zeros(t.size, bool)], axis=0)

        af, flutter = on(row["reference_af_s"]), on(row["reference_flutter_s"])
        told = on(row["told_from_to_at_s"])
        judged = ~flutter
        assert row["burden"]["reference"] == pytest.approx(af[judged].mean(), abs=1e-3)
        assert row["burden"]["told"] == pytest.approx(told[judged].mean(), abs=1e-3)
        errors.append(abs(row["burden"]["told"] - row["burden"]["reference"]))
        hours += (judged & ~af).sum() / 36000
        for begin_s, end_s, _ in row["told_from_to_at_s"]:
            inside = (t >= begin_s) & (t < end_s)
            count += bool((inside & judged).any() and not (inside & af).any())
    assert model["alarms"]["whole"]["count"] == count
    assert model["alarms"]["whole"]["hours"] == pytest.approx(hours, abs=0.02)
    assert model["burden"]["all"]["mean_absolute_error"] == pytest.approx(np.mean(errors), abs=1e-4)
    assert model["burden"]["with_af"]["records"] == 8


def test_no_episode_is_told_before_it_has_lasted_and_none_long_after(model: report.Json) -> None:
    waits = []
    for row in model["records"].values():
        for begin_s, end_s, at_s in row["told_from_to_at_s"]:
            assert begin_s + 30 <= at_s
            assert end_s - begin_s >= 29.9
        for begin_s, end_s in row["reference_af_s"]:
            over = [at for a, b, at in row["told_from_to_at_s"] if a < end_s - 0.05 and b > begin_s + 0.05]
            if end_s - begin_s >= 30 and over:
                waits.append(min(over) - begin_s)
    found = model["detection"]
    assert found["found"] == len(waits) == model["ec57"]["whole"]["flutter_neutral"]["episode_se"]["part"]
    assert found["told_already"] == sum(w <= 0 for w in waits)
    later = [w for w in waits if w > 0]
    assert found["others_s"]["n"] == len(later)
    assert found["others_s"]["p50"] == pytest.approx(np.median(later), abs=0.2)
    assert found["others_s"]["max"] == pytest.approx(max(later), abs=0.2)


# Windows: three outcomes and curves


def test_three_outcomes_follow_from_the_windows(model: report.Json) -> None:
    rows, kept = everything(model), model["windows"]
    for name, true in (("af", "A"), ("not_af", "-")):
        mine = [said for t, said, _, _ in rows if t == true]
        assert kept[name] == {
            "told_af": mine.count("A"),
            "told_other": mine.count("-"),
            "inconclusive": mine.count("?"),
        }
    af, other = kept["af"], kept["not_af"]
    sensitivity = af["told_af"] / (af["told_af"] + af["told_other"])
    specificity = other["told_other"] / (other["told_af"] + other["told_other"])
    assert kept["sensitivity"] == pytest.approx(sensitivity, abs=6e-5)
    assert kept["specificity"] == pytest.approx(specificity, abs=6e-5)
    silent = (af["inconclusive"] + other["inconclusive"]) / kept["windows"]
    assert kept["inconclusive"] == pytest.approx(silent, abs=6e-5)


def test_a_window_is_what_fills_half_of_it(model: report.Json) -> None:
    """Window k of an unbroken record begins at 10 k seconds; the last one ends with the record."""
    for name, row in model["records"].items():
        for k, true in enumerate(row["windows"]["reference"]):
            begin_s = min(10.0 * k, row["seconds"] - 30.0)
            t = begin_s + np.arange(0.01, 30, 0.02)
            af, flutter = (
                np.mean([any(a <= x < b for a, b in row[key]) for x in t]) if row[key] else 0.0
                for key in ("reference_af_s", "reference_flutter_s")
            )
            if min(abs(af - 0.5), abs(af + flutter - 0.5)) > 0.01:
                assert true == ("A" if af > 0.5 else "." if af + flutter > 0.5 else "-"), (name, k)


def test_areas_are_those_of_other_definitions(model: report.Json) -> None:
    stats = pytest.importorskip("scipy.stats")
    parts = [(everything(model), model["curves"])]
    for name in MODELS:
        true, probability = pictures.windows(RESULT["figures"], "cinc2017", name)
        said = RESULT["figures"]["cinc2017"]["models"][name]["af"]
        rows = zip(true, said["told"], probability, [""] * len(true), strict=True)
        parts.append((list(rows), said["curves"]))
    for rows, kept in parts:
        yes = np.array([p for true, _, p, _ in rows if true == "A"])
        no = np.array([p for true, _, p, _ in rows if true == "-"])
        assert (kept["af"], kept["windows"]) == (yes.size, yes.size + no.size)
        u = stats.mannwhitneyu(yes, no).statistic
        assert kept["roc_area"] == pytest.approx(u / (yes.size * no.size), abs=6e-5)
        precision = [(yes >= p).sum() / ((yes >= p).sum() + (no >= p).sum()) for p in yes]
        assert kept["average_precision"] == pytest.approx(np.mean(precision), abs=6e-5)
        assert kept["roc_area_interval"][0] < kept["roc_area"] < kept["roc_area_interval"][1]


def test_cinc_alarms_are_records_without_af_that_are_called_af() -> None:
    part = RESULT["figures"]["cinc2017"]
    for model in part["models"].values():
        pairs = list(zip(part["reference"]["v2"], model["verdicts"], strict=True))
        wrong = sum(true in "NO" and said == "A" for true, said in pairs)
        assert model["af"]["alarms"]["count"] == wrong
        assert model["af"]["noise"] == {
            "records": sum(true == "~" for true, _ in pairs),
            "inconclusive": sum(true == "~" and said in "?~" for true, said in pairs),
        }
        counts = [int(n) for n in model["af"]["windows_per_record"]]
        assert len(counts) == part["records"]
        assert sum(counts) == len(model["af"]["told"]) == model["windows"]


def test_ludb_rhythms_are_those_in_the_headers(data_dir: Path) -> None:
    part = RESULT["figures"]["ludb"]
    with Archive(data_dir, "ludb") as archive:
        names = archive.read("ludb/RECORDS").decode().split()
        headers = [archive.read(f"ludb/{name}.hea").decode().lower() for name in names]
    letters = ["A" if "atrial fibrillation" in h else "." if "atrial flutter" in h else "-" for h in headers]
    assert part["reference"] == "".join(letters)
    for row in part["models"].values():
        pairs = list(zip(part["reference"], row["told"], strict=True))
        assert row["windows"]["af"]["told_af"] == pairs.count(("A", "A"))
        assert row["windows"]["not_af"]["told_af"] == pairs.count(("-", "A"))


# Statistics


@pytest.mark.parametrize("count", [0, 1, 16])
def test_poisson_intervals_leave_out_one_in_forty_at_either_end(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    row = outcomes.alarms(count, 86400.0)
    low, high = row["per_day_interval"]
    assert row["hours"] == 24
    assert stats.poisson.cdf(count, high) == pytest.approx(0.025, abs=5e-3)
    assert low == 0 if count == 0 else stats.poisson.sf(count - 1, low) == pytest.approx(0.025, abs=5e-3)


def test_intervals_agree_with_scipys_bootstrap() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    wholes = rng.uniform(5, 50, 40)
    parts = wholes * rng.uniform(0.2, 1, 40)
    ours = outcomes.ratio_interval(parts.tolist(), wholes.tolist())
    theirs = stats.bootstrap(
        (parts, wholes),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        n_resamples=9999,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.01)


def test_windows_of_one_record_are_no_independent_witnesses() -> None:
    hits = [1.0] * 50 + [0.0] * 50 + [1.0] * 100
    alone = outcomes.ratio_interval(hits, [1.0] * 200)
    together = outcomes.ratio_interval(hits, [1.0] * 200, [k // 50 for k in range(200)])
    assert alone
    assert together
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_a_share_of_all_or_nothing_gets_the_exact_interval() -> None:
    stats = pytest.importorskip("scipy.stats")
    for hits in (0, 12):
        exact = stats.binomtest(hits, 12).proportion_ci(method="exact")
        ours = outcomes.ratio_interval([float(hits > 0)] * 12, [1.0] * 12)
        assert ours == pytest.approx([exact.low, exact.high], abs=1e-4)


def test_records_of_one_person_count_as_one() -> None:
    assert af_mitdb.persons(["200", "201", "202", "203"]) == [0, 1, 1, 2]
    assert af_mitdb.persons(["202", "100", "201"]) == [0, 1, 0]


# What is heard, and when


def test_small_blocks_change_nothing_and_tell_the_time(data_dir: Path, tmp_path: Path) -> None:
    with Archive(data_dir, "ludb") as archive:
        for end in (".hea", ".dat"):
            (tmp_path / f"8{end}").write_bytes(archive.read(f"ludb/data/8{end}"))
    models = open_models(MODELS)
    plain = list(classify(open_recording(tmp_path / "8", lead="ii"), "8", models))
    heard = listen(open_recording(tmp_path / "8", lead="ii"), "8", models, {})
    for one in heard:
        assert one.record in plain
        assert all(verdict in plain for verdict in one.windows)
    paced = Paced(open_recording(tmp_path / "8", lead="ii"))
    reached = [paced.reached_s for _ in paced.blocks()]
    assert reached == pytest.approx(np.arange(0.2, 10.01, 0.2))


def window(first_s: float, af: float) -> Verdict:
    scores = Scores("m", round(first_s * 10), round(first_s * 10) + 300, first_s, 30.0, {}, "A", False)
    return Verdict(scores, "AF", (), SimpleNamespace(), af, af)  # type: ignore[arg-type]


def one(af: list[tuple[int, int]], flutter: list[tuple[int, int]], told: list[tuple[int, int, float]]) -> Any:
    heard = Heard("m", {"A": "AF"}, windows=[window(s, 0.5) for s in (0.0, 10.0, 20.0, 30.0)])
    for onset, offset, at_s in told:
        episode = Episode("AF", "closed", "m", onset, offset, onset / 10, offset / 10, 0.9)
        heard.episodes[onset], heard.told_s[onset] = episode, at_s
    return af_mitdb.One("r", 10.0, 300.0, af, flutter, heard)


def test_rhythm_of_a_window_by_hand() -> None:
    # 10 samples a second; windows 0-300, 100-400, 200-500, 300-600.
    assert one([(0, 160)], [], []).reference() == "A---"
    assert one([(0, 100)], [(100, 400)], []).reference() == "...-"
    assert one([], [(400, 600)], []).reference() == "---."


def test_time_to_detect_by_hand() -> None:
    found = one([(100, 500), (600, 700), (800, 1300), (2000, 2500)], [], [(90, 1000, 55.0)])
    # From 10 s to 55 s; 600-700 is too short; at 80 s it was being told already; 2000-2500 was not found.
    assert found.detection_s() == pytest.approx([45.0, -25.0])


# Pictures


def png_texts(data: bytes) -> dict[str, str]:
    """Text fields of a PNG, and its size under ``size``, read chunk by chunk with their checksums."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    out, at = {}, 8
    while at < len(data):
        n, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + n]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", data, at + 8 + n)[0]
        if kind == b"IHDR":
            out["size"] = "x".join(map(str, struct.unpack_from(">II", body)))
        elif kind == b"tEXt":
            key, _, text = body.partition(b"\0")
            out[key.decode("latin-1")] = text.decode("latin-1")
        at += 12 + n
    return out


def test_pictures_show_this_result_and_name_whose_data_it_is() -> None:
    digest = hashlib.sha256((report.RESULTS / "accuracy.json").read_bytes()).hexdigest()
    readme = tables.README.read_text(encoding="utf-8")
    whats = ("curves", "confusion", "burden")
    drawn = {pictures.path_of(report.RESULTS, name, what) for name in MODELS for what in whats}
    assert drawn == set(report.RESULTS.glob("accuracy-*.png"))
    for path in drawn:
        texts = png_texts(path.read_bytes())
        assert digest in texts["Source"], "run: python -m benchmarks.pictures"
        assert "ODC-BY" in texts["Description"]
        width, height = map(int, texts["size"].split("x"))
        assert width >= 1400
        assert height >= 600
        assert path.stat().st_size < 300_000
        if tables.DEFAULT in path.name:
            assert f"benchmarks/results/{path.name}" in readme


def test_pictures_can_be_drawn_from_the_result_alone(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "accuracy.json").write_bytes((report.RESULTS / "accuracy.json").read_bytes())
    for path in pictures.draw(tmp_path):
        new, kept = (png_texts(p.read_bytes()) for p in (path, report.RESULTS / path.name))
        assert new | {"Software": ""} == kept | {"Software": ""}  # another matplotlib may have drawn it
