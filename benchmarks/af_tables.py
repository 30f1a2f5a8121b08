"""README's tables about atrial fibrillation, from ``accuracy.json``."""

from __future__ import annotations

from benchmarks import report
from benchmarks.markdown import interval, percent, prose, share, table
from benchmarks.pictures import DATA, TERMS, path_of

SKIPS = {"whole": "whole record", "after_300_s": "without the first 5 minutes"}
CONVENTIONS = {"flutter_neutral": "flutter neutral", "flutter_as_af": "flutter as AF"}
PLACE = "benchmarks/results"


def fibrillation(name: str, result: report.Json) -> list[str]:
    """All of it for one model."""
    figures = result["figures"]
    model = figures["mitdb"]["models"][name]
    return [
        *introduction(figures, model),
        "",
        *ec57(model),
        "",
        *events(model, figures["mitdb"]),
        "",
        *picture(name, "burden", "AF of the eight MIT-BIH records that have it: reference above told"),
        "",
        *each_record(model),
        "",
        *three_outcomes(name, figures),
        "",
        *picture(name, "confusion", "Confusion matrices of CinC 2017 and MIT-BIH"),
        *picture(name, "curves", "ROC and precision-recall curves of CinC 2017 and MIT-BIH"),
        "",
        *prose(f"Data of the pictures: {'; '.join(DATA.values())}; {TERMS}."),
    ]


def picture(model: str, what: str, words: str) -> list[str]:
    """A picture, as README links to it."""
    return [f"![{words}]({PLACE}/{path_of(report.RESULTS, model, what).name})"]


def introduction(figures: report.Json, model: report.Json) -> list[str]:
    """Where the figures on MIT-BIH come from, and why not to trust them blindly."""
    said = figures["development"]
    goals, reached = model["targets"], model["ec57"]["whole"]["flutter_neutral"]
    low = [f"{(reached[key]['interval'] or [0.0])[0]:.2f}" for key in goals]
    words = {"duration_se": "sensitivity", "duration_ppv": "+P"}
    missed = [words[key] for key, met in model["met"].items() if not met]
    verdict = f"**missed** for {' and '.join(missed)}" if missed else "met"
    return prose(
        f"**Atrial fibrillation on another population** and another recorder: all "
        f"{figures['mitdb']['records']} records of MIT-BIH, first lead, scored after ANSI/AAMI EC57 as "
        "`ecgedge classify --annotations` and `ecgedge score` do it. Fitted on MIT-BIH was "
        f"{said['fitted_on_mitdb']}. But it was looked at {len(said['mitdb_looks'])} times during "
        f"development: {', '.join(said['mitdb_looks'])}. {said['note']} The goals set for duration, gross "
        f"over whole records with flutter neutral, were a sensitivity of {goals['duration_se']:g} and a +P "
        f"of {goals['duration_ppv']:g}: {verdict}, with intervals that reach down to {low[0]} and {low[1]}."
    )


def whole_figure(row: report.Json) -> str:
    """A gross figure with its interval."""
    if row["gross"] is None:
        return "-"
    around = f" ({row['interval'][0]:.2f} to {row['interval'][1]:.2f})" if row["interval"] else ""
    return f"{row['gross']:.3f}{around}"


def ec57(model: report.Json) -> list[str]:
    """Gross and average figures of both periods and both conventions."""
    rows = []
    for skip, period in SKIPS.items():
        for key, flutter in CONVENTIONS.items():
            row = model["ec57"][skip][key]
            counts = [f"{row[k]['part']:.0f} of {row[k]['whole']:.0f}" for k in ("episode_se", "episode_ppv")]
            gross = [whole_figure(row[k]) for k in ("duration_se", "duration_ppv")]
            mean = ", ".join(share(row[k]["average"]) for k in ("duration_se", "duration_ppv"))
            rows.append([f"{period}, {flutter}", *counts, *gross, mean])
    head = ["AF on MIT-BIH", "episodes found (of 30 s or more)", "told episodes confirmed"]
    return table([*head, "duration sensitivity, gross", "duration +P, gross", "the two, average"], rows)


