"""A bundle for microcontrollers: its network in less memory, and as C, for TensorFlow Lite Micro.

``joins`` makes long joins short, ``narrow`` works wide stages off in groups of channels, ``plan`` tells the
interpreter where each tensor goes, and ``c`` writes the result. Numbers stay the same to the bit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge.errors import BundleError, EcgedgeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecgedge.bundle import Bundle


def fitted(model: bytes, groups: Sequence[int]) -> bytes:
    """The network as it goes on a microcontroller.

    Parameters
    ----------
    groups : of each wide stage (``narrow.stages``), into how many groups of channels it is split

    Raises
    ------
    EcgedgeError : ai-edge-litert, which describes the format, is not installed
    """
    try:
        from ecgedge.mcu.joins import shortened
        from ecgedge.mcu.narrow import narrow
        from ecgedge.mcu.plan import planned
    except ImportError as error:
        raise EcgedgeError(f"{error.name} is not installed", "ai-edge-litert (64-bit systems)") from None
    return planned(narrow(shortened(model), groups))


def export(bundle: Bundle, target: Path) -> list[Path]:
    """Write ``NAME_model.h`` and ``NAME_model.c`` into a folder; returns their paths.

    Raises
    ------
    UsageError : one of the files is there already
    BundleError : the bundle does not tell what it takes on a microcontroller
    EcgedgeError : they cannot be written, or ai-edge-litert is not installed
    """
    if "micro" not in bundle.manifest:
        raise BundleError(
            f"{bundle.name} does not tell its tensor arena", "'micro' in its manifest", "Export it anew."
        )
    model = fitted(bundle.model, bundle.manifest["micro"].get("groups", []))
    from ecgedge.mcu.c import array, file_stem, header

    stem = file_stem(bundle)
    texts = {f"{stem}.h": header(bundle, model), f"{stem}.c": array(bundle, model)}
    paths = [target / name for name in texts]
    try:
        if there := [str(path) for path in paths if path.exists()]:
            raise UsageError(
                f"{there[0]} is there already", "a new file", "Remove it, or name another folder."
            )
        target.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, texts.values(), strict=True):
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EcgedgeError(f"{target} cannot be written ({error.strerror})") from None
    return paths
