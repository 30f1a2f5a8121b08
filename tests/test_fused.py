"""EfficientECG fused: its parts against formulas and torch's own, training, and the road to int8."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("lightning", reason="needs the extra 'train'")

import torch
from small_cinc import TINY_NET
from torch import Tensor, nn

from ecgedge.bundle import list_bundles
from ecgedge.errors import DataError
from ecgedge.features import check_kind
from ecgedge.messages import Context, Person
from ecgedge.models import build
from ecgedge.models.efficientecg import EfficientEcg
from ecgedge.models.fused import (
    RECONSTRUCTION,
    CrossAttention,
    FusedConfig,
    FusedEcg,
    PWaveAutoencoder,
    RrAutoencoder,
    Token,
)
from ecgedge.training import checkpoint, run
from ecgedge.training import recipe as recipes
from ecgedge.training.data import ConditionedSet, condition, context_of, input_list
from ecgedge.training.module import WindowClassifier

RECIPES = {
    "efficientecg-s-rp": ("signal", "rr", "p"),
    "efficientecg-s-fused": ("signal", "rr", "p", "age", "sex"),
}
SHAPES = {"signal": (1, 3000), "rr": (2, 32), "p": (16, 20), "age": (1, 11), "sex": (1, 3)}
INT8_FRIENDLY = (nn.Conv2d, nn.BatchNorm2d, nn.SiLU, nn.Linear, nn.Dropout)


def row(values: int, at: list[int]) -> Tensor:
    return torch.eye(values)[at][:, None, None]


def windows(net: FusedEcg, n: int = 4) -> list[Tensor]:
    """Random signals and beats; persons known and unknown."""
    made = {name: torch.randn(n, 1, *SHAPES[name]) for name in net.inputs}
    for name in {"age", "sex"} & set(net.inputs):
        values = SHAPES[name][1]
        made[name] = row(values, [k % values for k in range(n)])
    return list(made.values())


def stirred(net: nn.Module) -> nn.Module:
    """With norms that are no identity, measured on random windows of a whole net, and known tokens."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5), nn.init.normal_(module.bias, std=0.2)
            module.momentum = None
        if isinstance(module, Token):
            nn.init.normal_(module.known)
    if isinstance(net, FusedEcg):
        with torch.no_grad():
            net.train()(*windows(net, 32))
    return net.eval()


# ---- the whole net


def test_without_anything_joined_it_is_the_backbone() -> None:
    plain, fused = EfficientEcg(), FusedEcg(FusedConfig(beats=False, person=False))
    fused.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 1, 3000)
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), fused.eval()(x))


@pytest.mark.parametrize("beats", [True, False])
@pytest.mark.parametrize("person", [True, False])
def test_it_takes_what_is_joined_and_gives_a_row_of_logits_each(beats: bool, person: bool) -> None:
    net = stirred(FusedEcg(FusedConfig(beats=beats, person=person)))
    expected = ["signal", *(["rr", "p"] if beats else []), *(["age", "sex"] if person else [])]
    assert list(net.inputs) == expected
    given = windows(net)
    with torch.no_grad():
        logits = net(*given)
        assert logits.shape == (4, 4)
        alone = torch.cat([net(*(x[k : k + 1] for x in given)) for k in range(4)])
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
        for k in range(len(given)):  # every input tells
            turned = [*given[:k], given[k].flip(0), *given[k + 1 :]]
            assert (net(*turned) - logits).abs().max() > 1e-4
    with pytest.raises(ValueError, match="zip"):
        net(*given, given[0])


def test_every_parameter_gets_a_gradient() -> None:
    net = FusedEcg()
    given = windows(net, 32)
    (net(*given).square().mean() + net.auxiliary_loss(*given)).backward()
    still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert not still


def test_only_modules_that_survive_int8() -> None:
    for module in FusedEcg().modules():
        if not list(module.children()) and not isinstance(module, Token):
            assert isinstance(module, INT8_FRIENDLY), module
        if isinstance(module, nn.Conv2d):
            assert len(set(module.stride)) == 1


def test_the_decoders_are_no_part_of_the_answer() -> None:
    net = stirred(FusedEcg())
    given = windows(net)
    with torch.no_grad():
        before = net(*given)
        for decoder in (net.rr.decode, net.p.decode):
            for p in decoder.parameters():
                p.fill_(torch.nan)
        assert torch.equal(net(*given), before)
        assert torch.isnan(net.auxiliary_loss(*given))


def test_a_number_of_points_that_cannot_be_halved_twice_is_refused_in_one_line() -> None:
    with pytest.raises(DataError, match="30 points") as caught:
        build("efficientecg-fused", {"points": 30})
    assert "\n" not in str(caught.value)


