"""Less memory for the same network: a wide stage is worked off in groups of channels.

Between the expansion of an inverted-residual block and its squeeze every step treats each channel for itself:
pointwise convolution, SiLU, padding, depthwise convolution, SiLU. Done in groups, one after another, with the
results put side by side at the end, the same numbers come out, and only a part of the widest tensors (the
expansion, its sigmoid, their product) is held at a time. On a microcontroller these set the tensor arena.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

MOST_TOGETHER = 10
"""What TensorFlow Lite Micro puts side by side in one operator."""

_OPERATORS = schema.BuiltinOperator
_CHANNELS = 3  # axis of an activation, and of a depthwise convolution's weights


@dataclass(frozen=True)
class Stage:
    """Operators of one wide stage, by their place in the graph, in the order in which they run."""

    expand: int
    steps: tuple[int, ...]
    """The operators behind the expansion, the last one a multiplication: its result is what leaves."""
    channels: int


def operators(model: bytes) -> list[str]:
    """TFLite's names of the operators in a model."""
    names = {code: name for name, code in vars(_OPERATORS).items() if not name.startswith("_")}
    content = unpack(model)
    used = {kind_of(content, op) for op in content.subgraphs[0].operators}
    return sorted(names[code] for code in used)


def narrow(model: bytes, groups: Sequence[int]) -> bytes:
    """The model with its wide stages split; the results are the same to the bit.

    Parameters
    ----------
    groups : of each stage in the order of ``stages``, into how many groups; the last ones may be left out

    Raises
    ------
    ValueError : more numbers than stages, one above ``MOST_TOGETHER``, one that does not divide the channels
    """
    content = unpack(model)
    graph = content.subgraphs[0]
    found = stages(content)
    wrong = [n for s, n in zip(found, groups, strict=False) if not 1 <= n <= MOST_TOGETHER or s.channels % n]
    if wrong or len(groups) > len(found):
        raise ValueError(f"groups {list(groups)} for stages of {[s.channels for s in found]} channels")
    for stage, number in reversed(list(zip(found, groups, strict=False))):
        if number > 1:
            _split(content, graph, stage, number)
    _forget_unused(content, graph)
    return pack(content, len(model))


def pack(content: Any, about: int) -> bytes:
    """A model's objects as bytes, about so many."""
    builder = flatbuffers.Builder(2 * about)
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def unpack(model: bytes) -> Any:
    """A model's bytes as objects of the format's schema."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(model), 0))


def stages(content: Any) -> list[Stage]:
    """Stages that can be split: pointwise convolution, SiLU, padding or none, depthwise convolution, SiLU."""
    graph = content.subgraphs[0]
    users: dict[int, list[int]] = {}
    for place, op in enumerate(graph.operators):
        for tensor in op.inputs:
            users.setdefault(int(tensor), []).append(place)
    found = []
    for place, op in enumerate(graph.operators):
        if kind_of(content, op) == _OPERATORS.CONV_2D:
            steps = _behind(content, graph, users, place)
            if steps:
                found.append(Stage(place, steps, int(graph.tensors[op.outputs[0]].shape[_CHANNELS])))
    return found


def _behind(content: Any, graph: Any, users: dict[int, list[int]], place: int) -> tuple[int, ...]:
    """The steps of a stage whose expansion is at ``place``; nothing where it is none."""
    wanted = (
        (_OPERATORS.LOGISTIC,), (_OPERATORS.MUL,), (_OPERATORS.PAD, _OPERATORS.DEPTHWISE_CONV_2D),
    )  # fmt: skip
    steps: list[int] = []
    at = place
    for kinds in (*wanted, (_OPERATORS.DEPTHWISE_CONV_2D,), *wanted[:2]):
        if steps and kind_of(content, graph.operators[steps[-1]]) == kinds[0] == _OPERATORS.DEPTHWISE_CONV_2D:
            continue  # there was no padding
        nexts = users.get(int(graph.operators[at].outputs[0]), [])
        follow = [user for user in nexts if kind_of(content, graph.operators[user]) in kinds]
        silu = kinds == (_OPERATORS.LOGISTIC,)
        if (
            len(follow) != 1
            or len(nexts) != (2 if silu else 1)
            or follow[0] != (steps[-1] if steps else place) + 1
        ):
            return ()
        steps.append(follow[0])
        at = follow[0]
    return tuple(steps)


def kind_of(content: Any, op: Any) -> int:
    """The operator's number in the format's list."""
    code = content.operatorCodes[op.opcodeIndex]
    return int(max(code.builtinCode, code.deprecatedBuiltinCode))


def _split(content: Any, graph: Any, stage: Stage, groups: int) -> None:
    made: list[Any] = []
    last = graph.operators[stage.steps[-1]]
    parts = []
    for group in range(groups):
        size = stage.channels // groups
        channels = slice(group * size, (group + 1) * size)
        known: dict[int, int] = {}
        for place in (stage.expand, *stage.steps):
            op = copy.deepcopy(graph.operators[place])
            kind = kind_of(content, op)
            op.inputs = [
                _part(content, graph, int(t), kind, slot, channels, known) for slot, t in enumerate(op.inputs)
            ]
            known[int(op.outputs[0])] = _like(content, graph, int(op.outputs[0]), _CHANNELS, channels)
            op.outputs = [known[int(op.outputs[0])]]
            made.append(op)
        parts.append(known[int(last.outputs[0])])
    made.append(side_by_side(content, parts, int(last.outputs[0])))
    graph.operators[stage.expand : stage.steps[-1] + 1] = made


def _part(
    content: Any, graph: Any, tensor: int, kind: int, slot: int, channels: slice, known: dict[int, int]
) -> int:
    """The tensor that a group's operator reads in place of ``tensor``."""
    if tensor in known:
        return known[tensor]
    if kind == _OPERATORS.CONV_2D and slot > 0:
        return _like(content, graph, tensor, 0, channels)
    if kind == _OPERATORS.DEPTHWISE_CONV_2D and slot > 0:
        return _like(content, graph, tensor, _CHANNELS if slot == 1 else 0, channels)
    return tensor  # what goes into the expansion, and what tells how to pad


