"""README's tables of ectopic beats, from ``ectopy.json``."""

from __future__ import annotations

from benchmarks import report
from benchmarks.ectopy import ANSWERS, APART, SNR_DB
from benchmarks.markdown import interval, prose, share, source, table

WORDS = {"class": "class of the beat", "event": "event told"}
KINDS = {"APC": "S", "PVC": "V"}


def premature() -> list[str]:
    """Beats by class and events told on DS2, false alarms, and both under noise."""
    result = report.read("ectopy")
    figures = result["figures"]
    conditions = ["clean", *(f"{snr} dB" for snr in SNR_DB)]
    rows = []
    for answer in ANSWERS:
        for which in (f"without_{APART}", f"with_{APART}"):
            row = figures["clean"][answer][which]
            cells = [interval(row[name], figure) for name in "SV" for figure in ("se", "ppv", "f1")]
            title = (
                f"{WORDS[answer]}, {which.replace('_', ' ')} ({row['S']['beats']} S, {row['V']['beats']} V)"
            )
            rows.append([title, *cells, share(row["F"]["f1"]), share(row["macro_f1_nsv"])])
    heads = ["", "S: sensitivity", "+P", "F1", "V: sensitivity", "+P", "F1", "F: F1", "macro F1 N, S, V"]
    alarms = []
    for condition in conditions:
        for kind, row in figures[condition]["false_alarms"].items():
            event = row["event_per_judged_hour"]
            alarms.append(
                [
                    f"{kind}, {condition}",
                    str(len(row["records"])),
                    f"{row['hours']:.2f}",
                    f"{row['class_per_hour']:.1f}",
                    "-" if event is None else f"{event:.1f}",
                    f"{100 * row['inconclusive']:.1f} %",
                ]
            )
    return [
        *prose(
            "MIT-BIH's DS2, 22 records of people who took no part in training, first lead, whole records, "
            "the product's own beats within 150 ms; S is A, a, J and S. In brackets 95 % intervals from "
            f"resampling records; {APART} alone holds three quarters of all S beats."
        ),
        "",
        *table(heads, rows),
        "",
        *prose(
            "False alarms on its records that have none of the kind, clean and under electrode-motion noise "
            "from minute 5 on; events over the hours that were judged, the share that was not beside them."
        ),
        "",
        *table(
            ["", "records", "hours", "beats of the class, an hour", "events, a judged hour", "inconclusive"],
            alarms,
        ),
        "",
        *source(result),
    ]
