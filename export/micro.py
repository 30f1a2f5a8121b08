"""What a model takes on a microcontroller: its tensor arena, measured by TensorFlow Lite Micro's interpreter.

    python -m export.micro          measure all shipped bundles, and write it into their manifests
    python -m export.micro NAME...  these only

The stage that needs most at once is split into more groups of channels, again and again; the least arena on
the way is taken, for every group more makes the tensors smaller, but costs operators, which take room too.
The figure is for a 64-bit host; a microcontroller's pointers are half as wide, and it takes a little less.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from typing import Any

from ecgedge.bundle import FOLDER, list_bundles, open_bundle
from ecgedge.mcu import fitted
from ecgedge.mcu.narrow import MOST_TOGETHER, narrow, stages, unpack
from ecgedge.mcu.plan import lives

_MOST = 1 << 26
_ASK = """
import sys
from tflite_micro.python.tflite_micro import runtime
runtime.Interpreter.from_bytes(sys.stdin.buffer.read(), arena_size=int(sys.argv[1])).print_allocations()
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
    groups = best
    while (wider := _next(model, groups)) is not None:
        groups = wider
        needed = arena(fitted(model, groups))
        if needed < least:
            best, least = groups, needed
    return {"groups": best, "arena_bytes": least, "interpreter": f"tflite-micro {version}, 64 bit"}


def arena(model: bytes) -> int:
    """Least arena in bytes.

    Raises
    ------
    ValueError : the interpreter cannot run the model at all
    """
    # In a process of its own: the interpreter writes what it says straight to the terminal.
    words = [sys.executable, "-c", _ASK, str(_MOST)]
    done = subprocess.run(words, input=model, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode(errors="replace")
    told = re.search(r"Arena allocation total (\d+) bytes", said)
    if done.returncode or told is None:
        raise ValueError(f"tflite-micro cannot run it: {said[-500:]}")
    return int(told[1])


def _next(model: bytes, groups: list[int]) -> list[int] | None:
    """Split the stage further in which most is needed at once; None where there is none to split."""
    tensors = lives(unpack(narrow(model, groups)))
    needed: dict[int, int] = {}
    for tensor in tensors:
        for moment in range(tensor.first, tensor.last + 1):
            needed[moment] = needed.get(moment, 0) + tensor.size
    peak = max(needed, key=needed.__getitem__)
    begin = 0  # of what lies behind the stages so far, by operators of the split network
    end = 0  # the same by operators of the whole one
    for number, stage in enumerate(stages(unpack(model))):
        now = groups[number] if number < len(groups) else 1
        operators = 1 + len(stage.steps)
        start = begin + stage.expand - end
        begin, end = start + now * operators + (now > 1), stage.expand + operators
        if start <= peak < begin:
            more = next((n for n in range(now + 1, MOST_TOGETHER + 1) if stage.channels % n == 0), None)
            before = [*groups, *[1] * number][:number]
            return None if more is None else [*before, more, *groups[number + 1 :]]
    return None


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
