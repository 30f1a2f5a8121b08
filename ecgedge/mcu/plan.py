"""Where a microcontroller's interpreter puts each tensor: a plan in the model, tighter than its own.

TensorFlow Lite Micro places tensors by size, largest first, which leaves gaps. Offsets in the metadata of the
model (``OfflineMemoryAllocation``) it takes as they are; TFLite on larger machines ignores them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from ecgedge.mcu.narrow import pack, unpack

NAME = b"OfflineMemoryAllocation"
_VERSION, _ONLINE = 1, -1
_ALIGNMENT = 16
_TRIES = 400


@dataclass(frozen=True)
class Life:
    """A tensor that the network writes: bytes, and the operators between which it is needed."""

    tensor: int
    size: int
    first: int
    last: int

    def meets(self, other: Life) -> bool:
        """Whether both are needed at some time."""
        return self.first <= other.last and other.first <= self.last


def planned(model: bytes) -> bytes:
    """The model with a plan in its metadata."""
    content = unpack(model)
    offsets = place(lives(content))
    table = [_VERSION, 0, len(content.subgraphs[0].tensors)]
    table += [offsets.get(tensor, _ONLINE) for tensor in range(table[2])]
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.array(table, "<i4").tobytes(), np.uint8)
    content.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(content.buffers) - 1
    content.metadata = [*(content.metadata or ()), entry]
    return pack(content, len(model))


def lives(content: Any) -> list[Life]:
    """Every tensor that is written while the network runs."""
    graph = content.subgraphs[0]
    first = {int(tensor): 0 for tensor in graph.inputs}
    last = {int(tensor): len(graph.operators) for tensor in graph.outputs}
    for number, op in enumerate(graph.operators):
        for tensor in map(int, op.outputs):
            first.setdefault(tensor, number)
            last.setdefault(tensor, number)
        for tensor in map(int, op.inputs):
            last[tensor] = max(number, last.get(tensor, 0))
    bytes_each = {schema.TensorType.INT8: 1, schema.TensorType.INT32: 4}
    return [
        Life(tensor, _rounded(int(np.prod(info.shape)) * bytes_each[info.type]), begin, last[tensor])
        for tensor, begin in first.items()
        for info in (graph.tensors[tensor],)
    ]


def place(tensors: list[Life]) -> dict[int, int]:
    """Offset of each tensor; of some hundred orders of placing the one that needs least in all."""
    chance = random.Random(0)
    orders = [
        sorted(tensors, key=lambda t: (-t.size, t.first)),
        sorted(tensors, key=lambda t: (-t.size * (1 + t.last - t.first), t.first)),
        sorted(tensors, key=lambda t: (-(t.last - t.first), -t.size)),
        sorted(tensors, key=lambda t: (t.first, -t.size)),
    ]
    least = floor(tensors)
    best: dict[int, int] = {}
    top = 0
    for number in range(_TRIES):
        order = orders[number] if number < len(orders) else _shuffled(orders[number % len(orders)], chance)
        offsets = _first_fit(order)
        needed = max(offsets[t.tensor] + t.size for t in tensors)
        if not best or needed < top:
            best, top = offsets, needed
        if top == least:
            break
    return best


def floor(tensors: list[Life]) -> int:
    """Bytes below which no plan can go: what is needed at once."""
    moments = {t.first for t in tensors}
    return max(sum(t.size for t in tensors if t.first <= moment <= t.last) for moment in moments)


def _first_fit(order: list[Life]) -> dict[int, int]:
    offsets: dict[int, int] = {}
    placed: list[Life] = []
    for tensor in order:
        at = 0
        taken = sorted((offsets[o.tensor], o.size) for o in placed if o.meets(tensor))
        for start, size in taken:
            if start - at >= tensor.size:
                break
            at = max(at, start + size)
        offsets[tensor.tensor] = at
        placed.append(tensor)
    return offsets


def _shuffled(order: list[Life], chance: random.Random) -> list[Life]:
    """Nearly the same order."""
    keys = {t.tensor: k + chance.gauss(0, 0.15 * len(order)) for k, t in enumerate(order)}
    return sorted(order, key=lambda t: keys[t.tensor])


def _rounded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
