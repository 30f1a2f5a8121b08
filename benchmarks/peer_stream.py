"""The live pipeline beside NeuroKit2 on a sliding window, and the memory of three runtimes."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from importlib import import_module, metadata
from statistics import median
from typing import Any

import numpy as np

from benchmarks import report
from ecgedge.bench import stream_cost
from ecgedge.bundle import open_bundle
from ecgedge.classifier import Classifier
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.words import DEFAULT_MODELS

WINDOW_S, HOP_S = 10.0, 1.0
"""Ten seconds, processed again every second: how monitors built around ``ecg_process`` work."""
LIVE_S = 300.0
_LOADED = {
    "LiteRT, int8 bundles": """
from ecgedge.classifier import open_models
models = open_models(NAMES)
for model in models:
    model.raw({e["name"]: np.zeros(e["shape"], np.int8) for e in model.bundle.manifest["inputs"]})
""",
    "onnxruntime, fp32": """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
for name in NAMES:
    session = onnxruntime.InferenceSession(f"{FOLDER}/{name}.onnx", options)
    session.run(None, {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()})
""",
    "torch, fp32": """
import torch
torch.set_num_threads(1)
for name in NAMES:
    net, shapes = torch.load(f"{FOLDER}/{name}.torch", weights_only=False)
    with torch.inference_mode():
        net.eval()(*(torch.zeros(shape) for shape in shapes))
""",
}
"""Programs that load the models of the stream in one runtime and run each once."""


def sliding_window(seconds: float) -> float:
    """Processor seconds of NeuroKit2 for a second of signal at 250 Hz."""
    neurokit: Any = import_module("neurokit2")
    patient = SimulatedPatient(0, seconds)
    counts = np.concatenate([piece.counts for piece in patient.pieces()]).astype(float)
    rate_hz = int(patient.board.rate_hz or 0)
    window, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    taken: list[float] = []
    for end in range(window, counts.size + 1, hop):
        begin_s = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own use of pandas
            neurokit.ecg_process(counts[end - window : end], sampling_rate=rate_hz)
        taken.append(time.process_time() - begin_s)
    return median(taken) / HOP_S


class Silent(Classifier):
    """A bundle whose net never runs; its windows are cut, filtered, judged by quality, made into tensors."""

    def raw(self, quantised: dict[str, Any]) -> dict[str, Any]:
        """Zeros."""
        return {entry["name"]: np.zeros(entry["shape"], np.int8) for entry in self.bundle.manifest["outputs"]}


def live(rounds: int) -> report.Json:
    """In turn, processor time for a second of signal: the stream with its nets, and with none run (filters,
    beats, quality, rate: what ``ecg_process`` does), each beside the peer in the same round."""
    bundles = [open_bundle(name) for name in DEFAULT_MODELS]
    with_nets, without, theirs = [], [], []
    for _ in range(rounds):
        with_nets.append(stream_cost(bundles, 1, LIVE_S)["cpu_share_live"])
        without.append(stream_cost(bundles[:1], 1, LIVE_S, Silent)["cpu_share_live"])
        theirs.append(sliding_window(60.0))
    return {
        "models": list(DEFAULT_MODELS),
        "window_s": WINDOW_S,
        "hop_s": HOP_S,
        "versions": {"neurokit2": metadata.version("neurokit2")},
        "neurokit2_cpu_s_per_s": round(median(theirs), 4),
        **_beside(theirs, with_nets),
        "without_nets": _beside(theirs, without),
    }


def _beside(theirs: list[float], ours: list[float]) -> report.Json:
    """Our time, and theirs over ours, round by round."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    return {
        "ecgedge_cpu_s_per_s": median(ours),
        "ratio": round(median(ratios)),
        "ratio_range": [round(min(ratios)), round(max(ratios))],
    }


def memory(folder: str, runs: int) -> report.Json:
    """Peak resident memory (10**6 bytes): the whole stream, and the models alone in three runtimes.

    Parameters
    ----------
    folder : with ``NAME.onnx`` and ``NAME.torch`` of every model of the stream
    """
    out = {"whole stream, LiteRT": round(median(_whole() for _ in range(runs)), 1)}
    for title, program in _LOADED.items():
        out[f"models alone, {title}"] = round(median(_peak(program, folder) for _ in range(runs)), 1)
    return {"models": list(DEFAULT_MODELS), "peak_resident_mb": out}


def _whole() -> float:
    """Peak resident memory of the whole command, measured by a small process of its own."""
    words = "from benchmarks.stream_cost import once\nprint(once(600.0, 'jsonl')['peak_resident_mb'])"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _peak(program: str, folder: str) -> float:
    """Peak resident memory of a program, as it tells itself at its end."""
    head = f"import numpy as np\nNAMES = {DEFAULT_MODELS!r}\nFOLDER = {folder!r}\n"
    tail = "\nprint(next(x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')))\n"
    done = subprocess.run(
        [sys.executable, "-c", head + program + tail], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) * 1024e-6
