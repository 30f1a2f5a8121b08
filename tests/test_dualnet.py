"""ECG-DualNet: published sizes, and every part of it against torch's own or a plain loop."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")

import torch
from torch import Tensor, nn

from ecgedge.bundle import list_bundles
from ecgedge.errors import DataError
from ecgedge.models import build
from ecgedge.models.axial import AxialAttention
from ecgedge.models.conditional_norm import ConditionalNorm
from ecgedge.models.dualnet import SIZES, DualNet, sized
from ecgedge.models.pau import Pau, activation
from ecgedge.models.signal_encoder import EncoderLayer, SignalLstm, UnrolledLstm, pieces, steps
from ecgedge.training import recipe as recipes

PUBLISHED = {
    "s": 1_840_210,
    "m": 4_269_618,
    "l": 6_176_498,
    "xl": 20_683_122,
    "pp-s": 1_785_186,
    "pp-m": 2_589_714,
    "pp-l": 3_717_426,
    "pp-xl": 8_212_658,
    "pp-130m": 127_833_010,
}
POSITION = 80 * 256
"""The positional embedding, which the published counts of ++ S to XL leave out."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def windows(net: DualNet, n: int = 2) -> list[Tensor]:
    """Random inputs for a net."""
    c = net.config
    shapes = {"signal": (1, c.length), "spectrogram": (c.frames, 33)}
    return [torch.randn(n, 1, *shapes[name]) for name in net.inputs]


def stirred(net: nn.Module) -> nn.Module:
    """The net with norms that are no identity, in evaluation mode."""
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.5, 0.5)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return net.eval()


# ---- sizes


@pytest.mark.parametrize("size", SIZES)
def test_parameters_are_the_published_ones(size: str) -> None:
    with torch.device("meta"):  # counted, not allocated
        net = DualNet(SIZES[size])
    left_out = POSITION if size in ("pp-s", "pp-m", "pp-l", "pp-xl") else 0
    assert sum(p.numel() for p in net.parameters()) == PUBLISHED[size] + left_out


@pytest.mark.parametrize("size", SIZES)
def test_every_size_maps_a_minute_to_logits(size: str) -> None:
    """On the meta device: shapes are those of real tensors, at no cost."""
    with torch.device("meta"):
        net = DualNet(SIZES[size])
        assert net.config.frames == 563
        assert steps(net.config.length) == 80
        assert net(*windows(net)).shape == (2, 4)
        x, z = torch.randn(2, 1, 563, 33), torch.randn(2, net.config.latent, 1, 1)
        shapes = [(x := block(x, z)).shape[2:] for block in net.blocks]
    assert shapes == [(281, 16), (140, 8), (70, 4), (35, 2), (17, 1)]


@pytest.mark.parametrize("size", ["s", "pp-s"])
@pytest.mark.parametrize("length", [9000, 18000])
def test_a_window_does_not_depend_on_its_neighbours_and_dropout_is_for_training_only(
    size: str, length: int
) -> None:
    net = stirred(DualNet(sized(size, length=length)))
    given = windows(net)
    with torch.no_grad():
        logits = net(*given)
        alone = torch.cat([net(*(x[k : k + 1] for x in given)) for k in range(2)])
        torch.testing.assert_close(logits, alone, rtol=1e-4, atol=1e-5)
        assert torch.isfinite(logits).all()
        net.train()
        assert not torch.equal(net(*given), net(*given))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"size": "xxs"}, "xxs"),
        ({"activation": "relu6"}, "relu6"),
        ({"size": "pp-s", "attention": "none"}, "none"),
        ({"size": "pp-s", "channels": [16, 32, 40, 128, 256]}, "40 channels"),
        ({"signal_encoder": False, "spectrogram_encoder": False}, "both encoders"),
        ({"depth": 3}, "depth"),
        ({"hidden": 0}, "hidden"),
    ],
)
def test_what_makes_no_net_is_refused_in_one_line(options: dict, named: str) -> None:
    with pytest.raises(DataError, match=named) as caught:
        build("dualnet", options)
    assert "\n" not in str(caught.value)


