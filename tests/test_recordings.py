"""Recordings: against the wfdb package on real records, and every way a file can be odd."""

from __future__ import annotations

import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgedge.errors import RecordingError, UsageError
from ecgedge.recordings import Recording, open_recording, parse_header, read_mat4

HEADER = "rec 1 250 4\nrec.dat 16 200 12 0 0 0 0 II\n"


def counts(recording: Recording, n: int = 4096) -> np.ndarray:
    return np.concatenate([block.counts for block in recording.blocks(n)])


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def unpack(data_dir: Path, archive: str, stem: str, folder: Path) -> Path:
    with zipfile.ZipFile(data_dir / archive) as opened:
        for name in opened.namelist():
            if name.rsplit(".", 1)[0] == stem:
                opened.extract(name, folder)
    return folder / stem


# ---------------------------------------------------------------------- WFDB, against the wfdb package


@pytest.mark.parametrize(
    ("archive", "stem"),
    [
        ("mitdb.zip", "mitdb/100"),
        ("mitdb.zip", "mitdb/222"),
        ("cinc2017.zip", "training2017/A00001"),
        ("cinc2017.zip", "training2017/A04007"),
        ("nstdb_noise.zip", "nstdb/em"),
    ],
)
def test_real_records_equal_the_wfdb_package(data_dir: Path, tmp_path: Path, archive: str, stem: str) -> None:
    path = unpack(data_dir, archive, stem, tmp_path)
    expected = wfdb.rdrecord(str(path), physical=False)
    physical = wfdb.rdrecord(str(path)).p_signal
    recording = open_recording(path)
    assert recording.lead_names == tuple(expected.sig_name)
    assert recording.n_samples == expected.sig_len
    assert recording.board.rate_hz == expected.fs
    read = counts(recording)
    np.testing.assert_array_equal(read, expected.d_signal - np.array(expected.baseline))
    np.testing.assert_allclose(read * recording.board.uv_per_count / 1000, physical, atol=1e-9)


def test_leads_of_different_gain_share_one_scale(data_dir: Path, tmp_path: Path) -> None:
    path = unpack(data_dir, "ludb.zip", "ludb/data/1", tmp_path)
    physical = wfdb.rdrecord(str(path)).p_signal
    recording = open_recording(path)
    read = counts(recording)
    assert recording.board.leads == 12
    assert recording.board.bits == 24
    assert np.all(read == np.rint(read))
    assert np.abs(read).max() < 2**23
    np.testing.assert_allclose(read * recording.board.uv_per_count / 1000, physical, atol=1e-5)
    second = open_recording(path, lead="II")
    assert second.lead_names == ("ii",)
    np.testing.assert_array_equal(counts(second)[:, 0], read[:, 1])
    assert second.board.uv_per_count == recording.board.uv_per_count


@pytest.mark.parametrize("fmt", ["16", "24", "80", "212"])
@pytest.mark.parametrize("leads", [1, 2, 3])
def test_formats_written_by_the_wfdb_package(tmp_path: Path, fmt: str, leads: int) -> None:
    bits = {"16": 16, "24": 24, "80": 8, "212": 12}[fmt]
    rng = np.random.default_rng(bits + leads)
    limit = 2 ** (bits - 1)
    digital = rng.integers(-limit + 1, limit, (9001, leads))
    digital[:2] = [[limit - 1], [-limit + 1]]
    names = [f"L{k}" for k in range(leads)]
    wfdb.wrsamp(
        "made", fs=257, units=["mV"] * leads, sig_name=names, d_signal=digital, fmt=[fmt] * leads,
        adc_gain=[100.0] * leads, baseline=[3] * leads, write_dir=str(tmp_path),
    )  # fmt: skip
    recording = open_recording(tmp_path / "made")
    read = counts(recording)
    assert np.abs(read).max() < 2**23
    if fmt == "24":  # less the baseline, 24 bits overflow: the step becomes a little coarser
        np.testing.assert_allclose(read * recording.board.uv_per_count / 10, digital - 3, atol=0.51)
    else:
        np.testing.assert_array_equal(read, digital - 3)


