"""The export gate must fail on deliberately broken models."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs the extra 'export'")
pytest.importorskip("onnx2tf", reason="needs the extra 'export'")

import torch
from torch import nn

from ecgedge.models import build
from ecgedge.models.efficientecg import EfficientEcg, EfficientEcgConfig
from export import gate, to_onnx, to_tflite

LENGTH = 256
CONFIG = EfficientEcgConfig(
    length=LENGTH, stem=8, channels=(8, 12), repeats=(1, 1), kernels=(7, 7), head=16, dropout=0.0
)

pytestmark = pytest.mark.timeout(300)


class _DeadBranch(nn.Module):
    """A net with a tensor that is zero whatever comes in."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.dead = nn.Conv2d(1, 4, (1, 3), padding=(0, 1))
        nn.init.constant_(self.dead.bias, -1.0)
        nn.init.constant_(self.dead.weight, 1e-9)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what should be a branch of its own, and is dead."""
        return self.net(x) + torch.relu(self.dead(x)).mean(dim=3).reshape(1, 4)


def named(windows: np.ndarray) -> gate.Windows:
    return {"signal": windows[:, None, :]}


def convert(net: nn.Module, folder) -> tuple[bytes, bytes, np.ndarray, np.ndarray]:
    windows = np.random.default_rng(0).normal(size=(32, LENGTH)).astype(np.float32)
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(windows)[:1, None, None])
        logits = torch.cat([net(torch.from_numpy(w)[None, None, None]) for w in windows])
    to_onnx.to_onnx(net, {"signal": (1, LENGTH)}, folder / "net.onnx")
    to_tflite.to_saved_model(folder / "net.onnx", folder / "saved")
    float_model = to_tflite.float_tflite(folder / "saved")
    int8_model = to_tflite.int8_tflite(folder / "saved", named(windows))
    return float_model, int8_model, windows, logits.numpy().astype(np.float64)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    torch.manual_seed(0)
    return convert(EfficientEcg(CONFIG), tmp_path_factory.mktemp("good"))


def test_a_sound_model_passes(good) -> None:
    float_model, int8_model, windows, logits = good
    assert gate.check_float(logits, float_model, named(windows)) < gate.MAX_FLOAT_ERROR
    graph = gate.check_graph(int8_model)
    assert graph["operators"]["DEPTHWISE_CONV_2D"] == 2
    assert graph["scale_min"] > 1e-6


def test_wrong_float_graph_fails(good) -> None:
    """The same net with its time axis read backwards, as a wrong axis in the conversion would do.

    The windows are scaled up, for an untrained net gives hardly more than its bias.
    """
    torch.manual_seed(0)
    net = EfficientEcg(CONFIG).eval()
    windows = good[2] * 50
    with torch.no_grad():
        right = net(torch.from_numpy(windows)[:, None, None]).numpy().astype(np.float64)
        wrong = net(torch.from_numpy(windows).flip(1)[:, None, None]).numpy().astype(np.float64)
    assert gate.check_float(right, good[0], named(windows)) < gate.MAX_FLOAT_ERROR
    with pytest.raises(gate.GateError, match="differs from torch"):
        gate.check_float(wrong, good[0], named(windows))


def test_float_operator_fails(good) -> None:
    with pytest.raises(gate.GateError, match="float32"):
        gate.check_graph(good[0])


def test_dead_scale_fails(tmp_path) -> None:
    torch.manual_seed(0)
    _, int8_model, _, _ = convert(_DeadBranch(EfficientEcg(CONFIG)), tmp_path)
    with pytest.raises(gate.GateError, match=r"scale|XNNPACK"):
        gate.check_graph(int8_model)


def test_not_a_model_fails() -> None:
    with pytest.raises(gate.GateError, match="does not load"):
        gate.check_graph(b"TFL3" * 100)


def test_other_decisions_fail() -> None:
    with pytest.raises(gate.GateError, match="decisions"):
        gate.check_decisions(0.8, 0.8, 0.98, gate.CONVOLUTIONAL)
    with pytest.raises(gate.GateError, match="macro F1 falls"):
        gate.check_decisions(0.8, 0.79, 0.995, gate.CONVOLUTIONAL)
    gate.check_decisions(0.8, 0.797, 0.991, gate.CONVOLUTIONAL)


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({}, gate.RECURRENT),
        ({"spectrogram_encoder": False}, gate.RECURRENT),
        ({"signal_encoder": False}, gate.CONVOLUTIONAL),
        ({"size": "pp-s"}, gate.ATTENTION),
        ({"size": "pp-s", "spectrogram_encoder": False}, gate.ATTENTION),
    ],
)
def test_each_kind_of_net_has_its_row_of_the_table(options: dict, row: gate.Limits) -> None:
    assert gate.limits(build("dualnet", options)) == row
    assert gate.limits(EfficientEcg(CONFIG)) == gate.CONVOLUTIONAL