def test_sizes_that_were_not_trained_say_so_and_have_no_bundle() -> None:
    shipped = set(list_bundles())
    for size in SIZES.keys() - {"s"}:
        name = f"dualnet{size}" if size.startswith("pp-") else f"dualnet-{size}"
        assert name not in shipped
        head = (recipes.RECIPES / f"{name}.toml").read_text(encoding="utf-8").partition("name = ")[0]
        assert "not trained yet" in head


# ---- the ablation


def test_without_the_signal_encoder_norms_are_plain() -> None:
    whole, net = DualNet(SIZES["s"]), DualNet(sized("s", signal_encoder=False))
    assert net.inputs == ("spectrogram",)
    conditional = 2 * sum(2 * 128 * c for c in SIZES["s"].channels)
    lstm = sum(p.numel() for p in whole.encoder.parameters())
    assert lstm == 329_728
    assert sum(p.numel() for p in net.parameters()) == PUBLISHED["s"] - conditional - lstm
    assert net(*windows(net)).shape == (2, 4)


def test_without_the_spectrogram_encoder_a_linear_layer_reads_the_latent() -> None:
    net = DualNet(sized("s", spectrogram_encoder=False)).eval()
    assert net.inputs == ("signal",)
    assert sum(p.numel() for p in net.parameters()) == 329_728 + 4 * 128 + 4
    given = windows(net)
    latent = net.encoder(*given)
    torch.testing.assert_close(net(*given), latent @ net.classify.weight.T + net.classify.bias)


def test_the_latent_reaches_the_logits_by_both_ways() -> None:
    """Through the norms, and added at the end."""
    net = stirred(DualNet(sized("s", length=9000)))
    given = windows(net)
    other = [torch.randn_like(given[0]), given[1]]
    with torch.no_grad():
        added = net.classify(net.encoder(other[0]) - net.encoder(given[0])) - net.classify.bias
        assert not torch.allclose(net(*other) - net(*given), added, atol=1e-5)
        for norm in (m for m in net.modules() if isinstance(m, ConditionalNorm)):
            norm.scale.weight.zero_(), norm.shift.weight.zero_()
        torch.testing.assert_close(net(*other) - net(*given), added, atol=1e-5, rtol=1e-4)


# ---- the Pade unit


def test_pau_is_its_formula() -> None:
    unit, x = Pau().double(), torch.linspace(-12, 12, 1001, dtype=torch.float64)
    nn.init.normal_(unit.numerator)
    nn.init.normal_(unit.denominator)
    above = sum(a * x**k for k, a in enumerate(unit.numerator))
    below = 1 + sum((b * x**k).abs() for k, b in enumerate(unit.denominator, 1))
    torch.testing.assert_close(unit(x), above / below)


def test_pau_starts_near_leaky_relu_and_bends_away() -> None:
    """Figures of the published start: within 0.034 on [-3, 3], 0.32 at 5, f(10) = 7.8, f(-10) = -2.3."""
    unit, leaky = Pau().double(), activation("leaky_relu")
    x = torch.linspace(-3, 3, 1001, dtype=torch.float64)
    assert (unit(x) - leaky(x)).abs().max() <= 0.034
    at = unit(torch.tensor([5.0, 10.0, -10.0], dtype=torch.float64)).tolist()
    assert at == pytest.approx([5 - 0.32, 7.8, -2.3], abs=0.06)


