"""Data sets as they lie on disk: records, labels, splits, and what is said when something is missing."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ecgedge.datasets import cinc2017
from ecgedge.datasets.archive import VARIABLE, Archive, data_root
from ecgedge.datasets.record import Record
from ecgedge.errors import DataError

NAMES = ("A00001", "A00002", "A00003")


def mat(counts: np.ndarray) -> bytes:
    """A MATLAB v4 file of one row of int16."""
    header = struct.pack("<5i", 30, 1, counts.size, 0, 4) + b"val\0"
    return header + counts.astype("<i2").tobytes()


def signal(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(-3000, 3000, 400 + k)


def members() -> dict[str, bytes]:
    out = {f"training2017/{name}.mat": mat(signal(k)) for k, name in enumerate(NAMES)}
    out["training2017/REFERENCE.csv"] = b"A00001,N\nA00002,A\nA00003,~\n"
    out["training2017/REFERENCE-v3.csv"] = b"A00001,O\nA00002,A\nA00003,~\n"
    return out


def pack(root: Path, content: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = root / "cinc2017.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def unpack(root: Path, content: dict[str, bytes]) -> None:
    for name, data in content.items():
        path = root / "cinc2017" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def refused(match: str, call) -> str:
    with pytest.raises(DataError, match=match) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


def everything(root: Path, revision: str = "v2") -> list[Record]:
    return list(cinc2017.records(root, list(NAMES), revision))


# ---- the form on disk


def test_a_folder_gives_what_the_archive_gives(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    pack(tmp_path / "zip", members())
    unpack(tmp_path / "folder", members())
    for packed, loose in zip(everything(tmp_path / "zip"), everything(tmp_path / "folder"), strict=True):
        assert (packed.name, packed.labels) == (loose.name, loose.labels)
        np.testing.assert_array_equal(packed.signal, loose.signal)


def test_counts_become_millivolts_and_names_classes(tmp_path: Path) -> None:
    pack(tmp_path, members())
    for k, record in enumerate(everything(tmp_path)):
        np.testing.assert_array_equal(record.lead(), signal(k) / 1000.0)
        assert record.signal.shape == (400 + k, 1)
        assert record.signal.dtype == np.float64
    for revision, classes in (("v2", ["N", "A", "~"]), ("v3", ["O", "A", "~"])):
        found = [cinc2017.class_of(r, revision) for r in everything(tmp_path)]
        assert [cinc2017.CLASSES[k] for k in found] == classes
        assert found == list(cinc2017.labels_by_record(tmp_path, revision).values())
    assert cinc2017.revisions(tmp_path) == ["v2", "v3"]
    refused("'v1'", lambda: cinc2017.class_of(everything(tmp_path)[0], "v1"))
    refused("original", lambda: everything(tmp_path, "v1"))


def test_records_come_in_the_order_asked_for(tmp_path: Path) -> None:
    pack(tmp_path, members())
    names = ["A00003", "A00001"]
    assert [r.name for r in cinc2017.records(tmp_path, names)] == names


def test_the_tree_that_physionet_serves_is_read_as_it_is(tmp_path: Path) -> None:
    """The challenge's archive within its folder, the last labels beside it; mirrored, or fetched by us."""
    content = members()
    last = content.pop("training2017/REFERENCE-v3.csv")
    truth = [signal(k).tolist() for k in range(3)]
    for place in ("cinc2017", "challenge-2017/1.0.0", "physionet.org/files/challenge-2017/1.0.0"):
        root = tmp_path / place.replace("/", "-")
        folder = root / place
        folder.mkdir(parents=True)
        pack(folder, content).rename(folder / "training2017.zip")
        (folder / "REFERENCE-v3.csv").write_bytes(last)
        found = everything(root)
        assert [np.rint(r.lead() * 1000).tolist() for r in found] == truth
        assert found[0].labels == {"v2": ("N",), "v3": ("O",)}


def test_an_archive_of_lzma_members_that_is_damaged(tmp_path: Path) -> None:
    path = pack(tmp_path, members(), zipfile.ZIP_LZMA)
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("training2017/A00002.mat").header_offset
    whole[start + 80 : start + 400] = bytes(320)
    path.write_bytes(bytes(whole))
    refused("A00002", lambda: everything(tmp_path))


# ---- what is missing or damaged


def test_no_folder_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert VARIABLE in refused("no data folder", data_root)


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("nowhere", lambda: data_root(tmp_path / "nowhere"))
    monkeypatch.setenv(VARIABLE, str(tmp_path / "lost"))
    refused("lost", data_root)
    assert data_root(tmp_path) == tmp_path, "what is given goes before the variable"


def test_a_folder_without_the_set(tmp_path: Path) -> None:
    refused(r"neither cinc2017\.zip nor cinc2017/", lambda: everything(tmp_path))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_download_cut_short(tmp_path: Path, share: float) -> None:
    path = pack(tmp_path, members())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "fetch it again" in refused(r"cinc2017\.zip", lambda: everything(tmp_path))


