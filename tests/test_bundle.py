"""Bundles: the manifest against its JSON Schema, and everything that must make the runtime refuse one."""

from __future__ import annotations

import copy as copies
import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from ecgedge import bundle as bundles
from ecgedge import golden
from ecgedge.classifier import Classifier
from ecgedge.errors import BundleError
from ecgedge.schema import first_fault

NAMES = bundles.list_bundles()
MOST_BYTES = {
    "efficientecg-xs": 128 * 1024,
    "efficientecg-s": 512 * 1024,
    "dualnet-s": 2_200_000,
    "ecg-sl": 250_000,
    "danet": 300_000,
}
SCHEMA = json.loads((bundles.FOLDER / "manifest.schema.json").read_text())


def test_the_default_bundle_ships() -> None:
    assert "efficientecg-s" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_manifest_satisfies_its_schema_and_says_what_it_is(name: str) -> None:
    opened = bundles.open_bundle(name)
    jsonschema.validate(opened.manifest, SCHEMA)
    assert "ODC-BY" in opened.manifest["data"]["licence"]
    assert len(opened.model) <= MOST_BYTES[name]


@pytest.mark.parametrize("name", NAMES)
def test_golden_vectors_on_this_machine(name: str) -> None:
    lines = golden.verify(bundles.open_bundle(name))
    assert any("golden" in line for line in lines)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in bundles.FOLDER.glob("efficientecg-s.*"):
        shutil.copy(path, tmp_path)
    return tmp_path / "efficientecg-s.json"


def attention(manifest, n: int):
    """An output that the model does not have."""
    return {**manifest["outputs"][0], "name": "b", "kind": "attention", "shape": [1, n]}


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
        (lambda m: m.update(temperature=0), "temperature is 0; expected 0.01 or more"),
        (lambda m: m.update(temperature=1e-308), "temperature is 1e-308; expected 0.01 or more"),
        (lambda m: m.update(temperature=1e308), "temperature is 1e.308; expected 100 or less"),
        (lambda m: m.update(temperature=10**309), "temperature is 1000.*; expected number"),
        (lambda m: m["window"].update(length_s=1e308), "hop and minimum .* 3600 s at most"),
        (lambda m: [m[k].update(rate_hz=1e9) for k in ("window", "preprocessing")], "20-20000 Hz"),
        (lambda m: m.update(task="sleep"), "sleep"),
        (lambda m: m["preprocessing"].update(notch_hz=50), "notch_hz"),
        (lambda m: m["window"].pop("hop_s"), "hop_s"),
        (lambda m: m["inputs"][0].update(kind="spectrogram"), "spectrogram"),
        (lambda m: m["inputs"][0].update(padding="mirror"), "mirror"),
        (lambda m: m.update(classes=["N", "A"]), "words for"),
        (lambda m: m["outputs"][0].update(shape=[1, 3]), "outputs"),
        (lambda m: m["inputs"][0].update(dtype="float32"), "inputs.0.dtype is 'float32'"),
        (lambda m: m["inputs"][0].update(shape=[1, 1, 1500, 1]), "room for a whole window"),
        (lambda m: m.update(name="../x"), "name is '../x'"),
        (lambda m: m["window"].update(hop_s=0.001), "hop and minimum"),
        (lambda m: m["thresholds"].update(af_on=0.1), "af_off <= af_on"),
        (lambda m: m["preprocessing"].update(lowpass_hz="x"), "lowpass_hz is 'x'"),
        (lambda m: m["inputs"].append(3), "inputs.1 is 3; expected object"),
        (lambda m: m["files"].clear(), "files is a dict; expected 2 or more"),
        (lambda m: m["window"].update(rate_hz=125), "rates"),
        (lambda m: m["outputs"].append(attention(m, 1500)), "attention of shape"),
        (lambda m: m["outputs"][0].update(kind="hidden"), "outputs.0.kind is 'hidden'"),
        (lambda m: m.update(task="apc"), "apc"),
        (lambda m: m.update(task="apc", thresholds={"apc": 0.5}), "two, the second"),
    ],
)
def test_manifest_that_is_not_understood_is_refused(copy: Path, edit, match: str) -> None:
    change(copy, edit)
    with pytest.raises(BundleError, match=match):
        bundles.open_bundle(str(copy))


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (lambda m: m["inputs"][0].update(shape=[1, 1, 3000]), "shape"),
        (lambda m: m["inputs"][0].update(scale=0.5), "scale"),
        (lambda m: m["outputs"][0].update(zero_point=99), "zero_point"),
        (lambda m: m["outputs"].append(attention(m, 3000)), "outputs"),
    ],
)
def test_tensors_that_differ_from_the_manifest_are_refused(copy: Path, edit, match: str) -> None:
    change(copy, edit)
    opened = bundles.open_bundle(str(copy))
    with pytest.raises(BundleError, match=match):
        Classifier(opened)


ODD = (None, "x", "", -1, 0, 1.5, 1e9, float("nan"), True, [], {}, [1], 1e308, 1e-308, 10**309, -(10**309))


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def refusal(manifest) -> str | None:
    try:
        bundles.check_manifest(manifest, "m.json")
    except BundleError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", ["efficientecg-s", "ecg-sl"])
def test_whatever_stands_in_a_manifest_is_refused_in_one_line_or_taken(name: str) -> None:
    """Odd values everywhere: no other exception, and never more lenient than the jsonschema package."""
    sound = bundles.open_bundle(name).manifest
    validator = jsonschema.Draft202012Validator(SCHEMA)
    refused = 0
    for path in places(sound):
        for odd in ODD:
            manifest = copies.deepcopy(sound)
            if path:
                inner = manifest
                for key in path[:-1]:
                    inner = inner[key]
                inner[path[-1]] = odd
            else:
                manifest = odd
            message = refusal(manifest)
            if message is None:
                assert validator.is_valid(manifest), path
            else:
                assert "\n" not in message
                refused += 1
    assert refused > 500


def test_schema_keywords_that_are_not_known_are_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        first_fault(3, {"multipleOf": 2})


def test_not_a_model_and_not_there(copy: Path) -> None:
    with pytest.raises(BundleError, match="no model 'nosuch'"):
        bundles.open_bundle("nosuch")
    with pytest.raises(BundleError, match="no bundle at"):
        bundles.open_bundle(str(copy.parent / "other.tflite"))
    copy.write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        bundles.open_bundle(str(copy))
