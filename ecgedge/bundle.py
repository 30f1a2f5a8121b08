"""A model bundle: ``NAME.tflite`` with its manifest ``NAME.json`` and golden vectors ``NAME.golden.npz``.

The manifest says all that the runtime must know and is closed: unknown keys are refused, so that an older
runtime never half-understands a newer bundle. ``bundles/manifest.schema.json`` states the same as JSON
Schema.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecgedge.conditioning import check_spec
from ecgedge.errors import BundleError
from ecgedge.features import check_input
from ecgedge.windows import WindowSpec

SCHEMA = 1
FOLDER = Path(__file__).parent / "bundles"
TASKS = ("rhythm",)

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int,
    "name": str,
    "version": str,
    "task": str,
    "classes": list,
    "words": dict,
    "inputs": list,
    "outputs": list,
    "window": dict,
    "preprocessing": dict,
    "temperature": (int, float),
    "thresholds": dict,
    "quantisation": dict,
    "files": dict,
    "parameters": int,
    "data": dict,
    "metrics": dict,
    "licence": str,
    "notice": str,
}
_WINDOW = {"rate_hz", "length_s", "hop_s", "minimum_s"}
_THRESHOLDS = {"confidence", "af_on", "af_off"}
_OUTPUT = {"name", "kind", "shape", "dtype", "scale", "zero_point"}


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
    def classes(self) -> list[str]:
        """Names of the scores, in the order of the logits."""
        return list(self.manifest["classes"])

    @property
    def window(self) -> WindowSpec:
        """How the bundle wants its windows cut."""
        return WindowSpec(**self.manifest["window"])


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
    contents = {suffix: _read(manifest_path, manifest, suffix) for suffix in (".tflite", ".golden.npz")}
    return Bundle(manifest["name"], manifest, contents[".tflite"], contents[".golden.npz"])


def _locate(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".json", ".tflite"):
        path = path.with_suffix(".json")
        if not path.is_file():
            raise BundleError(f"no bundle at {name_or_path}", f"{path.name} beside its .tflite")
        return path
    path = FOLDER / f"{name_or_path}.json"
    if path.parent != FOLDER or not path.is_file():
        raise BundleError(
            f"no model {name_or_path!r}", f"a path or one of {list_bundles()}", "See: ecgedge models"
        )
    return path


def _read(manifest_path: Path, manifest: dict[str, Any], suffix: str) -> bytes:
    """One file of the bundle, checked against the size and SHA-256 in the manifest."""
    name = manifest["name"] + suffix
    said = manifest["files"].get(name)
    if not isinstance(said, dict) or set(said) != {"bytes", "sha256"}:
        raise BundleError(f"{manifest_path.name} does not describe {name}", "its bytes and sha256")
    try:
        content: bytes = (manifest_path.parent / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{name} cannot be read ({error.strerror})", f"{name} beside its manifest"
        ) from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != said["sha256"]:
        raise BundleError(
            f"{name} has sha256 {digest[:12]}... and {len(content)} bytes",
            f"{str(said['sha256'])[:12]}... and {said['bytes']} bytes",
            "The file was changed or damaged: install it again.",
        )
    return content


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
    _same_keys(manifest, set(_FIELDS), where)
    for key, kind in _FIELDS.items():
        if not isinstance(manifest[key], kind) or isinstance(manifest[key], bool):
            wanted = kind.__name__ if isinstance(kind, type) else "number"
            raise BundleError(f"{where}: {key} is a {type(manifest[key]).__name__}", wanted)
    if manifest["task"] not in TASKS:
        raise BundleError(f"{where}: task {manifest['task']!r}", f"one of {list(TASKS)}", "Update ecgedge.")
    _same_keys(manifest["window"], _WINDOW, f"{where}: window")
    _same_keys(manifest["thresholds"], _THRESHOLDS, f"{where}: thresholds")
    check_spec(manifest["preprocessing"])
    _check_tensors(manifest, where)
    if not manifest["temperature"] > 0:
        raise BundleError(f"{where}: temperature {manifest['temperature']}", "more than 0")
    if set(manifest["words"]) != set(manifest["classes"]):
        raise BundleError(f"{where}: words for {sorted(manifest['words'])}", f"{manifest['classes']}")


def _check_tensors(manifest: dict[str, Any], where: str) -> None:
    for entry in manifest["inputs"]:
        check_input(entry)
    for entry in manifest["outputs"]:
        _same_keys(entry, _OUTPUT, f"{where}: outputs")
    logits = [e for e in manifest["outputs"] if e["kind"] == "logits"]
    if not manifest["inputs"] or len(logits) != 1 or logits[0]["shape"][-1] != len(manifest["classes"]):
        raise BundleError(
            f"{where}: inputs or outputs", "an input, and one logits output of one value a class"
        )
    rates = {manifest["window"]["rate_hz"], manifest["preprocessing"]["rate_hz"]}
    if len(rates) != 1:
        raise BundleError(f"{where}: rates {sorted(rates)}", "one rate in window and preprocessing")


def _same_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    if odd := sorted(set(table) ^ known):
        raise BundleError(f"{where}: keys {odd} unknown or missing", f"exactly {sorted(known)}")
