"""Writes README's tables from the result files; ``python -m benchmarks.tables``.

Each table stands between the markers ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    ablation_dualnet,
    ablation_ecg_sl,
    ablation_efficientecg,
    accuracy,
    af_tables,
    beats,
    danet,
    ecg_sl,
    ectopy,
    ectopy_tables,
    faults,
    faults_stream,
    firmware_day,
    folds,
    fuzz,
    instructions,
    kernels,
    mitdb_replay,
    operations,
    peer_tables,
    peers,
    report,
    rhythm_accuracy,
    seeds,
    stream_cost,
    verdict_delay,
    week,
    where,
)
from benchmarks.markdown import interval, percent, prose, share, source, table
from ecgedge.bundle import open_bundle
from ecgedge.words import DEFAULT_MODELS

README = Path(__file__).parents[1] / "README.md"
DEFAULT = DEFAULT_MODELS[0]
PARTS = {"validation": "validation records", "inner": "inner validation records, used to choose"}
KINDS = {
    "int8": "int8 network alone",
    "float": "float network alone",
}
"""What the exporter measured and wrote into the manifest."""
CLASS_WORDS = {"N": "sinus", "A": "AF", "O": "other", "~": "noise"}


def rhythm() -> list[str]:
    """All models side by side; then the verdicts of the default on CinC 2017, its AF, and the replay."""
    result = report.read("accuracy")
    figures = result["figures"]["cinc2017"]
    model = figures["models"][DEFAULT]
    out = [*side_by_side(result), "", *looks(result), "", *headline(DEFAULT, model, figures), ""]
    out += [*classes(model), ""]
    out += [*silence(model, figures), "", *af_tables.fibrillation(DEFAULT, result), "", *source(result), ""]
    return out + replay(report.read("mitdb_replay"))


def side_by_side(result: report.Json) -> list[str]:
    """One row a shipped model."""
    first = rhythm_accuracy.REVISIONS[0]
    rows = []
    for name, model in result["figures"]["cinc2017"]["models"].items():
        af = result["figures"]["mitdb"]["models"][name]["ec57"]["whole"]["flutter_neutral"]
        row = model[first]
        size = open_bundle(name).manifest["files"][f"{name}.tflite"]["bytes"]
        duration = [share(af[figure]["gross"]) for figure in ("duration_se", "duration_ppv")]
        rows.append(
            [
                f"**{name}** (default)" if name == DEFAULT else name,
                f"{size / 1000:.0f} kB",
                interval(row, "accuracy"),
                interval(row, "macro_f1"),
                share(row["f1_mean_n_a_o"]),
                ", ".join(duration),
            ]
        )
    heads = ["model", "int8 file", "CinC 2017: accuracy", "macro F1", "mean F1 of N, A, O"]
    return table([*heads, "AF on MIT-BIH: duration sensitivity, +P"], rows)


def looks(result: report.Json) -> list[str]:
    """How often each model, or one before it, was judged by the validation records."""
    found = result["figures"]["development"]["cinc2017_looks"]
    more = {name: words for name, words in found.items() if len(words) > 1}
    once = " and ".join(f"`{name}`" for name in found if name not in more)
    told = [f"{len(words)} times for `{name}` ({'; '.join(words)})" for name, words in more.items()]
    return prose(
        f"The validation records were looked at once for {once}, {', '.join(told)}. What ships was chosen by "
        "the inner validation records; but what is tried after a look is not wholly blind to it."
    )


def headline(name: str, model: report.Json, figures: report.Json) -> list[str]:
    """Accuracy and F1 on unseen records, and beside them those that the export measured."""
    first, extra = rhythm_accuracy.REVISIONS
    rows = [
        (f"**on the device's path, {figures['records']} validation records**", model[first]),
        (f"the same, labels {extra}", model[extra]),
    ]
    for part, what in PARTS.items():
        for kind, words in KINDS.items():
            row = model["manifest"][part].get(kind)
            if row:
                rows.append((f"{words}, {row['records']} {what}", row))
    cells = [
        [what, interval(row, "accuracy"), interval(row, "macro_f1"), share(row["f1_mean_n_a_o"]), off(row)]
        for what, row in rows
    ]
    return table([name, "accuracy", "macro F1, 4 classes", "mean F1 of N, A, O", "calibration error"], cells)


def off(row: report.Json) -> str:
    """Expected calibration error over records, after the bundle's temperature, where it was measured."""
    return share(row["calibration_error"]["records"]) if "calibration_error" in row else ""


