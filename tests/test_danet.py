"""DANet: its shape is the published one, attention does what it is said to, and two outputs survive int8."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecgedge.errors import DataError  # noqa: E402
from ecgedge.models import build  # noqa: E402
from ecgedge.models.danet import NETS, Danet, DanetConfig, HardDanet, PlainCnn, Weigher  # noqa: E402

TINY = DanetConfig(length=512, weigher=8, channels=(8,) * 8)


def layers(net: torch.nn.Module) -> tuple[int, int]:
    """Convolutions and dense layers."""
    kinds = [type(module) for module in net.modules()]
    return kinds.count(torch.nn.Conv2d), kinds.count(torch.nn.Linear)


def test_the_weigher_has_eight_layers_and_the_classifier_nine() -> None:
    net = Danet()
    assert layers(net.weigher) == (8, 0)
    assert layers(net.classifier) == (8, 1)


def test_each_weight_depends_on_the_samples_within_254_and_on_no_other() -> None:
    torch.manual_seed(1)
    net = Weigher(DanetConfig(weigher=4)).double().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):  # of one sign, so that nothing cancels or dies
            torch.nn.init.uniform_(module.weight, 0.1, 0.3)
    signal = torch.rand(1, 1, 1, 1500, dtype=torch.float64, requires_grad=True)
    net(signal)[0, 0, 0, 700].backward()
    seen = np.flatnonzero(signal.grad.numpy())
    assert (seen.min(), seen.max()) == (700 - 254, 700 + 254)
    assert seen.size == 509


@pytest.mark.parametrize("architecture", sorted(NETS))
def test_logits_are_those_of_the_classifier_on_the_weighted_signal(architecture: str) -> None:
    torch.manual_seed(2)
    net = build(architecture, {"length": 512, "weigher": 4, "channels": [4] * 8}).eval()
    signal, weights = torch.randn(3, 1, 1, 512), torch.rand(3, 1, 1, 512)
    with torch.no_grad():
        if architecture == "danet":
            logits, attention = net(signal)
            assert attention.shape == (3, 512)
            assert ((attention > 0) & (attention < 1)).all()
            weighted = attention.reshape(3, 1, 1, 512) * signal
        elif architecture == "danet-h":
            logits, weighted = net(signal, weights), weights * signal
        else:
            logits, weighted = net(signal), signal
        torch.testing.assert_close(logits, net.classifier(weighted))
    assert logits.shape == (3, 2)


def test_full_attention_changes_nothing_and_none_leaves_nothing() -> None:
    torch.manual_seed(3)
    soft, plain = Danet(TINY).eval(), PlainCnn(TINY).eval()
    plain.load_state_dict({k: v for k, v in soft.state_dict().items() if k.startswith("classifier")})
    last = soft.weigher.layers[-1]
    torch.nn.init.zeros_(last.weight)
    signal = torch.randn(2, 1, 1, 512)
    with torch.no_grad():
        torch.nn.init.constant_(last.bias, 40.0)
        torch.testing.assert_close(soft(signal)[0], plain(signal))
        torch.nn.init.constant_(last.bias, -200.0)
        torch.testing.assert_close(soft(signal)[0], soft(-3 * signal)[0])


def test_the_hard_net_with_weights_of_one_is_the_plain_one() -> None:
    torch.manual_seed(4)
    hard, plain = HardDanet(TINY).eval(), PlainCnn(TINY).eval()
    plain.load_state_dict(hard.state_dict())
    signal = torch.randn(2, 1, 1, 512)
    with torch.no_grad():
        torch.testing.assert_close(hard(signal, torch.ones_like(signal)), plain(signal))


def test_what_makes_no_net_is_refused() -> None:
    with pytest.raises(DataError, match="255 samples cannot be halved 8 times"):
        build("danet", {"length": 255})
    with pytest.raises(DataError, match="sizes of 1 to 100000"):
        build("danet", {"channels": [4, 0]})
    with pytest.raises(DataError, match="architecture options"):
        build("danet", {"wide": 4})


def test_logits_and_attention_survive_the_way_to_a_bundle(tmp_path: Path) -> None:
    pytest.importorskip("onnx2tf")
    pytest.importorskip("tensorflow")
    from ecgedge.bundle import open_bundle
    from ecgedge.classifier import Classifier
    from ecgedge.golden import verify
    from ecgedge.training.apc import recipe as recipes
    from export import apc, gate, manifest
    from export.convert import convert

    torch.manual_seed(5)
    net = Danet(dataclasses.replace(TINY, length=1500)).eval()
    windows = {"signal": np.random.default_rng(5).standard_normal((32, 1, 1500)).astype(np.float32)}
    with torch.no_grad():
        given = net(torch.from_numpy(windows["signal"])[:, None])
    wanted = {name: out.double().numpy() for name, out in zip(net.outputs, given, strict=True)}
    float_model, int8_model = convert(net, windows)
    gate.check_outputs(wanted, gate.outputs(float_model, windows, net.outputs))
    with pytest.raises(gate.GateError, match="of the attention range"):
        gate.check_outputs({"attention": wanted["attention"] + 0.1}, {"attention": wanted["attention"]})
    graph = gate.check_graph(int8_model)
    assert graph["operators"]["MAX_POOL_2D"] == 8

    facts = manifest.Facts(1.0, {"apc": 0.5}, 1, graph, {"command": "none"})
    manifest.write(manifest.make(apc.described(recipes.load("danet")), int8_model, facts), tmp_path)
    bundle = open_bundle(str(tmp_path / "danet.json"))
    assert len(verify(bundle)) == 5
    classifier = Classifier(bundle)
    for row in range(4):
        told = classifier.outputs({"signal": windows["signal"][row].reshape(1, 1, 1500, 1)})
        assert told["attention"].shape == (1, 1500)
        assert np.abs(told["attention"][0] - wanted["attention"][row]).mean() < 0.02
        assert np.abs(told["logits"][0] - wanted["logits"][row]).max() < 0.1 * np.ptp(wanted["logits"])
