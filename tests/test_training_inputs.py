"""Training of nets with several inputs, and the published optimiser and loss."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import synthesised

from ecgedge.datasets import cinc2017
from ecgedge.errors import DataError
from ecgedge.frontend import Consumer, Frontend, Prepared
from ecgedge.messages import Board, SampleBlock, Segment
from ecgedge.training import checkpoint, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import condition, input_list, record_windows, tensors
from ecgedge.training.module import Loss, WindowClassifier

SECONDS = 10.0
CHANGES = {
    "size": "s",
    "length": round(SECONDS * 300),
    "length_s": SECONDS,
    "hop_s": 5.0,
    "epochs": 2,
    "batch": 8,
    "inner_share": 0.25,
}


def recipe_text(**changes: object) -> str:
    """dualnet-s-leaky with short windows and few channels; ``changes`` replace the values of keys."""
    text = (recipes.RECIPES / "dualnet-s-leaky.toml").read_text(encoding="utf-8")
    for key, value in {**CHANGES, **changes}.items():
        line = f"{key} = {json.dumps(value)}"
        text, n = re.subn(rf"^{key} = .*$", lambda _, line=line: line, text, flags=re.MULTILINE)
        assert n == 1, key
    text = text.replace('name = "dualnet-s-leaky"', 'name = "tiny"')
    return text.replace("[net]\n", "[net]\nchannels = [4, 4, 8, 8, 8]\nhidden = 8\n")


@pytest.fixture
def plan(tmp_path: Path) -> recipes.Recipe:
    (tmp_path / "tiny.toml").write_text(recipe_text(), encoding="utf-8")
    return recipes.load(str(tmp_path / "tiny.toml"))


@pytest.mark.parametrize("k", [0, 1, 2, 5])
def test_training_sees_both_inputs_of_the_device(plan: recipes.Recipe, k: int) -> None:
    _, _, counts = synthesised(k)
    consumer = Consumer("tiny", plan.preprocessing, plan.spec, input_list(plan))
    frontend = Frontend((consumer,))
    out = frontend.push(Segment(0, 0.0, 300.0, "declared", Board("test", 300.0, 1.0, 16)))
    for at in range(0, counts.size, 77):
        out += frontend.push(SampleBlock(at, counts[at : at + 77, None].astype(np.float64), at / 300.0))
    out += frontend.finish()
    device = [item.tensors for item in out if isinstance(item, Prepared) and not item.window.provisional]
    conditioned = condition(counts / cinc2017.COUNTS_PER_MV, 300.0, plan.preprocessing)
    windows = record_windows(conditioned, plan.spec)
    assert len(windows) == len(device) > 0
    for window, told in zip(windows, device, strict=True):
        signal, spectrogram = tensors(input_list(plan), window.signal)
        assert spectrogram.shape == (1, 94, 33)
        # The last bit of a float32; in the logarithm, of what is near the floor of 1e-3.
        np.testing.assert_allclose(signal, told["signal"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(spectrogram, told["spectrogram"], rtol=0, atol=2e-3)


def test_a_run_with_two_inputs_leaves_a_checkpoint(
    cinc_like: Path, plan: recipes.Recipe, tmp_path: Path
) -> None:
    path = run.train(str(tmp_path / "tiny.toml"), cinc_like, tmp_path / "out", threads=1)
    loaded = checkpoint.load(path)
    assert loaded.recipe == plan
    assert loaded.inner["records"] == 12
    with torch.no_grad():
        logits = loaded.net(torch.randn(2, 1, 1, 3000), torch.randn(2, 1, 94, 33))
    assert logits.shape == (2, 4)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("n_fft = 64", "n_fft = 63", "n_fft 63"),
        ("hop = 32\n", "", r"\[\[inputs\]\].*hop"),
        ('kind = "signal"', 'kind = "scalogram"', "scalogram"),
        ('kind = "signal"', 'kind = "signal"\ngain = 2', "gain"),
        ("seed = 1", 'seed = 1\ninputs = ["signal"]', "not TOML"),
        ('activation = "leaky_relu"', 'activation = "gelu"', "gelu"),
    ],
)
def test_a_recipe_that_is_off_is_refused_in_one_line(tmp_path: Path, old: str, new: str, match: str) -> None:
    text = recipe_text()
    assert old in text
    (tmp_path / "r.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=match) as caught:
        WindowClassifier(recipes.load(str(tmp_path / "r.toml")))
    assert "\n" not in str(caught.value)


# ---- the published way down


def published(**changes: object) -> recipes.OptimiserOptions:
    return dataclasses.replace(recipes.load("dualnet-m").optimiser, **changes)


def test_the_published_loss_is_its_formula() -> None:
    """-(1 / (4 N)) sum w_c y_c log p_c."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(24, 4, generator=generator)
    label = torch.randint(0, 4, (24,), generator=generator)
    weights = torch.tensor([0.4, 0.9, 0.7, 0.9])
    p = logits.softmax(dim=1)
    expected = -sum(weights[c] * torch.log(p[n, c]) for n, c in enumerate(label.tolist())) / (4 * 24)
    torch.testing.assert_close(Loss(published())(logits, label), expected)


def rates(options: recipes.OptimiserOptions, steps: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Learning rate before each step of a run."""
    module = WindowClassifier(dataclasses.replace(recipes.load("dualnet-s"), optimiser=options))
    trainer = SimpleNamespace(estimated_stepping_batches=steps)
    monkeypatch.setattr(WindowClassifier, "trainer", trainer)
    made = module.configure_optimizers()
    assert isinstance(made["optimizer"], torch.optim.RAdam if options.kind == "radam" else torch.optim.AdamW)
    found = []
    for _ in range(steps):
        found.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return found


def test_the_published_rate_falls_by_ten_after_each_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates(published(), 40, monkeypatch)
    assert found == pytest.approx([1e-3] * 10 + [1e-4] * 10 + [1e-5] * 10 + [1e-6] * 10)


def test_one_cycle_rises_for_a_quarter_and_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    options = recipes.load("dualnet-s").optimiser
    found = rates(options, 40, monkeypatch)
    assert max(found) == pytest.approx(options.peak_rate)
    assert found.index(max(found)) in (9, 10)
    assert found[-1] < 1e-3 * options.peak_rate