def classes(model: report.Json) -> list[str]:
    """F1, recall, precision and silence by class, with the confusion matrix."""
    row = model[rhythm_accuracy.REVISIONS[0]]
    silent = model["conclusive"]["inconclusive_by_class"]
    words = [f"{CLASS_WORDS[c]} ({c})" for c in row["f1"]]
    cells = []
    for k, (c, word) in enumerate(zip(row["f1"], words, strict=True)):
        rates = [share(row[figure][c]) for figure in ("recall", "precision", "f1")]
        cells.append([word, *rates, percent(silent[c]), *map(str, row["confusion"][k])])
    decided = [f"decided {c}" for c in row["f1"]]
    return table(["reference", "recall", "precision", "F1", "told *inconclusive*", *decided], cells)


def silence(model: report.Json, figures: report.Json) -> list[str]:
    """What the device commits itself to, and what stands behind the figures."""
    sure = model["conclusive"]
    low, high = sure["accuracy_interval"]
    return prose(
        "Brackets: 95 % bootstrap intervals over records. Labels are revision v2 unless said otherwise. "
        "Recall, precision, F1 and the matrix take the best class of every record. On the device, "
        f"{percent(sure['inconclusive_records'])} of the records ({percent(model['inconclusive_windows'])} "
        f"of the windows) are *inconclusive* instead; on the other {sure['records']} the accuracy is "
        f"{sure['accuracy']:.3f} ({low:.3f} to {high:.3f}). The set names no patients, so the split is by "
        f"record; {figures['note']}."
    )


def replay(result: report.Json) -> list[str]:
    """That replayed recordings arrive whole."""
    rows = result["figures"]["records"]
    arrived, sent = (sum(row[key] for row in rows.values()) for key in ("delivered", "sent"))
    return [
        *prose(
            f"Replayed as frames, as fast as the host reads, records "
            f"{', '.join(rows)} arrive with {arrived} of {sent} samples, "
            f"{sum(row['bad_frames'] for row in rows.values())} frames damaged."
        ),
        "",
        *source(result),
    ]


def fine_percent(value: float) -> str:
    """A share (0-1) in per cent with two decimals."""
    return f"{100 * value:.2f} %"


def heartbeats() -> list[str]:
    """R peaks on MIT-BIH and LUDB, and beside other detectors under noise."""
    result = report.read("beats")
    figures = result["figures"]
    sets = {
        "MIT-BIH, 48 whole records, first lead": figures["mitdb"]["pooled"],
        f"LUDB, {figures['ludb_ii']['records']} records, lead II": figures["ludb_ii"]["pooled"],
    }
    rows = [
        [
            *(name, str(row["beats"]), str(row["missed"]), str(row["extra"])),
            *(fine_percent(row["sensitivity"]), fine_percent(row["ppv"])),
        ]
        for name, row in sets.items()
    ]
    noise, late = figures["electrode_motion"], figures["latency"]
    names = list(noise["pooled"]["clean"])
    compared = [
        [condition, *(f"{fine_percent(row[n]['sensitivity'])}, {fine_percent(row[n]['ppv'])}" for n in names)]
        for condition, row in noise["pooled"].items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in noise["versions"].items())
    return [
        *table(["beats, within 150 ms", "annotated", "missed", "extra", "sensitivity", "+P"], rows),
        "",
        *prose(
            f"A beat is told {late['p50_s']:.2f} s after its R peak in the middle case, filter and frames of "
            f"{late['frame_s']:g} s included, and within half a second in "
            f"{fine_percent(late['within_half_a_second'])} of all, "
            f"{fine_percent(late['others']['within_half_a_second'])} of those that were not found by looking "
            f"back when a beat was overdue ({late['found_looking_back']} of {late['beats']} were)."
        ),
        "",
        *prose(
            f"Under electrode-motion noise (sensitivity, +P): the first {noise['minutes']:g} minutes of all "
            f"{noise['records']} MIT-BIH records, scored after minute 5, noise in every other two minutes "
            f"from there on. The other two ({versions}) look at the whole signal at once."
        ),
        "",
        *table(["signal to noise", *names], compared),
        "",
        *source(result),
    ]


def limit(reached: dict[str, float], name: str, unit: str) -> str:
    """A target of the stream's cost in words, and whether it was missed."""
    side = "at least" if name == "times_real_time" else "at most"
    missed = "" if stream_cost.met(reached)[name] else ": **missed**"
    return f"{side} {stream_cost.TARGETS[name]:g}{unit}{missed}"


def middle(row: report.Json, digits: int) -> str:
    """Median of several runs, with the least and the greatest."""
    return f"{row['median']:.{digits}f} ({row['min']:.{digits}f} to {row['max']:.{digits}f})"


