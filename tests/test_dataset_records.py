"""Records of all data sets in one form, compared with the wfdb package and with published numbers."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ecgedge.datasets import afdb, cpsc2018, longterm, ludb, mitdb, nstdb, ptbxl
from ecgedge.datasets.catalogue import SETS, find, open_set
from ecgedge.datasets.readers import READERS, splits_of
from ecgedge.datasets.record import Record
from ecgedge.datasets.wfdb_form import subject_of
from ecgedge.errors import DataError, UsageError
from ecgedge.recordings.annotations import Annotation, encode

wfdb = pytest.importorskip("wfdb")


def write(
    folder: Path, name: str, leads: list[str], rate: int, comments: list[str] | None = None
) -> np.ndarray:
    """A record in WFDB form by the wfdb package, with annotations ``atr``; its signal, mV."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, name)))
    signal = rng.integers(-2000, 2000, (5 * rate, len(leads))) / 1000
    wfdb.wrsamp(
        name,
        fs=rate,
        units=["mV"] * len(leads),
        sig_name=leads,
        p_signal=signal,
        fmt=["16"] * len(leads),
        adc_gain=[1000.0] * len(leads),
        baseline=[0] * len(leads),
        comments=comments,
        write_dir=str(folder),
    )
    marks = [Annotation(10, "+", aux="(AFIB"), Annotation(100, "N"), Annotation(300, "S")]
    (folder / f"{name}.atr").write_bytes(encode(marks))
    return signal


def extracted(data_dir: Path, archive: str, members: list[str], into: Path) -> None:
    with zipfile.ZipFile(data_dir / archive) as packed:
        for member in members:
            (into / Path(member).name).write_bytes(packed.read(member))


# ---- the real sets


def test_mitdb_as_the_wfdb_package_reads_it(data_dir: Path, tmp_path: Path) -> None:
    names = ["100", "114", "232"]
    members = [f"mitdb/{n}.{e}" for n in names for e in ("hea", "dat", "atr")]
    extracted(data_dir, "mitdb.zip", members, tmp_path)
    for record in mitdb.records(data_dir, names):
        theirs = wfdb.rdrecord(str(tmp_path / record.name))
        np.testing.assert_allclose(record.signal, theirs.p_signal, rtol=0, atol=1e-12)
        assert (record.rate_hz, record.leads) == (theirs.fs, tuple(theirs.sig_name))
        marks = wfdb.rdann(str(tmp_path / record.name), "atr")
        assert [(m.sample, m.symbol, m.aux) for m in record.annotations["atr"]] == list(
            zip(marks.sample, marks.symbol, marks.aux_note, strict=True)
        )
        np.testing.assert_array_equal(record.lead("MLII"), record.lead(record.leads.index("MLII")))


def test_mitdb_beats_rhythms_ages_and_persons(data_dir: Path) -> None:
    """Numbers of the database's directory: 109,494 beats; AF in eight records; 201 and 202 are one person."""
    records = list(mitdb.records(data_dir, signals=False))
    beats = Counter(mark.symbol for record in records for mark in record.beats())
    assert beats.total() == 109_494
    assert [beats[s] for s in "VAaJS"] == [7130, 2546, 150, 83, 2]
    fibrillation = {r.name for r in records if any(label == "AFIB" for _, label in r.rhythms())}
    assert fibrillation == {"201", "202", "203", "210", "217", "219", "221", "222"}
    assert len({record.subject.id for record in records}) == 47
    by_name = {record.name: record.subject for record in records}
    assert by_name["201"].id == by_name["202"].id
    assert (by_name["100"].age, by_name["100"].sex) == (69, "M")
    assert by_name["103"].age is None, "the header says -1"
    assert Counter(subject.sex for subject in by_name.values()) == {"M": 26, "F": 22}


def test_inter_patient_split(data_dir: Path) -> None:
    """DS1 and DS2 have 22 records each, none of them paced, and share no record."""
    train, test = mitdb.inter_patient_split(data_dir)
    assert (train, test) == mitdb.inter_patient_split(Path("nowhere")), (
        "the shipped lists are those of the file"
    )
    assert len(set(train)) == len(set(test)) == 22
    assert not set(train) & set(test)
    assert not {"102", "104", "107", "217"} & {*train, *test}


