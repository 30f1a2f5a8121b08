"""Nets by architecture name, built from a recipe's ``[net]`` table."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from ecgedge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

ARCHITECTURES = ("efficientecg", "efficientecg-fused", "dualnet", "danet", "danet-h", "danet-cnn", "ecg-sl")

_MOST = 100_000
"""No size of any net is greater."""


def _parts(architecture: str) -> tuple[Callable[..., nn.Module], Callable[..., Any], set[str]]:
    """What makes the net of a configuration, what makes the configuration of options, and their names."""
    if architecture == "efficientecg":
        from ecgedge.models.efficientecg import EfficientEcg, EfficientEcgConfig

        return EfficientEcg, EfficientEcgConfig, set(EfficientEcgConfig.__dataclass_fields__)
    if architecture == "efficientecg-fused":
        from ecgedge.models.fused import FusedConfig, FusedEcg

        return FusedEcg, FusedConfig, set(FusedConfig.__dataclass_fields__)
    if architecture == "dualnet":
        from ecgedge.models.dualnet import DualNet, DualNetConfig, sized

        return DualNet, sized, {"size"} | set(DualNetConfig.__dataclass_fields__)
    if architecture in ("danet", "danet-h", "danet-cnn"):
        from ecgedge.models.danet import NETS, DanetConfig

        return NETS[architecture], DanetConfig, set(DanetConfig.__dataclass_fields__)
    if architecture == "ecg-sl":
        from ecgedge.models.ecg_sl import EcgSl, EcgSlConfig

        return EcgSl, EcgSlConfig, set(EcgSlConfig.__dataclass_fields__)
    raise DataError(f"architecture {architecture!r}", f"one of {list(ARCHITECTURES)}")


def build(architecture: str, options: dict[str, Any]) -> nn.Module:
    """Make an untrained net. Its ``inputs`` names the tensors that it takes, in order.

    Raises
    ------
    DataError
        For an unknown architecture or option, or sizes that make no net.
    """
    make, configure, known = _parts(architecture)
    if odd := sorted(map(str, set(options) - known)):
        raise DataError(f"architecture options {odd}", f"some of {sorted(known)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in options.items()
    }
    expected = f"sizes of 1 to {_MOST}, one entry a stage"
    numbers = [v for value in values.values() for v in (value if isinstance(value, tuple) else (value,))]
    sizes = [v for v in numbers if isinstance(v, int) and not isinstance(v, bool)]
    shares = [v for v in numbers if isinstance(v, float)]
    if not (all(1 <= v <= _MOST for v in sizes) and all(map(isfinite, shares))):
        raise DataError(f"architecture {architecture!r} with {options}", expected)
    try:
        return make(configure(**values))
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"architecture {architecture!r} with {options} ({reason})", expected) from None
