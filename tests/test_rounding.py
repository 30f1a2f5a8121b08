"""Learning with the rounding of int8: the steps against torch's, where they are taken against TFLite's graph,
and whole small runs.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import lightning
import torch
from small_cinc import TINY_NET, recipe_text, tiny
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError, UsageError
from ecgedge.models import build
from ecgedge.training import checkpoint, rounding, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import (
    CALIBRATION_RECORDS,
    WindowDataset,
    calibration_windows,
    inner_split,
    load_cinc2017,
)
from export.__main__ import CHECKPOINTS

SHIPPED = "efficientecg-s"
MIN_MAX = "efficientecg-xs"
"""A bundle with the ranges that the rounding has: from least to greatest."""
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
ROUNDS = (*WEIGHTED, "LOGISTIC", "MUL", "MEAN", "ADD", "CONCATENATION")
"""Operators of TFLite whose outputs have a scale of their own; PAD and REDUCE_MAX take over their input's."""


def rounded_recipe(folder: Path, **changes: object) -> Path:
    """A recipe that goes on from ``tiny`` with rounding."""
    text = recipe_text(name="rounded", **changes)
    path = folder / "rounded.toml"
    path.write_text(
        text.replace("\nseed = ", '\nstart = "tiny"\nrounded = true\nseed = ', 1), encoding="utf-8"
    )
    return path


def tiny_net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build("efficientecg", TINY_NET)


@pytest.mark.parametrize("shift", [-20.0, -1.0, 0.0, 0.7, 20.0])
def test_activations_round_as_in_torchs_own_int8(shift: float) -> None:
    x = torch.randn(4, 3, 1, 500, dtype=torch.double, generator=torch.Generator().manual_seed(1)) + shift
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    x = torch.cat((x.flatten(), torch.tensor([-1e3, 1e3])))  # what no range foresaw
    step = (high - low) / 255
    wanted = torch.fake_quantize_per_tensor_affine(x, step, round(-128 - low / step), -128, 127)
    own = rounding.rounded(x, low, high)
    torch.testing.assert_close(own, wanted, rtol=1e-6, atol=1e-6)  # its step has 32 bits


def test_weights_round_as_in_torchs_own_int8() -> None:
    weight = (
        torch.randn(6, 5, 1, 7, generator=torch.Generator().manual_seed(2))
        * torch.logspace(-3, 2, 6)[:, None, None, None]
    )
    step = weight.abs().amax(dim=(1, 2, 3)) / 127
    wanted = torch.fake_quantize_per_channel_affine(weight, step, torch.zeros(6).int(), 0, -127, 127)
    torch.testing.assert_close(rounding.rounded_weight(weight), wanted, rtol=1e-5, atol=0)


def test_what_is_zero_throughout_stays_zero() -> None:
    zeros = torch.zeros(3, 2, 1, 4)
    assert not rounding.rounded(zeros, 0.0, 0.0).any()
    assert not rounding.rounded_weight(zeros).any()


def test_gradients_pass_as_if_nothing_were_rounded_but_not_where_it_is_cut_off() -> None:
    x = torch.linspace(-2, 3, 50).requires_grad_()
    (rounding.rounded(x, -2.1, 2.5) * torch.arange(50)).sum().backward()
    inside = x.detach() < 2.5
    torch.testing.assert_close(x.grad, torch.where(inside, torch.arange(50.0), 0.0))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Tensor | float]:
    """The steps of all that is rounded from now on."""
    steps: list[Tensor | float] = []
    real = rounding.to_steps

    def to_steps(x: Tensor, step: Tensor | float) -> Tensor:
        steps.append(step)
        return real(x, step)

    monkeypatch.setattr(rounding, "to_steps", to_steps)
    return steps


