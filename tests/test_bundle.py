"""Bundles: the manifest against its JSON Schema, and everything that must make the runtime refuse one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from ecgedge import bundle as bundles
from ecgedge import golden
from ecgedge.classifier import Classifier
from ecgedge.errors import BundleError

NAMES = bundles.list_bundles()
SCHEMA = json.loads((bundles.FOLDER / "manifest.schema.json").read_text())


def test_the_default_bundle_ships() -> None:
    assert "efficientecg-s" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_manifest_satisfies_its_schema_and_says_what_it_is(name: str) -> None:
    opened = bundles.open_bundle(name)
    jsonschema.validate(opened.manifest, SCHEMA)
    assert "ODC-BY" in opened.manifest["data"]["licence"]
    assert len(opened.model) <= 512 * 1024


@pytest.mark.parametrize("name", NAMES)
def test_golden_vectors_on_this_machine(name: str) -> None:
    lines = golden.verify(bundles.open_bundle(name))
    assert any("golden" in line for line in lines)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in bundles.FOLDER.glob("efficientecg-s.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "efficientecg-s.json"


def change(path: Path, edit) -> None:
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def test_changed_model_is_refused(copy: Path) -> None:
    model = copy.with_suffix(".tflite")
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(BundleError, match=r"efficientecg-s.tflite has sha256"):
        bundles.open_bundle(str(copy))


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda m: m.update(schema=2), "schema 2"),
        (lambda m: m.update(extra=1), "extra"),
        (lambda m: m.pop("temperature"), "temperature"),
        (lambda m: m.update(temperature=0), "temperature 0"),
        (lambda m: m.update(task="sleep"), "sleep"),
        (lambda m: m["preprocessing"].update(notch_hz=50), "notch_hz"),
        (lambda m: m["window"].pop("hop_s"), "hop_s"),
        (lambda m: m["inputs"][0].update(kind="spectrogram"), "spectrogram"),
        (lambda m: m["inputs"][0].update(padding="mirror"), "mirror"),
        (lambda m: m.update(classes=["N", "A"]), "outputs"),
        (lambda m: m["files"].clear(), "does not describe"),
        (lambda m: m["window"].update(rate_hz=125), "rates"),
    ],
)
def test_manifest_that_is_not_understood_is_refused(copy: Path, edit, match: str) -> None:
    change(copy, edit)
    with pytest.raises(BundleError, match=match):
        bundles.open_bundle(str(copy))


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda m: m["inputs"][0].update(dtype="float32"), "dtype int8"),
        (lambda m: m["inputs"][0].update(shape=[1, 1, 1500, 1]), "shape"),
        (lambda m: m["inputs"][0].update(scale=0.5), "scale"),
        (lambda m: m["outputs"][0].update(zero_point=99), "zero_point"),
        (lambda m: m["outputs"].append({**m["outputs"][0], "name": "b", "kind": "attention"}), "outputs"),
    ],
)
def test_tensors_that_differ_from_the_manifest_are_refused(copy: Path, edit, match: str) -> None:
    change(copy, edit)
    opened = bundles.open_bundle(str(copy))
    with pytest.raises(BundleError, match=match):
        Classifier(opened)


def test_not_a_model_and_not_there(copy: Path) -> None:
    with pytest.raises(BundleError, match="no model 'nosuch'"):
        bundles.open_bundle("nosuch")
    with pytest.raises(BundleError, match="no bundle at"):
        bundles.open_bundle(str(copy.parent / "other.tflite"))
    copy.write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        bundles.open_bundle(str(copy))
