"""Nets of the recipes: size, shapes, and nothing in them that int8 conversion is known to spoil."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from torch import nn

from ecgedge.errors import DataError
from ecgedge.models import ARCHITECTURES, build
from ecgedge.models.dualnet import SIZES
from ecgedge.training import recipe as recipes
from ecgedge.training.data import input_list
from ecgedge.training.module import WindowClassifier

RECIPES = sorted(path.stem for path in recipes.RECIPES.glob("*.toml"))
CONVOLUTIONAL = [name for name in RECIPES if recipes.read_table(name)[0]["architecture"] == "efficientecg"]
DUALNET = [name for name in RECIPES if name.startswith("dualnet")]
PARAMETERS = {
    "efficientecg-xs": 46_605,
    "efficientecg-s": 248_344,
    "efficientecg-s-float": 248_344,
    "efficientecg-s-plain": 248_344,
    "efficientecg-m": 710_692,
}
BUDGET = 300_000
"""For a net that ships; ``m`` is a teacher."""
INT8_FRIENDLY = (nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.Linear, nn.Dropout)


def make(name: str) -> nn.Module:
    plan = recipes.load(name)
    return build(plan.architecture, plan.net).eval()


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_size_is_within_the_budget_and_what_it_was(name: str) -> None:
    count = sum(p.numel() for p in make(name).parameters())
    assert count <= BUDGET or name == "efficientecg-m"
    assert count == PARAMETERS[name]


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_batch_of_windows_gives_a_row_of_logits_each(name: str) -> None:
    length = recipes.load(name).net["length"]
    with torch.no_grad():
        logits = make(name)(torch.randn(3, 1, 1, length))
    assert logits.shape == (3, 4)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_a_window_does_not_depend_on_its_neighbours_in_the_batch(name: str) -> None:
    net, x = make(name), torch.randn(4, 1, 1, recipes.load(name).net["length"])
    with torch.no_grad():
        alone = torch.cat([net(row[None]) for row in x])
        torch.testing.assert_close(net(x), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_only_modules_that_survive_int8(name: str) -> None:
    for module in make(name).modules():
        if list(module.children()):
            continue
        assert isinstance(module, INT8_FRIENDLY), f"{module} is not on the list"
        if isinstance(module, nn.Conv2d):
            assert module.kernel_size[0] == 1, f"{module}: height {module.kernel_size[0]}"
            assert len(set(module.stride)) == 1, f"{module}: unequal strides"
            assert module.dilation == (1, 1)
            assert module.groups in (1, module.in_channels)


@pytest.mark.parametrize("name", DUALNET)
def test_a_dualnet_takes_the_inputs_of_its_recipe(name: str) -> None:
    """On the meta device: shapes are those of real tensors, at no cost."""
    plan = recipes.load(name)
    assert plan.name == name
    with torch.device("meta"):
        net = build(plan.architecture, plan.net)
        given = {entry["name"]: torch.randn(2, *entry["shape"]) for entry in input_list(plan)}
        assert tuple(given) == net.inputs
        assert net(*given.values()).shape == (2, 4)


def test_every_published_size_has_a_recipe() -> None:
    sizes = {recipes.load(name).net["size"] for name in DUALNET}
    assert sizes == set(SIZES)


def test_a_recipe_with_other_inputs_than_its_net_is_refused() -> None:
    plan = recipes.load("dualnet-s")
    turned = dataclasses.replace(plan, inputs=plan.inputs[::-1])
    with pytest.raises(DataError, match=r"inputs \('spectrogram', 'signal'\)"):
        WindowClassifier(turned)


def test_the_graph_holds_no_relu6_and_no_einsum_either() -> None:
    """What is written as a function shows in the traced graph only."""
    traced = torch.fx.symbolic_trace(make("efficientecg-s"))
    called = {
        str(getattr(n.target, "__name__", n.target)) for n in traced.graph.nodes if n.op != "call_module"
    }
    assert not {c for c in called if "relu" in c or "einsum" in c or "softmax" in c}
    assert {"silu", "sigmoid"} <= called


def test_stochastic_depth_is_for_training_only() -> None:
    net, x = make("efficientecg-s"), torch.randn(2, 1, 1, 3000)
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
        net.train()
        assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("architecture", "options", "named"),
    [
        ("resnet", {}, "resnet"),
        ("efficientecg", {"widths": [1]}, "widths"),
        ("efficientecg", {"stem": "wide"}, "stem"),
        ("efficientecg", {"channels": [8, 8], "repeats": [1], "kernels": [3, 3]}, "channels"),
        ("efficientecg", {"stem": 0}, "stem"),
        ("efficientecg", {"stem": -4}, "stem"),
    ],
)
def test_what_makes_no_net_is_refused_in_one_line(architecture: str, options: dict, named: str) -> None:
    with pytest.raises(DataError, match=named) as caught:
        build(architecture, options)
    assert "\n" not in str(caught.value)


def test_every_architecture_can_be_built_with_its_defaults() -> None:
    for architecture in ARCHITECTURES:
        assert isinstance(build(architecture, {}), nn.Module)
