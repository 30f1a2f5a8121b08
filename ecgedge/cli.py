"""Words typed -> calls. A command imports the rooms it needs when it runs, so that start-up stays short.

Exit codes: 0 done (of a stream also after Ctrl-C, which is how it is ended), 130 ended with Ctrl-C, and
those of ``ecgedge.errors``.
"""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecgedge import (
    __version__,
    cli_bench,
    cli_config,
    cli_data,
    cli_explain,
    cli_files,
    cli_firmware,
    cli_mcu,
    cli_probe,
    cli_workbench,
    console,
    words,
)
from ecgedge.cli_config import ConfigOption
from ecgedge.errors import EcgedgeError, RecordingError, UsageError
from ecgedge.hashes import without_openssl

if TYPE_CHECKING:
    from types import FrameType

    from ecgedge.messages import Person
    from ecgedge.sinks import Sink

EPILOG = (
    "Exit codes: 0 done, or a stream ended with Ctrl-C; 1 other errors; 2 usage; 3 port; 4 model bundle; "
    "5 recording (classify: at least one file); 6 data set; 7 missing extra; 8 bytes arrived that no "
    "protocol explains; 130 another command ended with Ctrl-C. Not a medical device."
)
_OUTPUT_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class Format(str, Enum):
    """How results are written."""

    text = "text"
    jsonl = "jsonl"


# Without markup and pretty tracebacks Typer leaves Rich unimported.
app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="ECG arrhythmia monitor for a single-lead sensor and a small computer. Not a medical device.",
    epilog=EPILOG,
)
models_app = typer.Typer(rich_markup_mode=None, help="List, show and verify model bundles.")
app.add_typer(models_app, name="models")


def _help_without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"ecgedge {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    _help_without_command(context)


ModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="NAME|PATH", help=f"Model bundle; repeatable. [{', '.join(words.DEFAULT_MODELS)}]"
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="Lines for people, or JSON lines.")]
LeadOption = Annotated[
    str | None,
    typer.Option("--lead", metavar="NAME|NUMBER", help="Lead to use; numbers count from 0. [0]"),
]
RateOption = Annotated[
    float | None,
    typer.Option("--fs", metavar="HZ", help="Samples per second, where the input does not tell."),
]

AgeOption = Annotated[
    float | None,
    typer.Option("--age", metavar="YEARS", help="Age of the person, for models that use it. [unknown]"),
]
SexOption = Annotated[
    str | None,
    typer.Option("--sex", metavar="f|m", help="Sex of the person, for models that use it. [unknown]"),
]
AttentionOption = Annotated[
    bool,
    typer.Option("--attention", help="Tell what an APC model looked at, in the JSON lines. [off]"),
]


def _person(age: float | None, sex: str | None, models: tuple[str, ...]) -> Person:
    """Read ``--age`` and ``--sex``; say in one line which model makes no use of them."""
    person = words.person(age, sex)
    if said := words.ignored(models, person):
        _say(said)
    return person


@app.command(epilog=EPILOG)
def stream(
    port: Annotated[
        str,
        typer.Option(
            "--port",
            metavar="PORT",
            help="Device path or COM port, a pyserial URL, ble:polar-h10[:ADDRESS], demo (simulated "
            "patient), or replay:PATH (WFDB record, or CSV with --fs).",
        ),
    ],
    baud: Annotated[
        int | None, typer.Option("--baud", help="Baud rate of a serial port. [the usual ones, in turn]")
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="NAME", help="auto, or a protocol of: ecgedge boards.")
    ] = "auto",
    model: ModelOption = None,
    format_: FormatOption = Format.text,
    duration: Annotated[
        float | None,
        typer.Option("--duration", metavar="SECONDS", help="End after so many seconds of stream."),
    ] = None,
    lead: LeadOption = None,
    fs: RateOption = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="X|max", help="Pace of demo and replay, in real time.")
    ] = "1",
    seed: Annotated[int, typer.Option("--seed", help="Which simulated patient the demo is.")] = 0,
    board: Annotated[
        str | None,
        typer.Option("--board", metavar="NAME", help="Kind of board that the demo is; see: ecgedge boards."),
    ] = None,
    min_episode: Annotated[
        float, typer.Option("--min-episode", metavar="SECONDS", help="Shortest AF episode to report.")
    ] = 30.0,
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="DIR", help="Keep samples (WFDB) and events in this folder."),
    ] = None,
    age: AgeOption = None,
    sex: SexOption = None,
    attention: AttentionOption = False,
    reconnect: Annotated[
        bool,
        typer.Option(
            "--reconnect/--no-reconnect", help="When the port is lost: wait for it, or end with exit code 3."
        ),
    ] = True,
    config: ConfigOption = None,
) -> None:
    """Read a sensor, print what its signal says. Ctrl-C ends it with the summary."""
    without_openssl()  # before anything imports numpy
    from ecgedge.session import run_stream
    from ecgedge.sinks.choice import stream_sink

    models = tuple(model or words.DEFAULT_MODELS)
    options = words.stream_options(
        port,
        models,
        baud=baud,
        protocol=protocol,
        duration=duration,
        lead=lead,
        fs=fs,
        speed=speed,
        seed=seed,
        board=board,
        min_episode=min_episode,
        samples=record is not None,
        person=_person(age, sex, models),
        attention=attention,
        reconnect=reconnect,
    )
    with _terminate_like_interrupt(), _closing(stream_sink(format_ is Format.jsonl, record)) as sink:
        # The session finishes its stages on an interrupt; one that comes before it began ends here.
        try:
            run_stream(options, sink)
        except KeyboardInterrupt:
            return


