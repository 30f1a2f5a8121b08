"""Augmentation of whole batches of beat windows, as tensors, on the training side only.

Segments change, and deviations with them: the template stays what it was. All luck is torch's, which a run
seeds before each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ecgedge.beat_figures import INTERVALS, RATIOS

if TYPE_CHECKING:
    from ecgedge.training.beats.recipe import AugmentationOptions

_RATE, _HEIGHT = (INTERVALS.index(name) for name in ("running median / 0.8 s", "height / running median"))
_THERE = INTERVALS.index("a beat is there")


def augment(inputs: list[Tensor], options: AugmentationOptions) -> list[Tensor]:
    """Segments, deviations and intervals, each (batch, 1, beats, columns), as new tensors.

    * ``gain``: standard deviation of the logarithm of a factor, one a window; ``polarity``: share inverted;
    * ``noise``: most white noise, standard deviations of the template; ``wander``: most of a slope per beat;
    * ``shift``: share of the beats whose R peak is one sample off;
    * ``interval``, ``height``: noise of the figures, one draw a beat; ``rate``: the same for the heart rate,
      one draw a window.
    """
    segments, deviations, intervals = inputs
    n, _, beats, samples = segments.shape
    there = intervals[..., _THERE : _THERE + 1]
    template = segments - deviations
    changed = segments
    if options.shift:
        places = torch.arange(samples) + 2 * torch.randint(0, 2, (n, 1, beats, 1)) - 1
        moved = segments.gather(3, places.clamp(0, samples - 1))
        changed = torch.where(torch.rand(n, 1, beats, 1) < options.shift, moved, segments)
    strength = options.noise * torch.rand(n, 1, 1, 1) ** 2
    changed = changed + strength * torch.randn_like(segments)
    slope = options.wander * torch.rand(n, 1, 1, 1) ** 2 * torch.randn(n, 1, beats, 1)
    changed = changed + slope * torch.linspace(-1, 1, samples)
    sign = torch.where(torch.rand(n, 1, 1, 1) < options.polarity, -1.0, 1.0)
    factor = sign * torch.exp(options.gain * torch.randn(n, 1, 1, 1)) * there
    figures = intervals.clone()
    figures[..., :RATIOS] += options.interval * torch.randn(n, 1, beats, RATIOS) * there
    figures[..., _HEIGHT] += options.height * torch.randn(n, 1, beats) * there[..., 0]
    figures[..., _RATE] += options.rate * torch.randn(n, 1, 1) * there[..., 0]
    return [changed * factor, (changed - template) * factor, figures.clamp(-1.0, 1.0)]
