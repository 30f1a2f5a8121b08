"""Programs that others wrote read our simulated boards: BITalino's own interface, BrainFlow, chordspy.

What they read is what the patient gave; so the bytes are those of the boards, not of our own reading of
their documents.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge.ports.boards import BOARDS
from ecgedge.ports.sources import PatientSource

if not hasattr(os, "openpty"):
    pytest.skip("needs pseudo-terminals", allow_module_level=True)

from ecgedge.ports.virtual import PtyLink, VirtualBoard

SECONDS = 30.0
SEED = 1
"""A patient whose R peaks stay within ten bits."""


@contextlib.contextmanager
def plugged_in(name: str) -> Iterator[str]:
    """A board on a pseudo-terminal in real time."""
    speech = BOARDS[name].make()
    link = PtyLink()
    board = VirtualBoard(PatientSource(SEED, SECONDS, speech.rate_hz), speech, link, 1.0)
    board.start()
    try:
        yield link.path
    finally:
        board.stop()
        link.close()


def microvolts(rate_hz: float) -> np.ndarray:
    """What the patient gives."""
    source = PatientSource(SEED, SECONDS, rate_hz)
    return np.concatenate([run.counts[:, 0] * run.uv_per_count for run in source.runs()])


def agrees(read: np.ndarray, rate_hz: float, within: float) -> bool:
    """Whether values are a stretch of the patient's signal, to so many microvolt."""
    truth = microvolts(rate_hz)
    starts = np.flatnonzero(np.abs(truth[: len(truth) - len(read)] - read[0]) <= within)
    return any(np.abs(truth[k : k + len(read)] - read).max() <= within for k in starts)


def module(package: str, name: str) -> Any:
    """A module of a package whose ``__init__`` imports more than it needs."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"needs {package}: pip install --no-deps {package}")
    path = Path(spec.submodule_search_locations[0]) / f"{name}.py"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    loaded = importlib.util.module_from_spec(found)
    found.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    "inputs", [[1], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5]]
)
def test_bitalinos_own_interface(inputs: list[int]) -> None:
    bitalino = pytest.importorskip("bitalino", reason="needs bitalino: pip install --no-deps bitalino")
    with plugged_in("bitalino") as path:
        device = bitalino.BITalino(path, timeout=10)
        device.start(1000, inputs)
        rows = device.read(400)
        device.stop()
        device.close()
    assert (np.diff(rows[:, 0]) % 16 == 1).all()
    ecg = (rows[:, 5 + inputs.index(1)] - 512) * 3.3 / 1024 / 1100 * 1e6  # as the sensor's data sheet has it
    assert agrees(ecg, 1000.0, 0.51 * 3.3 / 1024 / 1100 * 1e6)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_brainflow_reads_the_cyton() -> None:
    shim = pytest.importorskip("brainflow.board_shim", reason="needs brainflow and setuptools before 81")
    shim.BoardShim.disable_board_logger()
    with plugged_in("cyton") as path:
        wanted = shim.BrainFlowInputParams()
        wanted.serial_port, wanted.timeout = path, 10
        board = shim.BoardShim(shim.BoardIds.CYTON_BOARD, wanted)
        board.prepare_session()
        board.start_stream()
        time.sleep(2.0)
        board.stop_stream()
        data = board.get_board_data()
        board.release_session()
    assert data.shape[1] > 300
    assert (np.diff(data[0]) % 256 == 1).all()
    assert agrees(data[1], 250.0, 0.02)
    assert np.abs(data[2:9]).max() == 0


def test_chordspy_reads_chords() -> None:
    chords = module("chordspy", "chords_serial")
    with plugged_in("chords-uno-r3") as path:
        client = chords.Chords_USB()
        assert client.connect_hardware(path, 230400)
        assert client.board == "UNO-R3"
        client.send_command("START")
        until_s = time.monotonic() + 2.0
        while time.monotonic() < until_s:
            client.read_data()
        client.ser.close()
    ecg = client.data[0][client.data[0] > 0]
    assert len(ecg) > 300
    uv = 5.0 / 1024 / 1100 * 1e6
    assert agrees((ecg - 512) * uv, 250.0, 0.51 * uv)
