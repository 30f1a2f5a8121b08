"""Records being written: what the wfdb package reads of them at any moment, whatever part arrived."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import Annotation, encode, read_annotations
from ecgedge.recordings.disk import Disk
from ecgedge.recordings.layout import Layout, choose_layout, header_text, start_time
from ecgedge.recordings.writer import AHEAD, AnnotationFile, RecordWriter

STARTED = datetime(2026, 3, 9, 23, 59, 58, 250_000, tzinfo=timezone.utc)


def record(folder: Path, counts: np.ndarray, layout: Layout, **kwargs: object) -> RecordWriter:
    writer = RecordWriter(folder, "rec", layout, started=STARTED, **kwargs)  # type: ignore[arg-type]
    writer.samples.append(counts)
    return writer


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("bits", [16, 24])
def test_wfdb_reads_samples_scale_and_time(tmp_path: Path, bits: int, leads: int) -> None:
    rng = np.random.default_rng(bits + leads)
    reach = 2 ** (bits - 1) - 1
    counts = rng.integers(-reach, reach + 1, (3001, leads)).astype(float)
    counts[:2] = [[reach], [-reach]]
    layout = choose_layout(counts, 250.0, 0.1875, bits)
    assert layout.fmt == str(bits)
    record(tmp_path, counts, layout).finish()
    digital = wfdb.rdrecord(str(tmp_path / "rec"), physical=False)
    np.testing.assert_array_equal(digital.d_signal, counts)
    assert [c % 65536 for c in digital.checksum] == digital.calc_checksum()
    assert digital.init_value == counts[0].astype(int).tolist()
    assert datetime.combine(digital.base_date, digital.base_time) == STARTED.replace(tzinfo=None)
    physical = wfdb.rdrecord(str(tmp_path / "rec"))
    np.testing.assert_allclose(physical.p_signal, counts * 0.1875e-3, rtol=1e-12)
    own = open_recording(tmp_path / "rec")
    assert own.board.uv_per_count == 0.1875
    np.testing.assert_array_equal(np.concatenate([b.counts for b in own.blocks()]), counts)


@pytest.mark.parametrize("fmt", ["16", "24"])
def test_missing_samples_are_missing_to_wfdb(tmp_path: Path, fmt: str) -> None:
    counts = np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, np.nan]])
    writer = record(tmp_path, counts, Layout(250.0, fmt, 2, 5.0))
    writer.samples.fill(3)
    writer.samples.append(counts)
    writer.finish()
    read = wfdb.rdrecord(str(tmp_path / "rec")).p_signal / 0.005
    empty = np.full((3, 2), np.nan)
    np.testing.assert_allclose(read, np.concatenate([counts, empty, counts]))


@pytest.mark.parametrize(
    ("values", "bits", "fmt", "steps", "left_out"),
    [
        ([1, -32767], None, "16", 1.0, 0),
        ([1, 32768], None, "24", 1.0, 0),
        ([1, 2], 24, "24", 1.0, 0),
        ([0.125, -1.5], None, "24", 1000.0, 0),
        ([3_456_789.25, -0.5], None, "24", 1.0, 0),
        ([4e9, 1, 5e9], None, "24", 1e-4, 0),
        ([4e9, 1, 2, np.nan], None, "16", 1.0, 1),
        ([4e9, 0.125, 2], None, "24", 1000.0, 1),
        ([np.nan, np.nan], 10, "16", 1.0, 0),
    ],
)
def test_layout_follows_board_and_counts(
    values: list[float], bits: int | None, fmt: str, steps: float, left_out: int
) -> None:
    counts = np.array(values)[:, None]
    layout = choose_layout(counts, 100.0, None, bits)
    assert (layout.fmt, layout.per_count.tolist()) == (fmt, pytest.approx([steps]))
    beyond = layout.beyond(counts)
    assert np.count_nonzero(beyond) == left_out
    kept = np.isfinite(counts) & ~beyond
    stored = layout.quantise(counts)
    assert np.all(stored[~kept] == -layout.reach - 1)
    np.testing.assert_allclose(stored[kept], counts[kept] * steps, atol=0.5)


def test_each_lead_has_steps_of_its_own(tmp_path: Path) -> None:
    counts = np.array([[1.7e11, 0.512, 30_000.0], [1.7e11 + 4e6, -0.25, -30_000.0]])
    record(tmp_path, counts, choose_layout(counts, 100.0)).finish()
    read = wfdb.rdrecord(str(tmp_path / "rec"))
    np.testing.assert_allclose(read.p_signal[:, 1:], counts[:, 1:])
    np.testing.assert_allclose(read.p_signal[:, 0], counts[:, 0], atol=5e5)


def test_decimals_keep_their_value_and_unknown_scale_stays_unknown(tmp_path: Path) -> None:
    counts = np.array([[0.125], [-1.5], [2.001]])
    record(tmp_path, counts, choose_layout(counts, 100.0)).finish()
    read = wfdb.rdrecord(str(tmp_path / "rec"))
    np.testing.assert_allclose(read.p_signal, counts)
    assert read.units == ["adu"]
    assert open_recording(tmp_path / "rec").board.uv_per_count is None


def test_a_record_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    counts = np.arange(1000.0).reshape(-1, 2)
    writer = record(tmp_path, counts[:10], Layout(250.0, "16", 2, 5.0))
    assert not list(tmp_path.glob("*.hea"))  # nothing to read yet
    writer.flush(0)
    for n in range(10, 500, 70):
        read = wfdb.rdrecord(str(tmp_path / "rec"), physical=False)
        np.testing.assert_array_equal(read.d_signal, counts[:n])
        assert start_time((tmp_path / "rec.hea").read_text()) == STARTED
        writer.samples.append(counts[n : n + 70])
        writer.annotations.add(Annotation(n, "N"))
        writer.flush(n)
        assert wfdb.rdann(str(tmp_path / "rec"), "atr").sample[-1] == n
    writer.close()


@pytest.mark.parametrize("extra", range(6))
def test_a_torn_last_frame_is_no_sample(tmp_path: Path, extra: int) -> None:
    counts = np.arange(30.0).reshape(-1, 3)
    writer = record(tmp_path, counts, Layout(250.0, "24", 3, 5.0))
    writer.flush(0)
    writer.close()
    with (tmp_path / "rec.dat").open("ab") as file:
        file.write(b"\x7f" * extra)
    np.testing.assert_array_equal(wfdb.rdrecord(str(tmp_path / "rec"), physical=False).d_signal, counts)
    assert open_recording(tmp_path / "rec").n_samples == 10


def test_annotations_can_be_read_whatever_part_of_a_write_arrived(tmp_path: Path) -> None:
    """Every prefix of every write, over what was there before, is a file that wfdb reads."""
    writes: list[tuple[int, bytes]] = []
    file = AnnotationFile(Disk(), tmp_path / "a.atr")
    inner = file._file.write
    file._file.write = lambda at, data: (writes.append((at, bytes(data))), inner(at, data))[1]  # type: ignore[method-assign,func-returns-value]
    before = [(tmp_path / "a.atr").read_bytes()]
    made = [
        Annotation(40 + 900 * k, "N" if k % 5 else '"', aux="" if k % 5 else f"gap: {k} lost")
        for k in range(12)
    ]
    for k, annotation in enumerate(made):
        file.add(annotation)
        if k % 3 == 2:
            file.flush(annotation.sample)
            before.append((tmp_path / "a.atr").read_bytes())
    file.close()
    assert read_annotations(tmp_path / "a.atr") == made
    torn = tmp_path / "torn.atr"
    for old, (at, data) in zip(before, writes, strict=False):
        for n in range(len(data)):
            torn.write_bytes(old[:at] + data[:n] + old[at + n :])
            read = wfdb.rdann(str(tmp_path / "torn"), "atr")
            known = read_annotations(torn)
            complete = len(read_annotations_of(old))
            assert known[:complete] == made[:complete]
            assert read.sample.tolist()[:complete] == [a.sample for a in made[:complete]]


def read_annotations_of(data: bytes) -> list[Annotation]:
    from ecgedge.recordings.annotations import decode

    return decode(data)


def test_annotations_in_any_order_end_as_one_sorted_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    file = AnnotationFile(Disk(), tmp_path / "a.atr")
    made = [Annotation(int(s), "N") for s in rng.permutation(4000)]
    for k, annotation in enumerate(made):
        file.add(annotation)
        if k % 37 == 0:
            file.flush(int(rng.integers(0, 4000)))
            assert [a.sample for a in read_annotations(tmp_path / "a.atr")] == sorted(
                a.sample for a in read_annotations(tmp_path / "a.atr")
            )
    file.finish()
    file.close()
    assert (tmp_path / "a.atr").read_bytes() == encode(sorted(made, key=lambda a: a.sample))


def test_rhythm_labels_can_be_replaced(tmp_path: Path) -> None:
    file = AnnotationFile(Disk(), tmp_path / "a.atr")
    file.add(Annotation(100, "N"))
    file.set_rhythm([Annotation(0, "+", aux="(AFIB")])
    file.flush(1000)
    file.add(Annotation(2000, "N"))
    file.set_rhythm([Annotation(50, "+", aux="(AFIB"), Annotation(1500, "+", aux="(N")])
    file.flush(3000)
    assert [(a.sample, a.aux) for a in read_annotations(tmp_path / "a.atr")] == [
        (50, "(AFIB"), (100, ""), (1500, "(N"), (2000, ""),
    ]  # fmt: skip
    file.finish()
    file.close()


def test_the_zeros_ahead_never_run_out(tmp_path: Path) -> None:
    file = AnnotationFile(Disk(), tmp_path / "a.atr")
    for k in range(2 * AHEAD):
        file.add(Annotation(k, "N"))
        if k % 9 == 0:
            file.flush(k)
            assert (tmp_path / "a.atr").read_bytes()[-2:] == b"\0\0"
    file.finish()
    file.close()
    assert len(wfdb.rdann(str(tmp_path / "a"), "atr").sample) == 2 * AHEAD


def test_start_time_of_headers_of_others() -> None:
    assert start_time("100 2 360 650000\n") is None
    assert start_time("x 1 250 10 12:30:05 01/02/2003\n") == datetime(2003, 2, 1, 12, 30, 5)
    text = header_text("r", Layout(250.0, "16"), 10, STARTED)
    assert start_time(text) == STARTED.replace(tzinfo=None)
