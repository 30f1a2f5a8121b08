"""A bundle as C: compiled, and read back by a program, it is the bundle."""

from __future__ import annotations

import json
import math
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from firmware_tools import needs, run

from ecgedge import mcu
from ecgedge.bundle import Bundle, list_bundles, open_bundle
from ecgedge.cli import main
from ecgedge.errors import BundleError, EcgedgeError, UsageError

litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
parts = ("c", "joins", "narrow", "plan")
mcu_c, joins, narrow, plan = (pytest.importorskip(f"ecgedge.mcu.{name}") for name in parts)

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.fixture(scope="module", params=list_bundles())
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """Return each shipped bundle."""
    return open_bundle(request.param)


@pytest.fixture(scope="module")
def fitted(bundle: Bundle) -> bytes:
    """Return its network as it is exported."""
    return mcu.fitted(bundle.model, bundle.manifest["micro"]["groups"])


@pytest.fixture(scope="module")
def exported(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with its files."""
    folder = tmp_path_factory.mktemp("exported")
    mcu.export(bundle, folder)
    return folder


def micro(model: bytes, arena: int) -> Any:
    """TensorFlow Lite Micro's interpreter."""
    runtime = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="needs tflite-micro (x86-64, Python 3.10-3.12)"
    )
    return runtime.Interpreter.from_bytes(model, arena_size=arena)


def outputs(run: Any, bundle: Bundle, inputs: list[np.ndarray]) -> list[np.ndarray]:
    for index, tensor in enumerate(inputs):
        run.set_input(tensor, index)
    run.invoke()
    return [run.get_output(index).copy() for index in range(len(bundle.manifest["outputs"]))]


def by_reference(model: bytes) -> Any:
    """TFLite's interpreter with its reference kernels, and no delegate, which would hide the operators."""
    kernels = litert.OpResolverType.BUILTIN_REF
    run = litert.Interpreter(model_content=model, experimental_op_resolver_type=kernels)
    run.allocate_tensors()
    return run


