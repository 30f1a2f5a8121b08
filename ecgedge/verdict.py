"""Scores and quality of a window -> what is said of it: a rhythm in words, or ``inconclusive``."""

from __future__ import annotations

from ecgedge.messages import Quality, Scores, Verdict

INCONCLUSIVE = "inconclusive"
NOISE = "~"
"""The class by which a rhythm model calls a window too noisy to tell."""


def judge(scores: Scores, quality: Quality, words: dict[str, str], confidence: float) -> Verdict:
    """Decide one window.

    Parameters
    ----------
    scores : a bundle's scores
    quality : of the same window
    words : verdict of each class, from the bundle
    confidence : least score that the winning class must have
    """
    reasons: list[str] = []
    if not quality.usable:
        reasons += quality.reasons or ("signal not usable",)
    if scores.label == NOISE:
        reasons.append("the model calls it noise")
    elif scores.scores[scores.label] < confidence:
        reasons.append(f"no rhythm scores {confidence:g} or more")
    said = INCONCLUSIVE if reasons else words[scores.label]
    return Verdict(scores=scores, verdict=said, reasons=tuple(reasons), quality=quality)
