"""Going on from the weights of an earlier run: whole small runs, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import recipe_text, tiny

from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.training import checkpoint, run
from ecgedge.training import recipe as recipes

STILL = 1e-30
"""A rate at which float32 weights stay where they are."""


def onward(folder: Path, **changes: object) -> Path:
    path = folder / "onward.toml"
    text = recipe_text(name="onward", **changes)
    path.write_text(text.replace("\nseed = ", '\nstart = "tiny"\nseed = ', 1), encoding="utf-8")
    return path


def test_a_run_goes_on_from_the_weights_of_an_earlier_one(cinc_like: Path, tmp_path: Path) -> None:
    first = checkpoint.load(run.train(str(tiny(tmp_path)), cinc_like, tmp_path)).net
    still = run.train(str(onward(tmp_path, peak_rate=STILL)), cinc_like, tmp_path)
    made = checkpoint.load(still)
    assert made.recipe.start == "tiny"
    weights = dict(made.net.named_parameters())
    assert weights.keys() == dict(first.named_parameters()).keys()
    for name, value in first.named_parameters():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-6, msg=name)
    untrained = build(made.recipe.architecture, made.recipe.net)
    far = [n for n, p in untrained.named_parameters() if p.ndim > 1 and torch.allclose(p, weights[n])]
    assert not far, "weights of its own start, not of the earlier run"


def test_a_start_that_is_missing_or_saw_other_records_is_named(cinc_like: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no checkpoint tiny\.pt.*Train it first"):
        run.train(str(onward(tmp_path)), cinc_like, tmp_path)
    plan = recipes.load(str(tiny(tmp_path)))
    other = dataclasses.replace(plan, data=dataclasses.replace(plan.data, inner_share=0.5))
    net = build(plan.architecture, plan.net)
    checkpoint.save(tmp_path / "tiny.pt", net.state_dict(), other, {})
    with pytest.raises(DataError, match="start tiny was trained on other windows or records"):
        run.train(str(onward(tmp_path)), cinc_like, tmp_path)


def test_a_start_of_another_net_is_named(cinc_like: Path, tmp_path: Path) -> None:
    plan = recipes.load(str(tiny(tmp_path, stem=8)))
    checkpoint.save(tmp_path / "tiny.pt", build(plan.architecture, plan.net).state_dict(), plan, {})
    with pytest.raises(DataError, match="start tiny has another net") as caught:
        run.train(str(onward(tmp_path)), cinc_like, tmp_path)
    assert "\n" not in str(caught.value)
