"""ECG-DualNet and ECG-DualNet++: a signal encoder whose latent steers a spectrogram encoder.

After Rohr, Reich, Höhl, Lilienthal, Dege, Plesinger, Bulkova, Clifford, Reyna and Hoog Antink,
*Exploring novel algorithms for atrial fibrillation detection by driving graduate level education in medical
machine learning*, Physiol. Meas. 43 (2022) 074001. Layers, sizes and parameter counts are the published ones.

What can be chosen otherwise, for a device: leaky ReLU(0.01) in place of the Pade unit (int8 has no
division), windows shorter than 60 s, ``q . k`` in place of the published third attention map, and
``scale_from_one``, which adds 1 to the conditional norms' scale. Either encoder can be left out, as in the
published ablation.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ecgedge.models.axial import AxialAttention
from ecgedge.models.conditional_norm import ConditionalNorm
from ecgedge.models.pau import activation
from ecgedge.models.signal_encoder import PIECE, SignalLstm, SignalTransformer, UnrolledLstm

FFT = 64
FRAME_STEP = 32
FROM_AXIAL = 2
"""The first of the five blocks that is an axial one in ECG-DualNet++."""


@dataclass(frozen=True)
class DualNetConfig:
    """Size of the net and what may be chosen in it."""

    channels: tuple[int, ...]
    """Of the five spectrogram blocks."""
    hidden: int
    """Of the LSTM, or the feed-forward width of the transformer."""
    layers: int
    heads: int = 0
    """Of the transformer; 0 means an LSTM, and with it residual blocks only."""
    length: int = 18_000
    """Samples of the window, at 300 Hz."""
    classes: int = 4
    dropout: float = 0.05
    activation: str = "pau"
    attention: str = "published"
    scale_from_one: bool = False
    signal_encoder: bool = True
    spectrogram_encoder: bool = True

    @property
    def latent(self) -> int:
        """Length of the signal encoder's output."""
        return PIECE if self.heads else self.hidden

    @property
    def frames(self) -> int:
        """Rows of the spectrogram."""
        return 1 + self.length // FRAME_STEP


SIZES = {
    "s": DualNetConfig((16, 32, 64, 128, 256), 128, 2),
    "m": DualNetConfig((32, 64, 128, 256, 256), 256, 2),
    "l": DualNetConfig((64, 128, 256, 256, 256), 256, 3),
    "xl": DualNetConfig((128, 256, 512, 512, 256), 512, 3),
    "pp-s": DualNetConfig((16, 32, 64, 128, 256), 128, 2, heads=8),
    "pp-m": DualNetConfig((32, 64, 128, 256, 256), 256, 2, heads=8),
    "pp-l": DualNetConfig((64, 128, 256, 256, 256), 256, 3, heads=8),
    "pp-xl": DualNetConfig((128, 256, 512, 512, 256), 512, 3, heads=8),
    "pp-130m": DualNetConfig((512, 2048, 2048, 2048, 512), 2048, 12, heads=32),
}
"""The published sizes; ``pp-`` are those of ECG-DualNet++."""


def sized(size: str = "s", **changes: Any) -> DualNetConfig:
    """A published size with some of its options changed.

    Raises
    ------
    ValueError
        For a size that is none of ``SIZES``.
    """
    if size not in SIZES:
        raise ValueError(f"size {size!r}: one of {list(SIZES)} is needed")
    return replace(SIZES[size], **changes)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with conditional norms around a shortcut; halves both axes."""

    def __init__(self, inside: int, outside: int, c: DualNetConfig) -> None:
        super().__init__()
        latent = c.latent if c.signal_encoder else 0
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.norm1 = ConditionalNorm(outside, latent, from_one=c.scale_from_one)
        self.act1 = activation(c.activation)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm2 = ConditionalNorm(outside, latent, from_one=c.scale_from_one)
        self.shortcut = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1, bias=False)
        self.act2 = activation(c.activation)
        self.dropout = nn.Dropout(c.dropout)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Map (batch, inside, time, frequency) to (batch, outside, time // 2, frequency // 2)."""
        y = self.dropout(self.act1(self.norm1(self.conv1(x), z)))
        y = self.norm2(self.conv2(y), z) + self.shortcut(x)
        out: Tensor = self.pool(self.dropout(self.act2(y)))
        return out


