"""Conversion: read back by edfio, pyarrow and our own reader; gaps stay gaps."""

from __future__ import annotations

import json
import sys
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgedge import cli
from ecgedge.convert import convert, gaps
from ecgedge.errors import RecordingError, UsageError
from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import Annotation
from ecgedge.recordings.layout import choose_layout
from ecgedge.recordings.writer import RecordWriter

RATE = 250.0
STARTED = datetime(2026, 5, 1, 12, 30, 15, tzinfo=timezone.utc)


def make(folder: Path, counts: np.ndarray, uv: float | None = 5.0, bits: int | None = 16) -> Path:
    layout = choose_layout(counts, RATE, uv, bits, ("I", "II")[: counts.shape[1]])
    writer = RecordWriter(folder, "rec", layout, started=STARTED)
    writer.samples.append(counts)
    for annotation in (
        Annotation(10, "N"),
        Annotation(100, "+", aux="(AFIB"),
        Annotation(250, '"', aux="gap: 20 samples lost"),
        Annotation(900, "V", aux="odd"),
    ):
        writer.annotations.add(annotation)
    writer.finish()
    return folder / "rec"


def with_gaps() -> np.ndarray:
    counts = np.random.default_rng(5).integers(-2000, 2000, (1100, 2)).astype(float)
    counts[250:270] = np.nan
    counts[400:410, 1] = np.nan
    return counts


def refuse(error: type[Exception], path: Path, to: str, **kwargs: Path) -> str:
    with pytest.raises(error) as caught:
        convert(path, to, **kwargs)
    return str(caught.value)


