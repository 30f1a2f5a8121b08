"""What all benchmarks share: their options, and the result file that says where its figures come from."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ecgedge import __version__, machine
from ecgedge.bundle import FOLDER, list_bundles, open_bundle
from ecgedge.datasets.archive import data_root
from ecgedge.errors import EcgedgeError

RESULTS = Path(__file__).parent / "results"
PLACES = ("root", "out", "runs")
"""Options that differ from machine to machine and do not change a figure."""

Json = dict[str, Any]


def options(name: str, doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc)
    parser.add_argument("--root", help="folder of the data sets (default: ECGEDGE_DATA)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the result file")
    return parser


def no_options(name: str, doc: str | None) -> None:
    """Read the command line of what takes nothing but ``--help``; it ends the program on anything."""
    argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=doc).parse_args()


def command(parser: argparse.ArgumentParser, given: argparse.Namespace) -> str:
    """The command that repeats a result: every option that is not at its default, but for places."""
    words = [parser.prog]
    for name, value in vars(given).items():
        place = name in PLACES and not isinstance(value, int)  # a number of runs is none
        if not place and value != parser.get_default(name):
            said = " ".join(map(str, value)) if isinstance(value, list) else value
            words.append(f"--{name.replace('_', '-')} {said}")
    return " ".join(words)


def model_facts(names: Sequence[str] | None = None) -> Json:
    """What a figure depends on in each bundle (default: all that ship): weights and settings."""
    facts = {}
    for name in list_bundles() if names is None else names:
        manifest = open_bundle(name).manifest
        settings = {key: manifest[key] for key in ("window", "preprocessing", "temperature", "thresholds")}
        facts[name] = {"sha256": manifest["files"][f"{name}.tflite"]["sha256"], **settings}
    return facts


def shared_files() -> list[Path]:
    """Files beside the bundles that belong to none of them and serve all."""
    own = {name for bundle in list_bundles() for name in open_bundle(bundle).manifest["files"]}
    own |= {f"{bundle}.json" for bundle in list_bundles()} | {"manifest.schema.json"}
    return sorted(path for path in FOLDER.iterdir() if path.is_file() and path.name not in own)


def shared_hashes() -> dict[str, str]:
    """SHA-256 of each shared file."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shared_files()}


def write(
    parser: argparse.ArgumentParser, given: argparse.Namespace, question: str, models: Json, figures: Json
) -> Path:
    """Write the result file of one benchmark; returns its path."""
    body = {
        "question": question,
        "command": command(parser, given),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "ecgedge": __version__,
        "machine": machine.facts(),
        "models": models,
        "shared": shared_hashes() if models else {},
        "figures": figures,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    path: Path = given.out / f"{parser.prog.rpartition('.')[2]}.json"
    path.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def read(name: str, folder: Path = RESULTS) -> Json:
    """One benchmark's result file."""
    body: Json = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return body


def trained(
    parser: argparse.ArgumentParser,
    given: argparse.Namespace,
    question: str,
    measure: Callable[[Path, argparse.Namespace, Path], Json],
    lines: Callable[[Json], list[str]],
) -> None:
    """Let ``measure(root, given, work)`` train nets in a passing folder; write and print what it finds."""
    with tempfile.TemporaryDirectory() as work:
        figures = measure(data_root(given.root), given, Path(work))
    path = write(parser, given, question, {}, figures)
    print("\n".join(lines(read(path.stem, given.out))))
    print(f"{path.name} written")


def run(main: Callable[[], None]) -> None:
    """Call a benchmark's main; a foreseen error is one line and its exit code."""
    try:
        main()
    except EcgedgeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
