"""How do net, detector and stream compare with what others would use, in the same run?

Processor time, not time on the clock, and everything in turn, so that other programs at work matter little.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks import peer_beats, peer_nets, peer_stream, report
from ecgedge.bundle import open_bundle
from ecgedge.datasets.archive import data_root
from ecgedge.errors import MissingExtraError
from ecgedge.words import DEFAULT_MODELS
from export.quiet import quiet
from export.to_onnx import to_onnx

QUESTION = "How do net, detector and stream compare with what others would use?"
TARGETS = {"onnxruntime fp32": 2.0, "torch eager fp32": 5.0, "neurokit2 sliding window": 100.0}
"""Least ratios to the shipped net, and to the live pipeline."""


def floats(folder: Path) -> None:
    """The float nets of the stream's models as ``NAME.onnx`` and ``NAME.torch``."""
    for name in DEFAULT_MODELS:
        net = peer_nets.float_net(name)
        entries = {entry["name"]: entry["shape"] for entry in open_bundle(name).manifest["inputs"]}
        # The interpreter may have them in another order than the net's arguments.
        shapes = {key: tuple(entries[key][1:3]) for key in getattr(net, "inputs", entries)}
        with quiet("conversion"):
            to_onnx(net, shapes, folder / f"{name}.onnx")
        torch.save((net, [(1, 1, *shape) for shape in shapes.values()]), folder / f"{name}.torch")


def measure(root: Path, rounds: int, minutes: float) -> report.Json:
    """All figures."""
    out: report.Json = {"net": peer_nets.measure(DEFAULT_MODELS[0], rounds, 0.2)}
    print("net", {title: row["ratio"] for title, row in out["net"]["runtimes"].items()}, flush=True)
    out["detector"] = peer_beats.measure(root, minutes)
    for title, row in out["detector"]["detectors"].items():
        print(title, row, flush=True)
    out["stream"] = peer_stream.live(max(3, rounds // 3))
    print("stream", out["stream"], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        floats(Path(folder))
        out["memory"] = peer_stream.memory(folder, 3)
    print("memory", out["memory"], flush=True)
    reached = {title: out["net"]["runtimes"][title]["ratio"] for title in list(TARGETS)[:2]}
    reached["neurokit2 sliding window"] = out["stream"]["ratio"]
    met = {title: reached[title] >= least for title, least in TARGETS.items()}
    return out | {"targets": TARGETS, "reached": reached, "met": met}


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("peers", QUESTION)
    parser.add_argument("--rounds", type=int, default=9, help="of all runtimes in turn")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each record for the detectors")
    given = parser.parse_args()
    try:
        figures = measure(data_root(given.root), given.rounds, given.minutes)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{error.name} is not installed", advice="In a checkout: pip install -e '.[export,dev,bench]'"
        ) from None
    path = report.write(parser, given, QUESTION, report.model_facts(list(DEFAULT_MODELS)), figures)
    print(f"{path.name} written; targets met: {figures['met']}")


if __name__ == "__main__":
    report.run(main)