@pytest.mark.parametrize("training", [False, True])
def test_it_rounds_as_often_as_the_graph_that_ships(monkeypatch: pytest.MonkeyPatch, training: bool) -> None:
    """TFLite's converter tells how many tensors of their own the same net has in int8."""
    plan = recipes.load(SHIPPED)
    net, x = build(plan.architecture, plan.net), torch.randn(2, 1, 1, 3000)
    int8 = rounding.Int8()
    int8.measure(net.train(training), [[x]])
    assert net.training == training
    steps = counted(monkeypatch)
    with torch.no_grad():
        int8(net, [x])
    operators = open_bundle(SHIPPED).manifest["quantisation"]["operators"]
    per_channel = [step for step in steps if isinstance(step, Tensor)]
    assert len(per_channel) == sum(operators[name] for name in WEIGHTED)
    assert len([step for step in steps if step is rounding.SIGMOID_STEP]) == operators["LOGISTIC"]
    inputs = 1
    assert len(steps) - len(per_channel) - inputs == sum(operators[name] for name in ROUNDS)


def test_ranges_are_those_of_all_batches_and_hold_zero() -> None:
    net, int8 = tiny_net().eval(), rounding.Int8()
    batches = [[torch.full((1, 1, 1, 3000), level)] for level in (0.5, 3.0, -1.0)]
    int8.measure(net, batches)
    assert int8.ranges[0] == (-1.0, 3.0), "of the inputs"
    each = []
    for batch in batches:
        int8.measure(net, [batch])
        each.append(int8.ranges)
    int8.measure(net, batches)
    for whole, *parts in zip(int8.ranges, *each, strict=True):
        assert whole == (min(low for low, _ in parts), max(high for _, high in parts))
        assert whole[0] <= 0 <= whole[1]
    with torch.no_grad():
        (logits,) = net(batches[1][0])
    assert int8.ranges[-1][1] >= float(logits.max())


def test_a_batch_norm_does_not_change_how_weights_round() -> None:
    """The device has it in the weights before they are rounded, training after."""
    torch.manual_seed(3)
    weight, factor = torch.randn(8, 4, 1, 7), torch.rand(8, 1, 1, 1) * 5 - 2
    joined = rounding.rounded_weight(weight * factor)
    torch.testing.assert_close(joined, rounding.rounded_weight(weight) * factor, rtol=1e-4, atol=1e-6)


def test_the_loss_of_a_rounded_net_falls() -> None:
    net, generator = tiny_net().train(), torch.Generator().manual_seed(4)
    label = torch.arange(16) % 4
    x = torch.randn(16, 1, 1, 3000, generator=generator) * (1 + label)[:, None, None, None]
    optimiser, int8 = torch.optim.AdamW(net.parameters(), lr=3e-3), rounding.Int8()

    def loss() -> Tensor:
        return nn.functional.cross_entropy(int8(net, [x]) if int8.ranges else net(x), label)

    def learn(steps: int) -> None:
        for _ in range(steps):
            optimiser.zero_grad()
            loss().backward()
            optimiser.step()

    learn(30)  # in float: ranges are measured with the norms' statistics, which are none before
    int8.measure(net, [[x]])
    with torch.no_grad():
        before = loss()
    learn(10)
    int8.measure(net, [[x]])
    with torch.no_grad():
        assert loss() < 0.9 * before


def test_a_run_with_rounding_makes_a_net_like_any_other(cinc_like: Path, tmp_path: Path) -> None:
    run.train(str(tiny(tmp_path)), cinc_like, tmp_path)
    plan = rounded_recipe(tmp_path)
    made = checkpoint.load(run.train(str(plan), cinc_like, tmp_path))
    assert made.recipe.rounded
    assert made.net.state_dict().keys() == tiny_net().state_dict().keys()
    kept = torch.load(tmp_path / "rounded" / "last.ckpt", weights_only=False)["state_dict"]
    for name, value in made.net.state_dict().items():
        assert torch.equal(value, kept[f"net.{name}"]), f"{name}: measured again without rounding"
    plan.write_text(plan.read_text(encoding="utf-8").replace("rounded = true", "rounded = false"), "utf-8")
    (tmp_path / "rounded" / "last.ckpt").unlink()
    without = checkpoint.load(run.train(str(plan), cinc_like, tmp_path)).net.state_dict()
    assert any(not torch.equal(value, without[name]) for name, value in made.net.state_dict().items())