def form_rows(figures: report.Json, form: str) -> list[list[str]]:
    """Speed and memory of the command in one output format."""
    run, what = figures[form], f"`{stream_cost.FORMS[form]}`"
    reached = stream_cost.reached_by(run)
    used = f"{run['cpu_s']['median']:.1f} s of processor time in {run['wall_s']['median']:.1f} s"
    pace = f"{middle(run['times_real_time'], 0)} times real time; {used}"
    memory = f"{middle(run['peak_resident_mb'], 1)} MB"
    return [
        [f"{figures['stream_s']:.0f} s of stream, {what}", pace, limit(reached, "times_real_time", "")],
        [f"peak resident memory, {what}", memory, limit(reached, "peak_resident_mb", " MB")],
    ]


def speed() -> list[str]:
    """Speed, memory and start of a stream, beside their targets."""
    result = report.read("stream_cost")
    figures = result["figures"]
    late, sizes = figures["verdict_delay"], figures["bundle_bytes"]
    start = f"{middle(figures['first_sample_s'], 2)} s"
    start += f"; up to {figures['first_sample_cpu_s']['median']:.2f} s of processor time"
    rows = [row for form in stream_cost.FORMS for row in form_rows(figures, form)]
    rows.append(["start to first line of JSON", start, limit(figures["reached"], "first_sample_s", " s")])
    rows.append(
        [
            "int8 models",
            f"{figures['reached']['model_kb']:.0f} kB",
            limit(figures["reached"], "model_kb", " kB"),
        ]
    )
    rows.append(["all files of the bundles", f"{sum(sizes.values()) / 1000:.0f} kB", "-"])
    rows += verdict_delay.rows(late)
    rows += [[f"`import {name}`", f"{middle(run, 2)} s", "-"] for name, run in figures["import_s"].items()]
    text = (
        f"`{stream_cost.STREAM}`: the whole command from start to end, the simulated board in the same "
        f"process included. Median of {figures['first_sample_s']['runs']} runs, least and greatest in "
        "brackets; files already in the system's cache. The first line of JSON follows one second of "
        "signal, so the first decoded sample came before it. The load average was "
        f"{result['machine']['load_average']:g} at the end: where other programs compete for the cores, "
        "processor time says more than time on the clock. The delays are those of the "
        f"{late['windows']} windows of {figures['stream_s']:.0f} s of the same "
        f"stream, read in pieces of {late['read_s']:g} s, both models at work."
    )
    return [*prose(text), "", *table(["", "measured", "target"], rows), "", *source(result)]


SECTIONS: dict[str, Callable[[], list[str]]] = {
    "accuracy": rhythm,
    "beats": heartbeats,
    "ectopy": ectopy_tables.premature,
    "speed": speed,
    "peers": peer_tables.peers,
    "operations": peer_tables.operations,
    "kernels": lambda: kernels.lines(report.read("kernels")),
    "ecg_sl": lambda: ecg_sl.lines(report.read("ecg_sl")),
    "danet": lambda: danet.lines(report.read("danet")),
    "seeds": lambda: seeds.lines(report.read("seeds")),
    "folds": lambda: folds.lines(report.read("folds")),
    "ablation_efficientecg": lambda: ablation_efficientecg.lines(report.read("ablation_efficientecg")),
    "ablation_dualnet": lambda: ablation_dualnet.lines(report.read("ablation_dualnet")),
}
RESULTS = {
    "accuracy": accuracy,
    "mitdb_replay": mitdb_replay,
    "beats": beats,
    "stream_cost": stream_cost,
    "ectopy": ectopy,
    "ablation_efficientecg": ablation_efficientecg,
    "ablation_dualnet": ablation_dualnet,
    "ecg_sl": ecg_sl,
    "danet": danet,
    "ablation_ecg_sl": ablation_ecg_sl,
    "firmware_day": firmware_day,
    "faults_stream": faults_stream,
    "where": where,
    "week": week,
    "instructions": instructions,
    "faults": faults,
    "folds": folds,
    "seeds": seeds,
    "fuzz": fuzz,
    "peers": peers,
    "operations": operations,
    "kernels": kernels,
}
"""Every result file with the benchmark that writes it."""


def rendered(text: str) -> str:
    """README's text with every table written anew.

    Raises
    ------
    ValueError
        If a table's markers are not there exactly once.
    """
    for name, lines in SECTIONS.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        if (text.count(begin), text.count(end)) != (1, 1):
            raise ValueError(f"the markers {begin} and {end} must stand in README once each")
        before, _, rest = text.partition(begin)
        text = "\n".join([before + begin, *lines(), end + rest.partition(end)[2]])
    return text


def main() -> None:
    """Write README."""
    report.no_options("tables", __doc__)
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"{README.name}: {', '.join(SECTIONS)} written")


if __name__ == "__main__":
    main()