def test_p_waves_come_before_their_beats(data_dir: Path) -> None:
    marks = mitdb.p_waves(data_dir)
    assert len(marks) == 12
    record = next(r for r in mitdb.with_p_waves(data_dir) if r.name == "100")
    peaks = np.array([m.sample for m in record.annotations["pwave"]])
    beats = np.array([m.sample for m in record.beats()])
    after = beats[np.minimum(np.searchsorted(beats, peaks), beats.size - 1)] - peaks
    assert 0.12 < np.median(after) / record.rate_hz < 0.25, "a PR interval"


def test_noises_are_those_of_the_wfdb_package(data_dir: Path, tmp_path: Path) -> None:
    members = [f"nstdb/{n}.{e}" for n in nstdb.NAMES for e in ("hea", "dat")]
    extracted(data_dir, "nstdb_noise.zip", members, tmp_path)
    for record in nstdb.records(data_dir):
        np.testing.assert_allclose(
            record.signal, wfdb.rdrecord(str(tmp_path / record.name)).p_signal, atol=1e-12
        )


def test_ludb_rhythms_ages_and_sexes_are_those_of_its_table(data_dir: Path) -> None:
    with open_set(data_dir, "ludb") as archive:
        text = archive.read("ludb/ludb.csv").decode()
    rows = {row["ID"]: row for row in csv.DictReader(io.StringIO(text))}
    records = list(ludb.records(data_dir, annotators=()))
    assert [r.name for r in records] == list(rows)
    for record in records:
        row = rows[record.name]
        assert record.subject.sex == row["Sex"].strip()
        rhythm, *more = row["Rhythms"].split("\n")  # the header has the first line under that name
        assert record.labels["rhythm"] == (rhythm,)
        assert set(filter(None, more)) <= set(record.labels["diagnoses"])
        assert record.signal.shape == (5000, 12)
        assert record.leads == ludb.LEADS
        assert record.subject.age == int(row["Age"].strip().replace(">89", "90"))
    assert sum("Atrial fibrillation" in r.labels["rhythm"] for r in records) == 15


def test_ludb_waves_as_the_wfdb_package_reads_them(data_dir: Path, tmp_path: Path) -> None:
    members = [f"ludb/data/1.{ending}" for ending in ("hea", "dat", *ludb.LEADS)]
    extracted(data_dir, "ludb.zip", members, tmp_path)
    record = next(ludb.records(data_dir))
    np.testing.assert_allclose(record.signal, wfdb.rdrecord(str(tmp_path / "1")).p_signal, atol=1e-12)
    for lead in ludb.LEADS:
        theirs = wfdb.rdann(str(tmp_path / "1"), lead)
        mine = [(m.sample, m.symbol) for m in record.annotations[lead]]
        assert mine == list(zip(theirs.sample, theirs.symbol, strict=True))


def test_afdb_without_signals(data_dir: Path) -> None:
    """The two readers of its annotations agree."""
    both = zip(longterm.records(data_dir, "afdb"), afdb.records(data_dir), strict=True)
    for record, plain in islice(both, 3):
        assert record.signal.shape == (0, 0)
        beats = np.array([m.sample for m in record.beats("qrs")]) / record.rate_hz
        np.testing.assert_array_equal(beats, plain.beats_s)
        assert [(sample / record.rate_hz, name) for sample, name in record.rhythms()] == plain.rhythms


# ---- sets that users have, in the form in which PhysioNet serves them


def test_long_recordings_in_wfdb_form(tmp_path: Path) -> None:
    truth = write(tmp_path / "svdb", "800", ["ECG1", "ECG2"], 128)
    (tmp_path / "svdb" / "RECORDS").write_text("800\n")
    write(tmp_path / "ltafdb", "00", ["ECG1", "ECG2"], 128)
    (record,) = longterm.records(tmp_path, "svdb")
    np.testing.assert_allclose(record.signal, truth, atol=1e-12)
    assert record.subject.id is None
    assert record.rhythms() == ((10, "AFIB"),)
    assert [m.symbol for m in record.beats()] == ["N", "S"]
    (record,) = longterm.records(tmp_path, "ltafdb")
    assert (record.name, record.subject.id) == ("00", "00")


