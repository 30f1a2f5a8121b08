"""A probe's report as a picture: signal, arrival, spectrum, and the verdict (extra ``plot``)."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from ecgedge.probe import Heard, Report, Trace

SHOWN_S = 10.0
_TITLE = 120  # letters that have room in a line
_INK, _GREY, _BEAT = "#16181d", "#6b7078", "#2257a5"


def draw(report: Report, trace: Trace, heard: Heard, out: Path) -> None:
    """Draw it; the kind of file follows from its name.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), facecolor="white", layout="constrained")
    axes = figure.subplot_mosaic("ss;al", height_ratios=(3, 2))
    _signal(axes["s"], report, trace)
    _arrivals(axes["a"], report, heard)
    _spectrum(axes["l"], report, trace)
    # Matplotlib's own wrapping takes a board's "$" for a formula.
    title = textwrap.fill(f"{report.board}: {report.verdict}", _TITLE)
    figure.suptitle(title, fontsize=11, color=_INK, parse_math=False)
    try:
        figure.savefig(out, dpi=120)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})", "a place for the picture") from None


def _signal(axes: Any, report: Report, trace: Trace) -> None:
    n = min(trace.values.size, round(SHOWN_S * trace.rate_hz))
    t = np.arange(n) / (trace.rate_hz or 1.0)
    axes.plot(t, trace.values[:n], color=_INK, linewidth=0.7)
    beats = [beat for beat in trace.beats if beat * trace.rate_hz < n]
    at = [trace.values[round(beat * trace.rate_hz)] for beat in beats]
    axes.plot(beats, at, "v", color=_BEAT, markersize=4, label="R peaks")
    axes.set(xlabel="seconds", ylabel=report.unit, title="signal", xlim=(0, SHOWN_S))
    axes.grid(alpha=0.3)


def _arrivals(axes: Any, report: Report, heard: Heard) -> None:
    blocks = heard.blocks
    if blocks and report.measured_hz:
        t = np.array([block.arrival_s for block in blocks])
        n = np.array([block.first + block.n for block in blocks])
        late = t - n / report.measured_hz
        axes.plot(t - t[0], 1e3 * (late - late.min()), ".", color=_GREY, markersize=2)
    axes.set(xlabel="seconds", ylabel="ms late", title="arrival")
    axes.grid(alpha=0.3)


def _spectrum(axes: Any, report: Report, trace: Trace) -> None:
    if trace.values.size > 2 * trace.rate_hz:
        x = trace.values - trace.values.mean()
        window = np.hanning(x.size)
        amplitude = np.abs(np.fft.rfft(x * window)) * 2 / window.sum()
        axes.semilogy(np.fft.rfftfreq(x.size, 1 / trace.rate_hz), amplitude + 1e-9, color=_INK, linewidth=0.5)
        if report.hum_hz:
            axes.axvline(report.hum_hz, color="#b4142d", linewidth=0.8, linestyle=":")
        axes.set_ylim(bottom=max(float(np.quantile(amplitude, 0.05)) / 3, 1e-9))
    axes.set(xlabel="Hz", ylabel=report.unit, title="spectrum")
    axes.grid(alpha=0.3)