def test_leads_may_be_in_several_files_and_formats(tmp_path: Path) -> None:
    digital = np.random.default_rng(1).integers(-900, 900, (10_001, 2))
    write(tmp_path, "a.dat", b"\xff" * 6 + digital[:, 0].astype("<i2").tobytes())
    wfdb.wrsamp(
        "b", fs=250, units=["mV"], sig_name=["b"], d_signal=digital[:, 1:], fmt=["212"],
        adc_gain=[200.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    write(tmp_path, "pair.hea", "pair 2 250 10001\na.dat 16+6 200 12 0 0 0 0 a\nb.dat 212 200 12 0 0 0 0 b\n")
    np.testing.assert_array_equal(counts(open_recording(tmp_path / "pair")), digital)


def test_invalid_samples_are_not_a_number(tmp_path: Path) -> None:
    write(tmp_path, "rec.hea", HEADER)
    write(tmp_path, "rec.dat", struct.pack("<4h", 1, -32768, 3, -4))
    np.testing.assert_array_equal(counts(open_recording(tmp_path / "rec"))[:, 0], [1, np.nan, 3, -4])


def test_members_of_a_zip_are_read_without_unpacking(data_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_dir / "cinc2017.zip") as archive:
        recording = open_recording("training2017/A00001.hea", archive=archive)
        matrix = read_mat4(archive.read("training2017/A00001.mat"))
        np.testing.assert_array_equal(counts(recording), matrix.T)
        with pytest.raises(RecordingError, match="no such recording"):
            open_recording("training2017/B00001", archive=archive)


@pytest.mark.parametrize("name", ["rec", "rec.hea", "rec.dat"])
def test_any_file_of_a_record_names_it(tmp_path: Path, name: str) -> None:
    write(tmp_path, "rec.hea", HEADER)
    write(tmp_path, "rec.dat", struct.pack("<4h", 1, 2, 3, 4))
    recording = open_recording(tmp_path / name)
    assert recording.board.uv_per_count == 5.0
    assert recording.lead_names == ("II",)
    assert recording.n_samples == 4


def test_length_may_be_left_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, "rec.hea", "rec 1\nrec.dat 16\n")
    write(tmp_path, "rec.dat", struct.pack("<5h", 1, 2, 3, 4, 5) + b"\x01")
    recording = open_recording(tmp_path / "rec")
    assert (recording.n_samples, recording.board.rate_hz) == (5, 250.0)
    assert recording.lead_names == ("lead 0",)


def test_bare_matrix_needs_a_rate(tmp_path: Path) -> None:
    body = np.array([[5, -32768, 7]], "<i2")
    write(tmp_path, "m.mat", struct.pack("<5i", 30, 1, 3, 0, 4) + b"val\0" + body.tobytes())
    with pytest.raises(RecordingError, match="--fs"):
        open_recording(tmp_path / "m.mat")
    np.testing.assert_array_equal(counts(open_recording(tmp_path / "m.mat", fs=300))[:, 0], [5, np.nan, 7])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "0 bytes"),
        (b"MATLAB 5.0 MAT-file" + bytes(200), "newer MATLAB"),
        (struct.pack("<5i", 30, 1, 3, 0, 4) + b"val\0" + bytes(4), "30 bytes for 1 x 3"),
        (struct.pack("<5i", 30, 0, 3, 0, 4) + b"val\0", "0 x 3"),
        (struct.pack("<5i", 30, 1, 3, 1, 4) + b"val\0" + bytes(40), "MATLAB type"),
        (struct.pack("<5i", 1030, 1, 3, 0, 4) + b"val\0" + bytes(40), "MATLAB type"),
    ],
)
def test_damaged_matrices_are_refused(data: bytes, match: str) -> None:
    with pytest.raises(RecordingError, match=match):
        read_mat4(data)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no record line"),
        ("rec\n", "record line"),
        ("rec one\n", "record line"),
        ("rec 1 0 4\nrec.dat 16\n", "record line"),
        ("rec/3 1 250 4\n", "segments"),
        ("rec 2 250 4\nrec.dat 16\n", "1 signal lines"),
        ("rec 1 250 4\nrec.dat\n", "signal line"),
        ("rec 1 250 4\nrec.dat 16 x\n", "signal line"),
        ("rec 1 250 4\nrec.dat 310\n", "sample format 310"),
        ("rec 1 250 4\nrec.dat 16x4\n", "several samples per frame"),
        ("rec 1 250 4\nrec.dat 16:3\n", "skew"),
    ],
)
def test_malformed_headers_are_refused(text: str, match: str) -> None:
    with pytest.raises(RecordingError, match=match) as caught:
        parse_header(text, "rec.hea")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        ("rec 0 250 0\n", "no signals"),
        ("rec 1 250 9\nrec.dat 16\n", "holds 4 samples"),
        ("rec 1 250 4\ngone.dat 16\n", "gone.dat: no such file"),
        ("rec 2 250 2\nrec.dat 16\nrec.dat 212\n", "several sample formats"),
        ("rec 3 250 2\nrec.dat 16\nrec.hea 16\nrec.dat 16\n", "stand apart"),
    ],
)
def test_headers_that_do_not_fit_their_files(tmp_path: Path, header: str, match: str) -> None:
    write(tmp_path, "rec.hea", header)
    write(tmp_path, "rec.dat", struct.pack("<4h", 1, 2, 3, 4))
    with pytest.raises(RecordingError, match=match):
        open_recording(tmp_path / "rec")


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    write(tmp_path, "alone.dat", b"1234")
    write(tmp_path, "picture.png", b"1234")
    for name, match in [
        ("nothing", "no such recording"),
        ("nothing.csv", "no such file"),
        ("alone.dat", "no .*alone.hea beside it"),
        ("picture.png", "unknown kind"),
    ]:
        with pytest.raises(RecordingError, match=match):
            open_recording(tmp_path / name)
    with pytest.raises(UsageError, match="sampling rate"):
        open_recording(tmp_path / "nothing", fs=-1)