class Interruption(lightning.pytorch.callbacks.Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        if trainer.current_epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        folder.mkdir()
        run.train(str(tiny(folder)), cinc_like, folder, threads=1)
    real, plans = lightning.Trainer, [str(rounded_recipe(folder)) for folder in folders]
    whole = run.train(plans[0], cinc_like, folders[0], threads=1)

    def trainer(*, callbacks, **keywords):  # type: ignore[no-untyped-def]
        return real(callbacks=[*callbacks, Interruption()], **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(lightning, "Trainer", trainer)
        with pytest.raises(KeyboardInterrupt):
            run.train(plans[1], cinc_like, folders[1], threads=1)
    assert not (folders[1] / "rounded.pt").exists()
    broken = run.train(plans[1], cinc_like, folders[1], threads=1)
    states = [checkpoint.load(path).net.state_dict() for path in (whole, broken)]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_a_net_or_recipe_that_cannot_be_rounded_is_refused(tmp_path: Path) -> None:
    text = (recipes.RECIPES / "dualnet-s.toml").read_text(encoding="utf-8")
    path = tmp_path / "odd.toml"
    path.write_text(text.replace("\nseed = ", "\nrounded = true\nseed = ", 1), encoding="utf-8")
    with pytest.raises(DataError, match=r"rounded = true, architecture = 'dualnet'.*efficientecg"):
        recipes.load(str(path))
    path = rounded_recipe(tmp_path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('start = "tiny"\n', ""), encoding="utf-8")
    with pytest.raises(DataError, match=r"rounded = true, start = None.*a recipe to start from"):
        recipes.load(str(path))
    path.write_text(text.replace("rounded = true", "rounding = true"), encoding="utf-8")
    with pytest.raises(DataError, match=r"keys \['rounding'\] unknown or missing"):
        recipes.load(str(path))


def test_rounding_wants_exact_arithmetic(cinc_like: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learns with the rounding of int8, at precision bf16"):
        run.train(str(rounded_recipe(tmp_path)), cinc_like, tmp_path, precision="bf16")


def test_a_recipe_is_without_rounding_unless_it_says_so(tmp_path: Path) -> None:
    plan = recipes.load(str(tiny(tmp_path)))
    assert not plan.rounded
    assert recipes.load(str(rounded_recipe(tmp_path))) == dataclasses.replace(
        plan, name="rounded", start="tiny", rounded=True
    )


def test_it_tells_most_of_what_the_shipped_model_says_otherwise(data_dir: Path) -> None:
    """The interpreter runs what the converter made of the kept checkpoint."""
    made = checkpoint.load(CHECKPOINTS / f"{MIN_MAX}.pt")
    names, _ = cinc2017.published_split(data_dir)
    known = cinc2017.labels_by_record(data_dir)
    fit, inner = inner_split(names, [known[name] for name in names], made.recipe.data.inner_share)
    chosen = fit[:: len(fit) // CALIBRATION_RECORDS]  # as the exporter does: any other ranges, other steps
    seen, others = (load_cinc2017(data_dir, some, made.recipe) for some in (chosen, inner[::7]))
    calibration = [inputs for inputs, _, _ in DataLoader(calibration_windows(seen, made.recipe), 64)]
    windows = [inputs[0][None] for inputs, _, _ in WindowDataset(others, made.recipe)]
    device, int8 = Classifier(open_bundle(MIN_MAX)), rounding.Int8()
    int8.measure(made.net, calibration)
    with torch.no_grad():
        said, exact, own = (
            torch.cat([torch.as_tensor(logits(x), dtype=torch.double).reshape(1, 4) for x in windows])
            for logits in (
                lambda x: device.logits({"signal": x.numpy().reshape(1, 1, -1, 1)}),
                made.net,
                lambda x: int8(made.net, [x]),
            )
        )
    off, unexplained = (float((said - wanted).square().mean()) for wanted in (exact, own))
    assert unexplained < 0.6 * off
