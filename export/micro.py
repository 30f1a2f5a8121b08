"""What a model takes on a microcontroller: its tensor arena, measured by TensorFlow Lite Micro's interpreter.

    python -m export.micro          measure all shipped bundles, and write it into their manifests
    python -m export.micro NAME...  these only

Wide stages are split into more and more groups of channels; the least arena on the way is taken. Every group
more makes the tensors smaller, but costs operators, which take room too. The figure is for a 64-bit host,
whose pointers are twice as wide as a microcontroller's: there it is a little less.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from typing import Any

from ecgedge.bundle import FOLDER, list_bundles, open_bundle
from ecgedge.mcu import fitted
from ecgedge.mcu.narrow import MOST_GROUPS, narrow, stages, unpack
from ecgedge.mcu.plan import floor, lives

_STEP = 16
_MOST = 1 << 26
_PATIENCE = 6
_TRY = """
import sys
from tflite_micro.python.tflite_micro import runtime
model, low, high, step = sys.stdin.buffer.read(), 0, int(sys.argv[1]), int(sys.argv[2])
def fits(size):
    try:
        runtime.Interpreter.from_bytes(model, arena_size=size)
    except RuntimeError:
        return False
    return True
if not fits(high):
    sys.exit(1)
while high - low > step:
    middle = (low + high) // 2 // step * step
    low, high = (low, middle) if fits(middle) else (middle, high)
print(high)
"""


def fit(model: bytes) -> dict[str, Any] | None:
    """The manifest's ``micro`` of a model; None where tflite-micro is not installed.

    Raises
    ------
    ValueError : the interpreter cannot run the model at all
    """
    try:
        version = importlib.metadata.version("tflite-micro")
    except importlib.metadata.PackageNotFoundError:
        return None
    best: list[int] = []
    least = arena(fitted(model, best))
    groups, since = best, 0
    while since < _PATIENCE and (wider := _next(model, groups)) is not None:
        groups, since = wider, since + 1
        needed = arena(fitted(model, groups))
        if needed < least:
            best, least, since = groups, needed, 0
    return {"groups": best, "arena_bytes": least, "interpreter": f"tflite-micro {version}, 64 bit"}


def arena(model: bytes) -> int:
    """Least arena in bytes.

    Raises
    ------
    ValueError : the interpreter cannot run the model at all
    """
    # In a process of its own: what does not fit is told on standard error, a line for every try.
    words = [sys.executable, "-c", _TRY, str(_MOST), str(_STEP)]
    done = subprocess.run(words, input=model, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"tflite-micro cannot run it: {done.stderr.decode(errors='replace')[-500:]}")
    return int(done.stdout)


def _next(model: bytes, groups: list[int]) -> list[int] | None:
    """Split that one stage further which lowers the need most; None where none is left to split."""
    found = stages(unpack(model))
    now = [*groups, *[1] * (len(found) - len(groups))]
    floors = []
    for number, stage in enumerate(found):
        more = next((n for n in range(now[number] + 1, MOST_GROUPS + 1) if stage.channels % n == 0), None)
        if more is not None:
            tried = [*now[:number], more, *now[number + 1 :]]
            floors.append((floor(lives(unpack(narrow(model, tried)))), more, tried))
    return min(floors)[2] if floors else None


def main(names: list[str]) -> int:
    """Measure shipped bundles and write their manifests."""
    for name in names or list_bundles():
        bundle = open_bundle(name)
        try:
            measured = fit(bundle.model)
        except ValueError:
            print(f"{name}: tflite-micro cannot run it")
            continue
        if measured is None:
            print("tflite-micro is not installed: pip install --pre tflite-micro", file=sys.stderr)
            return 1
        bundle.manifest["micro"] = measured
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(bundle.manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {measured['arena_bytes']} bytes, groups {measured['groups']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
