"""Whole WFDB records in every format: read by the wfdb package, byte for byte as by others, never clipped."""

from __future__ import annotations

import zipfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgedge import cli
from ecgedge.convert import convert
from ecgedge.errors import RecordingError, UsageError
from ecgedge.messages import Beat, Board, SampleBlock, Segment
from ecgedge.recordings import open_recording, read_mat4
from ecgedge.recordings.annotations import Annotation, read_annotations, write_annotations
from ecgedge.sinks.recorder import Recorder

REACH = {"16": 2**15 - 1, "24": 2**23 - 1, "212": 2**11 - 1, "mat": 2**15 - 1}
FORMATS = sorted(REACH)
NOTES = [
    Annotation(10, "N"),
    Annotation(20, "+", aux="(AFIB"),
    Annotation(5000, "V", subtype=-3, chan=1, num=7, aux="odd"),
]


def made_by_wfdb(
    folder: Path, counts: np.ndarray, fmt: str, name: str = "rec", baseline: int = 0, gain: float = 200.0
) -> Path:
    """A record of the wfdb package; missing samples are what the format has for them."""
    lowest = -(REACH[fmt] + 1)
    leads = counts.shape[1]
    wfdb.wrsamp(
        name,
        fs=250,
        units=["mV"] * leads,
        sig_name=["I", "II", "III"][:leads],
        d_signal=np.where(np.isnan(counts), lowest, counts + baseline).astype(int),
        fmt=[fmt] * leads,
        adc_gain=[gain] * leads,
        baseline=[baseline] * leads,
        write_dir=str(folder),
    )
    return folder / name


