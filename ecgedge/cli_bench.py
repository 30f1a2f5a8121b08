"""The command ``bench``: what models and stream cost on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ecgedge.errors import UsageError

_FIGURES = ("first", "warm_up", "average", "p50", "p90", "p99", "min", "max", "std")
_DAY_S = 86_400.0


def add_to(app: typer.Typer) -> None:
    """Give the command line this command."""
    app.command()(bench)


def bench(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME|PATH", help="Model bundle; repeatable. [those of stream]"),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, max=64, help="Threads of the interpreter.")] = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", help="Length of the stream that is measured, up to a day.")
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: the result file of a device.")] = False,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="OLD.json", help="Show ratios to an earlier result.")
    ] = None,
) -> None:
    """Measure what models and stream cost on this machine: time, memory, energy."""
    if not 1 <= seconds <= _DAY_S:
        raise UsageError(f"--seconds {seconds:g}", f"1 to {_DAY_S:g}")
    from ecgedge.bench import ratios, run
    from ecgedge.words import DEFAULT_MODELS

    old = None if compare is None else _read(compare)
    result = run(tuple(model or DEFAULT_MODELS), threads, seconds)
    rows = [] if old is None else ratios(result, old)
    if as_json:
        beside = {"compared": _compared(compare, rows)} if old is not None else {}
        typer.echo(json.dumps(result | beside, indent=1))
        return
    for line in table(result):
        typer.echo(line)
    if old is not None:
        typer.echo(f"\n{'beside ' + str(compare):40} {'now':>10} {'then':>10} {'ratio':>7}")
        for name, now, was, ratio in rows:
            typer.echo(f"{name:40} {now:10.4g} {was:10.4g} {ratio:7.2f}")


def _compared(path: Path | None, rows: list[tuple[str, float, float, float]]) -> dict[str, Any]:
    """A comparison as JSON."""
    figures = {name: {"now": now, "then": was, "ratio": ratio} for name, now, was, ratio in rows}
    return {"with": str(path), "figures": figures}


def _read(path: Path) -> dict[str, Any]:
    """An earlier result.

    Raises
    ------
    UsageError
        If the file is none.
    """
    from ecgedge.bench import SCHEMA, comparable

    expected = "a file that ecgedge bench --json wrote"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--compare {path} ({error})", expected) from None
    if not isinstance(found, dict) or not {"schema", "models", "stream"} <= set(found):
        raise UsageError(f"--compare {path}", expected)
    if found["schema"] != SCHEMA:
        raise UsageError(f"--compare {path} of schema {found['schema']!r}", f"schema {SCHEMA}")
    try:
        comparable(found)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"--compare {path} ({error!r})", expected) from None
    return found


def table(result: dict[str, Any]) -> list[str]:
    """A result for people."""
    seen, after = result["machine"], result["condition"]["after"]
    threads = "1 thread" if result["threads"] == 1 else f"{result['threads']} threads"
    lines = [
        f"ecgedge {result['ecgedge']} on {seen['cpu']}, {seen['cores_used']} of {seen['cores']} cores, "
        f"{seen['system']}, Python {seen['python']}; {threads}, load {seen['load_average']}",
        _condition(after),
        "",
        f"{'milliseconds':34}" + "".join(f"{name.replace('_', '-'):>9}" for name in _FIGURES) + "     runs",
    ]
    for name, cost in result["models"].items():
        for part, words in (("net", "net alone"), ("window", f"{cost['window_s']:.0f} s of signal")):
            figures = "".join(f"{cost[part][figure]:9.3f}" for figure in _FIGURES)
            lines.append(f"{name + ', ' + words:34}{figures}{cost[part]['runs']:9}")
    lines.append("")
    for name, cost in result["models"].items():
        memory = cost["resident_mb"]
        told = "" if memory["after"] is None else f", memory {memory['before']} -> {memory['after']} MB"
        lines.append(f"{name}: {cost['file_bytes'] / 1000:.0f} kB, opened in {cost['init_ms']:.1f} ms{told}")
    stream = result["stream"]
    lines.append(
        f"stream, {' + '.join(stream['models'])}: {stream['times_real_time']:.0f} times real time; live, "
        f"{100 * stream['cpu_share_live']:.2f} % of a core at {stream['rate_hz']:g} Hz"
    )
    if stream["joules_per_hour"] is not None:
        lines.append(f"energy: {stream['joules_per_hour']:.1f} J for an hour of signal (processor package)")
    return lines


def _condition(told: dict[str, Any]) -> str:
    words = []
    if told["governor"]:
        words.append(f"governor {told['governor']}")
    if told["clock_mhz"]:
        words.append(f"{told['clock_mhz']} MHz")
    if told["temperature_c"]:
        words.append(f"{told['temperature_c']:g} C")
    if told["throttling"] is not None:
        words.append("; ".join(told["throttling"]) or "not throttled")
    return ", ".join(words) or "governor, clock and temperature: not told by this machine"
