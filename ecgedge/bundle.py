"""A model bundle: ``NAME.tflite`` with its manifest ``NAME.json`` and golden vectors ``NAME.golden.npz``.

The manifest says all that the runtime must know and is closed: unknown keys are refused, so that an older
runtime never half-understands a newer bundle. ``bundles/manifest.schema.json`` is read here, so that the
JSON Schema and the runtime cannot differ; what it cannot say (figures that must agree) is checked below.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ecgedge import beat_windows, places
from ecgedge.beat_windows import BeatSpec
from ecgedge.conditioning import check_spec
from ecgedge.errors import BundleError
from ecgedge.features import check_input
from ecgedge.schema import first_fault
from ecgedge.windows import WindowSpec

SCHEMA = 1
FOLDER = Path(__file__).parent / "bundles"

BEAT_CLASSES = ("N", "S", "V", "F")
"""Classes of a model that classes beats, after EC57."""

_SUFFIXES = (".tflite", ".golden.npz")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest and hashes have been checked."""

    name: str
    manifest: dict[str, Any]
    model: bytes
    """The TFLite flatbuffer."""
    golden: bytes
    """Golden vectors, a numpy archive."""

    @property
    def task(self) -> str:
        """What the model tells: ``rhythm``, ``beats`` or ``apc``."""
        return str(self.manifest["task"])

    @property
    def classes(self) -> list[str]:
        """Names of the scores, in the order of the logits."""
        return list(self.manifest["classes"])

    @property
    def window(self) -> WindowSpec:
        """How the bundle wants its windows cut; of a task other than ``beats``."""
        return WindowSpec(**self.manifest["window"])

    @property
    def row(self) -> BeatSpec:
        """How a bundle of the task ``beats`` wants its rows of beats."""
        return BeatSpec(**self.manifest["window"])


def list_bundles() -> list[str]:
    """Names of the bundles that ship with the package."""
    return sorted(p.name.removesuffix(".tflite") for p in FOLDER.glob("*.tflite"))


def open_bundle(name_or_path: str) -> Bundle:
    """Read a shipped bundle by name, or any bundle by the path of its manifest or model.

    Raises
    ------
    BundleError
        If a file is missing or unreadable, a hash is off, or the manifest is not of this schema.
    """
    manifest_path = _locate(name_or_path)
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{manifest_path.name} cannot be read ({error})", "a bundle's manifest") from None
    check_manifest(manifest, manifest_path.name)
    contents = {suffix: _read(manifest_path, manifest, suffix) for suffix in _SUFFIXES}
    return Bundle(manifest["name"], manifest, contents[".tflite"], contents[".golden.npz"])


def _locate(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".json", ".tflite"):
        path = path.with_suffix(".json")
        if not places.is_file(path):
            why = places.absent(path) or "no file"
            raise BundleError(f"no bundle at {name_or_path} ({why})", f"{path.name} beside its .tflite")
        return path
    path = FOLDER / f"{name_or_path}.json"
    if path.parent != FOLDER or not places.is_file(path):
        raise BundleError(
            f"no model {name_or_path!r}", f"a path or one of {list_bundles()}", "See: ecgedge models"
        )
    return path