def some(fmt: str, n: int, leads: int) -> np.ndarray:
    """Values over the whole range of a format, with gaps at the begin, the end, and in one lead."""
    rng = np.random.default_rng(n + leads)
    counts = rng.integers(-REACH[fmt], REACH[fmt] + 1, (n, leads)).astype(float)
    counts[1], counts[2] = REACH[fmt], -REACH[fmt]
    counts[0] = counts[n // 2 : n // 2 + 9] = counts[-2:] = np.nan
    counts[40, -1] = np.nan
    return counts


def read(path: Path) -> np.ndarray:
    return np.concatenate([block.counts for block in open_recording(path).blocks()])


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("n", [4096, 8193, 101])
@pytest.mark.parametrize("fmt", FORMATS)
def test_wfdb_and_we_read_what_was_there(tmp_path: Path, fmt: str, n: int, leads: int) -> None:
    counts = some(fmt, n, leads)
    source = made_by_wfdb(tmp_path, counts, "24")
    header = convert(source, "wfdb", tmp_path / "out", fmt=fmt)
    assert header == tmp_path / "out.hea"
    stored = wfdb.rdrecord(str(tmp_path / "out"), physical=False)
    np.testing.assert_array_equal(stored.d_signal, np.where(np.isnan(counts), -REACH[fmt] - 1, counts))
    assert [c % 65536 for c in stored.checksum] == stored.calc_checksum()
    assert stored.init_value == stored.d_signal[0].tolist()
    assert stored.fmt == [fmt if fmt != "mat" else "16"] * leads
    assert stored.sig_len == n
    np.testing.assert_allclose(wfdb.rdrecord(str(tmp_path / "out")).p_signal, counts / 200.0)
    np.testing.assert_array_equal(read(tmp_path / "out"), counts)


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("n", [4096, 8193])
@pytest.mark.parametrize("fmt", ["16", "24", "212"])
def test_bytes_are_those_of_the_wfdb_package(tmp_path: Path, fmt: str, n: int, leads: int) -> None:
    source = made_by_wfdb(tmp_path, some(fmt, n, leads), fmt)
    convert(source, "wfdb", tmp_path / "out", fmt=fmt)
    assert (tmp_path / "out.dat").read_bytes() == (tmp_path / "rec.dat").read_bytes()


def test_a_cinc_record_is_written_as_it_was(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "cinc2017.zip") as archive:
        for suffix in (".hea", ".mat"):
            archive.extract(f"training2017/A00005{suffix}", tmp_path)
    source = tmp_path / "training2017" / "A00005"
    convert(source, "wfdb", tmp_path / "A00005", fmt="mat")
    assert (tmp_path / "A00005.mat").read_bytes() == source.with_suffix(".mat").read_bytes()
    assert not (tmp_path / "A00005.atr").exists()


def test_a_matrix_is_one_to_scipy(tmp_path: Path) -> None:
    loadmat = pytest.importorskip("scipy.io").loadmat
    counts = some("mat", 501, 2)
    convert(made_by_wfdb(tmp_path, counts, "16"), "wfdb", tmp_path / "out", fmt="mat")
    stored = loadmat(tmp_path / "out.mat")["val"]
    assert stored.dtype == np.int16
    np.testing.assert_array_equal(stored, np.where(np.isnan(counts), -32768, counts).T)
    np.testing.assert_array_equal(read_mat4((tmp_path / "out.mat").read_bytes()), stored)


@pytest.mark.parametrize("fmt", ["212", "mat", "24", None])
def test_a_mitdb_record_keeps_millivolts_and_beats(data_dir: Path, tmp_path: Path, fmt: str | None) -> None:
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        for suffix in (".hea", ".dat", ".atr"):
            archive.extract(f"mitdb/203{suffix}", tmp_path)
    source, out = tmp_path / "mitdb" / "203", tmp_path / "out"
    convert(source, "wfdb", out, fmt=fmt)
    before, after = (wfdb.rdrecord(str(path)) for path in (source, out))
    np.testing.assert_allclose(after.p_signal, before.p_signal, atol=1e-9)
    assert (after.fs, after.sig_name, after.comments) == (before.fs, before.sig_name, before.comments)
    assert after.fmt[0] == {"mat": "16", None: "16"}.get(fmt, fmt)
    ours, theirs = (wfdb.rdann(str(path), "atr") for path in (out, source))
    for name in ("sample", "symbol", "subtype", "chan", "num", "aux_note"):
        assert list(getattr(ours, name)) == list(getattr(theirs, name))


@pytest.mark.parametrize(
    ("source", "top", "wanted"), [("212", 2000, "16"), ("16", 2000, "16"), ("24", 5, "24")]
)
def test_the_format_follows_the_resolution(tmp_path: Path, source: str, top: int, wanted: str) -> None:
    counts = np.arange(-top, top, dtype=float)[:, None]
    convert(made_by_wfdb(tmp_path, counts, source), "wfdb", tmp_path / "out")
    assert wfdb.rdheader(str(tmp_path / "out")).fmt == [wanted]


def test_values_far_from_the_baseline_are_given_24_bits(tmp_path: Path) -> None:
    counts = np.arange(30_000, 50_000, dtype=float)[:, None]
    source = made_by_wfdb(tmp_path, counts, "16", baseline=-20_000)
    convert(source, "wfdb", tmp_path / "out")
    assert wfdb.rdheader(str(tmp_path / "out")).fmt == ["24"]
    np.testing.assert_array_equal(read(tmp_path / "out"), counts)


@pytest.mark.parametrize(("fmt", "value"), [("212", 2048), ("212", -2048), ("16", -32768), ("mat", 32768)])
def test_values_that_do_not_fit_are_refused(tmp_path: Path, fmt: str, value: int) -> None:
    counts = np.zeros((9000, 1))
    counts[8500] = value
    source = made_by_wfdb(tmp_path, counts, "24")
    with pytest.raises(UsageError) as caught:
        convert(source, "wfdb", tmp_path / "out", fmt=fmt)
    assert str(value) in str(caught.value)
    assert f"{-REACH[fmt]} to {REACH[fmt]}" in str(caught.value)
    assert not list(tmp_path.glob("*out*"))


def test_rows_left_out_of_a_csv_are_no_samples(tmp_path: Path) -> None:
    rows = [f"{k / 100:.2f},{k},{-k}" for k in range(501) if not 201 <= k < 230]
    (tmp_path / "in.csv").write_text("\n".join(["time,a,b", *rows]))
    expected = np.stack([np.arange(501.0), -np.arange(501.0)], axis=1)
    expected[201:230] = np.nan
    for fmt in FORMATS:
        convert(tmp_path / "in.csv", "wfdb", tmp_path / f"out{fmt}", fmt=fmt)
        stored = wfdb.rdrecord(str(tmp_path / f"out{fmt}"))
        np.testing.assert_allclose(stored.p_signal, expected)
        assert (stored.fs, stored.sig_name, stored.units) == (100, ["a", "b"], ["adu", "adu"])


def test_annotations_start_and_electrodes_of_our_recorder_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "rec", print, now=lambda: datetime(2026, 5, 1, 12, tzinfo=timezone.utc))
    recorder.write(Segment(0, 0.0, 250.0, "declared", Board("board", 250.0, 5.0, 16, 1)))
    for k in range(10):
        counts = np.full((333, 1), float(k))
        recorder.write(SampleBlock(333 * k, counts, 333 * (k + 1) / 250, leads_off=3 <= k < 5))
        recorder.write(Beat(333 * k + 100, (333 * k + 100) / 250, None, 1.0, True))
    recorder.close()
    (source,) = (path.with_suffix("") for path in (tmp_path / "rec").rglob("*.hea"))
    convert(source, "wfdb", tmp_path / "out", fmt="212")
    assert read_annotations(tmp_path / "out.atr") == read_annotations(source.with_suffix(".atr"))

    def blocks(path: Path) -> list[tuple[int, int, bool]]:
        spans = [(b.first, b.first + b.n, b.leads_off) for b in open_recording(path).blocks()]
        return [span for span in spans if span[2]]

    assert blocks(tmp_path / "out") == blocks(source) != []
    times = [wfdb.rdheader(str(path)).base_datetime for path in (source, tmp_path / "out")]
    assert times[0] == times[1] == datetime(2026, 5, 1, 12, 0)


