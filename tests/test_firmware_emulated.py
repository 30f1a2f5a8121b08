"""The real sketches, compiled against the real Arduino core, on an emulated Uno: from volts to verdicts.

The board's serial port is a pseudo-terminal that ``ecgedge stream`` opens by name; or the bytes go to a file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from firmware_tools import Emulator, needs_emulator

from ecgedge.errors import PortError
from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.ports.patient import SimulatedPatient
from ecgedge.ports.serial_port import SerialPort
from ecgedge.wire import frames
from ecgedge.wire.frame_decoder import FrameDecoder

wfdb = pytest.importorskip("wfdb")
resample_poly = pytest.importorskip("scipy.signal").resample_poly

Counts = npt.NDArray[np.int64]
RATE = 250
GAIN, MIDDLE_MV, SUPPLY_MV = 1100, 1500, 5000
"""Of an AD8232 module at 3.3 V, which puts out 0 to 3300 mV; the Uno's converter measures against 5 V."""
UV_PER_COUNT = SUPPLY_MV * 1000 / 1024 / GAIN


@pytest.fixture(scope="module")
def uno(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    """Return the emulator with all programs, compiled."""
    needs_emulator()
    return Emulator(tmp_path_factory.mktemp("uno"))


def at_the_pin(ecg_mv: npt.NDArray[np.floating[Any]]) -> Counts:
    """What an AD8232 makes of an ECG, in whole millivolts."""
    return np.clip(np.rint(MIDDLE_MV + GAIN * ecg_mv), 0, 3300).astype(np.int64)


def converted(pin_mv: Counts) -> Counts:
    """What the emulated 10-bit converter makes of a voltage."""
    return pin_mv * 1023 // SUPPLY_MV


def ramp(n: int) -> Counts:
    """A voltage of which every lost, repeated or swapped sample can be seen."""
    return 100 + np.arange(n, dtype=np.int64) * 35 % 3200


def decoded(data: bytes) -> tuple[list[Any], FrameDecoder]:
    decoder = FrameDecoder()
    return decoder.push(Chunk(data, 0.0)) + decoder.finish(), decoder


def samples(messages: list[Any]) -> tuple[Counts, Counts]:
    """Indices and counts of lead 0, without what was sampled with an electrode off."""
    blocks = [
        block for block in messages if isinstance(block, SampleBlock) and block.n and not block.leads_off
    ]
    indices = np.concatenate([block.first + np.arange(block.n) for block in blocks])
    return indices, np.concatenate([block.counts[:, 0] for block in blocks]).astype(np.int64)


def clean(decoder: FrameDecoder) -> bool:
    """Nothing was damaged; only a frame that the end cut may be incomplete."""
    return decoder.counters.bad_frames == 0 and decoder.counters.discarded_bytes < 128


def hello_fields(data: bytes) -> list[dict[str, Any]]:
    """Every hello frame's rate, boot and next index."""
    found = []
    for unit in data.split(b"\0"):
        content = frames.open_frame(unit) if unit else None
        if content is not None and content[0] == frames.HELLO:
            _, _, rate, _, _, _, flags, boot, index, time_us, _ = frames.HELLO_HEAD.unpack_from(content)
            found.append(
                {"rate": rate / 1000, "boot": boot, "index": index, "time_us": time_us, "flags": flags}
            )
    return found


def ecgedge(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecgedge", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


# -------------------------------------------------------------------------------- volts to verdicts


def mitdb(data_dir: Path, tmp_path: Path, record: str, start_s: int, seconds: int) -> Counts:
    """A piece of MIT-BIH as an AD8232 would put it out."""
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        for suffix in ("hea", "dat"):
            (tmp_path / f"{record}.{suffix}").write_bytes(archive.read(f"mitdb/{record}.{suffix}"))
    piece = wfdb.rdrecord(
        str(tmp_path / record), sampfrom=start_s * 360, sampto=(start_s + seconds) * 360, channels=[0]
    )
    return at_the_pin(resample_poly(piece.p_signal[:, 0], 25, 36))


def check_stream_against_classify(uno: Emulator, pin_mv: Counts, seconds: int, tmp_path: Path) -> list[Any]:
    """Stream it from the board and classify what the converter makes of it: the same, message by message."""
    port, kept = tmp_path / "ttyEMU", tmp_path / "kept"
    signal_file = uno.write_signal(pin_mv)
    sketch = uno.folder / "AD8232_Uno.elf"
    with uno.board(sketch, port, "--signal", signal_file, "--speed", "0", "--wait"):
        done = ecgedge("stream", "--port", port, "--protocol", "frames", "--duration", str(seconds),
                       "--format", "jsonl", "--record", kept)  # fmt: skip
    assert done.returncode == 0, done.stderr
    live = lines(done)
    counters = live[-1]["counters"]
    assert counters["lost"] == counters["lost_estimated"] == counters["bad_frames"] == 0
    assert live[-1]["board"] == "AD8232 on ATmega328P"
    assert live[-1]["rate_hz"] == RATE

    (header,) = kept.rglob("*.hea")
    recorded = wfdb.rdrecord(str(header.with_suffix("")), physical=False).d_signal[:, 0]
    assert len(recorded) == counters["samples"] >= seconds * RATE
    first = next(k for k in range(5) if (converted(pin_mv[k : k + 2000]) == recorded[:2000]).all())
    np.testing.assert_array_equal(recorded, converted(pin_mv[first : first + len(recorded)]))

    wfdb.wrsamp(
        "quantised",
        fs=RATE,
        units=["mV"],
        sig_name=["I"],
        d_signal=recorded[:, None].astype(np.int16),
        fmt=["16"],
        adc_gain=[1000 / float(np.float32(UV_PER_COUNT))],
        baseline=[0],
        write_dir=str(tmp_path),
    )
    whole = lines(ecgedge("classify", tmp_path / "quantised.hea", "--format", "jsonl"))
    for kind in ("beat", "window", "episode", "gap", "hrv", "period"):
        assert [m for m in live if m["type"] == kind] == [m for m in whole if m["type"] == kind]
    return [m for m in live if m["type"] == "window" and not m["provisional"]]


@pytest.mark.parametrize(
    ("record", "start_s", "said"), [("219", 600, "AF"), ("100", 60, "sinus")], ids=["219 (AF)", "100 (sinus)"]
)
def test_mitdb_as_voltage_gets_the_verdicts_of_classify(
    uno: Emulator, data_dir: Path, tmp_path: Path, record: str, start_s: int, said: str
) -> None:
    pin_mv = mitdb(data_dir, tmp_path, record, start_s, 95)
    windows = check_stream_against_classify(uno, pin_mv, 90, tmp_path)
    assert len(windows) >= 6
    assert said in {window["verdict"] for window in windows}


def test_a_simulated_patient_as_voltage_gets_the_verdicts_of_classify(uno: Emulator, tmp_path: Path) -> None:
    patient = SimulatedPatient(seed=5, duration_s=55)
    ecg_mv = np.concatenate([piece.counts for piece in patient.pieces()]) * patient.board.uv_per_count / 1000
    assert len(check_stream_against_classify(uno, at_the_pin(ecg_mv), 50, tmp_path)) >= 2


# ------------------------------------------------------------------------------ what the board sends


@pytest.mark.parametrize("program", ["AD8232_Uno", "ecg_board"])
def test_every_sample_is_exact_and_two_runs_are_alike(uno: Emulator, program: str) -> None:
    pin_mv = ramp(40 * RATE)
    words = (uno.folder / f"{program}.elf", 30.0, "--signal", uno.write_signal(pin_mv))
    data = uno.record(*words)
    assert uno.record(*words) == data
    out, decoder = decoded(data)
    assert clean(decoder)
    assert out[0] == Board("AD8232 on ATmega328P", 250.0, float(np.float32(UV_PER_COUNT)), 10, 1)
    indices, counts = samples(out)
    assert len(indices) >= 29 * RATE
    np.testing.assert_array_equal(indices, np.arange(len(indices)))
    first = next(k for k in range(5) if (converted(pin_mv[k : k + 500]) == counts[:500]).all())
    np.testing.assert_array_equal(counts, converted(pin_mv[first : first + len(counts)]))
    for before, after in pairwise(block for block in out if isinstance(block, SampleBlock)):
        assert after.device_us - before.device_us == pytest.approx(4000 * before.n, abs=200)


@pytest.mark.parametrize(("bits", "name"), [(1, "LO+"), (2, "LO-"), (3, "both")])
def test_clause_4_5_a_loose_electrode_is_told_to_the_sample(uno: Emulator, bits: int, name: str) -> None:
    events = ("--event", f"2.0:off={bits}", "--event", "3.5:off=0", "--event", f"5.0:off={bits}")
    data = uno.record(uno.folder / "AD8232_Uno.elf", 7.0, *events, "--signal", uno.write_signal(ramp(2000)))
    out, decoder = decoded(data)
    assert clean(decoder)
    state = np.concatenate([np.full(b.n, b.leads_off) for b in out if isinstance(b, SampleBlock)])
    assert decoder.counters.lost == 0
    changes = np.flatnonzero(np.diff(state)) + 1
    assert len(changes) == 3, name
    start_s = next(b for b in out if isinstance(b, SampleBlock)).device_us / 1e6
    for change, moment_s in zip(changes, (2.0, 3.5, 5.0), strict=True):
        assert start_s + change / RATE == pytest.approx(moment_s, abs=1.5 / RATE)


def test_clause_5_commands_over_the_serial_line(uno: Emulator, tmp_path: Path) -> None:
    port = tmp_path / "tty"
    signal_file = uno.write_signal(ramp(8000 * 10))
    for program in ("AD8232_Uno", "ecg_board"):
        sketch = uno.folder / f"{program}.elf"
        board = uno.board(sketch, port, "--signal", signal_file, "--rate", "500", "--speed", "5", "--wait")
        with board, SerialPort(str(port)) as host:
            heard = started(host)
            host.write(frames.command_rate(500.0))
            heard += listen(host, lambda data: 500.0 in {h["rate"] for h in hello_fields(data)})
            heard += listen(host, lambda data: len(data) > 4000)
            host.write(frames.command_stop())
            heard += listen(host, lambda data: any(not h["flags"] & 1 for h in hello_fields(data)))
            silent = listen(host, lambda data: False, 0.6)
            host.write(frames.command_start())
            again = listen(host, lambda data: len(data) > 500)
        assert {h["rate"] for h in hello_fields(heard)} == {250.0, 500.0}
        assert all(content_of(unit)[0] == frames.HELLO for unit in silent.split(b"\0") if unit)
        out, decoder = decoded(heard + silent + again)
        assert clean(decoder)
        fast = out[next(k for k, m in enumerate(out) if isinstance(m, Board) and m.rate_hz == 500.0) :]
        indices, counts = samples(fast)
        assert len(counts) > 500
        blocks = [b for b in fast if isinstance(b, SampleBlock)]
        for before, after in pairwise(blocks):
            if after.first == before.first + before.n:
                assert after.device_us - before.device_us == pytest.approx(2000 * before.n, abs=200)
        # At 500 Hz the signal's values come one by one: each sample is its predecessor's next.
        values = converted(ramp(80000))
        starts = np.flatnonzero((values[:-3] == counts[0]) & (values[1:-2] == counts[1]))
        run = int(np.argmax(np.diff(indices, append=indices[-1] + 2) != 1)) + 1
        assert run > 100
        assert any((values[k : k + run] == counts[:run]).all() for k in starts)


def content_of(unit: bytes) -> bytes:
    content = frames.open_frame(unit)
    assert content is not None
    return content


def listen(host: SerialPort, enough: Any, longest_s: float = 15.0) -> bytes:
    """Bytes from the port until they are enough."""
    data, deadline = b"", time.monotonic() + longest_s
    while not enough(data) and time.monotonic() < deadline:
        data += host.read(0.05).data
    return data


def started(host: SerialPort) -> bytes:
    """Wake a board that waits for the first byte; what it says until it listens."""
    host.write(b"\0")
    return listen(host, lambda data: len(hello_fields(data)) >= 1 and len(data) > 200)


def after_rate(host: SerialPort, wanted: float) -> bytes:
    """Ask for a rate; all bytes up to some data that has it."""
    host.write(frames.command_rate(wanted))
    data = listen(host, lambda data: abs(hello_rate(data) - wanted) < 0.01 * wanted)
    return data + listen(host, lambda data: len(data) > 8000)


def hello_rate(data: bytes) -> float:
    told = hello_fields(data)
    return float(told[-1]["rate"]) if told else 0.0


def measured_rate(data: bytes) -> float:
    """Samples a second by the board's own clock, in the data frames of the latest rate."""
    heads: list[tuple[int, int]] = []
    rate = 0
    for unit in data.split(b"\0")[:-1]:
        content = frames.open_frame(unit) if unit else None
        if content is not None and content[0] == frames.HELLO:
            told = frames.HELLO_HEAD.unpack_from(content)[2]
            heads, rate = heads if told == rate else [], told
        elif content is not None and content[0] == frames.DATA:
            _, _, index, time_us, *_ = frames.DATA_HEAD.unpack_from(content)
            heads.append((index, time_us))
    (index, time_us), (last, end_us) = heads[0], heads[-1]
    assert last - index > 500
    return (last - index) / ((end_us - time_us) % (1 << 32)) * 1e6


@pytest.mark.parametrize("wanted", [100.0, 128.0, 333.333, 1000.0])
def test_clause_3_4_the_hello_tells_the_rate_of_the_timer(
    uno: Emulator, tmp_path: Path, wanted: float
) -> None:
    port = tmp_path / "tty"
    with (
        uno.board(uno.folder / "AD8232_Uno.elf", port, "--speed", "0", "--wait"),
        SerialPort(str(port)) as host,
    ):
        data = started(host)
        data += after_rate(host, wanted)
    out, decoder = decoded(data)
    assert clean(decoder)
    told = hello_fields(data)[-1]["rate"]
    assert told == pytest.approx(wanted, rel=1e-4)
    assert [m.rate_hz for m in out if isinstance(m, Board)] == [RATE, told]
    assert measured_rate(data) == pytest.approx(told, rel=1e-4)


# ------------------------------------------------------------------------------------ cable and reset


def test_clause_3_7_reset_on_open_begins_anew_with_another_boot_number(uno: Emulator, tmp_path: Path) -> None:
    port = tmp_path / "tty"
    boots = []
    with uno.board(uno.folder / "AD8232_Uno.elf", port, "--speed", "4", "--reset-on-open", "--wait"):
        for _ in range(3):
            with SerialPort(str(port)) as host:
                host.write(frames.command_hello())
                data = listen(host, lambda data: len(data) > 1000)
            out, decoder = decoded(data)
            assert clean(decoder)
            indices, _ = samples(out)
            assert indices[0] == 0
            boots.append(hello_fields(data)[0]["boot"])
    assert np.diff(boots).tolist() == [1, 1]


def test_clause_3_8_the_button_in_the_middle_of_a_stream(uno: Emulator, tmp_path: Path) -> None:
    port = tmp_path / "tty"
    signal_file = uno.write_signal(ramp(60 * RATE))
    options = ("--signal", signal_file, "--speed", "1", "--wait", "--event", "3:reset=4")
    words = ("--port", port, "--protocol", "frames", "--duration", "10", "--format", "jsonl")
    with uno.board(uno.folder / "AD8232_Uno.elf", port, *options):
        done = ecgedge("stream", *words)
    assert done.returncode == 0, done.stderr
    (gap,) = [m for m in lines(done) if m["type"] == "gap"]
    assert gap["cause"] == "reset"
    assert gap["estimated"]
    assert 1 < gap["samples"] / RATE < 30  # by the host's clock, on a busy machine
    assert lines(done)[-1]["counters"]["bad_frames"] <= 1


def test_the_cable_out_and_in_again_under_the_same_name(uno: Emulator, tmp_path: Path) -> None:
    port = tmp_path / "tty"
    with uno.board(uno.folder / "AD8232_Uno.elf", port, "--speed", "4", "--wait", "--event", "4:unplug=4"):
        with SerialPort(str(port)) as host:
            host.write(frames.command_hello())
            data = b""
            lost = ""
            while not lost:
                try:
                    data += host.read(0.5).data
                except PortError as error:
                    lost = str(error)
            assert "unplugged" in lost
        with pytest.raises(PortError, match="no port"):
            SerialPort(str(port))
        wait_for(port)
        with SerialPort(str(port)) as host:
            host.write(frames.command_hello())
            again = listen(host, lambda data: len(data) > 1500)
    before, decoder = decoded(data)
    assert clean(decoder)
    assert samples(before)[0][-1] > RATE  # what a busy host has not read dies with the terminal
    after, decoder = decoded(again)
    assert clean(decoder)
    assert samples(after)[0][0] == 0  # its power was gone
    assert hello_fields(again)[0]["boot"] != hello_fields(data)[0]["boot"]


@pytest.mark.parametrize("words", [(), ("--no-reconnect",)], ids=["reconnects", "does not"])
def test_the_cable_out_in_the_middle_of_a_stream(
    uno: Emulator, tmp_path: Path, words: tuple[str, ...]
) -> None:
    port = tmp_path / "tty"
    signal_file = uno.write_signal(ramp(60 * RATE))
    options = ("--signal", signal_file, "--wait", "--event", "4:unplug=1")
    with uno.board(uno.folder / "AD8232_Uno.elf", port, *options):
        told = ("--protocol", "frames", "--duration", "10", "--format", "jsonl", *words)
        done = ecgedge("stream", "--port", port, *told)
    end = lines(done)[-1]
    assert end["counters"]["bad_frames"] <= 1
    if words:
        assert done.returncode == PortError.exit_code
        assert sum("lost" in line for line in done.stderr.splitlines()) == 1
        assert end["time_s"] < 5
    else:
        assert done.returncode == 0, done.stderr
        assert end["time_s"] >= 10
        (gap,) = [m for m in lines(done) if m["type"] == "gap"]
        assert gap["estimated"]
        assert 0.5 < gap["samples"] / RATE < 9  # power-up included


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_clause_6_1_a_host_that_joins_a_running_board_is_in_step_at_once(
    uno: Emulator, tmp_path: Path
) -> None:
    port = tmp_path / "tty"
    signal_file = uno.write_signal(ramp(200 * RATE))
    with uno.board(uno.folder / "AD8232_Uno.elf", port, "--signal", signal_file, "--speed", "10"):
        done = ecgedge(
            "stream", "--port", port, "--duration", "12", "--format", "jsonl"
        )  # recognised by itself
    assert done.returncode == 0, done.stderr
    end = lines(done)[-1]
    assert end["board"] == "AD8232 on ATmega328P"
    assert end["rate_hz"] == RATE
    assert end["counters"]["samples"] >= 12 * RATE
    assert end["counters"]["lost"] == end["counters"]["bad_frames"] == 0


# -------------------------------------------------------------------------------------- wraps, hours


def test_clause_4_2_the_index_wraps_in_the_middle_of_a_stream(uno: Emulator, tmp_path: Path) -> None:
    first = (1 << 32) - 1003
    sketch = uno.sketch("AD8232_Uno", f"-DECGEDGE_FIRST_INDEX={first}UL", folder=tmp_path)
    pin_mv = ramp(20 * RATE)
    out, decoder = decoded(uno.record(sketch, 12.0, "--signal", uno.write_signal(pin_mv)))
    assert clean(decoder)
    assert decoder.counters.lost == 0
    indices, counts = samples(out)
    np.testing.assert_array_equal(indices, first + np.arange(len(indices)))
    assert indices[-1] > 1 << 32
    start = next(k for k in range(5) if converted(pin_mv)[k] == counts[0])
    np.testing.assert_array_equal(counts, converted(pin_mv[start : start + len(counts)]))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_clause_4_3_two_and_a_half_hours_two_wraps_of_the_clock_every_sample(uno: Emulator) -> None:
    hours = 2.5
    pin_mv = ramp(int(hours * 3600 * RATE) + 10)
    data = uno.record(uno.folder / "ecg_board.elf", hours * 3600, "--signal", uno.write_signal(pin_mv))
    out, decoder = decoded(data)
    assert clean(decoder)
    indices, counts = samples(out)
    assert len(indices) >= hours * 3600 * RATE - 40
    np.testing.assert_array_equal(indices, np.arange(len(indices)))
    start = next(k for k in range(5) if converted(pin_mv)[k] == counts[0])
    np.testing.assert_array_equal(counts, converted(pin_mv[start : start + len(counts)]))
    times = [h["time_us"] for h in hello_fields(data)]
    assert sum(after < before for before, after in pairwise(times)) == 2
    last = [b for b in out if isinstance(b, SampleBlock)][-1]
    assert last.device_us == 4000 * (last.first + 1)


# --------------------------------------------------------------------------------- digital front ends

CHIPS = {
    "ADS1292R": ("ads1292r", 250, 24, 2, 2.42e6 / 6 / (2**23 - 1)),
    "MAX30003": ("max30003", 256, 18, 1, 1e6 / 20 / 2**17),
}
"""Of a sketch: model of the chip, samples a second, bits, leads, microvolt per count by the datasheet."""


@pytest.mark.parametrize("name", CHIPS)
def test_a_front_end_behind_spi_gives_every_bit_of_every_sample(uno: Emulator, name: str) -> None:
    chip, rate, bits, leads, uv = CHIPS[name]
    high = 1 << (bits - 1)
    values = np.random.default_rng(7).integers(-high + 1, high, 20 * rate)
    words = ("--chip", chip, "--rate", str(rate), "--signal", uno.write_signal(values))
    out, decoder = decoded(uno.record(uno.folder / f"{name}.elf", 15.0, *words))
    assert clean(decoder)
    assert decoder.counters.lost == 0
    assert (out[0].rate_hz, out[0].bits, out[0].leads) == (rate, bits, leads)
    assert out[0].uv_per_count == pytest.approx(uv, rel=1e-6)
    counts = np.concatenate([b.counts for b in out if isinstance(b, SampleBlock)]).astype(int)
    assert len(counts) > 13 * rate
    start = int(np.flatnonzero(values == counts[0, 0])[0])
    np.testing.assert_array_equal(counts[:, 0], values[start : start + len(counts)])
    if leads == 2:
        np.testing.assert_array_equal(counts[:, 1], -counts[:, 0])


@pytest.mark.parametrize("name", CHIPS)
def test_a_front_end_behind_spi_tells_of_electrodes_and_changes_its_rate(
    uno: Emulator, tmp_path: Path, name: str
) -> None:
    chip, rate, *_ = CHIPS[name]
    port = tmp_path / "tty"
    events = ("--event", "2:off=1", "--event", "4:off=0")
    board = uno.board(uno.folder / f"{name}.elf", port, "--chip", chip, "--speed", "0", "--wait", *events)
    with board, SerialPort(str(port)) as host:
        data = started(host) + listen(host, lambda data: len(hello_fields(data)) >= 2)
        data += after_rate(host, 2 * rate)
    out, decoder = decoded(data)
    assert clean(decoder)
    boards = [k for k, message in enumerate(out) if isinstance(message, Board)]
    assert [out[k].rate_hz for k in boards] == [rate, 2 * rate]
    off = [b for b in out if isinstance(b, SampleBlock) and b.leads_off]
    assert sum(b.n for b in off) == pytest.approx(2 * rate, abs=3)
    assert measured_rate(data) == pytest.approx(2 * rate, rel=1e-3)
