"""The walls of the house, read from the source, and what start-up may pull in, read from a process."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ecgedge"

STAGES = {
    "clock",
    "clipping",
    "continuity",
    "conditioning",
    "rpeaks",
    "quality",
    "windows",
    "beat_windows",
    "features",
    "verdict",
    "rhythm",
    "hrv",
    "irregularity",
    "morphology",
    "mains",
    "polarity",
    "burden",
    "ectopy",
    "ectopy_count",
}
NOUNS = {"messages", "errors"}
WORKBENCH = {"datasets", "models", "training"}
INTERNAL: dict[str, set[str]] = {
    "__init__": {"api"},
    "__main__": {"cli"},
    "messages": set(),
    "errors": set(),
    "wire": NOUNS,
    "places": NOUNS,
    "arrivals": set(),
    "recordings": NOUNS | {"leads"},
    "ports": NOUNS | {"arrivals", "places", "wire", "recordings"},
    "order": set(),
    "leads": NOUNS,
    **dict.fromkeys(STAGES, NOUNS),
    **dict.fromkeys(("quality", "morphology", "polarity", "beat_figures", "hrv"), NOUNS | {"order"}),
    "continuity": NOUNS | {"leads"},
    "beat_windows": NOUNS | {"order", "beat_figures"},
    "beat_features": NOUNS,
    "humps": NOUNS,
    "rpeaks": NOUNS | {"humps", "order"},
    "features": NOUNS | {"beat_features"},
    "frontend": NOUNS | STAGES,
    "coverage": set(),
    **dict.fromkeys(("burden", "ectopy_count"), NOUNS | {"coverage"}),
    "prematurity": NOUNS | {"order"},
    "ectopy": NOUNS | {"coverage", "prematurity"},
    "accounts": NOUNS | {"hrv", "burden", "ectopy_count"},
    "schema": set(),
    "bundle": NOUNS | STAGES | {"places", "schema"},
    "classifier": NOUNS | {"bundle", "features"},
    "heads": NOUNS | {"frontend", "bundle", "classifier"} | STAGES,
    "golden": NOUNS | {"frontend", "heads", "bundle", "classifier"} | STAGES,
    "pipeline": NOUNS | STAGES | {"frontend", "heads", "accounts", "bundle", "classifier", "wire"},
    "greeting": NOUNS | {"wire"},
    "session": NOUNS
    | {"greeting", "leads", "pace", "pipeline", "classifier", "words"}
    | {"ports", "recordings", "wire", "sinks"},
    "classify": NOUNS | {"pipeline", "heads", "classifier", "verdict", "recordings", "sinks", "words"},
    "sinks": NOUNS | {"arrivals", "places", "recordings"},
    "convert": NOUNS | {"places", "recordings"},
    "strip": NOUNS | {"recordings", "classify", "classifier", "words"},
    "plot": NOUNS | {"strip"},
    "explain": NOUNS | {"recordings", "strip", "plot", "frontend", "bundle", "classifier", "verdict"},
    "scoring": NOUNS | {"places", "recordings"},
    "extras": NOUNS,
    "rate": set(),
    "clock": NOUNS | {"rate"},
    "pace": NOUNS | {"rate"},
    "words": NOUNS | {"session", "bundle", "features"},
    "probe": NOUNS | {"session", "sinks", "rate"} | STAGES,
    "probe_picture": NOUNS | {"probe"},
    "cli_probe": NOUNS | {"words", "cli_config", "extras", "probe", "probe_picture"},
    "api": NOUNS | {"places", "words", "session", "sinks"},
    "config": NOUNS | {"places"},
    "cli_config": NOUNS | {"config", "places"},
    "cli_explain": NOUNS | {"extras", "explain"},
    "cli_files": NOUNS | {"extras", "convert", "plot", "scoring", "words"},
    "cli_workbench": NOUNS | {"extras", "datasets", "training"},
    "cli_data": NOUNS | {"extras", "datasets"},
    "firmware": NOUNS,
    "cli_firmware": NOUNS | {"firmware"},
    "mcu": NOUNS | {"bundle"},
    "cli_mcu": NOUNS | {"bundle", "mcu"},
    "machine": set(),
    "hashes": set(),
    "console": set(),
    "bench": NOUNS | {"__init__", "machine", "bundle", "classifier", "golden", "pipeline", "ports", "wire"},
    "cli_bench": NOUNS | {"bench", "words"},
    "cli": NOUNS
    | {"cli_bench", "cli_config", "cli_data", "cli_explain", "cli_files", "cli_firmware", "cli_mcu"}
    | {"cli_probe", "cli_workbench", "console", "hashes"}
    | {"__init__", "words", "session", "classify", "sinks", "ports", "bundle", "golden"},
    "datasets": NOUNS | {"__init__", "leads", "places", "recordings"},
    "models": NOUNS,
    "training": NOUNS
    | STAGES
    | {"__init__", "frontend", "humps", "beat_figures", "bundle", "classifier"}
    | {"places", "schema", "scoring", "recordings"}
    | WORKBENCH,
}
"""Which rooms of ``ecgedge`` a room may import, beside itself."""

EXTERNAL: dict[str, set[str]] = {
    "__main__": set(),
    "classifier": {"numpy", "ai_edge_litert", "tflite_runtime"},
    "ports": {"numpy", "serial", "bleak"},
    "schema": set(),
    "sinks": {"rich"},
    "cli": {"typer"},
    "cli_config": {"typer"},
    "config": set(),
    "cli_explain": {"typer"},
    "cli_files": {"typer"},
    "cli_probe": {"typer", "matplotlib"},
    "probe_picture": {"numpy", "matplotlib"},
    "cli_bench": {"typer"},
    "cli_data": {"typer"},
    "cli_firmware": {"typer"},
    "cli_mcu": {"typer"},
    "mcu": {"numpy", "flatbuffers", "ai_edge_litert"},
    "cli_workbench": {"typer", "matplotlib"},
    "extras": set(),
    "convert": {"numpy", "edfio", "pyarrow"},
    "plot": {"numpy", "matplotlib"},
    "explain": {"numpy", "matplotlib"},
}
"""Which packages a light room may import beside the standard library; numpy where nothing is said."""

HEAVY = {
    "torch",
    "tensorflow",
    "scipy",
    "pandas",
    "matplotlib",
    "lightning",
    "torchmetrics",
    "wfdb",
    "onnx",
    "pydantic",
    "edfio",
    "pyarrow",
}


def module_name(path: Path) -> str:
    """Return a file's dotted module name."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imported(path: Path, *, runtime_only: bool = False, top_level_only: bool = False) -> set[str]:
    """Return the dotted names a file imports; with ``from a import b``, ``a.b``.

    ``runtime_only`` leaves out what stands under ``if TYPE_CHECKING``; ``top_level_only`` leaves out
    what a function imports when it is called.
    """
    package = (
        module_name(path).split(".") if path.name == "__init__.py" else module_name(path).split(".")[:-1]
    )
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and runtime_only and "TYPE_CHECKING" in ast.dump(node.test):
            for child in node.orelse:
                visit(child)
            return
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and top_level_only:
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8"), str(path)))
    return found