def test_leads_are_chosen_by_name_or_number(tmp_path: Path) -> None:
    path = write(tmp_path, "two.csv", "MLII,V1\n1,2\n3,4\n")
    assert counts(open_recording(path, fs=250, lead="v1"))[:, 0].tolist() == [2, 4]
    assert counts(open_recording(path, fs=250, lead=0))[:, 0].tolist() == [1, 3]
    for lead in ("V6", 2, "-1"):
        with pytest.raises(UsageError, match=r"0 \(MLII\), 1 \(V1\)"):
            open_recording(path, fs=250, lead=lead)


@pytest.mark.parametrize("n", [1, 7, 250, 4096, 10_000])
def test_blocks_do_not_depend_on_their_length(data_dir: Path, tmp_path: Path, n: int) -> None:
    path = unpack(data_dir, "cinc2017.zip", "training2017/A00001", tmp_path)
    recording = open_recording(path)
    blocks = list(recording.blocks(n))
    assert [block.first for block in blocks] == list(range(0, 9000, n))
    assert all(block.indexed for block in blocks)
    assert blocks[-1].arrival_s == 30.0
    np.testing.assert_array_equal(np.concatenate([b.counts for b in blocks]), counts(recording))


# ------------------------------------------------------------------------------------------------- CSV


def test_csv_without_header_needs_a_rate(tmp_path: Path) -> None:
    path = write(tmp_path, "plain.csv", "512\n513\n\n511\n")
    with pytest.raises(RecordingError, match="--fs"):
        open_recording(path)
    recording = open_recording(path, fs=125)
    assert counts(recording)[:, 0].tolist() == [512, 513, 511]
    assert (recording.board.uv_per_count, recording.board.rate_hz) == (None, 125.0)
    assert recording.lead_names == ("lead 0",)