# ---- age and sex


def test_a_value_that_was_never_seen_is_as_good_as_unknown() -> None:
    """Trained on one age and on unknown, with weight decay; another age answers as unknown does."""
    torch.manual_seed(0)
    net = FusedEcg(FusedConfig(unknown=0.5))
    optimiser = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.1)
    for _ in range(3):
        given = dict(zip(net.inputs, windows(net, 8), strict=True)) | {"age": row(11, [4, 0] * 4)}
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(*given.values()), torch.randint(4, (8,))).backward()
        optimiser.step()
    given = dict(zip(net.inputs, windows(net.eval(), 2), strict=True))
    with torch.no_grad():
        unknown, seen, unseen = (net(*(given | {"age": row(11, [k, k])}).values()) for k in (0, 4, 7))
    assert torch.equal(unknown, unseen)
    assert not torch.equal(unknown, seen)


def test_half_of_the_training_windows_lose_their_age_and_no_other_window_does() -> None:
    torch.manual_seed(0)
    token = Token(11, 8, 0.5)
    nn.init.normal_(token.known)
    rows = row(11, [5] * 2000)
    with torch.no_grad():
        lost = (token.train()(rows) == token.bias[:, None, None]).all(dim=1).float().mean()
        told = token.eval()(rows)
    assert 0.45 < lost < 0.55
    torch.testing.assert_close(told[0, :, 0, 0], token.bias + token.known[:, 0, 0, 4])
    assert torch.equal(told, told[:1].expand_as(told))


def test_a_token_is_an_embedding() -> None:
    token = Token(11, 8, 0.5).eval()
    nn.init.normal_(token.known)
    table = torch.cat((torch.zeros(8, 1), token.known[:, 0, 0]), dim=1).T + token.bias
    with torch.no_grad():
        told = token(row(11, list(range(11))))
    torch.testing.assert_close(told[:, :, 0, 0], nn.functional.embedding(torch.arange(11), table))


def test_cross_attention_is_torchs() -> None:
    mine = CrossAttention(24, 16, 12).eval()
    theirs = nn.MultiheadAttention(16, 1, kdim=24, vdim=24, batch_first=True).eval()
    with torch.no_grad():
        pairs = ((mine.query, theirs.q_proj_weight), (mine.key, theirs.k_proj_weight))
        for layer, weight in (*pairs, (mine.value, theirs.v_proj_weight)):
            weight.copy_(layer.weight[:, :, 0, 0])
        theirs.in_proj_bias.copy_(torch.cat([m.bias for m in (mine.query, mine.key, mine.value)]))
        theirs.out_proj.weight.copy_(mine.project.weight[:, :, 0, 0])
        theirs.out_proj.bias.copy_(mine.project.bias)
        tokens, x = torch.randn(3, 16, 1, 2), torch.randn(3, 24, 1, 47)
        pieces = x[:, :, 0, :45].reshape(3, 24, 15, 3).mean(dim=3)
        rows, memory = tokens[:, :, 0].transpose(1, 2), pieces.transpose(1, 2)
        gathered = (rows + theirs(rows, memory, memory)[0]).transpose(1, 2)[:, :, None]
        expected = nn.functional.batch_norm(gathered, torch.zeros(16), torch.ones(16))
        torch.testing.assert_close(mine(tokens, x), expected, rtol=1e-5, atol=1e-5)


# ---- the autoencoders


@pytest.mark.parametrize(("kind", "shape"), [(RrAutoencoder, (2, 32)), (PWaveAutoencoder, (16, 20))])
def test_the_loss_is_the_error_of_what_was_decoded(kind: Any, shape: tuple[int, int]) -> None:
    part = stirred(kind(32 if kind is RrAutoencoder else 20, 6))
    x = torch.randn(5, 1, *shape)
    with torch.no_grad():
        latent = part(x)
        errors = []
        for k in range(5):
            if kind is RrAutoencoder:
                assert latent.shape == (5, 6, 1, 1)
                errors.append(part.decode(latent[k, :, 0, 0]).reshape(shape) - x[k, 0])
            else:
                assert latent.shape == (5, 6, 16, 1)
                errors.append(torch.stack([part.decode(latent[k, :, b, 0]) for b in range(16)]) - x[k, 0])
        torch.testing.assert_close(part.loss(x), torch.stack(errors).square().mean())


def test_a_p_wave_is_encoded_by_itself() -> None:
    part, x = stirred(PWaveAutoencoder(20, 6)), torch.randn(1, 1, 16, 20)
    turned = x.clone()
    turned[0, 0, 3] = 0
    with torch.no_grad():
        changed = (part(x) - part(turned)).abs().amax(dim=(0, 1, 3))
    assert torch.equal(changed > 0, torch.arange(16) == 3)


