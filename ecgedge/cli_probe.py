"""The command ``probe``: what is on a port, and how good it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecgedge import words
from ecgedge.cli_config import ConfigOption
from ecgedge.errors import UsageError
from ecgedge.extras import needed

if TYPE_CHECKING:
    from ecgedge.probe import Report

_SUFFIXES = (".png", ".svg", ".pdf")


def add_to(app: typer.Typer) -> None:
    """Give the command line this command."""
    app.command()(probe)


def probe(
    port: Annotated[str, typer.Option("--port", metavar="PORT", help="As of stream.")],
    baud: Annotated[int | None, typer.Option("--baud", help="[the usual ones, in turn]")] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="NAME", help="auto, or a protocol of: ecgedge boards.")
    ] = "auto",
    seconds: Annotated[float, typer.Option("--seconds", help="How long to listen.")] = 20.0,
    lead: Annotated[str | None, typer.Option("--lead", metavar="NAME|NUMBER", help="[0]")] = None,
    fs: Annotated[
        float | None, typer.Option("--fs", metavar="HZ", help="Samples per second. [declared or measured]")
    ] = None,
    speed: Annotated[str, typer.Option("--speed", metavar="X|max", help="Pace of demo and replay.")] = "1",
    seed: Annotated[int, typer.Option("--seed", help="Which simulated patient the demo is.")] = 0,
    board: Annotated[str | None, typer.Option("--board", metavar="NAME", help="Kind of demo board.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", metavar="FILE", help="Draw it (PNG, SVG or PDF; extra plot).")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Listen to a port: board, rate, jitter, loss, electrodes, noise, hum, clipping, polarity; a verdict."""
    from ecgedge.probe import LEAST_S, listen

    if not LEAST_S <= seconds <= 600:
        raise UsageError(f"seconds {seconds:g}", f"{LEAST_S:g} to 600")
    if picture is not None and picture.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"picture {picture}", f"a name that ends in {', '.join(_SUFFIXES)}")
    if picture is not None:
        with needed():
            import matplotlib.figure  # noqa: F401 -- told before listening, not after
    options = words.stream_options(
        port,
        (),
        baud=baud,
        protocol=protocol,
        duration=seconds,
        lead=lead,
        fs=fs,
        speed=speed,
        seed=seed,
        board=board,
    )
    if sys.stderr.isatty():  # somebody waits
        typer.echo(f"Listening to {port} for {seconds:g} s.", err=True)
    report, trace, heard = listen(options)
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        for line in lines(report):
            typer.echo(line)
    if picture is not None:
        from ecgedge.probe_picture import draw

        draw(report, trace, heard, picture)


def lines(r: Report) -> list[str]:
    """The report for a person."""
    out = [f"{name:<11} {text}" for name, text in _rows(r)]
    out += ["", r.verdict[0].upper() + r.verdict[1:] + "."]
    said = r.findings[0].text if r.findings else ""
    out += [f"Also: {finding.text}." for finding in r.findings if finding.text != said]
    return out


def _rows(r: Report) -> list[tuple[str, str]]:
    spoken = ", ".join(filter(None, [r.protocol or "", f"{r.baud} baud" if r.baud else "", r.place]))
    rows = [("board", f"{r.board}{f' ({spoken})' if spoken else ''}")]
    names = f": {', '.join(r.lead_names)}" if r.lead_names else ""
    off = f", an electrode off for {100 * r.leads_off:.1f} % of the time" if r.leads_off else ""
    rows.append(("leads", f"{r.leads}{names}{off}"))
    rate = "unknown" if r.rate_hz is None else f"{r.rate_hz:g} samples/s ({r.rate_source})"
    if r.measured_hz is not None:
        rate += f"; arriving at {r.measured_hz:.2f} ± {r.measured_error_hz:.2f}"
    rows.append(("rate", rate))
    if r.burst_ms is not None:
        late = f"95 % within {r.jitter_ms:g} ms, the latest {r.longest_ms:g} ms late"
        rows.append(("arrival", f"every {r.burst_ms:g} ms, {late}"))
    c = r.counters
    exact = f"{c.lost} samples (exact)" + (f" and about {c.lost_estimated}" if c.lost_estimated else "")
    rows.append(("lost", f"{exact} of {c.samples + c.lost + c.lost_estimated} in {r.seconds:.1f} s"))
    if c.bad_frames or c.discarded_bytes:
        rows.append(("damaged", f"{c.bad_frames} frames or lines, {c.discarded_bytes} of {c.bytes} bytes"))
    rate = "no beats found" if r.heart_rate_bpm is None else f"{r.heart_rate_bpm:.0f} beats/min"
    rows.append(("heart", rate + ("" if r.qrs is None else f", QRS {_amount(r.qrs, r.unit)}")))
    share = f", {100 * r.noise / r.qrs:.1f} % of the QRS" if r.noise is not None and r.qrs else ""
    rows.append(("noise", "unknown" if r.noise is None else f"{_amount(r.noise, r.unit)} rms{share}"))
    hum = "none found" if r.hum is None else f"{_amount(r.hum, r.unit)} at {r.hum_hz:.1f} Hz"
    rows.append(("mains", hum))
    rows.append(("clipped", f"{100 * r.clipped:.1f} % of the samples"))
    way = {True: "looks upside down", False: "the right way up", None: "cannot be told"}
    rows.append(("polarity", way[r.upside_down]))
    return rows


def _amount(value: float, unit: str) -> str:
    """Small voltages in microvolt."""
    return f"{1000 * value:.0f} µV" if unit == "mV" and value < 0.1 else f"{value:.3g} {unit}"
