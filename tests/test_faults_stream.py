"""Faults around a stream: each sample is delivered right or told as missing, whatever happens beside it."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from ecgedge import open_stream
from ecgedge.bundle import FOLDER
from ecgedge.clock import Clock
from ecgedge.errors import BundleError
from ecgedge.messages import Board, Gap, SampleBlock, Segment
from ecgedge.sinks.jsonl import JsonLinesSink

if not hasattr(os, "openpty"):
    pytest.skip("needs pseudo-terminals", allow_module_level=True)

from benchmarks import faults_stream


def test_thirty_replugs_and_every_sample_is_right_or_told() -> None:
    row = faults_stream.replugs(30, seed=4)
    assert row["connections"] == 31
    assert (row["wrong"], row["neither"]) == (0, 0)
    assert row["right"] + row["told_exactly"] + row["told_as_estimate"] == row["sent"]
    assert row["right"] > 5000  # of a machine that stands still, less of what was sent


def test_a_reader_that_is_held_up_loses_nothing() -> None:
    row = faults_stream.held_up(4.0)
    assert row["right"] == row["sent"] >= 4 * 250
    assert row["gaps"] == 0


def test_killed_at_random_moments_the_record_can_be_read() -> None:
    row = faults_stream.kills(4, seed=9)
    assert row["unreadable"] == 0
    assert row["records"] + row["nothing_yet"] == 4
    assert row["most_lost_s"] <= 1.5


# -- the clock of the machine ----------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_setting_the_machine_s_clock_changes_nothing(
    jump_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, real = JsonLinesSink(), time.time

    def stream(folder: Path, set_clock: bool) -> list[object]:
        told = []
        with open_stream("demo", speed="max", duration=60, record=folder) as messages:
            for number, message in enumerate(messages):
                if set_clock and number == 20:
                    monkeypatch.setattr(time, "time", lambda: real() + jump_s)
                line = encoder.line(message)
                if line is not None and '"status"' not in line:
                    told.append(json.loads(line))
        return told

    assert stream(tmp_path / "a", False) == stream(tmp_path / "b", True)
    first, second = (next((tmp_path / name).rglob("*.dat")).read_bytes() for name in "ab")
    assert first == second


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_jump_of_the_arrival_times(jump_s: float, indexed: bool) -> None:
    """Ahead: the machine slept. Back: no clock does it, but nothing may break or be invented."""
    clock = Clock()
    out: list[object] = clock.push(Board("b", 250.0))
    for k in range(600):
        counts = np.arange(25.0 * k, 25.0 * (k + 1))[:, None]
        arrival_s = 10_000 + k / 10 + (jump_s if k >= 300 else 0.0)
        out += clock.push(SampleBlock(25 * k, counts, arrival_s, indexed=indexed))
    out += clock.finish()
    values = np.concatenate([m.counts[:, 0] for m in out if isinstance(m, SampleBlock)])
    np.testing.assert_array_equal(values, np.arange(15_000.0))
    gaps = [m for m in out if isinstance(m, Gap)]
    slept = jump_s > 0 and not indexed
    assert [(g.first, g.cause, g.estimated) for g in gaps] == ([(7500, "silent", True)] if slept else [])
    if slept:
        assert gaps[0].n == pytest.approx(3600 * 250, abs=30)


@pytest.mark.parametrize("rate_hz", [237.5, 262.5])
def test_a_board_five_per_cent_off_that_declares_nothing_gets_its_own_rate(rate_hz: float) -> None:
    """Behind a USB adapter that hands bytes on every 16 ms, sometimes late."""
    rng = random.Random(2)
    clock, out, sent, t = Clock(), [], 0, 0.0
    out += clock.push(Board("text"))
    while t < 60:
        t += 0.016
        n = int(t * rate_hz) - sent
        if n:
            late = rng.expovariate(500) + (rng.uniform(0, 0.3) if rng.random() < 0.01 else 0.0)
            out += clock.push(SampleBlock(sent, np.zeros((n, 1)), t + late))
            sent += n
    out += clock.finish()
    (segment,) = [m for m in out if isinstance(m, Segment)]
    assert segment.rate_hz == pytest.approx(rate_hz, rel=0.005)
    assert not any(isinstance(m, Gap) for m in out)
    assert clock.time_s(sent) == pytest.approx(60, rel=0.005)


# -- files ---------------------------------------------------------------------------------------------


def test_a_tampered_bundle_is_refused_before_the_port_is_read(tmp_path: Path) -> None:
    for path in FOLDER.glob("efficientecg-xs.*"):
        shutil.copy(path, tmp_path)
    model = tmp_path / "efficientecg-xs.tflite"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1  # one bit of one weight
    model.write_bytes(bytes(data))
    with pytest.raises(BundleError, match=r"efficientecg-xs\.tflite"):
        open_stream("demo", speed="max", duration=5, model=str(tmp_path / "efficientecg-xs.json"))


def test_a_folder_that_cannot_hold_a_recording_is_told_and_the_stream_goes_on() -> None:
    with open_stream("demo", speed="max", duration=20, record="/proc/rec") as stream:
        kinds = {type(message).__name__ for message in stream}
        assert {"Beat", "Verdict"} <= kinds
        (problem,) = stream.problems
    assert "recording to" in problem
    assert "the stream goes on" in problem
