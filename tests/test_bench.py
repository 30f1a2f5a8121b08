"""``ecgedge bench``: statistics, the machine's condition, and results beside one another."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from ecgedge import bench, machine
from ecgedge.cli import main


@pytest.fixture(scope="module")
def result() -> bench.Json:
    return bench.run(("efficientecg-xs",), stream_s=30.0)


def test_statistics_are_those_of_the_single_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns, took = 0, []

    def call() -> None:
        nonlocal now_ns
        took.append(0.5 * (1 + len(took) % 3))
        now_ns += round(1e6 * took[-1])

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now_ns)
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    figures = bench.timed(call)
    runs = took[-figures["runs"] :]
    assert len(runs) >= bench.RUNS
    assert 100 <= sum(runs) < 100 + max(runs)
    quantiles = statistics.quantiles(runs, n=100, method="inclusive")
    assert {
        name: figures[name] for name in ("first", "average", "p50", "p90", "min", "max", "std")
    } == pytest.approx(
        {
            "first": took[0],
            "average": statistics.fmean(runs),
            "p50": quantiles[49],
            "p90": quantiles[89],
            "min": min(runs),
            "max": max(runs),
            "std": statistics.pstdev(runs),
        },
        abs=1e-4,
    )


def test_result_holds_every_figure_of_the_model_and_the_stream(result: bench.Json) -> None:
    cost = result["models"]["efficientecg-xs"]
    for part in ("net", "window"):
        row = cost[part]
        assert row["min"] <= row["p50"] <= row["p90"] <= row["p99"] <= row["max"]
        assert row["runs"] >= bench.RUNS
        assert row["runs"] * row["average"] >= 990 * bench.SECONDS
    assert cost["window"]["p50"] > cost["net"]["p50"]
    assert result["stream"]["seconds"] == 30.0
    assert 0 < result["stream"]["cpu_share_live"] < 1
    assert json.loads(json.dumps(result)) == result


def test_memory_is_what_ps_says() -> None:
    told = machine.resident_mb()
    ps = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True)
    if ps.returncode:
        pytest.skip("no ps here")
    assert told == pytest.approx(int(ps.stdout) * 1024e-6, rel=0.05)


def _board(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Raspberry Pi's files, as its kernel shows them."""
    for name, text in {
        "devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
        "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1500000\n",
        "class/thermal/thermal_zone0/temp": "48312\n",
        "class/powercap/intel-rapl:0/energy_uj": "9000000\n",
        "class/powercap/intel-rapl:0/max_energy_range_uj": "10000000\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(machine, "SYSTEM", root)


def test_condition_of_a_raspberry_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _board(tmp_path, monkeypatch)
    vcgencmd = tmp_path / "vcgencmd"
    vcgencmd.write_text("#!/bin/sh\necho throttled=0x50005\n")
    vcgencmd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine.condition() == {
        "governor": "ondemand",
        "clock_mhz": 1500,
        "temperature_c": 48.3,
        "throttling": [
            "under-voltage now",
            "throttled now",
            "under-voltage since boot",
            "throttled since boot",
        ],
    }


def test_condition_is_none_where_the_machine_does_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "SYSTEM", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(machine.condition().values()) == {None}
    assert machine.Energy().joules() is None


def test_energy_counter_that_wraps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _board(tmp_path, monkeypatch)
    energy = machine.Energy()
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").write_text("2500000\n")
    assert energy.joules() == pytest.approx(3.5)


def test_ratios_are_new_over_old(result: bench.Json) -> None:
    old = json.loads(json.dumps(result))
    old["models"]["efficientecg-xs"]["net"]["p50"] *= 2
    found = {name: ratio for name, _, _, ratio in bench.ratios(result, old)}
    assert found.pop("efficientecg-xs: net p50, ms") == pytest.approx(0.5)
    assert set(found.values()) == {1.0}


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(["bench", *words])
    out = capsys.readouterr()
    return int(done.value.code or 0), out.out, out.err


def test_command_compares_with_a_result_of_its_own(
    tmp_path: Path, result: bench.Json, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.05)
    old = tmp_path / "old.json"
    old.write_text(json.dumps(result))
    code, out, _ = _run(
        capsys, "--model", "efficientecg-xs", "--seconds", "20", "--compare", str(old), "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert told["models"].keys() == {"efficientecg-xs"}
    assert told["compared"]["with"] == str(old)
    row = told["compared"]["figures"]["efficientecg-xs: net p50, ms"]
    assert row["now"] == told["models"]["efficientecg-xs"]["net"]["p50"]
    assert row["then"] == result["models"]["efficientecg-xs"]["net"]["p50"]
    assert row["ratio"] == pytest.approx(row["now"] / row["then"])
    code, out, _ = _run(capsys, "--model", "efficientecg-xs", "--seconds", "20", "--compare", str(old))
    assert code == 0
    assert "efficientecg-xs: net p50, ms" in out
    assert "times real time" in out


@pytest.mark.parametrize(
    "content",
    [
        None,
        "not JSON",
        "[]",
        '{"schema": 99, "models": {}, "stream": {}}',
        '{"schema": 1, "models": {"x": {}}, "stream": {}}',
        '{"schema": 1, "models": {}, "stream": {"times_real_time": "1", "cpu_share_live": 1}}',
        '{"schema": 1, "models": [], "stream": {"times_real_time": 1, "cpu_share_live": 1}}',
        '{"schema": 1, "models": {}, "stream": []}',
    ],
)
def test_a_file_that_is_no_result_is_one_line_before_anything_is_measured(
    tmp_path: Path,
    content: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "run", lambda *_: pytest.fail("measured"))
    old = tmp_path / "old.json"
    if content is not None:
        old.write_text(content)
    code, out, err = _run(capsys, "--compare", str(old))
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(old) in err