def _like(content: Any, graph: Any, tensor: int, axis: int, channels: slice) -> int:
    """A tensor of the same kind with a part of the channels, and their constants where it has any."""
    old = graph.tensors[tensor]
    new = copy.deepcopy(old)
    new.name = b""
    new.shape = list(old.shape)
    new.shape[axis] = channels.stop - channels.start
    per_channel = old.quantization.scale is not None and len(old.quantization.scale) > 1
    if per_channel:
        new.quantization.scale = old.quantization.scale[channels]
        new.quantization.zeroPoint = old.quantization.zeroPoint[channels]
    data = content.buffers[old.buffer].data
    new.buffer = 0
    if data is not None and len(data):
        width = np.dtype(np.int8 if old.type == schema.TensorType.INT8 else np.int32)
        values = np.frombuffer(bytes(data), width).reshape(old.shape)
        kept = values[(slice(None),) * axis + (channels,)]
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(kept.tobytes(), np.uint8)
        content.buffers.append(buffer)
        new.buffer = len(content.buffers) - 1
    graph.tensors.append(new)
    return len(graph.tensors) - 1


def side_by_side(content: Any, parts: list[int], whole: int) -> Any:
    """An operator, in no graph yet, that joins tensors along their channels."""
    op = schema.OperatorT()
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in content.operatorCodes]
    if _OPERATORS.CONCATENATION not in codes:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = _OPERATORS.CONCATENATION
        code.version = 2  # with int8
        content.operatorCodes.append(code)
        codes.append(_OPERATORS.CONCATENATION)
    op.opcodeIndex = codes.index(_OPERATORS.CONCATENATION)
    op.inputs, op.outputs = parts, [whole]
    op.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    op.builtinOptions = schema.ConcatenationOptionsT()
    op.builtinOptions.axis = _CHANNELS
    return op


def _forget_unused(content: Any, graph: Any) -> None:
    """Leave out tensors that no operator has any more, for which an interpreter would still make room."""
    lists = [
        graph.inputs,
        graph.outputs,
        *(op.inputs for op in graph.operators),
        *(op.outputs for op in graph.operators),
    ]
    kept = sorted({int(tensor) for row in lists for tensor in row if tensor >= 0})
    new = {old: place for place, old in enumerate(kept)}
    graph.tensors = [graph.tensors[old] for old in kept]
    graph.inputs, graph.outputs = ([new[int(t)] for t in row] for row in (graph.inputs, graph.outputs))
    for op in graph.operators:
        op.inputs = [new.get(int(t), -1) for t in op.inputs]
        op.outputs = [new[int(t)] for t in op.outputs]
    for signature in content.signatureDefs or ():
        for entry in (*signature.inputs, *signature.outputs):
            entry.tensorIndex = new[int(entry.tensorIndex)]
    used = {0, *(tensor.buffer for tensor in graph.tensors), *(m.buffer for m in content.metadata or ())}
    for place, buffer in enumerate(content.buffers):
        if place not in used:
            buffer.data = None