def test_a_page_of_text_instead_of_the_archive(tmp_path: Path) -> None:
    (tmp_path / "cinc2017.zip").write_text("<html>404</html>")
    refused(r"cinc2017\.zip", lambda: everything(tmp_path))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bytes_anywhere_never_pass_or_end_in_a_traceback(tmp_path: Path, method: int) -> None:
    path = pack(tmp_path, members(), method)
    whole = path.read_bytes()
    truth = [(r.name, r.labels["v2"], r.signal.tobytes()) for r in everything(tmp_path)]
    noticed = 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            got = [(r.name, r.labels["v2"], r.signal.tobytes()) for r in everything(tmp_path)]
        except DataError as error:
            noticed += "\n" not in str(error)
        else:  # dates, comments, and attributes of members matter to nobody
            assert got == truth, f"byte {at}"
    assert noticed > 0.5 * len(whole) / 7


@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize("member", ["A00002.mat", "REFERENCE.csv"])
def test_a_missing_member_is_named(tmp_path: Path, form: str, member: str) -> None:
    content = members()
    del content[f"training2017/{member}"]
    (pack if form == "zip" else unpack)(tmp_path, content)
    refused(f"lacks training2017/{member}", lambda: everything(tmp_path))


@pytest.mark.parametrize("content", [b"", b"short", b"\0" * 40, mat(signal(1))[:-100]])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    unpack(tmp_path, {**members(), "training2017/A00002.mat": content})
    refused("A00002", lambda: everything(tmp_path))


def test_another_label_revision(tmp_path: Path) -> None:
    pack(tmp_path, members())
    assert "v3" in refused("'v4'", lambda: everything(tmp_path, "v4"))


@pytest.mark.parametrize("line", [b"A00002,X", b"A00002", b"A00002,\xff", b"A00002,N,A"])
def test_a_label_that_is_no_class(tmp_path: Path, line: bytes) -> None:
    pack(tmp_path, {**members(), "training2017/REFERENCE.csv": b"A00001,N\n" + line + b"\nA00003,~\n"})
    refused(r"REFERENCE\.csv: line 'A00002", lambda: everything(tmp_path))


def test_a_record_that_the_set_does_not_have(tmp_path: Path) -> None:
    pack(tmp_path, members())
    refused("B00001", lambda: list(cinc2017.records(tmp_path, ["B00001"])))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"train": ["A00001"]}', '{"train": 1, "validation": 2}'])
def test_a_split_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    (tmp_path / "splits").mkdir()
    (tmp_path / "splits" / "cinc2017_dualnet.json").write_text(content)
    refused("cinc2017_dualnet", lambda: cinc2017.published_split(tmp_path))


# ---- the real set


@pytest.mark.parametrize(
    ("revision", "counts"), [("v2", (5050, 738, 2456, 284)), ("v3", (5076, 758, 2415, 279))]
)
def test_label_counts_of_the_real_set(data_dir: Path, revision: str, counts: tuple[int, ...]) -> None:
    with Archive(data_dir, "cinc2017") as archive:
        known = cinc2017.labels(archive, revision)
    tally = Counter(known.values())
    assert tuple(tally[k] for k in range(4)) == counts
    assert sorted(known) == [f"A{i + 1:05d}" for i in range(8528)]


def test_the_published_split(data_dir: Path) -> None:
    """Sizes as published; the digests, of the ascending 0-based indices, pin the very records."""
    digests = []
    parts = cinc2017.published_split(data_dir)
    assert parts == cinc2017.published_split(Path("nowhere")), "the shipped lists are those of the file"
    for names in parts:
        indices = ",".join(str(i) for i in sorted(int(name[1:]) - 1 for name in names))
        digests.append(hashlib.sha256(indices.encode()).hexdigest()[:16])
    assert [len(part) for part in parts] == [7000, 1528]
    assert len(set(parts[0]) | set(parts[1])) == 8528
    assert digests == ["213c283a66d9c3ac", "9f65b05d368ed853"]


def test_class_counts_of_the_published_split(data_dir: Path) -> None:
    """Training and validation counts as published: N, A, O, ~."""
    with Archive(data_dir, "cinc2017") as archive:
        known = cinc2017.labels(archive)
    counts = [Counter(known[name] for name in part) for part in cinc2017.published_split(data_dir)]
    assert [[c[k] for k in range(4)] for c in counts] == [[4121, 602, 2047, 230], [929, 136, 409, 54]]


def test_signals_are_those_of_the_wfdb_package(data_dir: Path, tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb")
    names = ["A00001", "A00005", "A04500", "A08528"]
    with Archive(data_dir, "cinc2017") as archive:
        for name in names:
            for suffix in (".hea", ".mat"):
                (tmp_path / f"{name}{suffix}").write_bytes(archive.read(f"training2017/{name}{suffix}"))
    for record in cinc2017.records(data_dir, names):
        theirs = wfdb.rdrecord(str(tmp_path / record.name))
        assert theirs.fs == record.rate_hz == cinc2017.RATE_HZ
        np.testing.assert_allclose(record.signal, theirs.p_signal, rtol=0, atol=1e-12)


def test_the_known_duplicate_lies_across_the_split(data_dir: Path) -> None:
    first, second = cinc2017.records(data_dir, ["A00227", "A01176"])
    np.testing.assert_array_equal(first.signal, second.signal)
    training, validation = cinc2017.published_split(data_dir)
    assert "A00227" in training
    assert "A01176" in validation


def test_our_writer_of_mat_files_agrees_with_scipy() -> None:
    scipy_io = pytest.importorskip("scipy.io")
    read = scipy_io.loadmat(io.BytesIO(mat(signal(2))))
    np.testing.assert_array_equal(read["val"][0], signal(2))
    assert json.dumps(cinc2017.CLASSES) == '["N", "A", "O", "~"]'