@app.command(epilog=EPILOG)
def classify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="WFDB records (.hea, .dat, .mat) or CSV files.")
    ],
    model: ModelOption = None,
    format_: FormatOption = Format.text,
    lead: LeadOption = None,
    fs: RateOption = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations", metavar="DIR", help="Write beats and rhythms to DIR/RECORD.ecg (WFDB)."
        ),
    ] = None,
    age: AgeOption = None,
    sex: SexOption = None,
    attention: AttentionOption = False,
) -> None:
    """Classify recordings, by the same code as the stream."""
    words.positive("fs", fs)
    from ecgedge.classify import classify_files
    from ecgedge.sinks.choice import record_sink

    models = tuple(model or words.DEFAULT_MODELS)
    if annotations is not None and len(words.rhythm_models(models)) > 1:
        raise UsageError("--annotations with several rhythm models", "one of them")
    person = _person(age, sex, models)
    sinks = record_sink(format_ is Format.jsonl, annotations)
    with _terminate_like_interrupt(), _closing(sinks) as sink:
        failed = classify_files(
            [str(path) for path in paths],
            models=models,
            fs=fs,
            lead=lead,
            person=person,
            attention=attention,
            sink=sink,
        )
    if failed:
        raise typer.Exit(RecordingError.exit_code)


@app.command()
def ports() -> None:
    """List the serial ports of this machine."""
    from ecgedge.ports import list_ports

    found = list_ports()
    for item in found:
        typer.echo(item)
    if not found:
        typer.echo("No serial port found. Without a sensor, try: ecgedge stream --port demo", err=True)


@app.command()
def boards() -> None:
    """List the boards that are understood; each can be tried with: stream --port demo --board NAME."""
    from ecgedge.ports import list_boards

    for line in list_boards():
        typer.echo(line)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from ecgedge.bundle import list_bundles, open_bundle

    for name in list_bundles():
        manifest = open_bundle(name).manifest
        classes = " ".join(str(item) for item in manifest.get("classes", []))
        typer.echo(f"{name}  {manifest.get('task', '')}  classes {classes}".rstrip())


@models_app.command("show")
def show_model(name: Annotated[str, typer.Argument(metavar="NAME|PATH")]) -> None:
    """Print a bundle's manifest as JSON."""
    import json

    from ecgedge.bundle import open_bundle

    typer.echo(json.dumps(open_bundle(name).manifest, indent=2))


@models_app.command("verify")
def verify_model(name: Annotated[str, typer.Argument(metavar="NAME|PATH")]) -> None:
    """Check a bundle: hashes, tensors, and its golden window through this machine's runtime."""
    from ecgedge.bundle import open_bundle
    from ecgedge.golden import verify

    for line in verify(open_bundle(name)):
        typer.echo(line)


cli_config.add_to(app)
cli_files.add_to(app)
cli_firmware.add_to(app)
cli_mcu.add_to(models_app)
cli_explain.add_to(app)
cli_workbench.add_to(app)
cli_data.add_to(app)
cli_bench.add_to(app)
cli_probe.add_to(app)


@contextmanager
def _closing(sink: Sink) -> Iterator[Sink]:
    """Close the sink at the end: with its summary, and also after an error, so that the live line goes."""
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """Let SIGTERM (a service being stopped) end the run the way Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(text: str) -> None:
    print(f"ecgedge: {text}", file=sys.stderr)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    console.prepare()
    sys.exit(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    """Run the command line and return its exit code, every foreseen error said in one line."""
    try:
        _invoke(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except typer.Exit as done:
        return int(done.exit_code)
    except EcgedgeError as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has seen enough (head, a closed pager): no error of ours.
        console.discard_output()
    except OSError as error:
        if error.errno not in _OUTPUT_FAILED:
            raise
        console.discard_output()
        _say(f"the output cannot be written ({error.strerror}). Make room, or write it elsewhere")
        return EcgedgeError.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except _CLICK_ERROR as error:
        where = getattr(getattr(error, "ctx", None), "command_path", "ecgedge")
        _say(f"{error.format_message()} See: {where} --help")
        return int(error.exit_code)
    return 0


def _invoke(arguments: list[str]) -> None:
    """Parse and call, without the error handling of Click's own main (it turns a closed pipe into exit 1)."""
    command = typer.main.get_command(app)
    with command.make_context("ecgedge", list(arguments)) as context:
        command.invoke(context)


# Typer's own copy of Click in newer versions, the click package in older ones: the same base class.
_CLICK_ERROR: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")