def test_the_autoencoder_learns_to_give_back_more_than_the_mean() -> None:
    """Waves of one family: the latent must hold which one it was."""
    torch.manual_seed(0)
    part = PWaveAutoencoder(20, 6)
    t = torch.linspace(0, 1, 20)

    def waves(n: int) -> Tensor:
        centre, height = torch.rand(n, 1, 16, 1), torch.randn(n, 1, 16, 1)
        return height * torch.exp(-(((t - centre) / 0.2) ** 2))

    optimiser = torch.optim.Adam(part.parameters(), 5e-3)
    for _ in range(200):
        optimiser.zero_grad()
        part.loss(waves(32)).backward()
        optimiser.step()
    fresh = waves(64)
    with torch.no_grad():
        assert part.eval().loss(fresh) < 0.2 * fresh.var()


# ---- recipes and training


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_describes_what_its_net_takes(name: str) -> None:
    plan = recipes.load(name)
    assert plan.name == name
    net = WindowClassifier(plan).net
    assert net.inputs == RECIPES[name]
    assert [tuple(e["shape"]) for e in input_list(plan)] == [(1, *SHAPES[key]) for key in net.inputs]
    plain = recipes.load("efficientecg-s-plain")
    for key in ("preprocessing", "window", "data", "optimiser", "augmentation", "seed"):
        assert getattr(plan, key) == getattr(plain, key), f"{key}: an ablation changes the net alone"
    for key, value in plain.net.items():
        assert plan.net[key] == value


@pytest.mark.parametrize("name", ["efficientecg-s-rp", "efficientecg-s-fused"])
def test_a_recipe_says_whether_its_net_was_trained(name: str) -> None:
    kept = Path(__file__).parents[1] / "export" / "checkpoints" / f"{name}.pt"
    head = (recipes.RECIPES / f"{name}.toml").read_text(encoding="utf-8").partition("name = ")[0]
    assert ("Not trained" in head) == (not kept.exists() and name not in list_bundles())


def test_beats_and_the_published_steps_are_refused_together(tmp_path: Path) -> None:
    text = (recipes.RECIPES / "efficientecg-s-rp.toml").read_text(encoding="utf-8")
    path = tmp_path / "x.toml"
    path.write_text(text[: text.index("[augmentation]")] + "[published_augmentation]\np = 0.2\n")
    with pytest.raises(DataError, match="p-waves") as caught:
        recipes.load(str(path))
    assert "\n" not in str(caught.value)


def small(name: str = "efficientecg-s-fused") -> recipes.Recipe:
    plan = recipes.load(name)
    options = dataclasses.replace(plan.optimiser, epochs=2, batch=8)
    data = dataclasses.replace(plan.data, inner_share=0.25)
    return dataclasses.replace(plan, name="tiny", net={**plan.net, **TINY_NET}, optimiser=options, data=data)


def test_training_adds_the_reconstruction_to_its_loss() -> None:
    plan = small()
    module = WindowClassifier(plan)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    net: Any = module.net.eval()  # the same answer twice
    given, label = windows(net, 8), torch.randint(4, (8,))
    with torch.no_grad():
        told = module.training_step((given, label), 0)
        plain = module.loss(net(*given), label)
        parts = net.rr.loss(given[1]) + net.p.loss(given[2])
    assert RECONSTRUCTION == 0.1
    torch.testing.assert_close(told, plain + 0.1 * parts)


@pytest.mark.parametrize("name", RECIPES)
def test_a_small_run_trains_and_loads(name: str, cinc_like: Path, tmp_path: Path, monkeypatch: Any) -> None:
    plan = small(name)
    monkeypatch.setattr(recipes, "load", lambda _: plan)
    path = run.train("tiny", cinc_like, tmp_path, threads=1)
    trained = checkpoint.load(path)
    assert trained.recipe == plan
    fresh = build(plan.architecture, plan.net).state_dict()
    torch.manual_seed(plan.seed)
    moved = [key for key, value in trained.net.state_dict().items() if not torch.equal(value, fresh[key])]
    assert {key.partition(".")[0] for key in moved} >= {"stem", "blocks", "head", "rr", "p", "classify"}
    records = run.training_sets(cinc_like, plan)[1]
    assert records.contexts is not None
    assert any(context.times_s.size > 5 for context in records.contexts)
    assert run.score(trained.net, records, plan)["accuracy"] == pytest.approx(
        trained.inner["accuracy"], abs=1e-6
    )
    for entry in plan.inputs:
        check_kind(entry, set())