class AxialBlock(nn.Module):
    """Axial attention along time, then frequency, between 1x1 convolutions; halves both axes."""

    def __init__(self, inside: int, outside: int, span: tuple[int, int], c: DualNetConfig) -> None:
        super().__init__()
        latent = c.latent if c.signal_encoder else 0
        self.conv1 = nn.Conv2d(inside, outside, 1, bias=False)
        self.norm1 = ConditionalNorm(outside, latent, from_one=c.scale_from_one)
        self.act1 = activation(c.activation)
        self.time = AxialAttention(outside, span[0], "time", c.attention)
        self.frequency = AxialAttention(outside, span[1], "frequency", c.attention)
        self.dropout = nn.Dropout(c.dropout)
        self.conv2 = nn.Conv2d(outside, outside, 1, bias=False)
        self.norm2 = ConditionalNorm(outside, latent, from_one=c.scale_from_one)
        self.shortcut = nn.Identity() if inside == outside else nn.Conv2d(inside, outside, 1, bias=False)
        self.act2 = activation(c.activation)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor, z: Tensor | None) -> Tensor:
        """Map (batch, inside, time, frequency) to (batch, outside, time // 2, frequency // 2)."""
        y = self.frequency(self.time(self.act1(self.norm1(self.conv1(x), z))))
        y = self.norm2(self.conv2(self.pool(self.dropout(y))), z)
        out: Tensor = self.act2(y + self.pool(self.shortcut(x)))
        return out


class DualNet(nn.Module):
    """Window of one lead and its log-spectrogram -> class logits.

    Takes the tensors named in ``inputs``, in that order, float32: ``signal`` (batch, 1, 1, length) and
    ``spectrogram`` (batch, 1, frames, 33), as ``ecgedge.features`` makes them; gives (batch, classes).
    """

    def __init__(self, config: DualNetConfig | None = None) -> None:
        super().__init__()
        c = config or SIZES["s"]
        self.config = c
        if not (c.signal_encoder or c.spectrogram_encoder):
            raise ValueError("both encoders left out: one is needed")
        inputs = {"signal": c.signal_encoder, "spectrogram": c.spectrogram_encoder}
        self.inputs = tuple(name for name, there in inputs.items() if there)
        if not c.signal_encoder:
            self.encoder: nn.Module | None = None
        elif c.heads:
            self.encoder = SignalTransformer(c.length, c.layers, c.heads, c.hidden, c.dropout)
        else:
            self.encoder = SignalLstm(c.hidden, c.layers, c.dropout)
        if c.spectrogram_encoder:
            self.blocks = nn.ModuleList()
            inside, (time, frequency) = 1, (c.frames, FFT // 2 + 1)
            for k, outside in enumerate(c.channels):
                if c.heads and k >= FROM_AXIAL:
                    self.blocks.append(AxialBlock(inside, outside, (time, frequency), c))
                else:
                    self.blocks.append(ResidualBlock(inside, outside, c))
                inside, time, frequency = outside, time // 2, frequency // 2
            self.head = nn.Linear(inside, c.latent)
            self.head_act = activation(c.activation)
        self.classify = nn.Linear(c.latent, c.classes)

    def forward(self, *tensors: Tensor) -> Tensor:
        """Give the logits, shape (batch, classes)."""
        given = dict(zip(self.inputs, tensors, strict=True))
        z = self.encoder(given["signal"]) if self.encoder is not None else None
        if "spectrogram" not in given:
            only: Tensor = self.classify(z)
            return only
        steering = None if z is None else z[:, :, None, None]
        x = given["spectrogram"]
        for block in self.blocks:
            x = block(x, steering)
        latent = self.head_act(self.head(x.mean(dim=(2, 3))))
        logits: Tensor = self.classify(latent if z is None else latent + z)
        return logits

    def exportable(self) -> DualNet:
        """The same net with the LSTM's recurrence written out: converters make a loop of it otherwise."""
        net = copy.deepcopy(self)
        if isinstance(net.encoder, SignalLstm):
            net.encoder = UnrolledLstm(net.encoder)
        return net
