"""README's tables beside what others would use, from ``peers.json`` and ``operations.json``."""

from __future__ import annotations

from benchmarks import report
from benchmarks.markdown import percent, prose, source, table


def peers() -> list[str]:
    """Net, detectors, live pipeline and memory."""
    result = report.read("peers")
    figures = result["figures"]
    net, stream = figures["net"], figures["stream"]
    runtimes = [
        [
            title,
            f"{row['cpu_ms']:.2f} ms",
            f"{row['ratio']:g} ({row['ratio_range'][0]:g} to {row['ratio_range'][1]:g})",
        ]
        for title, row in sorted(net["runtimes"].items(), key=lambda item: float(item[1]["cpu_ms"]))
    ]
    detectors = [
        [
            title,
            percent(row["f1"]),
            percent(row["sensitivity"]),
            percent(row["ppv"]),
            str(row["times_real_time"]),
        ]
        for title, row in sorted(
            figures["detector"]["detectors"].items(), key=lambda item: -float(item[1]["f1"])
        )
    ]
    low, high = stream["ratio_range"]
    memory = "; ".join(f"{title} {mb:.0f} MB" for title, mb in figures["memory"]["peak_resident_mb"].items())
    return [
        *prose(
            f"The net of {net['model']} on one window of 30 s, one thread each, processor time, median of "
            f"{net['rounds']} rounds in turn; the ratio is to the shipped form in the same round."
        ),
        "",
        *table(["runtime", "a window", "ratio"], runtimes),
        "",
        *prose(
            f"R-peak detectors on the first {figures['detector']['minutes']:g} minutes of all 48 records of "
            "MIT-BIH, first lead, nothing skipped, 150 ms. Ours sees only what came before; the others "
            "see the whole signal."
        ),
        "",
        *table(["detector", "F1", "sensitivity", "+P", "times real time"], detectors),
        "",
        *prose(
            f"**Live**, in frames of 0.1 s, the stream ({' and '.join(stream['models'])}) takes "
            f"{1000 * stream['ecgedge_cpu_s_per_s']:.2f} ms of processor time for a second of signal; "
            f"NeuroKit2's `ecg_process` on the last {stream['window_s']:g} s, every {stream['hop_s']:g} s, "
            f"takes {1000 * stream['neurokit2_cpu_s_per_s']:.0f} ms: {stream['ratio']} times as much ({low} "
            f"to {high}).{_without_nets(stream)} **Peak memory**: {memory}."
        ),
        "",
        *source(result),
    ]


def _without_nets(stream: report.Json) -> str:
    """The like-for-like figure: `ecg_process` runs no net."""
    row = stream.get("without_nets")  # of a run that had it
    if row is None:
        return ""
    low, high = row["ratio_range"]
    return (
        f" With the nets left out (filters, beats, quality, rate, as `ecg_process` gives them) it takes "
        f"{1000 * row['ecgedge_cpu_s_per_s']:.2f} ms: {row['ratio']} times as much ({low} to {high})."
    )


def operations() -> list[str]:
    """Work in each model and its floor on a Raspberry Pi 4."""
    result = report.read("operations")
    assumed = result["figures"]["assumed"]
    rows = []
    for name, row in result["figures"]["models"].items():
        arena = "-" if row["arena_bytes"] is None else f"{row['arena_bytes'] / 1000:.0f} kB"
        rows.append(
            [
                name,
                f"{row['macs'] / 1e6:.1f}",
                f"{row['weight_bytes'] / 1000:.0f} kB",
                f"{row['activation_peak_bytes'] / 1000:.0f} kB",
                arena,
                f"{row['floor_a72_ms']:.2f} ms",
                f"{row['measured_here_ms']:.2f} ms",
            ]
        )
    heads = ["model", "million MACs", "weights", "activations at their peak", "arena (TFLM, `--mcu`)"]
    return [
        *table([*heads, "Raspberry Pi 4, at least (estimate)", "this machine, measured"], rows),
        "",
        *prose(
            f"The estimate: {assumed['macs_a_cycle']} int8 multiplications a cycle at "
            f"{assumed['clock_hz'] / 1e9:g} GHz, or {assumed['bytes_a_s'] / 1e9:g} GB/s of memory, whichever "
            "takes longer. No figure here was measured on a real board."
        ),
        "",
        *source(result),
    ]
