"""The wheel, away from the checkout: what is in it, and that it works in clean environments.

A checkout on ``sys.path`` hides what a wheel forgot; so these tests install it with every Python that
this machine has and run the device part there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from ecgedge import __version__
from ecgedge.sinks.jsonl import load_schema

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
HEAVY = ("torch", "tensorflow", "scipy", "pandas", "matplotlib", "lightning", "pydantic", "wfdb")
FIRMWARE = "ecgedge/_firmware/"
"""Where the wheel carries what a checkout has in ``firmware_bridge``."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what could lead Python back to the checkout."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


def output(*words: str | Path, cwd: Path) -> str:
    """Run a command away from the checkout and return its standard output; fail with what it said."""
    done = subprocess.run(
        words, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        pytest.fail(f"{' '.join(map(str, words))}: exit {done.returncode}\n{said}")
    return done.stdout


@cache
def interpreter(version: str) -> Path | None:
    """Return an interpreter of this version that can make virtual environments, or None."""
    candidates = [Path(found) for name in (f"python{version}",) if (found := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += sorted(pyenv.glob(f"{version}.*/bin/python3"), reverse=True)
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        candidates.append(Path(sys.executable))
    probe = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates:
        done = subprocess.run([candidate, "-c", probe], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once, with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    words = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    output(*words, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    assert {name.split("/")[0] for name in names} == {"ecgedge", f"ecgedge-{__version__}.dist-info"}
    packed = {name for name in names if name.startswith("ecgedge/") and not name.startswith(FIRMWARE)}
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ecgedge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == tracked
    assert {"ecgedge/py.typed", "ecgedge/sinks/events.schema.json"} <= packed


def test_the_wheel_holds_the_firmware_as_the_bridge_has_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        carried = {n: archive.read(n) for n in archive.namelist() if n.startswith(FIRMWARE)}
    bridge = ROOT / "firmware_bridge"
    for name, content in carried.items():
        assert content == (bridge / name.removeprefix(FIRMWARE)).read_bytes(), name
    needed = [*bridge.glob("src/*"), *bridge.glob("examples/*/*"), *bridge.glob("extras/wiring/*.svg")]
    needed += [bridge / "library.properties", bridge / "extras" / "atmega328p" / "ecg_board.c"]
    assert {FIRMWARE + path.relative_to(bridge).as_posix() for path in needed} <= set(carried)


def test_the_device_part_asks_for_nothing_heavier_than_agreed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"ecgedge-{__version__}.dist-info/METADATA").decode()
    needed = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE)
    agreed = {"numpy", "pyserial", "ai-edge-litert", "tflite-runtime", "typer", "rich"}
    assert set(needed) == agreed | {"tomli"}  # which Python has had in itself from 3.11 on


@pytest.fixture(scope="module", params=VERSIONS)
def clean(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ``bin`` folder of a virtual environment that holds the wheel and what it asks for."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"this machine has no Python {request.param} with venv")
    folder = tmp_path_factory.mktemp(f"py{request.param}")
    output(python, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    output(programs / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return programs


def test_it_runs_from_where_it_was_installed(clean: Path) -> None:
    assert output(clean / "ecgedge", "--version", cwd=clean.parent) == f"ecgedge {__version__}\n"
    where = output(clean / "python", "-c", "import ecgedge; print(ecgedge.__file__)", cwd=clean.parent)
    assert Path(where.strip()).is_relative_to(clean.parent)
    output(clean / "python", "-m", "pip", "check", cwd=clean.parent)


def test_its_environment_is_light(clean: Path) -> None:
    listed = json.loads(output(clean / "python", "-m", "pip", "list", "--format", "json", cwd=clean.parent))
    assert not {item["name"].lower() for item in listed} & set(HEAVY)
    code = "import ecgedge.cli, ecgedge.session, sys; print(*{n.split('.')[0] for n in sys.modules})"
    loaded = set(output(clean / "python", "-c", code, cwd=clean.parent).split())
    assert "ecgedge" in loaded
    assert not loaded & {*HEAVY, "rich"}


def test_a_workbench_command_says_which_extra_is_missing(clean: Path) -> None:
    done = subprocess.run(
        [clean / "ecgedge", "train", "efficientecg-s", "--root", ".", "--out", "."],
        cwd=clean.parent,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 7
    assert done.stderr.count("\n") == 1
    assert "[train]" in done.stderr


def test_the_demo_works_there(clean: Path) -> None:
    words = ["stream", "--port", "demo", "--speed", "max", "--duration", "40", "--format", "jsonl"]
    lines = output(clean / "ecgedge", *words, cwd=clean.parent).splitlines()
    validator = jsonschema.Draft202012Validator(load_schema())
    items = [json.loads(line) for line in lines]
    for item in items:
        validator.validate(item)
    windows = [item for item in items if item["type"] == "window" and not item["provisional"]]
    assert windows
    assert items[-1]["state"] == "ended"
    assert items[-1]["counters"]["samples"] == 40 * 250


def test_the_shipped_models_verify_there(clean: Path) -> None:
    names = [line.split()[0] for line in output(clean / "ecgedge", "models", cwd=clean.parent).splitlines()]
    assert "efficientecg-s" in names
    for name in names:
        assert output(clean / "ecgedge", "models", "verify", name, cwd=clean.parent)


def test_the_firmware_is_exported_from_there(clean: Path) -> None:
    folder = clean.parent / "sketch"
    listed = [
        line.split()[0]
        for line in output(clean / "ecgedge", "firmware", "list", cwd=clean.parent).splitlines()
    ]
    for name in listed:
        made = Path(
            output(clean / "ecgedge", "firmware", "export", name, str(folder), cwd=clean.parent).strip()
        )
        assert (made / "ecgedge.h").read_bytes() == (ROOT / "firmware_bridge/src/ecgedge.h").read_bytes()
        assert list(made.glob(f"{name}.*"))
