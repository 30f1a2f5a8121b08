"""Nets by architecture name, built from a recipe's ``[architecture]`` table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecgedge.errors import DataError

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = ("efficientecg",)


def build(architecture: str, options: dict[str, Any]) -> nn.Module:
    """Make an untrained net.

    Raises
    ------
    DataError
        For an unknown architecture or option, or sizes that make no net.
    """
    if architecture not in ARCHITECTURES:
        raise DataError(f"architecture {architecture!r}", f"one of {list(ARCHITECTURES)}")
    from ecgedge.models.efficientecg import EfficientEcg, EfficientEcgConfig

    known = set(EfficientEcgConfig.__dataclass_fields__)
    if odd := sorted(set(options) - known):
        raise DataError(f"architecture options {odd}", f"some of {sorted(known)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
    }
    expected = "sizes above 0, one entry a stage"
    sizes = [v for value in values.values() for v in (value if isinstance(value, tuple) else (value,))]
    if any(isinstance(v, int) and v < 1 for v in sizes):
        raise DataError(f"architecture {architecture!r} with {options}", expected)
    try:
        return EfficientEcg(EfficientEcgConfig(**values))
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"architecture {architecture!r} with {options} ({reason})", expected) from None
