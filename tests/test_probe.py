"""The probe: figures against signals that were made with them, words a maker understands."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgedge import cli, rate
from ecgedge.messages import Board, SampleBlock
from ecgedge.pipeline import Pipeline
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.probe import Heard, Report, Trace, describe, find_trace
from ecgedge.rate import fit_rate

RATE = 250.0
BOARD = Board("bench", RATE, 1.0, 16, 1)
SECONDS = 30.0


def patient() -> np.ndarray:
    """The simulated patient in microvolt, half a minute."""
    found = SimulatedPatient(2, SECONDS)
    scale = found.board.uv_per_count or 1.0
    return np.concatenate([piece.counts for piece in found.pieces()]) * scale


def hear(
    microvolts: np.ndarray,
    board: Board = BOARD,
    true_hz: float = RATE,
    drop: slice = slice(0, 0),
    off: int = 0,
) -> Report:
    """What the probe says of a signal that comes in frames of 0.1 s, every arrival 0 to 4 ms late."""
    rng = np.random.default_rng(3)
    pipeline, heard = Pipeline((), samples=True), Heard()
    blocks: list[Any] = [board]
    for first in range(0, len(microvolts), 25):
        if not drop.start <= first < drop.stop:
            counts = np.rint(microvolts[first : first + 25])[:, None]
            arrival_s = (first + len(counts)) / true_hz + rng.uniform(0, 0.004)
            blocks.append(SampleBlock(first, counts, arrival_s, indexed=True, leads_off=first < off))
    for block in blocks:
        for message in pipeline.push(block):
            heard.write(message)
    for message in pipeline.finish():
        heard.write(message)
    heard.counters = replace(heard.counters, bytes=1)
    return describe(heard, find_trace(heard), port="tty0", place="", protocol="frames", baud=None)


@pytest.fixture(scope="module")
def signal() -> np.ndarray:
    return patient()


def white(sigma: float, n: int) -> np.ndarray:
    return np.random.default_rng(8).normal(0, sigma, n)


def test_a_clean_signal_is_good(signal: np.ndarray) -> None:
    report = hear(signal)
    assert report.verdict == "good: the signal is clean and complete"
    assert (report.samples, report.loss, report.leads_off, report.gaps) == (7500, 0, 0, 0)
    assert report.heart_rate_bpm == pytest.approx(72, abs=4)
    assert report.upside_down is False
    assert report.measured_hz == pytest.approx(RATE, rel=1e-3)
    assert report.unit == "mV"


@pytest.mark.parametrize("sigma", [40.0, 80.0, 160.0])
def test_the_noise_floor_is_the_noise_that_was_added(signal: np.ndarray, sigma: float) -> None:
    own = hear(signal).noise
    found = hear(signal + white(sigma, len(signal))).noise
    assert own is not None
    assert found is not None
    assert 1000 * found == pytest.approx(np.hypot(sigma, 1000 * own), rel=0.08)


@pytest.mark.parametrize(("hz", "microvolts"), [(50.0, 300.0), (60.0, 200.0)])
def test_hum_is_measured_and_said(signal: np.ndarray, hz: float, microvolts: float) -> None:
    report = hear(signal + microvolts * np.sin(2 * np.pi * hz * np.arange(len(signal)) / RATE))
    assert report.hum_hz == pytest.approx(hz, abs=0.3)
    assert report.hum is not None
    assert 1000 * report.hum == pytest.approx(microvolts, rel=0.05)
    assert f"mains hum at {hz:.0f} Hz" in report.verdict
    assert "power cords" in report.verdict


def test_clipping_polarity_and_flat_line(signal: np.ndarray) -> None:
    assert "cut off" in hear(np.clip(signal, None, np.quantile(signal, 0.97))).verdict
    turned = hear(-signal)
    assert turned.upside_down is True
    assert "upside down" in turned.verdict
    assert "flat" in hear(np.zeros(len(signal))).verdict


def test_loss_is_told_with_its_share(signal: np.ndarray) -> None:
    report = hear(signal, drop=slice(2500, 3000))
    assert (report.counters.lost, report.gaps, report.loss) == (500, 1, pytest.approx(500 / 7500))
    assert report.verdict.startswith("not usable yet: 6.7 % of the samples were lost.")


def test_loose_electrodes(signal: np.ndarray) -> None:
    assert "an electrode was off for 10 %" in hear(signal, off=750).verdict
    assert hear(signal, off=7000).verdict.startswith("not usable yet: an electrode was off for 93 %")


def test_what_is_no_ecg_has_no_beats() -> None:
    report = hear(white(5.0, 7500))
    assert report.verdict.startswith("not usable yet: no heartbeats") or "noise" in report.verdict


@pytest.mark.parametrize("true_hz", [237.5, 262.5, 251.0])
def test_a_rate_that_is_not_what_the_board_declares(signal: np.ndarray, true_hz: float) -> None:
    report = hear(signal, true_hz=true_hz)
    assert report.measured_hz == pytest.approx(true_hz, rel=1e-3)
    wrong = abs(true_hz - RATE) > 0.02 * RATE
    assert (f"samples arrive at {true_hz:.1f} a second, not at the 250" in report.verdict) == wrong


def test_without_a_scale_heights_are_counts(signal: np.ndarray) -> None:
    report = hear(signal, replace(BOARD, uv_per_count=None))
    assert report.unit == "counts"
    assert report.qrs is not None
    assert report.qrs > 500


# -- the rate and its confidence -----------------------------------------------------------------------


def usb(rate: float, seconds: float, seed: int) -> tuple[list[float], list[int]]:
    """Arrivals behind a USB adapter: handed on every 16 ms, some milliseconds late, at times far more."""
    rng = np.random.default_rng(seed)
    polls = np.arange(0.016, seconds, 0.016) + rng.uniform(0, 0.016)
    late = rng.exponential(0.002, polls.size) + rng.uniform(0, 0.3, polls.size) * (
        rng.random(polls.size) < 0.02
    )
    counts = np.floor(polls * rate).astype(int)
    return np.maximum.accumulate(polls + late).tolist(), counts.tolist()


@pytest.mark.parametrize("rate", [100.0, 237.5, 360.0, 1000.0])
def test_the_interval_of_a_measured_rate_holds_the_truth(rate: float) -> None:
    fits = [fit_rate(*usb(rate, 20.0, seed)) for seed in range(60)]
    inside = [fit is not None and abs(fit.rate_hz - rate) <= fit.error_hz for fit in fits]
    assert sum(inside) >= 0.85 * len(inside)
    assert all(fit is not None and fit.error_hz < 0.004 * rate for fit in fits)
    assert all(fit is not None and abs(fit.rate_hz - rate) < 0.002 * rate for fit in fits)


def test_student_s_t_has_the_right_degrees_of_freedom() -> None:
    stats = pytest.importorskip("scipy.stats")
    assert stats.t.ppf(0.975, rate.FLOORS - 2) == pytest.approx(rate._STUDENT, abs=1e-3)


def test_a_line_s_slope_and_error_are_those_of_linear_regression() -> None:
    """With one arrival in each part there is nothing to choose: it is ordinary least squares."""
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    times: list[float] = []
    counts: list[int] = []
    for k in range(rate.FLOORS):
        # Five arrivals a part, four of them very late: the line goes through the others.
        for j in range(5):
            n = 1000 * k + 100 * j
            delay = 0.02 * rng.random() if j == 2 else 0.9
            times.append(n / 100.0 + delay)
            counts.append(n)
    times[-1] = counts[-1] / 100.0 + 0.9
    fit = fit_rate(np.maximum.accumulate(times).tolist(), counts)
    assert fit is not None
    on_line = [k for k in range(len(times)) if k % 5 == 2]
    line = stats.linregress([counts[k] for k in on_line], [times[k] for k in on_line])
    assert fit.rate_hz == pytest.approx(1 / line.slope, rel=1e-6)
    assert fit.error_hz == pytest.approx(rate._STUDENT * line.stderr / line.slope**2, rel=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 30])
def test_too_little_tells_no_rate(n: int) -> None:
    assert fit_rate([0.1 * k for k in range(n)], [10 * k for k in range(n)]) is None
    assert fit_rate([1.0] * 100, list(range(100))) is None


# -- the command ---------------------------------------------------------------------------------------


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        cli.main(["probe", *words])
    out, err = capfd.readouterr()
    assert err.count("\n") <= 1
    return int(done.value.code or 0), out, err


def test_the_demo_is_told_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "--port", "demo", "--speed", "max", "--board", "chords-uno-r3")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines() if line}
    assert "Chords" in rows["board"]
    assert "6" in rows["leads"]
    assert "250 samples/s (declared)" in rows["rate"]
    assert "72 beats/min" in rows["heart"]
    assert out.splitlines()[-1] == "Good: the signal is clean and complete."


def test_who_waits_at_a_terminal_is_told_for_how_long(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, _, err = run(capfd, "--port", "demo", "--speed", "max", "--seconds", "12")
    assert err == "Listening to demo for 12 s.\n"


def test_json_holds_all_figures_and_the_verdict(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "--port", "demo", "--speed", "max", "--json")
    assert code == 0
    told = json.loads(out)
    assert set(told) == {"schema", "verdict"} | set(Report.__dataclass_fields__)
    assert told["samples"] == 5000
    assert told["findings"] == []


@pytest.mark.parametrize(("name", "head"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_picture(name: str, head: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    code, _, err = run(capfd, "--port", "demo", "--speed", "max", "--picture", str(tmp_path / name))
    assert (code, err) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(head)


def test_a_board_s_name_is_drawn_as_it_is(signal: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from ecgedge.probe_picture import draw

    report = replace(hear(signal), board="p$^$", measured_hz=None)
    draw(report, Trace(RATE, signal, 0.0, ()), Heard(), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--port", "/dev/no-such-port"), 3, "no port"),
        (("--port", "demo", "--seconds", "3"), 2, "seconds 3"),
        (("--port", "demo", "--picture", "a.txt"), 2, "picture a.txt"),
        (("--port", "demo", "--speed", "max", "--lead", "V9"), 2, "lead 'V9'"),
        (("--port", "demo", "--speed", "max", "--protocol", "text"), 8, "none made sense"),
        ((), 2, "--port"),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capfd, *words)
    assert (found, out) == (code, "")
    assert said in err


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_a_board_that_is_five_per_cent_fast_on_a_real_port(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.pulled_board import PulledBoard

    board = PulledBoard(tmp_path / "ttyECG", pace=1.05)
    told = {"measured_hz": None}
    try:
        for _ in range(4):  # a machine that stands still for a second measures nothing
            code, out, _ = run(capfd, "--port", str(board.name), "--seconds", "13", "--json")
            assert code == 0
            told = json.loads(out)
            if told["measured_hz"] is not None:
                break
    finally:
        board.close()
    assert told["protocol"] == "frames"
    assert told["place"].startswith("/dev/pts/")
    assert told["measured_hz"] == pytest.approx(262.5, rel=0.01)
    assert any("samples arrive at 26" in finding["text"] for finding in told["findings"])
