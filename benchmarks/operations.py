"""How much work is in each model, and how long must a Raspberry Pi 4 take for it at least?

Multiplications and accumulations (MACs), elements of the other operators, and bytes are counted from the
operators and tensors of the shipped files. The floor is an estimate: what the processor could do if it did
nothing but multiply and read each weight and activation once, with

* 8 int8 MACs a cycle: a Cortex-A72 has one 128-bit multiplier for integers (Arm, "Cortex-A72 Software
  Optimization Guide"), whose widening multiply-accumulate takes eight lanes of 8 bits, and no dot product;
* 1.5 GHz and 4 GB/s, as a Raspberry Pi 4 has them.

Beside it stands what this machine measures. A real board was not at hand.
"""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks import report
from ecgedge.bundle import Bundle, list_bundles, open_bundle
from ecgedge.classifier import Classifier
from ecgedge.mcu.narrow import unpack
from ecgedge.mcu.plan import floor, lives

QUESTION = "How much work is in each model, and how long must a Raspberry Pi 4 take for it at least?"
MACS_A_CYCLE, CLOCK_HZ, BYTES_A_S = 8, 1.5e9, 4e9
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def count(content: Any) -> report.Json:
    """MACs, elements written by operators without any, weights, and what moves through memory."""
    graph = content.subgraphs[0]
    shapes = [tuple(int(n) for n in tensor.shape) for tensor in graph.tensors]
    kinds: Counter[str] = Counter()
    macs, elements, moved = 0, 0, 0
    for op in graph.operators:
        code = content.operatorCodes[op.opcodeIndex]
        name = _OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
        kinds[name] += 1
        inputs = [int(k) for k in op.inputs if k >= 0]
        written = math.prod(shapes[int(op.outputs[0])])
        work = _macs(name, written, [shapes[k] for k in inputs], getattr(op.builtinOptions, "adjY", False))
        macs += work
        elements += 0 if work else written
        moved += written + sum(math.prod(shapes[k]) for k in inputs)
    weights = sum(len(b.data) for b in content.buffers if b.data is not None)
    return {
        "macs": macs,
        "other_elements": elements,
        "weight_bytes": weights,
        "moved_bytes": moved,
        "activation_peak_bytes": floor(lives(content)),
        "operators": dict(kinds.most_common()),
    }


def _macs(name: str, written: int, inputs: list[tuple[int, ...]], transposed: bool) -> int:
    """Multiplications of one operator that writes so many elements."""
    if name == "CONV_2D":
        return written * math.prod(inputs[1][1:])  # filter: out, height, width, in
    if name == "DEPTHWISE_CONV_2D":
        return written * math.prod(inputs[1][1:3])
    if name == "FULLY_CONNECTED":
        return written * inputs[1][1]
    if name == "BATCH_MATMUL":
        return written * inputs[1][-1 if transposed else -2]
    return 0


def net_ms(bundle: Bundle, rounds: int) -> float:
    """Median processor time of one run on this machine, one thread, milliseconds."""
    classifier = Classifier(bundle)
    golden = np.load(io.BytesIO(bundle.golden))
    tensors = {entry["name"]: golden[f"input_{entry['name']}"] for entry in bundle.manifest["inputs"]}
    taken = []
    for _ in range(rounds):
        begin_s = time.process_time()
        for _ in range(20):
            classifier.raw(tensors)
        taken.append((time.process_time() - begin_s) / 20)
    return round(1000 * float(np.median(taken)), 4)


def measure(rounds: int) -> report.Json:
    """All shipped models."""
    out = {}
    for name in list_bundles():
        bundle = open_bundle(name)
        row = count(unpack(bundle.model))
        compute_s = row["macs"] / (MACS_A_CYCLE * CLOCK_HZ)
        memory_s = row["moved_bytes"] / BYTES_A_S
        row["floor_a72_ms"] = round(1000 * max(compute_s, memory_s), 3)
        row["floor_is"] = "multiplying" if compute_s >= memory_s else "memory"
        row["measured_here_ms"] = net_ms(bundle, rounds)
        row["arena_bytes"] = bundle.manifest.get("micro", {}).get("arena_bytes")
        out[name] = row
    assumed = {"macs_a_cycle": MACS_A_CYCLE, "clock_hz": CLOCK_HZ, "bytes_a_s": BYTES_A_S}
    return {"assumed": assumed, "models": out}


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("operations", QUESTION)
    parser.add_argument("--rounds", type=int, default=25, help="of 20 runs each")
    given = parser.parse_args()
    figures = measure(given.rounds)
    for name, row in figures["models"].items():
        print(name, {key: value for key, value in row.items() if key != "operators"})
    print(f"{report.write(parser, given, QUESTION, report.model_facts(), figures).name} written")


if __name__ == "__main__":
    report.run(main)