def test_every_field_of_an_annotation_stays(tmp_path: Path) -> None:
    source = made_by_wfdb(tmp_path, np.zeros((6000, 1)), "16")
    write_annotations(source.with_suffix(".atr"), NOTES)
    convert(source, "wfdb", tmp_path / "out", fmt="mat")
    stored = wfdb.rdann(str(tmp_path / "out"), "atr")
    found = zip(
        stored.sample, stored.symbol, stored.subtype, stored.chan, stored.num, stored.aux_note, strict=True
    )
    assert [tuple(item) for item in found] == [
        (a.sample, a.symbol, a.subtype, a.chan, a.num, a.aux) for a in NOTES
    ]


def test_names_and_files_that_are_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = made_by_wfdb(tmp_path, np.zeros((50, 1)), "16")
    for name in ("rec", "rec.hea", "rec.atr"):
        with pytest.raises(UsageError, match=r"rec\.hea is there already"):
            convert(source, "wfdb", tmp_path / name)
    with pytest.raises(UsageError, match="letters, digits"):
        convert(source, "wfdb", tmp_path / "a b")
    with pytest.raises(UsageError, match="with --to wfdb only"):
        convert(source, "csv", tmp_path / "o.csv", fmt="16")
    with pytest.raises(RecordingError, match="cannot be written"):
        convert(source, "wfdb", tmp_path / "no" / "out")
    (tmp_path / "my ecg (1).csv").write_text("time,ecg\n0,1\n0.01,2\n0.02,3\n")
    monkeypatch.chdir(tmp_path)
    assert convert(tmp_path / "my ecg (1).csv", "wfdb") == Path("my_ecg__1_.hea")
    np.testing.assert_allclose(wfdb.rdrecord("my_ecg__1_").p_signal[:, 0], [1, 2, 3])


def test_a_damaged_recording_leaves_nothing(tmp_path: Path) -> None:
    source = made_by_wfdb(tmp_path, np.zeros((50, 1)), "16")
    source.with_suffix(".dat").write_bytes(b"\0" * 60)
    with pytest.raises(RecordingError):
        convert(source, "wfdb", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rec.dat", "rec.hea"]


def test_the_command_writes_a_record_or_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = made_by_wfdb(tmp_path, np.array([[1.0], [3000.0]]), "16")
    words = ["convert", str(source), "--to", "wfdb", "--out", str(tmp_path / "out"), "--format"]
    codes = []
    for fmt in ("212", "mat"):
        with pytest.raises(SystemExit) as done:
            cli.main([*words, fmt])
        codes.append(done.value.code)
    told = capsys.readouterr()
    assert codes == [2, 0]
    assert told.out == f"{tmp_path / 'out.hea'}\n"
    assert told.err.count("\n") == 1
    assert "-2047 to 2047" in told.err