def test_pau_learns() -> None:
    unit, x = Pau(), torch.linspace(-4, 4, 200)
    optimiser = torch.optim.Adam(unit.parameters(), lr=0.01)
    losses = []
    for _ in range(300):
        loss = ((unit(x) - torch.tanh(x)) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("kind", ["leaky_relu", "relu"])
def test_other_activations_have_nothing_to_learn(kind: str) -> None:
    """Eleven units of ten scalars less than published, and the negative side as the name says."""
    net = DualNet(sized("s", activation=kind))
    assert sum(p.numel() for p in net.parameters()) == PUBLISHED["s"] - 11 * 10
    x = torch.tensor([-2.0, 3.0])
    assert net.head_act(x).tolist() == pytest.approx([-0.02 if kind == "leaky_relu" else 0.0, 3.0])


# ---- conditional norm


@pytest.mark.parametrize("from_one", [False, True])
def test_conditional_norm_is_its_formula(from_one: bool) -> None:
    norm = ConditionalNorm(6, 10, from_one=from_one)
    nn.init.uniform_(norm.norm.weight, 0.5, 1.5)
    nn.init.normal_(norm.norm.bias)
    x, z = torch.randn(5, 6, 7, 3) * 2 + 1, torch.randn(5, 10)
    plain = nn.functional.batch_norm(x, None, None, norm.norm.weight, norm.norm.bias, training=True)
    scale = z @ norm.scale.weight[:, :, 0, 0].T + float(from_one)
    shift = z @ norm.shift.weight[:, :, 0, 0].T
    expected = scale[:, :, None, None] * plain + shift[:, :, None, None]
    torch.testing.assert_close(norm(x, z[:, :, None, None]), expected)
    assert norm.scale.bias is norm.shift.bias is None


def test_conditional_norm_without_a_latent_is_a_batch_norm() -> None:
    norm, plain, x = ConditionalNorm(6, 0), nn.BatchNorm2d(6), torch.randn(5, 6, 7, 3)
    assert torch.equal(norm(x, None), plain(x))


# ---- the signal encoders


def test_pieces_overlap_by_32_samples() -> None:
    signal = torch.arange(18_000.0).reshape(1, 1, 1, -1)
    cut = pieces(signal)
    assert len(cut) == 80
    assert [piece[0, 0].item() for piece in cut] == [224.0 * k for k in range(80)]
    assert all(piece.shape == (1, 256) for piece in cut)
    assert cut[-1][0, -1].item() == 18_000 - 48 - 1, "the last 48 samples are not used"


@pytest.mark.parametrize(("hidden", "layers", "length"), [(128, 2, 9000), (256, 3, 18_000), (8, 1, 500)])
def test_the_unrolled_lstm_is_torchs(hidden: int, layers: int, length: int) -> None:
    encoder = SignalLstm(hidden, layers, 0.05).eval()
    signal = torch.randn(3, 1, 1, length)
    with torch.no_grad():
        given, mine = encoder(signal), UnrolledLstm(encoder)(signal)
        _, (hidden_state, _) = encoder.lstm(signal.flatten(1).unfold(1, 256, 224))
    torch.testing.assert_close(given, hidden_state[-1], rtol=0, atol=0)
    torch.testing.assert_close(mine, given, rtol=1e-5, atol=1e-6)


def test_the_exported_net_is_the_net_and_leaves_it_alone() -> None:
    net = stirred(DualNet(sized("s", length=9000)))
    given = windows(net)
    exported = net.exportable().eval()
    assert not [m for m in exported.modules() if isinstance(m, nn.LSTM)]
    assert isinstance(net.encoder, SignalLstm)
    with torch.no_grad():
        torch.testing.assert_close(exported(*given), net(*given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("heads", [1, 8])
def test_the_encoder_layer_is_torchs(heads: int) -> None:
    mine = EncoderLayer(64, heads, 96, 0.1).eval()
    theirs = nn.TransformerEncoderLayer(64, heads, 96, activation="gelu", batch_first=True).eval()
    for norm in (mine.norm1, mine.norm2):
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    packed = (mine.query, mine.key, mine.value)
    attention = theirs.self_attn
    with torch.no_grad():
        attention.in_proj_weight.copy_(torch.cat([part.weight for part in packed]))
        attention.in_proj_bias.copy_(torch.cat([part.bias for part in packed]))
    same = {
        attention.out_proj: mine.project,
        theirs.linear1: mine.widen,
        theirs.linear2: mine.narrow,
        theirs.norm1: mine.norm1,
        theirs.norm2: mine.norm2,
    }
    for to, source in same.items():
        to.load_state_dict(source.state_dict())
    x = torch.randn(3, 20, 64)
    with torch.no_grad():
        torch.testing.assert_close(mine(x), theirs(x), rtol=1e-5, atol=1e-5)


def test_the_transformer_starts_as_torchs_does() -> None:
    """Spread and greatest of each kind of weight; layers that start alike."""
    torch.manual_seed(0)
    theirs = nn.TransformerEncoderLayer(256, 8, 128)
    mine = EncoderLayer(256, 8, 128, 0.1)
    query, key, value = theirs.self_attn.in_proj_weight.chunk(3)
    for own, other in (
        (mine.query.weight, query),
        (mine.key.weight, key),
        (mine.value.weight, value),
        (mine.project.weight, theirs.self_attn.out_proj.weight),
        (mine.widen.weight, theirs.linear1.weight),
        (mine.narrow.weight, theirs.linear2.weight),
    ):
        assert own.std().item() == pytest.approx(other.std().item(), rel=0.02)
        assert own.abs().max().item() == pytest.approx(other.abs().max().item(), rel=0.01)
    assert not any(theirs.self_attn.in_proj_bias.tolist() + theirs.self_attn.out_proj.bias.tolist())
    for part in (mine.query, mine.key, mine.value, mine.project):
        assert not part.bias.any()
    first, second = DualNet(sized("pp-s")).encoder.layers
    assert set(first.state_dict()) == set(mine.state_dict())
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, second.state_dict()[name]), name
        assert weight.data_ptr() != second.state_dict()[name].data_ptr(), "each learns for itself"


# ---- axial attention


def by_loops(layer: AxialAttention, x: Tensor) -> Tensor:
    """Attention along the last axis of (b, c, others, n), element by element, as the formulas read."""
    batch, channels, others, n = x.shape
    g = channels // 16
    half = g // 2
    qkv = layer.norm(layer.project(x))
    r = layer.relative
    maps = torch.empty(batch * others, 48, n, n, dtype=x.dtype)
    lines = [(b, o) for b in range(batch) for o in range(others)]
    for row, (b, o) in enumerate(lines):
        for group in range(16):
            own = qkv[b, group * 2 * g : (group + 1) * 2 * g, o]
            q, k = own[:half], own[half:g]
            first, second = torch.empty(n, n, dtype=x.dtype), torch.empty(n, n, dtype=x.dtype)
            for i in range(n):
                for j in range(n):
                    at = i - j + n - 1
                    first[i, j] = sum(q[c, i] * r[c, at] for c in range(half))
                    second[i, j] = sum(k[c, i] * r[half + c, at] for c in range(half))
            third = torch.empty(n, n, dtype=x.dtype)
            for i in range(n):
                for j in range(n):
                    third[i, j] = (
                        sum(first[m, i] * second[m, j] for m in range(n))
                        if layer.logits == "published"
                        else sum(q[c, i] * k[c, j] for c in range(half))
                    )
            for part, one in enumerate((first, second, third)):
                maps[row, 16 * part + group] = one
    maps = layer.norm_logits(maps)
    halves = torch.empty(batch * others, 2 * channels, 1, n, dtype=x.dtype)
    for row, (b, o) in enumerate(lines):
        for group in range(16):
            weights = (maps[row, group] + maps[row, 16 + group] + maps[row, 32 + group]).softmax(dim=1)
            v = qkv[b, group * 2 * g + g : (group + 1) * 2 * g, o]
            for c in range(g):
                for i in range(n):
                    to = group * g + c
                    halves[row, to, 0, i] = sum(weights[i, j] * v[c, j] for j in range(n))
                    halves[row, channels + to, 0, i] = sum(
                        weights[i, j] * r[g + c, i - j + n - 1] for j in range(n)
                    )
    halves = layer.norm_output(halves)
    out = torch.empty_like(x)
    for row, (b, o) in enumerate(lines):
        out[b, :, o] = halves[row, :channels, 0] + halves[row, channels:, 0]
    return out


@pytest.mark.parametrize("logits", ["published", "qk"])
@pytest.mark.parametrize("along", ["time", "frequency"])
def test_axial_attention_is_its_formulas(along: str, logits: str) -> None:
    layer = stirred(AxialAttention(64, 5, along, logits)).double()
    x = torch.randn(2, 64, 5, 3, dtype=torch.float64)
    if along == "frequency":
        x = x.transpose(2, 3)
    with torch.no_grad():
        mine = layer(x)
        expected = by_loops(layer, x.transpose(2, 3) if along == "time" else x)
    if along == "time":
        expected = expected.transpose(2, 3)
    torch.testing.assert_close(mine, expected)


def test_every_parameter_gets_a_gradient() -> None:
    for size in ("s", "pp-s"):
        c = dataclasses.replace(SIZES[size], length=3000)
        net = DualNet(c)
        net(*windows(net, 4)).square().mean().backward()
        still = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
        assert not still, size