@pytest.mark.parametrize(
    ("head", "uv", "name"),
    [
        ("ecg_mv", 1.0, "ecg"),
        ("ECG [uV]", 0.001, "ECG"),
        ("ECG (µV)", 0.001, "ECG"),
        ("Lead I/mV", 1.0, "Lead I"),
        ("V5", None, "V5"),
        ("ecg_V", 1000.0, "ecg"),
    ],
)
def test_csv_units_come_from_the_header(tmp_path: Path, head: str, uv: float | None, name: str) -> None:
    recording = open_recording(write(tmp_path, "a.csv", f"{head}\n0.125\n-0.250\n"), fs=250)
    assert recording.lead_names == (name,)
    assert counts(recording)[:, 0].tolist() == [125, -250]
    assert recording.board.uv_per_count == (None if uv is None else pytest.approx(uv, rel=1e-6))


def test_csv_in_windows_encoding(tmp_path: Path) -> None:
    recording = open_recording(write(tmp_path, "a.csv", "ECG [µV]\n5\n6\n".encode("cp1252")), fs=250)
    assert (recording.lead_names, recording.board.uv_per_count) == (("ECG",), 1.0)


def test_csv_columns_of_different_units_share_one_scale(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a_mv,b_uv,events\n0.5,500,3\n0.25,-250,4\n")
    recording = open_recording(path, fs=250)
    read = counts(recording)
    np.testing.assert_array_equal(read[:, 0], [50, 25])
    np.testing.assert_array_equal(read[:, 1], [50, -25])


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
def test_csv_delimiters_and_missing_values(tmp_path: Path, mark: str) -> None:
    blank = "nan" if mark == " " else ""
    rows = ["I,II", "1,2", f"{blank},4", "nan,6", "7,8"]
    path = write(tmp_path, "a.csv", "\r\n".join(row.replace(",", mark) for row in rows))
    read = counts(open_recording(path, fs=250))
    np.testing.assert_array_equal(read, [[1, 2], [np.nan, 4], [np.nan, 6], [7, 8]])


def test_csv_with_decimal_commas_quotes_comments_and_bom(tmp_path: Path) -> None:
    text = '\ufeff# made by hand\n"Zeit";"EKG [mV]"\n1;"0,5"\n2;"0,25"\n'
    recording = open_recording(write(tmp_path, "a.csv", text), fs=250)
    assert recording.lead_names == ("Zeit", "EKG")
    assert counts(recording)[:, 1].tolist() == [50, 25]


def test_csv_of_rdsamp(tmp_path: Path) -> None:
    rows = "".join(f"'0:0{k // 500}.{k % 500 * 2:03d}',{k % 7 / 200:.3f}\n" for k in range(1000))
    path = write(tmp_path, "a.csv", "'Elapsed time','MLII'\n'hh:mm:ss.mmm','mV'\n" + rows)
    recording = open_recording(path)
    assert (recording.board.rate_hz, recording.lead_names) == (500.0, ("MLII",))
    assert recording.board.uv_per_count == 1.0


@pytest.mark.parametrize(
    ("head", "scale", "rate"),
    [
        ("time", 1.0, 360.0),
        ("time [s]", 1.0, 360.0),
        ("t_ms", 1e3, 360.0),
        ("timestamp", 1e3, 360.0),
        ("Time", 1e6, 360.0),
        ("seconds", 1.0, 128.5),
    ],
)
def test_csv_rate_comes_from_the_time_column(tmp_path: Path, head: str, scale: float, rate: float) -> None:
    start = 1_700_000_000 if head == "timestamp" else 0
    digits = 6 if scale == 1 else 0
    rows = "".join(f"{(start + k / rate) * scale:.{digits}f},{k % 9}\n" for k in range(20_000))
    recording = open_recording(write(tmp_path, "a.csv", f"{head},ecg\n{rows}"))
    assert recording.board.rate_hz == rate
    assert recording.n_samples == 20_000
    assert recording.lead_names == ("ecg",)


def test_csv_without_header_but_with_time(tmp_path: Path) -> None:
    rows = "".join(f"{k * 0.004:.3f},{k * k % 9}\n" for k in range(100))
    recording = open_recording(write(tmp_path, "a.csv", rows))
    assert (recording.board.rate_hz, recording.board.leads) == (250.0, 1)


def test_csv_running_numbers_are_no_lead(tmp_path: Path) -> None:
    for head in ("index,ecg\n", ",ecg\n", "sample,ecg\n", ""):
        rows = "".join(f"{k},{k * k % 9}\n" for k in range(100))
        recording = open_recording(write(tmp_path, "a.csv", head + rows), fs=250)
        assert counts(recording)[:, 0].tolist() == [k * k % 9 for k in range(100)], head


def test_csv_missing_rows_become_a_jump(tmp_path: Path) -> None:
    kept = [k for k in range(30_000) if not 500 <= k < 750 and k != 29_000 and k != 20_000 and k != 20_001]
    rows = "".join(f"{k / 250:.3f},{k % 11}\n" for k in kept)
    recording = open_recording(write(tmp_path, "a.csv", "time,ecg\n" + rows))
    assert recording.n_samples == 29_999  # one lost row alone cannot be told from jitter
    assert recording.board.rate_hz == 250.0
    seen = {b.first + i: v for b in recording.blocks(100) for i, v in enumerate(b.counts[:, 0])}
    assert not set(range(500, 750)) & set(seen)
    assert all(seen[k] == k % 11 for k in kept if k < 29_000)


def test_csv_bursty_time_stamps_give_the_mean_rate(tmp_path: Path) -> None:
    rows = "".join(f"{k // 10 * 0.04:.3f},{k % 11}\n" for k in range(10_001))
    recording = open_recording(write(tmp_path, "a.csv", "time,ecg\n" + rows))
    assert recording.board.rate_hz == 250.0
    assert recording.n_samples == 10_001


@pytest.mark.parametrize("n", [1, 7, 4096])
@settings(max_examples=40)
@given(
    values=st.lists(
        st.floats(-1e4, 1e4, allow_subnormal=False) | st.just(float("nan")), min_size=1, max_size=60
    ).filter(lambda v: any(x == x and abs(x) > 1e-3 for x in v))
)
def test_csv_floats_are_kept_to_24_bits(
    tmp_path_factory: pytest.TempPathFactory, n: int, values: list[float]
) -> None:
    path = write(tmp_path_factory.mktemp("csv"), "a.csv", "ecg_mv\n" + "".join(f"{v!r}\n" for v in values))
    recording = open_recording(path, fs=250)
    read = counts(recording, n)[:, 0]
    given_mv = np.array(values)
    finite = np.isfinite(given_mv)
    np.testing.assert_array_equal(np.isfinite(read), finite)
    assert np.all(np.rint(read[finite]) == read[finite])
    peak = np.abs(given_mv[finite]).max()
    assert np.abs(read[finite]).max() < 2**23
    np.testing.assert_allclose(
        read[finite] * recording.board.uv_per_count / 1000, given_mv[finite], atol=peak * 2**-22, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "no rows"),
        ("# nothing\n\n", "no rows"),
        ("ecg\n", "rows of numbers"),
        ("1,2\n3\n", "line 2: 1 columns"),
        ("1\n2\nbroken\n", "line 3: 'broken'"),
        ("a\nb\nc\nd\n1\n", "rows of numbers"),
        (b"\x00\x01\x02\x03" * 20, "binary data"),
        ("time\n0.1\n0.2\n", "no column but"),
        ("time,ecg\n0.1,1\n0.2,2\n0.1,3\n", "backwards"),
        ("time,ecg\n0.1,1\n,2\n0.3,3\n", "without time"),
        ("time,ecg\n0.1,1\n", "stands still"),
        ("time,ecg\n0.1,1\n0.1,1\n0.1,2\n", "stands still"),
    ],
)
def test_malformed_csv_is_refused(tmp_path: Path, content: str | bytes, match: str) -> None:
    path = write(tmp_path, "a.csv", content)
    fs = None if "time" in str(content) else 250
    with pytest.raises(RecordingError, match=match) as caught:
        open_recording(path, fs=fs)
    assert "\n" not in str(caught.value)


@settings(max_examples=150)
@given(data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    for name in ("a.csv", "b.hea", "c.mat"):
        write(folder, name, data)
        with suppress(RecordingError):
            for block in open_recording(folder / name, fs=250).blocks():
                assert block.counts.shape[0] > 0