def test_icentia_in_part(tmp_path: Path) -> None:
    for name in ("p00000_s00", "p00000_s01", "p00001_s00"):
        write(tmp_path / "icentia11k" / "p00" / name[:6], name, ["ECG"], 250)
    (tmp_path / "icentia11k" / "RECORDS").write_text("p00/p00000/p00000_s00\np10/p10999/p10999_s49\n")
    records = list(longterm.records(tmp_path, "icentia11k"))
    assert [(r.name, r.subject.id) for r in records] == [
        ("p00000_s00", "p00000"),
        ("p00000_s01", "p00000"),
        ("p00001_s00", "p00001"),
    ]


def test_cpsc2021_classes_and_persons(tmp_path: Path) -> None:
    folder = tmp_path / "cpsc2021" / "Training_set_I"
    write(folder, "data_12_3", ["I", "II"], 200, ["paroxysmal atrial fibrillation"])
    (record,) = longterm.records(tmp_path, "cpsc2021")
    assert (record.subject.id, record.labels) == ("12", {"class": ("paroxysmal atrial fibrillation",)})


def test_cpsc2018_codes_age_and_sex(tmp_path: Path) -> None:
    folder = tmp_path / "cpsc2018" / "training" / "cpsc_2018" / "g1"
    truth = write(
        folder, "A0001", list(ludb.LEADS), 500, ["Age: 74", "Sex: Male", "Dx: 59118001,164889003,1"]
    )
    write(folder, "A0002", list(ludb.LEADS), 500, ["Age: NaN", "Sex: Female", "Dx: 426783006"])
    first, second = cpsc2018.records(tmp_path)
    np.testing.assert_allclose(first.signal, truth, atol=1e-12)
    assert first.labels["snomed"] == ("59118001", "164889003", "1")
    assert first.labels["findings"] == ("right bundle branch block", "atrial fibrillation")
    assert (first.subject.age, first.subject.sex) == (74, "M")
    assert (second.subject.age, second.subject.sex) == (None, "F")


def ptbxl_like(root: Path, codes: str = "{'NORM': 100.0, 'SR': 0.0}") -> np.ndarray:
    folder = root / "ptb-xl" / "1.0.3"
    truth = write(folder / "records100" / "00000", "00001_lr", ["I", "V5"], 100)
    with (folder / "ptbxl_database.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(
            ["ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr"]
        )
        table.writerow([1, "15709.0", "300.0", "1", codes, "3", "records100/00000/00001_lr", "none"])
    statements = ",description,diagnostic_class\nNORM,normal,NORM\nIMI,infarct,MI\nSR,sinus rhythm,\n"
    (folder / "scp_statements.csv").write_text(statements)
    return truth


def test_ptbxl_statements_superclass_fold_and_person(tmp_path: Path) -> None:
    truth = ptbxl_like(tmp_path)
    (record,) = ptbxl.records(tmp_path)
    np.testing.assert_allclose(record.signal, truth, atol=1e-12)
    assert record.labels == {"scp": ("NORM", "SR"), "superclass": ("NORM",), "fold": ("3",)}
    assert (record.subject.id, record.subject.age, record.subject.sex) == ("15709", 90, "F")


def test_ptbxl_that_is_incomplete(tmp_path: Path) -> None:
    ptbxl_like(tmp_path, codes="{'NORM': 100.0")
    with pytest.raises(DataError, match="row 1"):
        list(ptbxl.records(tmp_path))
    ptbxl_like(tmp_path)
    with pytest.raises(DataError, match="lacks ptbxl/none"):
        list(ptbxl.records(tmp_path, 500))
    with pytest.raises(DataError, match="100 or 500"):
        list(ptbxl.records(tmp_path, 250))


