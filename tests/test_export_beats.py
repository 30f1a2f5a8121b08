"""The net after ECG-SL all the way: torch, TFLite float and int8, bundle, golden vectors; the shipped one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'export'")
pytest.importorskip("onnx2tf", reason="needs the extra 'export'")
pytest.importorskip("lightning", reason="needs the extra 'export'")

import torch

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.golden import verify
from ecgedge.models import build
from ecgedge.ports.patient import RATE_HZ, SimulatedPatient
from ecgedge.training.beats import recipe as recipes
from ecgedge.training.beats import run
from ecgedge.training.beats.data import BeatSet, find_beats, stack, windows_of
from export import beats, gate, manifest
from export.centre import centre
from export.convert import convert
from export.to_tflite import without_names

pytestmark = pytest.mark.timeout(600)


def patient(plan: recipes.BeatRecipe, seed: int) -> BeatSet:
    """Windows of four minutes of a simulated patient."""
    pieces = SimulatedPatient(seed, 240.0).pieces()
    counts = np.concatenate([piece.counts for piece in pieces]).astype(np.float64)
    found = windows_of(counts, RATE_HZ, plan.spec, plan.preprocessing, find_beats(counts, RATE_HZ))
    rows = np.zeros((len(found), plan.spec.reported), dtype=np.int8)
    return stack([found], [rows], plan.spec, plan.window.clip)


@pytest.fixture(scope="module")
def made() -> tuple[recipes.BeatRecipe, torch.nn.Module, BeatSet, bytes, bytes]:
    """An untrained net with norms fitted to its windows, and its float and int8 models."""
    plan = recipes.load("ecg-sl")
    torch.manual_seed(0)
    net = build(plan.architecture, plan.net)
    windows = BeatSet.join([patient(plan, seed) for seed in (1, 2)])
    run.settle(net, windows, plan)
    return plan, net, windows, *convert(net, beats._tensors(windows, plan))


def test_the_float_model_is_torchs(made: tuple) -> None:
    plan, net, windows, float_model, _ = made
    tensors = beats._tensors(windows, plan)
    wanted = run.logits_of(net, windows).reshape(len(windows), -1)
    assert gate.check_float(wanted, float_model, tensors) < 1e-4


def test_the_int8_model_has_int8_operators_only_and_is_an_attention_net(made: tuple) -> None:
    _, net, _, _, int8_model = made
    graph = gate.check_graph(int8_model)
    assert graph["operators"]["BATCH_MATMUL"] == 2 * net.config.layers
    assert len(int8_model) < 250_000
    assert gate.limits(net) == gate.ATTENTION


def outputs(model: bytes, tensors: gate.Windows, xnnpack: bool) -> np.ndarray:
    """Logits with and without XNNPACK's kernels."""
    made = gate.interpreter(model, xnnpack)
    inside, outside = gate.inputs_by_name(made), made.get_output_details()[0]
    scale, zero = outside["quantization"]
    rows = []
    for k in range(len(tensors["segments"])):
        for name, detail in inside.items():
            step, point = detail["quantization"]
            counts = np.clip(np.rint(tensors[name][k] / step) + point, -128, 127).astype(np.int8)
            made.set_tensor(detail["index"], counts.reshape(detail["shape"]))
        made.invoke()
        rows.append((made.get_tensor(outside["index"]).reshape(-1).astype(float) - zero) * scale)
    return np.array(rows)


def test_the_int8_model_is_the_net(made: tuple) -> None:
    plan, net, windows, _, int8_model = made
    wanted = run.logits_of(net, windows).reshape(len(windows), -1)
    told = outputs(int8_model, beats._tensors(windows, plan), xnnpack=False)
    assert np.corrcoef(told.ravel(), wanted.ravel())[0, 1] > 0.95


def test_keys_and_values_are_centred_and_the_net_says_the_same() -> None:
    plan = recipes.load("ecg-sl")
    torch.manual_seed(4)
    net = build(plan.architecture, plan.net).eval()
    windows = patient(plan, 3)
    for layer in net.layers:
        for norm in (layer.key[1], layer.value[1], layer.project[1]):
            torch.nn.init.normal_(norm.bias, 3.0)
            torch.nn.init.uniform_(norm.running_mean, -1.0, 1.0)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(norm.weight, 0.5, 2.0)
    before = run.logits_of(net, windows)
    centre(net, (inputs for *inputs, _ in run.batches(windows)))
    np.testing.assert_allclose(run.logits_of(net, windows), before, atol=2e-4)
    for layer in net.layers:
        for part in (layer.key, layer.value):
            seen: list[torch.Tensor] = []
            hook = part.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
            run.logits_of(net, windows)
            hook.remove()
            low, high = (float(f(torch.cat(seen))) for f in (torch.min, torch.max))
            assert abs(low + high) < 1e-3 * (high - low)


def test_both_kinds_of_kernels_compute_the_shipped_model(made: tuple) -> None:
    # XNNPACK takes the right side of a batched product as if its zero point were 0, silently: with the
    # softmax there (zero point -128) the logits are noise, with keys and values they are a little off.
    plan, _, windows, _, _ = made
    tensors = beats._tensors(windows, plan)
    told, plain = (outputs(open_bundle("ecg-sl").model, tensors, xnnpack) for xnnpack in (True, False))
    assert np.sqrt(((told - plain) ** 2).mean()) < 0.1 * plain.std()
    decided, without = (x.reshape(-1, 4).argmax(axis=1) for x in (told, plain))
    assert (decided == without).mean() > 0.98


def test_a_bundle_verifies_itself(made: tuple, tmp_path: Path) -> None:
    plan, _, windows, _, int8_model = made
    facts = manifest.Facts(1.0, {"apc": 0.5, "pvc": 0.5}, 1, {}, {"command": "test"})
    manifest.write(manifest.make(beats.described(plan), without_names(int8_model), facts), tmp_path)
    bundle = open_bundle(str(tmp_path / "ecg-sl.json"))
    assert any("all" in line for line in verify(bundle))
    assert bundle.row == plan.spec
    tensors = {name: x[0] for name, x in beats._tensors(windows, plan).items()}
    shaped = {e["name"]: tensors[e["name"]].reshape(e["shape"]) for e in bundle.manifest["inputs"]}
    told = Classifier(bundle).logits(shaped).reshape(-1)
    assert told == pytest.approx(gate.logits(int8_model, beats._tensors(windows, plan))[0], abs=1e-6)


def test_calibration_is_half_of_windows_with_ectopic_beats() -> None:
    labels = np.zeros((4000, 8), dtype=np.int8)
    labels[1000:1400, 3] = 2
    empty = np.zeros((4000, 16, 1), dtype=np.float16)
    found = BeatSet(empty, empty, empty, labels, np.zeros(4000, dtype=np.int32))
    rows = beats._spread(found)
    other = (labels[rows] > 0).any(axis=1).sum()
    assert 250 <= other <= 300
    assert len(rows) <= beats.CALIBRATION_WINDOWS


def test_the_shipped_bundle_is_of_the_shipped_recipe() -> None:
    bundle, plan = open_bundle("ecg-sl"), recipes.load("ecg-sl")
    assert bundle.row == plan.spec
    assert bundle.manifest["preprocessing"] == plan.preprocessing
    assert bundle.classes == list(plan.classes)
    assert len(bundle.model) <= 250_000
    assert verify(bundle)