def events(model: report.Json, mitdb: report.Json) -> list[str]:
    """False alarms, burden and time to detect in words."""
    alarms, burden, found = model["alarms"]["whole"], model["burden"], model["detection"]
    wrong = {
        name: row["ec57"]["whole"]["flutter_neutral"]["test"]
        - row["ec57"]["whole"]["flutter_neutral"]["confirmed"]
        for name, row in model["records"].items()
    }
    worst = max(wrong, key=wrong.__getitem__)
    low, high = alarms["per_day_interval"]
    everywhere, with_af = burden["all"], burden["with_af"]
    others = found["others_s"]
    wide = [name for name, row in model["records"].items() if len(row["told_from_to_at_s"]) == 1]
    wide = [n for n in wide if model["records"][n]["ec57"]["whole"]["flutter_neutral"]["found"] > 1]
    wide_text = f", so that in {', '.join(wide)} a single told episode finds all of them" if wide else ""
    return prose(
        f"Brackets: 95 % intervals, bootstrap over persons ({mitdb['persons'].partition(';')[0]}); eight "
        "records with AF leave them wide. An average is over the records in which the figure exists. Any "
        f"overlap finds an episode{wide_text}. "
        f"**False alarms**: {alarms['count']} told episodes touch no AF, {wrong[worst]} of them in record "
        f"{worst}, in {alarms['hours']:.1f} hours without AF: {alarms['per_day']:.1f} a day (exact Poisson "
        f"interval {low:.1f} to {high:.1f}). **Burden** (share of time in AF): mean absolute error "
        f"{points(everywhere['mean_absolute_error'])} percentage points over all records, "
        f"{points(with_af['mean_absolute_error'])} over those with AF, at most "
        f"{points(everywhere['greatest'])}. **Time to detect**: of the {found['found']} episodes found, "
        f"{found['told_already']} began while AF was still being told because of one just before; the other "
        f"{others['n']} were told {others['p50']:.0f} s after their onset in the median, at most "
        f"{others['max']:.0f} s. An episode is told when 30 s of it are certain."
    )


def points(value: float) -> str:
    """A share as percentage points."""
    return f"{100 * value:.1f}"


def each_record(model: report.Json) -> list[str]:
    """A row for each record with AF or with AF told."""
    rows, silent = [], 0
    for name, record in model["records"].items():
        row, burden = record["ec57"]["whole"]["flutter_neutral"], record["burden"]
        if not row["reference_s"] and not row["test_s"]:
            silent += 1
            continue
        rates = [row["overlap_s"] / row[k] if row[k] else None for k in ("reference_s", "test_s")]
        rows.append([
            *(name, f"{row['found']} of {row['reference']}", f"{row['confirmed']} of {row['test']}"),
            *(f"{row['reference_s']:.0f} s", f"{row['test_s']:.0f} s", *(share(rate) for rate in rates)),
            f"{points(burden['reference'])} %, {points(burden['told'])} %",
        ])  # fmt: skip
    head = ["record", "episodes found", "told confirmed", "AF, reference", "AF, told"]
    return [
        f"<details><summary>Record by record (whole, flutter neutral); the other {silent} have no AF and "
        "none was told</summary>",
        "",
        *table([*head, "duration sensitivity", "duration +P", "burden, reference and told"], rows),
        "",
        "</details>",
    ]


def three_outcomes(name: str, figures: report.Json) -> list[str]:
    """AF against the rest, window by window, with what was not decided."""
    cinc = figures["cinc2017"]["models"][name]["af"]
    parts = {
        "MIT-BIH, windows": figures["mitdb"]["models"][name]["windows"],
        "CinC 2017 validation, windows": cinc["windows"],
        "LUDB, lead II, records of 10 s": figures["ludb"]["models"][name]["windows"],
    }
    rows = []
    for title, row in parts.items():
        counts = [" / ".join(str(n) for n in row[true].values()) for true in ("af", "not_af")]
        figures_of = [interval(row, key) for key in ("sensitivity", "specificity")]
        rows.append([title, *counts, *figures_of, percent(row["inconclusive"])])
    head = ["AF or not", "of AF: told AF / another / inconclusive", "of no AF: the same three"]
    head += ["sensitivity", "specificity", "inconclusive"]
    alarms, noise = cinc["alarms"], cinc["noise"]
    low, high = alarms["per_day_interval"]
    return [
        *table(head, rows),
        "",
        *prose(
            "Sensitivity and specificity are those of the windows that were decided, and mean nothing "
            "without the last column. A window of MIT-BIH is AF where AF fills half of it; left out are "
            f"windows half in flutter, the {figures['ludb']['flutter']} LUDB records in flutter, and the "
            f"{noise['records']} CinC records labelled noise ({noise['inconclusive']} of them told "
            "*inconclusive*). The LUDB records last a third of the network's window. In "
            f"{alarms['hours']:.1f} hours of CinC records without AF, {alarms['count']} records were called "
            f"AF ({alarms['per_day']:.1f} a day, {low:.1f} to {high:.1f})."
        ),
    ]