# ---- what is missing or damaged


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_set_that_is_not_there_is_said_so_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name}") as caught:
        list(READERS[name](tmp_path))
    assert "\n" not in str(caught.value)
    assert "ecgedge data fetch" in str(caught.value)


@pytest.mark.parametrize("ending", ["hea", "dat", "atr"])
@pytest.mark.parametrize("harm", ["gone", "cut", "page"])
def test_a_half_downloaded_folder(tmp_path: Path, ending: str, harm: str) -> None:
    write(tmp_path / "mitdb", "100", ["MLII", "V5"], 360)
    (tmp_path / "mitdb" / "RECORDS").write_text("100\n")
    path = tmp_path / "mitdb" / f"100.{ending}"
    if ending == "atr" and harm != "gone":
        pytest.skip("the annotation format cannot tell; checksums do")
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:10] if harm == "cut" else b"<html>503 Service Unavailable</html>")
    with pytest.raises(DataError, match="mitdb") as caught:
        list(mitdb.records(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_holds_no_records(tmp_path: Path) -> None:
    (tmp_path / "ltafdb").mkdir()
    with pytest.raises(DataError, match="no records"):
        list(longterm.records(tmp_path, "ltafdb"))


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="mitdb_pwave"):
        find("mit")
    with pytest.raises(DataError, match="icentia11k"):
        list(longterm.records(tmp_path, "mitdb"))
    record = Record("r", np.zeros((3, 1)), 100.0, ("I",))
    with pytest.raises(UsageError, match="0 \\(I\\)"):
        record.lead("II")
    with pytest.raises(DataError, match="no annotations"):
        record.beats()


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        (["69 M 1085 1629 x1", "Aldomet"], 69, "M"),
        (["-1 F 742 654 x1"], None, "F"),
        (["<age>: 51", "<sex>: F"], 51, "F"),
        (["Age: 74", "Sex: Female"], 74, "F"),
        (["age: 36  sex: M  diagnoses: Earlier myocardial infarction"], 36, "M"),
        (["The PVCs are uniform", "Gender: unknown"], None, None),
        ([], None, None),
    ],
)
def test_age_and_sex_in_the_forms_that_headers_have(
    comments: list[str], age: int | None, sex: str | None
) -> None:
    subject = subject_of(comments)
    assert (subject.age, subject.sex) == (age, sex)


# ---- catalogue


def test_every_set_has_a_reader_and_its_terms() -> None:
    assert set(READERS) == set(SETS)
    for name, known in SETS.items():
        assert known.name == name
        assert known.licence.startswith(("ODC-BY", "CC BY"))
        assert known.citation
        assert known.files or known.remark


def test_published_lists_of_a_set() -> None:
    """The Challenge's own lists as DualNet used them: 8028 and 500."""
    lists = splits_of(SETS["cinc2017"], Path("nowhere"))["cinc2017_dualnet"]
    sizes = {part: len(names) for part, names in lists.items()}
    assert sizes == {"train": 7000, "validation": 1528, "challenge_train": 8028, "challenge_validation": 500}
    assert json.dumps(splits_of(SETS["ludb"], Path("nowhere"))) == "{}"


def test_noise_at_a_ratio() -> None:
    """By hand: QRS of 2 mV peak to peak are a power of 0.5, and a sine of amplitude 1 is one of 0.5, too."""
    rate = 360.0
    signal, beats = np.zeros(36_000), list(range(400, 35_000, 300))
    signal[beats], signal[[b + 4 for b in beats]] = 1.5, -0.5
    noise = 5.0 + np.sin(2 * np.pi * 8 * np.arange(36_000) / rate)
    for snr_db, expected in ((0.0, 1.0), (20.0, 0.1), (-6.0206, 2.0)):
        assert nstdb.gain(signal, noise, beats, rate, snr_db) == pytest.approx(expected, rel=1e-4)
        assert nstdb.gain(3 * signal, noise, beats, rate, snr_db) == pytest.approx(3 * expected, rel=1e-4)