def room(path: Path) -> str:
    """Return the room a file of the package belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_of(names: set[str]) -> set[str]:
    """Return the rooms of ``ecgedge`` behind imported names."""
    inner = [name.split(".") for name in names if name.split(".")[0] == "ecgedge"]
    known = {room(path) for path in SOURCES}
    return {parts[1] if len(parts) > 1 and parts[1] in known else "__init__" for parts in inner}


SOURCES = sorted(PACKAGE.rglob("*.py"))
LIGHT = [path for path in SOURCES if room(path) not in WORKBENCH]


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_sources_were_found() -> None:
    assert {"messages", "cli", "sinks", "wire"} <= {room(path) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_room_imports_only_the_rooms_it_may(path: Path) -> None:
    here = room(path)
    assert here in INTERNAL, f"{here} has no place in the house yet: add it to INTERNAL with its walls"
    assert rooms_of(imported(path)) - {here} <= INTERNAL[here]


@pytest.mark.parametrize("path", LIGHT, ids=relative)
def test_a_light_room_imports_nothing_heavy(path: Path) -> None:
    packages = {name.split(".")[0] for name in imported(path, runtime_only=True)} - {"ecgedge"}
    outside = {name for name in packages if name not in sys.stdlib_module_names}
    assert outside <= EXTERNAL.get(room(path), {"numpy"})


def test_only_the_main_module_imports_the_command_line() -> None:
    users = [relative(p) for p in SOURCES if "cli" in rooms_of(imported(p)) and room(p) != "cli"]
    assert users == ["ecgedge/__main__.py"]


def test_nothing_in_the_package_imports_what_stands_beside_it() -> None:
    for path in SOURCES:
        assert not {name.split(".")[0] for name in imported(path)} & {"export", "benchmarks", "tests"}


def test_the_exporter_uses_the_package_and_never_the_tests_or_benchmarks() -> None:
    for path in sorted((ROOT / "export").rglob("*.py")):
        names = imported(path)
        assert not {name.split(".")[0] for name in names} & {"benchmarks", "tests"}, relative(path)
        assert not rooms_of(names) & {"cli", "session", "sinks"}, relative(path)


def test_modules_form_no_import_cycle() -> None:
    names = {module_name(path): path for path in SOURCES}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        wanted = imported(path, runtime_only=True, top_level_only=True)
        # ``from ecgedge.wire import frames`` needs the submodule; ``import PROTOCOLS`` the package.
        needs = {w if w in names else w.rpartition(".")[0] for w in wanted if w.split(".")[0] == "ecgedge"}
        graph[name] = {n for n in needs if n in names and n != name}
    graphlib.TopologicalSorter(graph).prepare()


def is_there(name: str) -> bool:
    """Whether a dotted name leads to a module, or to what a module defines at its top level."""
    inner = name.replace(".", "/")
    if any((ROOT / file).exists() for file in (f"{inner}.py", f"{inner}/__init__.py")):
        return True
    module, _, last = inner.rpartition("/")
    files = [ROOT / file for file in (f"{module}.py", f"{module}/__init__.py") if (ROOT / file).exists()]
    defined = rf"^(?:(?:async )?def |class )?{last}\b"
    return any(re.search(defined, file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)


def test_what_texts_call_by_its_whole_name_is_there() -> None:
    places = ("ecgedge", "export", "benchmarks")
    found: dict[str, list[str]] = {}
    for path in sorted(path for place in places for path in (ROOT / place).rglob("*.py")):
        for name in re.findall(r"``((?:ecgedge|export|benchmarks)(?:\.\w+)+)``", path.read_text("utf-8")):
            found.setdefault(name, []).append(relative(path))
    assert len(found) > 10
    assert {name: paths for name, paths in found.items() if not is_there(name)} == {}


def loaded_by(code: str) -> set[str]:
    """Run ``code`` in a fresh interpreter and return the top-level packages it ended up with."""
    report = "\nimport sys; print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=True,
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_the_package_needs_the_standard_library_only() -> None:
    before = loaded_by("")
    assert {name for name in loaded_by("import ecgedge") - before if name not in sys.stdlib_module_names} == {
        "ecgedge"
    }


def test_importing_the_command_line_is_light() -> None:
    loaded = loaded_by("import ecgedge.cli")
    assert not loaded & (HEAVY | {"rich", "numpy", "serial", "ai_edge_litert", "tflite_runtime"})


@pytest.mark.parametrize("path", LIGHT, ids=relative)
def test_importing_a_light_module_loads_nothing_heavy(path: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("importing it runs the command line")
    assert not loaded_by(f"import {module_name(path)}") & (HEAVY | {"rich"})
