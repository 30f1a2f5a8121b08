"""Scores and quality of a window -> what is said of it: a rhythm in words, or ``inconclusive``."""

from __future__ import annotations

import math

from ecgedge.messages import Quality, Scores, Verdict

INCONCLUSIVE = "inconclusive"
_EDGE = 1e-4  # no single witness is believed beyond this
AF = "A"
"""The class of atrial fibrillation."""
NOISE = "~"
"""The class by which a rhythm model calls a window too noisy to tell."""


def fuse(scores: dict[str, float], irregularity: float | None, target: str = AF) -> dict[str, float]:
    """Join the net's score of AF with what the RR intervals say: the mean of the two log odds.

    The two err differently: the net takes AF with many ectopic beats for another rhythm, irregular
    intervals alone take ectopy for AF. Both speak of readable signal, so the score of noise stays what it
    is, and the odds are those of AF among the rhythms. The other rhythms keep their proportions.
    """
    rhythms = sum(value for name, value in scores.items() if name != NOISE)
    others = rhythms - scores.get(target, 0.0)
    if irregularity is None or target not in scores or others <= 0:
        return scores
    odds = [math.log(p / (1 - p)) for p in (_inside(scores[target] / rhythms), _inside(irregularity))]
    joined = rhythms / (1 + math.exp(-sum(odds) / 2))
    rest = (rhythms - joined) / others
    fused = {name: value if name == NOISE else value * rest for name, value in scores.items()}
    return fused | {target: joined}


def _inside(probability: float) -> float:
    return min(max(probability, _EDGE), 1 - _EDGE)


def judge(
    scores: Scores,
    quality: Quality,
    irregularity: float | None,
    words: dict[str, str],
    confidence: float,
) -> Verdict:
    """Decide one window.

    Parameters
    ----------
    scores : a bundle's scores
    quality : of the same window
    irregularity : probability of AF from its RR intervals, None where they do not tell
    words : verdict of each class, from the bundle
    confidence : least fused score that the winning class must have
    """
    fused = fuse(scores.scores, irregularity)
    best = max(fused, key=fused.__getitem__)
    reasons: list[str] = []
    readable = quality.usable and best != NOISE
    if not quality.usable:
        reasons += quality.reasons or ("signal not usable",)
    if best == NOISE:
        reasons.append("the model calls it noise")
    elif fused[best] < confidence:
        reasons.append(f"no rhythm scores {confidence:g} or more")
    return Verdict(
        scores=scores,
        verdict=INCONCLUSIVE if reasons else words[best],
        reasons=tuple(reasons),
        quality=quality,
        probability=fused[best],
        af_probability=fused.get(AF),
        irregularity=irregularity,
        readable=readable,
    )
