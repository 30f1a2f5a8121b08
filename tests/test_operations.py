"""The count of multiplications in the shipped files, against torch's own count on the float nets."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")
pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert")

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import operations, report
from ecgedge.bundle import FOLDER, list_bundles, open_bundle
from ecgedge.mcu.narrow import unpack
from ecgedge.models import build

CHECKPOINTS = FOLDER.parents[1] / "export" / "checkpoints"


@pytest.mark.parametrize("name", list_bundles())
def test_macs_are_those_that_torch_counts(name: str) -> None:
    path = CHECKPOINTS / f"{name}.pt"
    if not path.exists():
        pytest.skip("the checkpoint is not here")
    content = torch.load(path, weights_only=True)
    net = build(content["recipe"]["architecture"], content["recipe"]["net"]).eval()
    net = net.exportable() if hasattr(net, "exportable") else net
    bundle = open_bundle(name)
    shapes = {entry["name"]: entry["shape"][1:3] for entry in bundle.manifest["inputs"]}
    tensors = [torch.zeros(1, 1, *shapes[key]) for key in getattr(net, "inputs", shapes)]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net(*tensors)
    found = operations.count(unpack(bundle.model))
    assert found["macs"] == pytest.approx(counter.get_total_flops() / 2, rel=0.02)
    parameters = sum(p.numel() for p in net.parameters())
    assert found["weight_bytes"] > 0.5 * parameters


def test_depthwise_and_transposed_products_by_hand() -> None:
    assert operations._macs("DEPTHWISE_CONV_2D", 10 * 8, [(1, 1, 12, 8), (1, 1, 3, 8)], False) == 240
    assert operations._macs("BATCH_MATMUL", 4 * 6, [(4, 5), (5, 6)], False) == 4 * 6 * 5
    assert operations._macs("BATCH_MATMUL", 4 * 6, [(4, 5), (6, 5)], True) == 4 * 6 * 5


def test_the_arenas_told_are_those_of_the_manifests() -> None:
    told = report.read("operations")["figures"]["models"]
    manifests = {name: open_bundle(name).manifest for name in list_bundles()}
    assert {name: row["arena_bytes"] for name, row in told.items()} == {
        name: manifest["micro"]["arena_bytes"] for name, manifest in manifests.items()
    }
