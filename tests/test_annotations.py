"""Annotation files: against the wfdb package, both ways, and cut off at every byte."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st
from wfdb.io.annotation import ann_labels, is_qrs

from ecgedge.errors import RecordingError
from ecgedge.recordings import annotations
from ecgedge.recordings.annotations import (
    BEATS,
    SYMBOLS,
    Annotation,
    Encoder,
    decode,
    encode,
    read_annotations,
    write_annotations,
)

REAL = ("100", "102", "105", "201", "203", "207", "208", "222")


def fields(found: list[Annotation]) -> tuple[list[Any], ...]:
    return tuple(
        [getattr(a, name) for a in found] for name in ("sample", "symbol", "subtype", "chan", "num", "aux")
    )


def read_by_wfdb(path: Path) -> tuple[list[Any], ...]:
    read = wfdb.rdann(str(path.with_suffix("")), path.suffix[1:])
    whole = (read.sample, read.symbol, read.subtype, read.chan, read.num, read.aux_note)
    return tuple([x.item() if isinstance(x, np.generic) else x for x in column] for column in whole)


def test_codes_are_those_of_the_wfdb_package() -> None:
    assert {label.label_store: label.symbol for label in ann_labels if label.label_store} == SYMBOLS
    qrs = {SYMBOLS[k] for k in SYMBOLS if is_qrs[k]}
    assert qrs - {"!"} == BEATS  # a flutter wave is no QRS complex


@pytest.mark.parametrize("record", REAL)
def test_real_files_read_as_by_wfdb_and_are_written_so_that_it_reads_the_same(
    data_dir: Path, tmp_path: Path, record: str
) -> None:
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        path = Path(archive.extract(f"mitdb/{record}.atr", tmp_path))
    read = read_annotations(path)
    assert fields(read) == read_by_wfdb(path)
    assert len(read) > 1000
    write_annotations(tmp_path / "own.atr", read)
    assert read_by_wfdb(tmp_path / "own.atr") == fields(read)


@pytest.mark.parametrize("record", REAL[:3])
def test_files_written_by_wfdb_are_read_back(data_dir: Path, tmp_path: Path, record: str) -> None:
    with zipfile.ZipFile(data_dir / "mitdb.zip") as archive:
        path = Path(archive.extract(f"mitdb/{record}.atr", tmp_path))
    read = wfdb.rdann(str(path.with_suffix("")), "atr")
    wfdb.wrann(
        "again", "atr", read.sample, read.symbol, read.subtype, read.chan, read.num, read.aux_note,
        fs=360, write_dir=str(tmp_path),
    )  # fmt: skip
    again = read_annotations(tmp_path / "again.atr")
    assert fields(again) == read_by_wfdb(tmp_path / "again.atr")
    assert [a.sample for a in again] == read.sample.tolist()


one = st.tuples(
    st.one_of(st.integers(0, 2000), st.integers(0, 70_000), st.integers(2**31 - 5, 2**31 + 5)),
    st.sampled_from([s for s in SYMBOLS.values() if s != '"']),
    st.integers(-128, 127),
    st.integers(0, 255),
    st.integers(-128, 127),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=255),
)


@settings(max_examples=60)
@given(rows=st.lists(one, min_size=1, max_size=20))
def test_everything_that_fits_goes_round_and_is_read_by_wfdb(
    rows: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    samples = np.cumsum([row[0] for row in rows]).tolist()
    made = [Annotation(sample, *row[1:]) for sample, row in zip(samples, rows, strict=True)]
    assert decode(encode(made)) == made
    path = tmp_path_factory.mktemp("a") / "made.atr"
    write_annotations(path, made)
    assert read_by_wfdb(path) == fields(made)


def test_pieces_make_the_same_file_as_the_whole() -> None:
    made = [Annotation(k * 700, "N+~"[k % 3], chan=k % 2, aux="(AFIB" * (k % 3 == 1)) for k in range(50)]
    encoder = Encoder()
    pieces = b"".join(encoder.encode(made[k : k + 7]) for k in range(0, 50, 7))
    assert pieces + annotations.END == encode(made)


def test_a_file_cut_off_anywhere_gives_what_is_whole() -> None:
    made = [
        Annotation(5, "+", aux="(AFIB"),
        Annotation(90_000, "N", num=3),
        Annotation(90_400, '"', aux="gap"),
    ]
    data = encode(made)
    for n in range(len(data)):
        found = decode(data[:n])
        assert [a.sample for a in found] == [a.sample for a in made[: len(found)]]
        assert all(a.aux in ("", b.aux) for a, b in zip(found, made, strict=False))
        assert decode(data[:n] + bytes(64))[: max(0, len(found) - 1)] == made[: max(0, len(found) - 1)]


def test_definitions_of_the_file_are_no_annotations() -> None:
    made = [Annotation(0, '"', aux="## time resolution: 360"), Annotation(3, "N")]
    assert decode(encode(made)) == made[1:]


def test_note_is_the_text_without_padding() -> None:
    assert Annotation(1, "+", aux="(AFIB\0").note == "(AFIB"


@pytest.mark.parametrize(
    "made",
    [
        [Annotation(9, "N"), Annotation(8, "N")],
        [Annotation(-1, "N")],
        [Annotation(1, "no")],
        [Annotation(1, "[50]")],
        [Annotation(1, "N", subtype=128)],
        [Annotation(1, "N", chan=256)],
        [Annotation(1, "N", aux="x" * 256)],
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_writing(
    tmp_path: Path, made: list[Annotation]
) -> None:
    with pytest.raises(ValueError, match=r"annotation|symbol"):
        write_annotations(tmp_path / "a.atr", made)
    assert not (tmp_path / "a.atr").exists()


def test_time_that_goes_backwards_is_refused() -> None:
    skip = b"\x00\xec" + (0xFFFF).to_bytes(2, "little") + (0xFF00).to_bytes(2, "little")
    with pytest.raises(RecordingError, match="interval of -253 samples at byte 8"):
        decode(encode([Annotation(500, "N")])[:-2] + skip + b"\x03\x04")


@given(data=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = decode(data)
    except RecordingError:
        return
    assert decode(encode(found)) == found


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.atr: cannot be read"):
        read_annotations(tmp_path / "none.atr")