def reference(run: Any, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What it makes of inputs."""
    for detail, tensor in zip(run.get_input_details(), inputs, strict=True):
        run.set_tensor(detail["index"], tensor)
    run.invoke()
    return [run.get_tensor(detail["index"]) for detail in run.get_output_details()]


def random_inputs(bundle: Bundle, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-128, 128, entry["shape"], np.int8) for entry in bundle.manifest["inputs"]]


def prefix(bundle: Bundle) -> str:
    return bundle.name.replace("-", "_").upper()


def run_c(folder: Path, bundle: Bundle, body: str) -> bytes:
    """Compile a program with the exported files; what it prints."""
    name = bundle.name.replace("-", "_")
    strict = (*STRICT, "-Wno-overlength-strings")
    if not (folder / "model.o").exists():
        run("gcc", *strict, "-c", folder / f"{name}_model.c", "-o", folder / "model.o")
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n#include "{name}_model.h"\nint main(void) {{ {body} }}\n'
    )
    run("gcc", *strict, folder / "main.c", folder / "model.o", "-o", folder / "p")
    run("sh", "-c", f"'{folder}/p' > '{folder}/out'")
    return (folder / "out").read_bytes()


def test_the_array_is_the_network_and_aligned(bundle: Bundle, fitted: bytes, exported: Path) -> None:
    needs("gcc")
    name = bundle.name.replace("-", "_")
    size = f"{prefix(bundle)}_MODEL_BYTES"
    body = f"fwrite({name}_model, 1, {size}, stdout); return ((unsigned long){name}_model) % 16 != 0;"
    assert run_c(exported, bundle, body) == fitted


def test_the_numbers_are_those_of_the_manifest_in_single_precision(
    bundle: Bundle, fitted: bytes, exported: Path
) -> None:
    needs("gcc")
    manifest, p = bundle.manifest, prefix(bundle)
    expected: dict[str, float] = {
        "MODEL_BYTES": len(fitted),
        "ARENA_BYTES": manifest["micro"]["arena_bytes"],
        "RATE_HZ": manifest["preprocessing"]["rate_hz"],
        "HIGHPASS_HZ": manifest["preprocessing"]["highpass_hz"],
        "LOWPASS_HZ": manifest["preprocessing"]["lowpass_hz"],
        "TEMPERATURE": manifest["temperature"],
        "CLASSES": len(manifest["classes"]),
    }
    for side in ("input", "output"):
        for index, entry in enumerate(manifest[f"{side}s"]):
            key = f"{side}_{entry['name']}".upper().replace("-", "_")
            expected[f"{key}_INDEX"] = index
            expected[f"{key}_VALUES"] = math.prod(entry["shape"])
            expected[f"{key}_SCALE"] = entry["scale"]
            expected[f"{key}_ZERO_POINT"] = entry["zero_point"]
    for key, value in manifest["thresholds"].items():
        expected[f"THRESHOLD_{key.upper()}"] = value
    body = "".join(f'printf("%.17g\\n", (double){p}_{key});' for key in expected) + " return 0;"
    found = [float(line) for line in run_c(exported, bundle, body).split()]
    assert found == [float(np.float32(value)) for value in expected.values()]


def test_classes_and_words_stand_in_the_order_of_the_logits(bundle: Bundle, exported: Path) -> None:
    needs("gcc")
    p = prefix(bundle)
    body = (
        f"const char *names[] = {p}_CLASS_NAMES; const char *words[] = {p}_CLASS_WORDS;"
        f'for (int k = 0; k < {p}_CLASSES; k++) printf("%s=%s\\n", names[k], words[k]); return 0;'
    )
    lines = run_c(exported, bundle, body).decode().splitlines()
    assert lines == [f"{name}={bundle.manifest['words'][name]}" for name in bundle.classes]


def test_the_operators_are_those_in_the_network(bundle: Bundle, fitted: bytes) -> None:
    """The interpreter's own list of the network's operators, and methods that the resolver has."""
    used = {op["op_name"] for op in by_reference(fitted)._get_ops_details()}
    assert used == set(narrow.operators(fitted))
    text = mcu_c.header(bundle, fitted)
    calls = re.search(r"_OPERATORS\(X\) (.+)", text)
    assert calls is not None
    methods = re.findall(r"X\((\w+)\)", calls[1])
    assert len(methods) == len(used)
    assert set(methods) <= RESOLVER
    assert f"_OPERATOR_COUNT {len(used)}\n" in text


RESOLVER = {
    "AddAdd", "AddAveragePool2D", "AddBatchMatMul", "AddConcatenation", "AddConv2D", "AddDepthwiseConv2D",
    "AddDequantize", "AddExpandDims", "AddFullyConnected", "AddGather", "AddLeakyRelu", "AddLogistic",
    "AddMaxPool2D", "AddMaximum", "AddMean", "AddMinimum", "AddMul", "AddPack", "AddPad", "AddPadV2",
    "AddQuantize", "AddReduceMax", "AddRelu", "AddRelu6", "AddReshape", "AddRsqrt", "AddSlice", "AddSoftmax",
    "AddSplit", "AddSquaredDifference", "AddSqueeze", "AddStridedSlice", "AddSub", "AddSum", "AddTanh",
    "AddTranspose", "AddTransposeConv", "AddUnpack",
}  # fmt: skip
"""Methods of tflite::MicroMutableOpResolver, from its header."""


def test_the_told_arena_is_enough_and_hardly_more(bundle: Bundle, fitted: bytes) -> None:
    arena = bundle.manifest["micro"]["arena_bytes"]
    assert outputs(micro(fitted, arena), bundle, random_inputs(bundle, 0))
    with pytest.raises(RuntimeError):
        micro(fitted, arena - 1024)


def test_what_is_exported_says_bit_for_bit_what_the_bundle_says(bundle: Bundle, fitted: bytes) -> None:
    before, after = by_reference(bundle.model), by_reference(fitted)
    for seed in range(5):
        inputs = random_inputs(bundle, seed)
        for one, other in zip(reference(before, inputs), reference(after, inputs), strict=True):
            np.testing.assert_array_equal(one, other)


def concatenation(sizes: list[int], axis: int) -> bytes:
    """A network that puts its inputs of shape (2, size, 3) side by side."""
    schema = narrow.schema
    content, graph = schema.ModelT(), schema.SubGraphT()
    content.version = 3
    content.subgraphs, content.buffers, content.operatorCodes = [graph], [schema.BufferT()], []
    graph.tensors, n = [], len(sizes)
    for size in (*sizes, sum(sizes)):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = [2, size, 3], schema.TensorType.INT8, 0
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.5], [3]
        graph.tensors.append(tensor)
    graph.inputs, graph.outputs = list(range(n)), [n]
    op = narrow.side_by_side(content, graph.inputs, n)
    op.builtinOptions.axis = axis
    graph.operators = [op]
    return bytes(narrow.pack(content, 1 << 12))


@pytest.mark.parametrize("axis", [1, -2])
@pytest.mark.parametrize("n", [2, 10, 11, 99, 101, 137])
def test_a_join_of_any_length_becomes_a_tree_with_the_same_result(n: int, axis: int) -> None:
    rng = np.random.default_rng(n)
    sizes = rng.integers(1, 5, n).tolist()
    inputs = [rng.integers(-128, 128, (2, size, 3), np.int8) for size in sizes]
    made = joins.shortened(concatenation(sizes, axis))
    np.testing.assert_array_equal(reference(by_reference(made), inputs)[0], np.concatenate(inputs, axis))
    run = micro(plan.planned(made), 1 << 20)
    for index, tensor in enumerate(inputs):
        run.set_input(tensor, index)
    run.invoke()
    np.testing.assert_array_equal(run.get_output(0), np.concatenate(inputs, axis))


def test_without_it_the_interpreter_refuses_a_long_join() -> None:
    """Else ``joins`` would be of no use."""
    with pytest.raises(RuntimeError):
        micro(concatenation([1] * 11, 1), 1 << 20)


def test_any_number_of_groups_gives_the_same_bits() -> None:
    bundle = open_bundle("efficientecg-xs")
    found = narrow.stages(narrow.unpack(bundle.model))
    assert len(found) >= 4
    before = micro(bundle.model, 1 << 22)
    for groups in ([2], [1, 3], [4, 2, 8], [8, 8, 8, 8], [1] * len(found)):
        after = micro(plan.planned(narrow.narrow(bundle.model, groups)), 1 << 22)
        inputs = random_inputs(bundle, sum(groups))
        np.testing.assert_array_equal(*(outputs(run, bundle, inputs)[0] for run in (before, after)))


@pytest.mark.parametrize("groups", [[5], [0], [16], [1] * 50, [-2]])
def test_groups_that_do_not_fit_are_refused(groups: list[int]) -> None:
    with pytest.raises(ValueError, match="groups"):
        narrow.narrow(open_bundle("efficientecg-xs").model, groups)


def test_no_two_tensors_of_a_plan_are_in_each_other_s_way(fitted: bytes) -> None:
    tensors = plan.lives(narrow.unpack(fitted))
    offsets = plan.place(tensors)
    for one, other in combinations(tensors, 2):
        if one.meets(other):
            a, b = offsets[one.tensor], offsets[other.tensor]
            assert a + one.size <= b or b + other.size <= a
    assert max(offsets[t.tensor] + t.size for t in tensors) >= plan.floor(tensors)


def test_efficientecg_xs_fits_96_kb() -> None:
    assert open_bundle("efficientecg-xs").manifest["micro"]["arena_bytes"] <= 96_000


def test_the_header_is_cpp_too_and_can_be_read_by_a_microcontroller_s_compiler(tmp_path: Path) -> None:
    needs("g++", "arm-none-eabi-gcc")
    bundle = open_bundle("efficientecg-xs")
    head, source = mcu.export(bundle, tmp_path)
    run("g++", "-std=c++11", "-x", "c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", head)
    out = tmp_path / "m4.o"
    run("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-ffreestanding", *STRICT, "-c", source, "-o", out)
    size = run("arm-none-eabi-size", out).splitlines()[1].split()
    assert int(size[0]) == len(
        mcu.fitted(bundle.model, bundle.manifest["micro"]["groups"])
    )  # in flash, nothing in RAM
    assert int(size[1]) == int(size[2]) == 0


def cli(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return int(end.value.code or 0)


def test_the_command_writes_two_files_and_overwrites_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "folder"
    assert cli("models", "export", "efficientecg-xs", "--mcu", str(folder)) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["efficientecg_xs_model.c", "efficientecg_xs_model.h"]
    assert capsys.readouterr().out.count("\n") == 2
    assert cli("models", "export", "efficientecg-xs", "--mcu", str(folder)) == UsageError.exit_code
    assert cli("models", "export", "nothing", "--mcu", str(folder)) == BundleError.exit_code
    assert cli("models", "export", "efficientecg-xs", "--mcu", "/proc/nowhere") == EcgedgeError.exit_code
    assert capsys.readouterr().err.count("\n") == 3


def test_nothing_of_the_manifest_can_end_the_comment(tmp_path: Path) -> None:
    needs("gcc")
    bundle = open_bundle("efficientecg-xs")
    manifest: dict[str, Any] = json.loads(json.dumps(bundle.manifest))
    manifest["licence"] = "a */ b"
    manifest["words"]["N"] = 'a "quoted" \\ word'
    odd = Bundle(bundle.name, manifest, bundle.model, bundle.golden)
    mcu.export(odd, tmp_path)
    body = f"const char *words[] = {prefix(odd)}_CLASS_WORDS; puts(words[0]); return 0;"
    assert run_c(tmp_path, odd, body).decode() == 'a "quoted" \\ word\n'


def test_a_bundle_without_a_measured_arena_is_refused_in_one_line(tmp_path: Path) -> None:
    bundle = open_bundle("efficientecg-xs")
    manifest = {key: value for key, value in bundle.manifest.items() if key != "micro"}
    with pytest.raises(BundleError, match="tensor arena"):
        mcu.export(Bundle(bundle.name, manifest, bundle.model, bundle.golden), tmp_path)
