"""A net with two inputs all the way: torch, TFLite float and int8, bundle, device."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'export'")
pytest.importorskip("onnx2tf", reason="needs the extra 'export'")
pytest.importorskip("lightning", reason="needs the extra 'export'")

import torch
from torch import nn

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.features import make_inputs
from ecgedge.golden import verify
from ecgedge.models.dualnet import DualNet, sized
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.training import checkpoint
from ecgedge.training import recipe as recipes
from ecgedge.training.data import ConditionedSet, WindowDataset, condition
from ecgedge.training.recipe import Recipe
from export import gate, manifest, rhythm, to_onnx, to_tflite
from export.convert import convert
from export.quiet import quiet

SECONDS = 4.0
CHANNELS = [8, 8, 16, 16, 16]

pytestmark = pytest.mark.timeout(600)


def small() -> Recipe:
    """dualnet-s with fewer channels and windows of 4 s."""
    plan = recipes.load("dualnet-s")
    net = {**plan.net, "channels": CHANNELS, "hidden": 16, "length": round(SECONDS * 300)}
    window = dataclasses.replace(plan.window, length_s=SECONDS, hop_s=2.0, minimum_s=2.0)
    return dataclasses.replace(plan, name="dualnet-tiny", net=net, window=window)


def patient(plan: Recipe) -> ConditionedSet:
    """Half a minute of sinus rhythm, and one of AF, as two records."""
    pieces = SimulatedPatient(3, 100.0).pieces()
    counts = np.concatenate([piece.counts for piece in pieces]).astype(np.float64) * UV_PER_COUNT / 1000
    parts = [counts[round(at * RATE_HZ) : round((at + 30) * RATE_HZ)] for at in (5.0, 65.0)]
    return ConditionedSet(["sinus", "af"], [condition(p, RATE_HZ, plan.preprocessing) for p in parts], [0, 1])


@pytest.fixture(scope="module")
def made() -> tuple[checkpoint.Checkpoint, rhythm.Scored, bytes, bytes]:
    """An untrained net with norms fitted to its windows; its windows and logits; float and int8 models."""
    plan = small()
    torch.manual_seed(0)
    net = DualNet(sized(**plan.net))
    rows = WindowDataset(patient(plan), plan)
    batch = [torch.stack(column) for column in zip(*(rows[k][0] for k in range(len(rows))), strict=True)]
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = None
    with torch.no_grad():
        net.classify.weight *= 5
        net.train()(*batch)
    trained = checkpoint.Checkpoint(net.eval(), plan, {})
    scored = rhythm.score(trained, patient(plan))
    return trained, scored, *convert(trained.net, scored.windows)


def test_the_float_model_is_the_net(made) -> None:
    _, scored, float_model, _ = made
    assert set(scored.windows) == {"signal", "spectrogram"}
    assert scored.windows["spectrogram"].shape[1:] == (38, 33)
    assert gate.check_float(scored.logits, float_model, scored.windows) < gate.MAX_FLOAT_ERROR


def test_the_wrong_window_of_either_input_shows(made) -> None:
    """Neither input is dropped on the way."""
    _, scored, float_model, _ = made
    for name in scored.windows:
        turned = {**scored.windows, name: scored.windows[name][::-1]}
        with pytest.raises(gate.GateError, match="differs from torch"):
            gate.check_float(scored.logits, float_model, turned)


def test_the_int8_model_is_int8_throughout_and_near(made) -> None:
    _, scored, _, int8_model = made
    operators = gate.check_graph(int8_model)["operators"]
    assert not {"WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SPLIT", "DIV"} & set(operators)
    assert operators["TANH"] >= 2 * 5, "the recurrence, step by step"
    quantised = gate.logits(int8_model, scored.windows)
    assert np.abs(quantised - scored.logits).max() < 0.1 * np.ptp(scored.logits)


def test_names_are_left_out_and_nothing_else(made) -> None:
    _, scored, _, int8_model = made
    lean = to_tflite.without_names(int8_model)
    assert len(lean) < len(int8_model)
    assert list(gate.inputs_by_name(gate.interpreter(lean))) == list(
        gate.inputs_by_name(gate.interpreter(int8_model))
    )
    np.testing.assert_array_equal(gate.logits(lean, scored.windows), gate.logits(int8_model, scored.windows))
    gate.check_graph(lean)


def test_the_bundle_runs_on_the_device(made, tmp_path: Path) -> None:
    trained, scored, _, int8_model = made
    facts = manifest.Facts(
        temperature=1.0,
        thresholds={"confidence": 0.3, "af_on": 0.5, "af_off": 0.3},
        parameters=sum(p.numel() for p in trained.net.parameters()),
        quantisation={},
        metrics={"command": "none"},
    )
    manifest.write(manifest.make(manifest.of_rhythm(trained.recipe), int8_model, facts), tmp_path)
    opened = open_bundle(str(tmp_path / "dualnet-tiny.json"))
    lines = verify(opened)
    assert sum("all" in line and "golden" in line for line in lines) == 2
    entries = {entry["name"]: entry for entry in opened.manifest["inputs"]}
    assert entries["signal"]["shape"] == [1, 1, 1200, 1]
    assert entries["spectrogram"]["shape"] == [1, 38, 33, 1]
    assert entries["spectrogram"]["floor"] == trained.recipe.inputs[1]["floor"]
    classifier = Classifier(opened)
    signal = patient(trained.recipe).signals[0][:1200]
    tensors = make_inputs(opened.manifest["inputs"], signal)
    np.testing.assert_array_equal(tensors["spectrogram"].reshape(38, 33), scored.windows["spectrogram"][0])
    told = gate.logits(int8_model, {name: values[:1] for name, values in scored.windows.items()})
    np.testing.assert_allclose(classifier.logits(tensors), told[0], atol=1e-9)
    json.dumps(opened.manifest)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "attention"), [("dualnet-s", "published"), ("dualnetpp-s", "published"), ("dualnetpp-s", "qk")]
)
def test_sizes_of_the_publication_convert_in_float(name: str, attention: str, tmp_path: Path) -> None:
    """Untrained nets with norms that are no identity, on windows of 30 s."""
    plan = recipes.load(name)
    options = {**plan.net, "length": 9000, "attention": attention}
    torch.manual_seed(0)
    net = DualNet(sized(**options)).eval()
    rng = np.random.default_rng(0)
    windows = {
        "signal": rng.normal(size=(8, 1, 9000)).astype(np.float32),
        "spectrogram": (rng.normal(size=(8, 282, 33)) - 3).astype(np.float32),
    }
    given = [torch.from_numpy(values)[:, None] for values in windows.values()]
    with torch.no_grad():
        net.train()(*given)
        logits = net.eval()(*given).numpy().astype(np.float64)
    with quiet("conversion"):
        to_onnx.to_onnx(
            net, {key: values.shape[1:] for key, values in windows.items()}, tmp_path / "net.onnx"
        )
        to_tflite.to_saved_model(tmp_path / "net.onnx", tmp_path / "saved")
        float_model = to_tflite.float_tflite(tmp_path / "saved")
    assert gate.check_float(logits, float_model, windows) < gate.MAX_FLOAT_ERROR
