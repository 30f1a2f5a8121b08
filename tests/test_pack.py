"""Packs: what goes in comes out; resampling; what is said of a damaged or foreign file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ecgedge.conditioning import Conditioner
from ecgedge.datasets import cinc2017, mitdb
from ecgedge.datasets.archive import data_root
from ecgedge.datasets.catalogue import CINC2017, MITDB
from ecgedge.datasets.pack import Pack, write_pack
from ecgedge.datasets.readers import splits_of
from ecgedge.datasets.record import Record, Subject
from ecgedge.datasets.resample import resample
from ecgedge.errors import DataError
from ecgedge.recordings.annotations import Annotation

MARKS = (Annotation(18, "+", aux="(AFIB\0"), Annotation(300, "V", 1, 1, -2), Annotation(90_000, "N"))


def records(rate_hz: float = 360.0) -> list[Record]:
    rng = np.random.default_rng(5)
    counts = [rng.integers(-32767, 32768, shape) for shape in ((1000, 2), (7, 1), (2500, 12))]
    counts[0][100:120, 1] = 0
    signals = [c / 1000 for c in counts]
    signals[0][100:120, 1] = np.nan
    leads = ("MLII", "V5"), ("ECG",), tuple(map(str, range(12)))
    out = [
        Record(
            f"r{k}",
            signals[k],
            rate_hz,
            leads[k],
            Subject(f"p{k}", 60 + k, "F"),
            {"v2": ("A",), "scp": ("NORM", "SR")},
            {"atr": MARKS, "empty": ()},
        )
        for k in range(3)
    ]
    return [*out, Record("bare", np.empty((0, 0)), rate_hz, (), Subject(), {}, {"qrs": MARKS})]


def made(tmp_path: Path, rate_hz: float = 360.0) -> Path:
    path = tmp_path / "set.npz"
    assert write_pack(path, MITDB, records(), rate_hz, {"own": {"train": ["r0"], "test": ["r1"]}}) == 4
    return path


def same(one: Record, other: Record) -> None:
    assert (one.name, one.rate_hz, one.leads, one.subject) == (
        other.name,
        other.rate_hz,
        other.leads,
        other.subject,
    )
    assert (one.labels, one.annotations) == (other.labels, other.annotations)
    np.testing.assert_allclose(one.signal, other.signal, rtol=0, atol=1e-9)


def test_at_the_same_rate_nothing_is_lost(tmp_path: Path) -> None:
    pack = Pack(made(tmp_path))
    for packed, original in zip(pack.records(), records(), strict=True):
        same(packed, original)
    assert pack.names == ["r0", "r1", "r2", "bare"]
    assert [r.name for r in pack.records(["r2", "r0"])] == ["r2", "r0"]
    assert pack.labels("v2") == {f"r{k}": ("A",) for k in range(3)}


def test_the_terms_and_lists_travel_with_it(tmp_path: Path) -> None:
    index = Pack(made(tmp_path)).index
    assert (index["licence"], index["citation"]) == (MITDB.licence, MITDB.citation)
    assert index["source"] == "https://physionet.org/content/mitdb/1.0.0/"
    assert index["splits"]["own"] == {"train": ["r0"], "test": ["r1"]}


def test_it_can_be_read_with_numpy_alone(tmp_path: Path) -> None:
    """After the words of the module: differences of int16, high bytes first, leads end to end."""
    with np.load(made(tmp_path), allow_pickle=False) as arrays:
        high, low = arrays["signal"].reshape(2, -1).astype(np.int64)
        index = json.loads(arrays["index"].tobytes())
    steps = np.cumsum(high * 256 + low) % 65536
    steps = np.where(steps > 32767, steps - 65536, steps)
    first = records()[0].signal
    n = index["records"][0]["n"]
    assert steps[:n].tolist() == np.rint(first[:, 0] * 1000).tolist()
    assert steps[n : 2 * n].tolist() == np.nan_to_num(np.rint(first[:, 1] * 1000), nan=-32768).tolist()


def test_marks_move_with_the_rate(tmp_path: Path) -> None:
    (record, *_) = Pack(made(tmp_path, 90.0)).records()
    assert [m.sample for m in record.annotations["atr"]] == [4, 75, 22_500]
    assert record.signal.shape == (250, 2)
    assert record.rate_hz == 90.0
    assert [m.aux for m in record.annotations["atr"]] == ["(AFIB\0", "", ""]


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(300, 100), (360, 100), (128, 100), (500, 125), (100, 250), (257, 100)]
)
def test_resampled_tones_are_the_tones_sampled_at_the_new_rate(rate_in: int, rate_out: int) -> None:
    """Up to 0.88 of the lower Nyquist frequency, away from the ends, to two thousandths (54 dB)."""
    rng = np.random.default_rng(rate_in)
    tones = rng.uniform(0.3, 0.44 * min(rate_in, rate_out), 20)
    phases = rng.uniform(0, 7, 20)

    def sampled(rate: int) -> np.ndarray:
        t = np.arange(20 * rate) / rate
        return np.sin(2 * np.pi * np.outer(t, tones) + phases).sum(axis=1, keepdims=True)

    out, truth = resample(sampled(rate_in), rate_in, rate_out), sampled(rate_out)
    assert out.shape == truth.shape
    inner = slice(rate_out, -rate_out)
    assert np.std(out[inner] - truth[inner]) < 2e-3 * np.std(truth)


def test_what_cannot_be_held_at_the_new_rate_is_gone() -> None:
    """From 1.1 of the new Nyquist frequency on: 55 dB and more below."""
    t = np.arange(30_000) / 300
    for f in (55.0, 60.0, 100.0, 145.0):
        out = resample(np.sin(2 * np.pi * f * t)[:, None], 300, 100)
        assert np.std(out[100:-100]) < 0.7 * 10 ** (-55 / 20)


def test_a_constant_stays_and_nothing_is_delayed() -> None:
    np.testing.assert_allclose(resample(np.full((500, 1), 1.25), 360, 100), 1.25, atol=1e-12)
    pulse = np.zeros((3000, 1))
    pulse[1500] = 1.0
    assert int(np.argmax(resample(pulse, 300, 100))) == 500


def test_missing_samples_stay_missing() -> None:
    x = np.random.default_rng(1).normal(size=(3000, 2))
    x[600:900, 0] = np.nan
    out = resample(x, 300, 100)
    assert np.flatnonzero(np.isnan(out[:, 0])).tolist() == list(range(200, 300))
    assert not np.isnan(out[:, 1]).any()
    assert np.isnan(resample(np.full((30, 1), np.nan), 300, 100)).all()


# ---- bad files


def refused(path: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        list(Pack(path, "mitdb").records())
    assert "\n" not in str(caught.value)


def test_a_pack_that_is_cut_short_or_no_pack(tmp_path: Path) -> None:
    path = made(tmp_path)
    whole = path.read_bytes()
    for n in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:n])
        refused(path, "set.npz cannot be read")
    path.write_text("<html>404</html>")
    refused(path, "set.npz cannot be read")
    np.savez(path, other=np.zeros(3))
    refused(path, "set.npz cannot be read")
    path.unlink()
    refused(path, "set.npz cannot be read")


def test_flipped_bytes_never_pass_or_end_in_a_traceback(tmp_path: Path) -> None:
    path = made(tmp_path)
    whole = path.read_bytes()
    noticed = 0
    for at in range(0, len(whole), max(len(whole) // 150, 1)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            found = list(Pack(path, "mitdb").records())
        except DataError as error:
            noticed += "\n" not in str(error)
        else:
            for packed, original in zip(found, records(), strict=True):
                same(packed, original)
    assert noticed > 130


def test_a_pack_of_another_set_or_format(tmp_path: Path) -> None:
    path = made(tmp_path)
    with pytest.raises(DataError, match=r"holds mitdb; expected a pack of cinc2017"):
        list(cinc2017.records(path))
    with np.load(path) as arrays:
        parts = dict(arrays)
    index = json.loads(parts["index"].tobytes())
    for change in ({"format": 2}, {"records": index["records"][:2]}, {"rate_hz": "x"}):
        text = json.dumps({**index, **change}).encode()
        np.savez(path, **{**parts, "index": np.frombuffer(text, np.uint8)})
        refused(path, "format 2" if "format" in change else "cannot be read")
    with pytest.raises(DataError, match="no records"):
        write_pack(path, MITDB, [], 100.0)


def test_a_record_that_it_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="r9"):
        list(Pack(made(tmp_path)).records(["r9"]))


def test_writing_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def half() -> Iterator[Record]:
        yield records()[0]
        raise DataError("the second record is damaged")

    with pytest.raises(DataError, match="second"):
        write_pack(tmp_path / "a.npz", MITDB, half(), 100.0)
    assert list(tmp_path.iterdir()) == []
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(DataError, match="cannot be written"):
            write_pack(tmp_path / "a.npz", MITDB, records(), 100.0)
        tmp_path.chmod(0o700)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_pack(tmp_path / "file" / "a.npz", MITDB, records(), 100.0)


# ---- the real sets


def test_cinc2017_at_its_own_rate_is_the_set_itself(data_dir: Path, tmp_path: Path) -> None:
    names = [f"A{k:05d}" for k in range(1, 8529, 700)]
    path = tmp_path / "cinc2017.npz"
    write_pack(path, CINC2017, cinc2017.records(data_dir, names), 300.0, splits_of(CINC2017, data_dir))
    assert data_root(path) == path, "a pack is taken where a data folder is"
    for packed, original in zip(cinc2017.records(path), cinc2017.records(data_dir, names), strict=True):
        same(packed, original)
    known = cinc2017.labels_by_record(data_dir, "v3")
    assert cinc2017.labels_by_record(path, "v3") == {name: known[name] for name in names}
    assert cinc2017.revisions(path) == ["v1", "v2", "v3"]
    assert cinc2017.published_split(path) == cinc2017.published_split(data_dir)


def test_a_model_sees_nearly_the_same_from_a_pack_at_100_hz(data_dir: Path, tmp_path: Path) -> None:
    """The signal after the device's conditioning, 0.5-40 Hz at 100 Hz, from the original and the pack."""
    names = [f"A{k:05d}" for k in range(3, 8529, 600)]
    spec = {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0}
    path = tmp_path / "cinc2017.npz"
    write_pack(path, CINC2017, cinc2017.records(data_dir, names), 100.0)
    alike = []
    for packed, original in zip(cinc2017.records(path), cinc2017.records(data_dir, names), strict=True):
        chains = [Conditioner(spec, r.rate_hz) for r in (packed, original)]
        both = [
            np.concatenate((c.push(r.lead()), c.finish()))
            for c, r in zip(chains, (packed, original), strict=True)
        ]
        assert both[0].size == both[1].size
        alike.append(np.corrcoef(*both)[0, 1])
    assert np.median(alike) > 0.9995
    assert min(alike) > 0.98


def test_mitdb_with_its_marks(data_dir: Path, tmp_path: Path) -> None:
    path = tmp_path / "mitdb.npz"
    write_pack(path, MITDB, mitdb.records(data_dir, ["202"]), 180.0)
    (packed,), (original,) = mitdb.records(path), mitdb.records(data_dir, ["202"])
    assert packed.subject == original.subject
    assert len(packed.beats()) == len(original.beats())
    at = np.array([m.sample for m in packed.beats()]) / 180
    assert np.abs(at - np.array([m.sample for m in original.beats()]) / 360).max() <= 0.5 / 180 + 1e-9
    assert [label for _, label in packed.rhythms()] == [label for _, label in original.rhythms()]
