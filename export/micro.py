"""What a model takes on a microcontroller: its tensor arena, measured by TensorFlow Lite Micro's interpreter.

    python -m export.micro          measure all shipped bundles, and write it into their manifests
    python -m export.micro NAME...  these only

The figure is for a 64-bit host, whose pointers are twice as wide as a microcontroller's: there it is a
little less.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from typing import Any

from ecgedge.bundle import FOLDER, list_bundles, open_bundle

_STEP = 16
_MOST = 1 << 26
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


def arena(model: bytes) -> dict[str, Any] | None:
    """Least arena of a model for the manifest's ``micro``; None where tflite-micro is not installed.

    Raises
    ------
    ValueError : the interpreter cannot run the model at all
    """
    try:
        version = importlib.metadata.version("tflite-micro")
    except importlib.metadata.PackageNotFoundError:
        return None
    # In a process of its own: what does not fit is told on standard error, a line for every try.
    words = [sys.executable, "-c", _TRY, str(_MOST), str(_STEP)]
    done = subprocess.run(words, input=model, capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"tflite-micro cannot run it: {done.stderr.decode(errors='replace')[-500:]}")
    return {"arena_bytes": int(done.stdout), "interpreter": f"tflite-micro {version}, 64 bit"}


def main(names: list[str]) -> int:
    """Measure shipped bundles and write their manifests."""
    for name in names or list_bundles():
        bundle = open_bundle(name)
        measured = arena(bundle.model)
        if measured is None:
            print("tflite-micro is not installed: pip install --pre tflite-micro", file=sys.stderr)
            return 1
        bundle.manifest["micro"] = measured
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(bundle.manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {measured['arena_bytes']} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
