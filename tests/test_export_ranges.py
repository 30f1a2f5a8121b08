"""Ranges that round with the least error: against torch's rounding, and in a converted model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'export'")
pytest.importorskip("onnx2tf", reason="needs the extra 'export'")

import torch

from ecgedge.errors import DataError
from ecgedge.models.efficientecg import EfficientEcg, EfficientEcgConfig
from ecgedge.training import recipe as recipes
from export import gate, ranges, to_onnx, to_tflite
from export.quiet import quiet

LENGTH = 256
CONFIG = EfficientEcgConfig(
    length=LENGTH, stem=8, channels=(8, 12), repeats=(1, 1), kernels=(7, 7), head=16, dropout=0.0
)

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.0, 2.0), (-4.0, 0.0), (-0.3, 0.4)])
def test_the_error_is_that_of_torchs_rounding(low: float, high: float) -> None:
    values = torch.randn(5000, generator=torch.Generator().manual_seed(0)).double()
    scale = (high - low) / 255
    zero = round(-128 - low / scale)
    rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero, -128, 127)
    assert ranges.error(values.numpy(), low, high) == pytest.approx(
        float(((rounded - values) ** 2).mean()), rel=1e-6
    )


def test_a_rare_outlier_is_clipped_and_an_even_spread_is_not() -> None:
    rng = np.random.default_rng(0)
    even = rng.uniform(-1, 1, 20_000).astype(np.float32)
    assert ranges.least_error(even, -1.0, 1.0) == 1.0
    rare = np.append(rng.normal(size=2_000_000), 40.0).astype(np.float32)
    assert ranges.least_error(rare, float(rare.min()), 40.0) < 0.7
    often = np.where(rng.random(20_000) < 0.2, 40.0, rare[:20_000]).astype(np.float32)
    assert ranges.least_error(often, float(often.min()), 40.0) == 1.0
    assert ranges.least_error(np.zeros(10, np.float32), 0.0, 0.0) == 1.0, "a dead tensor is the gate's affair"


def scales(model: bytes) -> list[float]:
    """Of every int8 tensor with one scale, in the model's order."""
    run = gate.interpreter(model, xnnpack=False)
    return [
        float(detail["quantization"][0])
        for detail in run.get_tensor_details()
        if detail["dtype"] == np.int8 and len(detail["quantization_parameters"]["scales"]) == 1
    ]


def test_ranges_of_a_model_shrink_but_for_its_ends(tmp_path: Path) -> None:
    """Windows of which few have spikes: what they reach is rare everywhere inside."""
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(48, 1, LENGTH)).astype(np.float32)
    windows[::8, :, 100:104] *= 12
    calibration = {"signal": windows}
    torch.manual_seed(0)
    with quiet("conversion"):
        to_onnx.to_onnx(EfficientEcg(CONFIG), {"signal": (1, LENGTH)}, tmp_path / "net.onnx")
        to_tflite.to_saved_model(tmp_path / "net.onnx", tmp_path / "saved")
        wide = to_tflite.int8_tflite(tmp_path / "saved", calibration)
        near = to_tflite.int8_tflite(tmp_path / "saved", calibration, "least-error")
    assert gate.check_graph(near)["operators"] == gate.check_graph(wide)["operators"]
    assert len(near) == pytest.approx(len(wide), rel=0.02)
    before, after = scales(wide), scales(near)
    assert len(before) == len(after)
    assert all(b <= a * (1 + 1e-5) for a, b in zip(before, after, strict=True))
    assert sum(b < 0.95 * a for a, b in zip(before, after, strict=True)) >= 3
    for ends in ("get_input_details", "get_output_details"):
        told = [getattr(gate.interpreter(m), ends)()[0]["quantization"] for m in (wide, near)]
        assert told[0] == pytest.approx(told[1])


def test_ranges_by_another_name_are_refused(tmp_path: Path) -> None:
    text = (recipes.RECIPES / "dualnet-s.toml").read_text(encoding="utf-8")
    path = tmp_path / "odd.toml"
    path.write_text(text.replace('"least-error"', '"guessed"'), encoding="utf-8")
    with pytest.raises(DataError, match="ranges = 'guessed'"):
        recipes.load(str(path))