def _read(manifest_path: Path, manifest: dict[str, Any], suffix: str) -> bytes:
    """One file of the bundle, checked against the size and SHA-256 in the manifest."""
    name = manifest["name"] + suffix
    said = manifest["files"][name]
    try:
        content: bytes = (manifest_path.parent / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{name} cannot be read ({error.strerror})", f"{name} beside its manifest"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != said["sha256"] or len(content) != said["bytes"]:
        raise BundleError(
            f"{name} has sha256 {digest[:12]}... and {len(content)} bytes",
            f"{str(said['sha256'])[:12]}... and {said['bytes']} bytes",
            "The file was changed or damaged: install it again.",
        )
    return content


@cache
def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of manifests."""
    schema: dict[str, Any] = json.loads((FOLDER / "manifest.schema.json").read_text(encoding="utf-8"))
    return schema


def check_manifest(manifest: Any, where: str) -> None:
    """Refuse a manifest that is not wholly understood.

    Raises
    ------
    BundleError
        Naming the key that is off.
    """
    if not isinstance(manifest, dict):
        raise BundleError(f"{where} holds a {type(manifest).__name__}", "a JSON object")
    if manifest.get("schema") != SCHEMA:
        raise BundleError(
            f"{where} is of schema {manifest.get('schema')!r}", f"schema {SCHEMA}", "Update ecgedge."
        )
    if fault := first_fault(manifest, manifest_schema()):
        raise BundleError(f"{where}: {fault.found}", fault.expected)
    check_spec(manifest["preprocessing"])
    _check_rates(manifest, where)
    _check_files(manifest, where)
    _check_classes(manifest, where)
    if manifest["task"] == "beats":
        _check_row(manifest, where)
    else:
        _check_window(manifest, where)
    thresholds = manifest["thresholds"]
    if manifest["task"] == "rhythm" and not 0 < thresholds["af_off"] <= thresholds["af_on"]:
        raise BundleError(f"{where}: thresholds {thresholds}", "0 < af_off <= af_on")
    if manifest["task"] == "apc" and len(manifest["classes"]) != 2:
        expected = "two, the second one of windows with an APC"
        raise BundleError(f"{where}: classes {manifest['classes']}", expected)


def _check_files(manifest: dict[str, Any], where: str) -> None:
    wanted = {manifest["name"] + suffix for suffix in _SUFFIXES}
    if set(manifest["files"]) != wanted:
        raise BundleError(f"{where} describes {sorted(manifest['files'])}", f"{sorted(wanted)}")


def _check_classes(manifest: dict[str, Any], where: str) -> None:
    """Classes, their words and the logits must be of one mind."""
    classes = manifest["classes"]
    if len(set(classes)) < len(classes) or set(manifest["words"]) != set(classes):
        raise BundleError(f"{where}: words for {sorted(manifest['words'])}", f"one for each of {classes}")
    for side in ("inputs", "outputs"):
        names = [entry["name"] for entry in manifest[side]]
        if len(set(names)) < len(names):
            raise BundleError(f"{where}: {side} named {names}", "different names")
    logits = [entry for entry in manifest["outputs"] if entry["kind"] == "logits"]
    rows = BeatSpec(**manifest["window"]).reported if manifest["task"] == "beats" else 1
    if len(logits) != 1 or math.prod(logits[0]["shape"]) != rows * len(classes):
        of = "" if rows == 1 else " and beat"
        raise BundleError(f"{where}: outputs", f"one logits output of one value a class{of}")


def _check_rates(manifest: dict[str, Any], where: str) -> None:
    rates = {manifest["window"]["rate_hz"], manifest["preprocessing"]["rate_hz"]}
    if len(rates) != 1:
        raise BundleError(f"{where}: rates {sorted(rates)}", "one rate in window and preprocessing")


def _check_row(manifest: dict[str, Any], where: str) -> None:
    """Classes, and inputs of a window of beats."""
    if set(manifest["classes"]) != set(BEAT_CLASSES):
        raise BundleError(f"{where}: classes {manifest['classes']}", f"{list(BEAT_CLASSES)} in any order")
    spec = BeatSpec(**manifest["window"])
    for entry in manifest["inputs"]:
        name, kind = entry["name"], entry["kind"]
        if kind not in beat_windows.KINDS or "padding" in entry:
            raise BundleError(
                f"{where}: input {name!r} of kind {kind!r}", f"one of {list(beat_windows.KINDS)}, unpadded"
            )
        if math.prod(entry["shape"]) != math.prod(spec.shape(kind)):
            raise BundleError(f"{where}: input {name!r} of shape {entry['shape']}", f"{spec.shape(kind)}")


def _check_window(manifest: dict[str, Any], where: str) -> None:
    """Window, preprocessing and inputs must be of one mind."""
    window = WindowSpec(**manifest["window"])
    length = round(window.length_s * window.rate_hz)
    for entry in manifest["inputs"]:
        check_input(entry, length)
    attention = [entry["shape"] for entry in manifest["outputs"] if entry["kind"] == "attention"]
    if len(attention) > 1 or any(math.prod(shape) != length for shape in attention):
        raise BundleError(f"{where}: attention of shape {attention}", f"one of {length} values at most")