# ---- int8


PERSONS = (Person(), Person(34, "f"), Person(71, "m"), Person(71, None), Person(None, "f"))


def patients(plan: recipes.Recipe) -> ConditionedSet:
    """Pieces of a simulated patient, each said to be of another person."""
    from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient

    pieces = SimulatedPatient(3, 260.0).pieces()
    counts = np.concatenate([piece.counts for piece in pieces]).astype(np.float64) * UV_PER_COUNT / 1000
    out = ConditionedSet([], [], [], [])
    assert out.contexts is not None
    for k in range(15):
        signal = counts[round(15 * k * RATE_HZ) : round((15 * k + 31) * RATE_HZ)]
        out.names.append(str(k))
        out.signals.append(condition(signal, RATE_HZ, plan.preprocessing))
        out.labels.append(k % 4)
        context: Context = context_of(signal, RATE_HZ, 100.0, PERSONS[k % len(PERSONS)])
        out.contexts.append(context)
    return out


@pytest.fixture(scope="module")
def made() -> Any:
    """An untrained net with norms fitted to its windows; its windows and logits; float and int8 models."""
    pytest.importorskip("tensorflow", reason="needs the extra 'export'")
    pytest.importorskip("onnx2tf", reason="needs the extra 'export'")
    from ecgedge.training.data import WindowDataset
    from export import rhythm
    from export.convert import convert

    plan = small()
    torch.manual_seed(0)
    net: Any = build(plan.architecture, plan.net)
    for token in (net.age, net.sex):
        nn.init.normal_(token.known)
        token.unknown = 0.0
    records = patients(plan)
    rows = WindowDataset(records, plan)
    batch = [torch.stack(column) for column in zip(*(rows[k][0] for k in range(len(rows))), strict=True)]
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = None
    with torch.no_grad():
        net.classify.weight *= 5
        net.train()(*batch)
    trained = checkpoint.Checkpoint(net.eval(), plan, {})
    scored = rhythm.score(trained, records)
    return trained, scored, *convert(trained.net, scored.windows)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_float_model_is_the_net_and_the_int8_one_is_near(made: Any) -> None:
    from export import gate

    _, scored, float_model, int8_model = made
    assert gate.check_float(scored.logits, float_model, scored.windows) < gate.MAX_FLOAT_ERROR
    for name in scored.windows:  # no input was dropped on the way
        turned = {**scored.windows, name: scored.windows[name][::-1]}
        with pytest.raises(gate.GateError, match="differs from torch"):
            gate.check_float(scored.logits, float_model, turned)
    operators = gate.check_graph(int8_model)["operators"]
    assert operators["BATCH_MATMUL"] == 2
    assert not {"DIV", "SPLIT", "TRANSPOSE_CONV", "RSQRT", "GATHER"} & set(operators)
    quantised = gate.logits(int8_model, scored.windows)
    assert np.abs(quantised - scored.logits).max() < 0.1 * np.ptp(scored.logits)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_bundle_runs_on_the_device_and_hears_age_and_sex(made: Any, tmp_path: Path, capsys: Any) -> None:
    import json

    from ecgedge import cli
    from ecgedge.bundle import open_bundle
    from ecgedge.golden import verify
    from export import manifest

    trained, _, _, int8_model = made
    facts = manifest.Facts(
        temperature=1.0,
        thresholds={"confidence": 0.3, "af_on": 0.5, "af_off": 0.3},
        parameters=sum(p.numel() for p in trained.net.parameters()),
        quantisation={},
        metrics={"command": "none"},
    )
    manifest.write(manifest.make(manifest.of_rhythm(trained.recipe), int8_model, facts), tmp_path)
    opened = open_bundle(str(tmp_path / "tiny.json"))
    assert sum("golden" in line for line in verify(opened)) == 6
    words = ["stream", "--port", "demo", "--speed", "max", "--duration", "40", "--format", "jsonl", "--model"]
    scores = {}
    for person in ((), ("--age", "71"), ("--age", "79"), ("--sex", "m"), ("--age", "34", "--sex", "f")):
        with pytest.raises(SystemExit):
            cli.main([*words, str(tmp_path / "tiny.json"), *person])
        told = capsys.readouterr()
        assert told.err == ""
        lines = [json.loads(line) for line in told.out.splitlines()]
        scores[person] = [str(line["scores"]) for line in lines if "scores" in line]
        assert scores[person]
    assert scores["--age", "71"] == scores["--age", "79"], "one bucket"
    assert len({str(s) for s in scores.values()}) == 4
