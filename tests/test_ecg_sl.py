"""The net after ECG-SL: shapes, its attention against torch's own, what it may and may not depend on."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

import torch
from torch import nn

from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.models.ecg_sl import AttentionPooling, BeatDecoder, BeatEncoder, BeatLayer, EcgSl, EcgSlConfig
from ecgedge.training.beats import recipe as recipes

BUDGET = 180_000
"""Parameters: an int8 file takes 1.3-1.6 bytes of each and 40-90 KB more; 250 KB is the limit."""


def net(**options: object) -> EcgSl:
    torch.manual_seed(0)
    made = EcgSl(EcgSlConfig(**options))  # type: ignore[arg-type]
    made.train()
    for _ in range(3):  # norms with statistics of their own
        made(*inputs(made, 16))
    return made.eval()


def inputs(made: EcgSl, n: int) -> list[torch.Tensor]:
    c = made.config
    columns = {"segments": c.samples, "deviations": c.samples, "intervals": c.figures}
    return [torch.randn(n, 1, c.beats, columns[name]) for name in made.inputs]


def test_the_shipped_recipe_is_small_and_has_six_convolutions() -> None:
    plan = recipes.load("ecg-sl")
    made = build(plan.architecture, plan.net)
    assert sum(p.numel() for p in made.parameters()) < BUDGET
    assert sum(isinstance(m, nn.Conv2d) for m in made.encoder.modules()) == 6
    assert made.inputs == tuple(entry["name"] for entry in plan.inputs)


@pytest.mark.parametrize("samples", [80, 81, 100, 160])
def test_the_decoder_gives_what_the_encoder_takes(samples: int) -> None:
    channels, beats = (8, 8, 12, 12, 16), torch.randn(3, 2, 5, samples)
    embeddings = BeatEncoder(samples, channels, 24)(beats)
    assert embeddings.shape == (3, 24, 5, 1)
    assert BeatDecoder(samples, channels, 24)(embeddings).shape == beats.shape


def test_each_beat_is_embedded_by_itself() -> None:
    made = net()
    segments, deviations, _ = inputs(made, 4)
    changed = segments.clone()
    changed[:, :, 3] += 1.0
    with torch.no_grad():
        moved = (made.embed(segments, deviations) - made.embed(changed, deviations)).abs().amax(dim=(0, 1, 3))
    assert moved[3] > 1e-3
    assert moved[[k for k in range(16) if k != 3]].max() < 1e-6


def test_attention_is_torchs() -> None:
    torch.manual_seed(1)
    layer, x = BeatLayer(32, 4, 64, 0.1).eval(), torch.randn(5, 32, 16, 1)
    seen: list[torch.Tensor] = []
    layer.project.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        layer(x)
        parts = [
            part(x)[..., 0].unflatten(1, (4, 8)).transpose(2, 3)
            for part in (layer.query, layer.key, layer.value)
        ]
        wanted = nn.functional.scaled_dot_product_attention(*parts)
    assert torch.allclose(seen[0][..., 0], wanted.transpose(2, 3).flatten(1, 2), atol=1e-5)


def test_without_positions_the_order_of_beats_is_of_no_matter_to_a_pooled_net() -> None:
    made = net(pooling="attention", beats=10)
    with torch.no_grad():
        made.position.zero_()
        given = inputs(made, 4)
        order = torch.randperm(10)
        assert torch.allclose(made(*given), made(*(x[:, :, order] for x in given)), atol=1e-5)


def test_pooling_is_a_weighted_mean() -> None:
    pool = AttentionPooling(8)
    x = torch.randn(3, 8, 7, 1)
    with torch.no_grad():
        low, high = x.amin(dim=(2, 3)), x.amax(dim=(2, 3))
        pooled = pool(x)
        assert ((pooled >= low) & (pooled <= high)).all()
        same = x[:, :, :1].expand_as(x)
        assert torch.allclose(pool(same), same[:, :, 0, 0], atol=1e-6)
        pool.score.weight.zero_()  # no beat is preferred
        assert torch.allclose(pool(x), x.mean(dim=(2, 3)), atol=1e-6)


def test_the_second_opinion_is_of_the_figures_around_each_beat() -> None:
    made = net(reading=8)
    given = inputs(made, 4)
    with torch.no_grad():
        alone = made.reading(given[2])
        told = made(*given)
        first = net_without_reading(made)(*given)
    assert torch.allclose(told, first + alone[:, :, 6:14].squeeze(3).transpose(1, 2), atol=1e-5)
    figures = given[2].clone()
    figures[:, :, 2] += 1.0
    with torch.no_grad():
        moved = (made.reading(figures) - alone).abs().amax(dim=(0, 1, 3))
    assert (moved[:6] > 1e-4).all()
    assert not moved[6:].any()


def net_without_reading(made: EcgSl) -> EcgSl:
    """The same net without its second opinion."""
    plain = EcgSl(EcgSlConfig(**{**vars(made.config), "reading": 0}))
    plain.load_state_dict({k: v for k, v in made.state_dict().items() if not k.startswith("reading.")})
    return plain.eval()


def test_in_training_each_window_goes_by_one_opinion() -> None:
    made = net(reading=8, dropout=0.0).train()
    given = [part[:1].repeat(64, 1, 1, 1) for part in inputs(made, 1)]
    with torch.no_grad():
        told = made(*given).flatten(1)
    assert len(torch.unique(told.round(decimals=3), dim=0)) == 2


@pytest.mark.parametrize("odd", [{"pooling": "mean"}, {"intervals": False}])
def test_a_second_opinion_needs_figures_of_each_beat(odd: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="reading"):
        EcgSlConfig(reading=8, **odd)  # type: ignore[arg-type]


def test_outputs_are_of_the_reported_beats_or_of_the_window() -> None:
    made = net()
    assert made(*inputs(made, 5)).shape == (5, 8, 4)
    for pooling in ("attention", "mean"):
        pooled = net(pooling=pooling, classes=5, beats=12)
        assert pooled(*inputs(pooled, 5)).shape == (5, 5)
    without = net(intervals=False)
    assert without.inputs == ("segments", "deviations")
    assert without(*inputs(without, 2)).shape == (2, 8, 4)


def test_every_reported_beat_hears_of_every_place() -> None:
    made = net(layers=1)
    given = [x.requires_grad_() for x in inputs(made, 1)]
    made(*given)[0, 0, 0].backward()
    for x in given:
        assert x.grad is not None
        assert (x.grad.abs().amax(dim=(0, 1, 3)) > 0).all()


@pytest.mark.parametrize(
    "options", [{"pooling": "max"}, {"width": 30}, {"emit": [8, 8]}, {"emit": [6, 17]}, {"nonsense": 1}]
)
def test_what_makes_no_net_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        build("ecg-sl", options)