def test_edf_is_read_by_edfio(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    counts = with_gaps()
    out = convert(make(tmp_path, counts), "edf", tmp_path / "o.edf")
    edf = edfio.read_edf(out)
    assert [s.label for s in edf.signals] == ["ECG I", "ECG II"]
    assert [s.physical_dimension for s in edf.signals] == ["uV", "uV"]
    assert edf.startdate == STARTED.date()
    assert edf.starttime == STARTED.time()
    for k, signal in enumerate(edf.signals):
        assert signal.sampling_frequency == RATE
        np.testing.assert_allclose(signal.data[:1100], np.nan_to_num(counts[:, k]) * 5.0, atol=1e-6)
    found = [
        (round(a.onset * RATE), a.duration and round(a.duration * RATE), a.text) for a in edf.annotations
    ]
    assert sorted(found, key=lambda item: (item[0], item[2])) == [
        (10, None, "N"),
        (100, None, "(AFIB"),
        (250, 20, "Recording gap"),
        (250, None, "gap: 20 samples lost"),
        (400, 10, "Recording gap in II"),
        (900, None, "V odd"),
        (1100, 150, "End of recording; zeros follow"),
    ]


@pytest.mark.parametrize(
    ("top", "uv", "unit"), [(2**22, 0.05, "uV"), (2**22, None, ""), (3000, 0.0381, "uV")]
)
def test_edf_keeps_wide_counts_within_half_a_step(
    tmp_path: Path, top: int, uv: float | None, unit: str
) -> None:
    edfio = pytest.importorskip("edfio")
    counts = np.random.default_rng(6).integers(-top, top, (500, 1)).astype(float)
    signal = edfio.read_edf(convert(make(tmp_path, counts, uv, 24), "edf", tmp_path / "o.edf")).signals[0]
    scale = uv or 1.0
    step = scale * max(1.0, top / 32767)
    np.testing.assert_allclose(signal.data, counts[:, 0] * scale, atol=0.51 * step, rtol=1e-5)
    assert signal.physical_dimension == unit


def test_edf_of_a_real_record_is_exact(data_dir: Path, tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        for suffix in (".hea", ".dat", ".atr"):
            archive.extract(f"mitdb/201{suffix}", tmp_path)
    path = tmp_path / "mitdb" / "201"
    edf = edfio.read_edf(convert(path, "edf", tmp_path / "o.edf"))
    expected = wfdb.rdrecord(str(path)).p_signal
    for k, signal in enumerate(edf.signals):
        np.testing.assert_allclose(signal.data[: len(expected)] / 1000, expected[:, k], atol=1e-9)
    reference = wfdb.rdann(str(path), "atr")
    assert len([a for a in edf.annotations if "zeros follow" not in a.text]) == len(reference.sample)


@pytest.mark.parametrize("uv", [5.0, 0.0381469, None])
def test_csv_is_read_back(tmp_path: Path, uv: float | None) -> None:
    counts = with_gaps()
    out = convert(make(tmp_path, counts, uv), "csv", tmp_path / "o.csv")
    lines = out.read_text().splitlines()
    assert lines[0] == ("time [s],I,II" if uv is None else "time [s],I [mV],II [mV]")
    assert lines[251] == "1.000000,,"
    assert lines[401].startswith("1.600000,")
    assert lines[401].endswith(",")
    back = open_recording(out)
    assert (back.board.rate_hz, back.lead_names) == (RATE, ("I", "II"))
    read = np.concatenate([b.counts for b in back.blocks()])
    if uv is None:
        np.testing.assert_array_equal(read, counts)
    else:
        scale = back.board.uv_per_count
        assert scale is not None
        np.testing.assert_allclose(read * scale, counts * uv, atol=0.02 * uv)


def test_rows_that_a_csv_leaves_out_are_empty_rows(tmp_path: Path) -> None:
    rows = [f"{k / 100:.2f},{k}" for k in range(500) if not 200 <= k < 230]
    (tmp_path / "in.csv").write_text("\n".join(["time,ecg", *rows]))
    lines = convert(tmp_path / "in.csv", "csv", tmp_path / "o.csv").read_text().splitlines()
    assert len(lines) == 501
    assert lines[201] == "2.000000,"
    assert lines[231] == "2.300000,230"


@pytest.mark.parametrize("values", [[-5.265, 0.5, 12.0], [-3.0, 7.0, 9.0], [1e-7 / 3, 0.25, 1.0]], ids=str)
def test_values_without_a_unit_stay_what_they_are(tmp_path: Path, values: list[float]) -> None:
    pq, edfio = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("edfio")
    column = values * 100
    path = tmp_path / "in.csv"
    path.write_text("time,lead\n" + "".join(f"{k / 100:.2f},{value!r}\n" for k, value in enumerate(column)))
    tolerance = 1e-6 * max(map(abs, values))
    csv = np.loadtxt(convert(path, "csv", tmp_path / "o.csv"), delimiter=",", skiprows=1)
    np.testing.assert_allclose(csv[:, 1], column, atol=tolerance)
    table = pq.read_table(convert(path, "parquet", tmp_path / "o.parquet"))
    np.testing.assert_allclose(table.column("lead").to_numpy(), column, atol=tolerance)
    (signal,) = edfio.read_edf(convert(path, "edf", tmp_path / "o.edf")).signals
    np.testing.assert_allclose(signal.data[: len(column)], column, atol=2e-4 * max(map(abs, values)))
    assert signal.physical_dimension == ""


def test_parquet_is_read_by_pyarrow(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    counts = with_gaps()
    table = pq.read_table(convert(make(tmp_path, counts), "parquet", tmp_path / "o.parquet"))
    assert table.column_names == ["time_s", "I", "II"]
    assert [table.column(k).null_count for k in range(3)] == [0, 20, 30]
    values = np.array([table.column(k).to_pylist() for k in (1, 2)], dtype=float).T
    np.testing.assert_allclose(values, counts * 0.005)
    np.testing.assert_allclose(table.column(0).to_numpy(), np.arange(1100) / RATE)
    meta = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert (meta["rate_hz"], meta["unit"]) == ("250.0", "mV")
    assert datetime.fromisoformat(meta["started"]) == STARTED
    assert json.loads(meta["annotations"])[1] == [100, "+", "(AFIB"]


def test_nothing_is_written_over_and_nothing_half_is_left(tmp_path: Path) -> None:
    path = make(tmp_path, with_gaps())
    (tmp_path / "o.csv").write_text("mine")
    assert "is there already" in refuse(UsageError, path, "csv", out=tmp_path / "o.csv")
    assert "edf, csv, parquet" in refuse(UsageError, path, "wav", out=tmp_path / "o.wav")
    assert "cannot be written" in refuse(RecordingError, path, "csv", out=tmp_path / "no" / "o.csv")
    size = path.with_suffix(".dat").stat().st_size
    path.with_suffix(".dat").write_bytes(b"\0" * (size - 8))
    refuse(RecordingError, path, "csv", out=tmp_path / "cut.csv")
    assert not list(tmp_path.glob("cut*"))


def test_runs_of_missing_samples() -> None:
    assert gaps(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert gaps(np.zeros(3, dtype=bool)) == []


def test_the_command_names_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path, with_gaps())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as done:
        cli.main(["convert", str(path), "--to", "csv"])
    assert done.value.code == 0
    assert capsys.readouterr().out == "rec.csv\n"
    assert (tmp_path / "rec.csv").is_file()


@pytest.mark.parametrize(("to", "package"), [("edf", "edfio"), ("parquet", "pyarrow")])
def test_a_missing_extra_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], to: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as done:
        cli.main(["convert", str(make(tmp_path, with_gaps())), "--to", to, "--out", str(tmp_path / "o")])
    assert done.value.code == 7
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "[convert]" in err
