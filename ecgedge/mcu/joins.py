"""Long joins as trees of short ones: TensorFlow Lite Micro puts ten tensors side by side at most.

Joining copies bytes where all tensors have one scale and zero point, so any tree of it is the same.
"""

from __future__ import annotations

import copy
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from ecgedge.mcu.narrow import MOST_TOGETHER, kind_of, pack, unpack


def shortened(model: bytes) -> bytes:
    """The model with no concatenation of more than ``MOST_TOGETHER`` tensors; the results are the same."""
    content = unpack(model)
    graph = content.subgraphs[0]
    found = []
    for op in graph.operators:
        if kind_of(content, op) == schema.BuiltinOperator.CONCATENATION:
            found += _tree(graph, op)
        found.append(op)
    if len(found) == len(graph.operators):
        return model
    graph.operators = found
    return pack(content, len(model))


def _tree(graph: Any, op: Any) -> list[Any]:
    """Operators to run before ``op``, which then joins what they made."""
    made = []
    while len(op.inputs) > MOST_TOGETHER:
        parts = [list(op.inputs[k : k + MOST_TOGETHER]) for k in range(0, len(op.inputs), MOST_TOGETHER)]
        for place, part in enumerate(parts):
            if len(part) > 1:
                branch = copy.copy(op)
                branch.inputs, branch.outputs = part, [_joined(graph, part, op)]
                made.append(branch)
                parts[place] = branch.outputs
        op.inputs = [tensor for (tensor,) in parts]
    return made


def _joined(graph: Any, parts: list[int], op: Any) -> int:
    """A new tensor for the parts side by side."""
    new = copy.deepcopy(graph.tensors[op.outputs[0]])
    new.name, new.buffer = b"", 0
    axis = op.builtinOptions.axis
    new.shape = list(new.shape)
    new.shape[axis] = sum(int(graph.tensors[part].shape[axis]) for part in parts)
    graph.tensors.append(new)
    return len(graph.tensors) - 1
