"""ECG-DualNet's ablation: what its nets differ in, a whole small run, and its table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

from benchmarks import ablation_dualnet as ablation
from benchmarks import report
from ecgedge.training import recipe as recipes

DIFFERENT = {
    "ReLU": {"activation": "relu"},
    "Pade unit, as published": {"activation": "pau"},
    "no signal encoder": {"signal_encoder": False},
    "no spectrogram encoder": {"spectrogram_encoder": False},
    "neither augmentation nor dropout": {"dropout": 0.0},
}


def test_the_nets_differ_in_what_their_names_say() -> None:
    whole = ablation.variant(ablation.WHOLE, 3, 7)
    assert (whole.seed, whole.optimiser.epochs, whole.start) == (3, 7, None)
    assert ablation.VARIANTS.keys() == {ablation.WHOLE, *DIFFERENT}
    defaults = {"signal_encoder": True, "spectrogram_encoder": True, "dropout": 0.05}
    for title, changed in DIFFERENT.items():
        plan = ablation.variant(title, 3, 7)
        for key in ("optimiser", "window", "preprocessing", "data", "seed", "start", "distillation"):
            assert getattr(plan, key) == getattr(whole, key), (title, key)
        off = {name for name, value in dataclasses.asdict(plan.augmentation).items() if value == 0.0}
        ours = {name for name, value in dataclasses.asdict(whole.augmentation).items() if value == 0.0}
        assert (off != ours) == ("augmentation" in title)
        before, now = ({**defaults, **one.net} for one in (whole, plan))
        if title.startswith("no "):  # the steering latent, or all norms and activations, go with the encoder
            before = {key: before[key] for key in defaults}
        assert {key: now[key] for key in before if now[key] != before[key]} == changed, title


@pytest.mark.timeout(300)
def test_the_whole_of_it_on_a_few_records(
    cinc_like: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nets of a few channels and windows of 10 s, in place of the recipes'."""
    load = recipes.load

    def small(name: str) -> recipes.Recipe:
        plan = load(name)
        net = {**plan.net, "length": 3000, "hidden": 8, "channels": [4, 4, 8, 8, 8]}
        window = dataclasses.replace(plan.window, length_s=10.0)
        data = dataclasses.replace(plan.data, inner_share=0.25)
        return dataclasses.replace(plan, net=net, window=window, data=data)

    monkeypatch.setattr(ablation.recipes, "load", small)
    words = ["ablation_dualnet", "--epochs", "3", "--every", "1", "--root", str(cinc_like)]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(tmp_path)])
    report.run(ablation.main)
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "ablation_dualnet.json").read_text())
    assert result["command"] == "python -m benchmarks.ablation_dualnet --epochs 3 --every 1"
    figures = result["figures"]
    assert list(figures["nets"]) == list(ablation.VARIANTS)
    for title, row in figures["nets"].items():
        (one,) = row["runs"]
        assert one["records"] == sum(figures["scored_on"])
        assert sum(map(sum, one["confusion"])) == one["records"]
        whole = figures["nets"][ablation.WHOLE]["runs"][0]
        assert one["gain"]["macro_f1"] == pytest.approx(one["macro_f1"] - whole["macro_f1"], abs=2e-4)
        assert f"| {title} | {row['parameters']:,} |" in printed


def test_several_seeds_give_a_mean_and_a_range() -> None:
    runs = [{"macro_f1": 0.5}, {"macro_f1": 0.75}]
    assert ablation.mean(runs, "macro_f1") == "0.625 (runs 0.500 to 0.750)"
    one = [{"macro_f1": 0.5, "macro_f1_interval": [0.4, 0.6]}]
    assert ablation.mean(one, "macro_f1") == "0.500 (0.400 to 0.600)"
