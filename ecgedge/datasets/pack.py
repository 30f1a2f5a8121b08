"""A data set in one compact file, to be carried to another machine.

A pack is a ``.npz`` (NumPy's zip of arrays, without pickled objects) of three byte arrays:

``index``
    JSON in UTF-8: format, set, title, licence, citation, source, rate, splits, and of each record its name,
    leads, length, subject, labels, and bytes of annotations by annotator.
``signal``
    All leads of all records end to end, in steps of a microvolt, as differences of int16 that wrap around,
    high bytes first and low bytes after them: half the size of plain samples. -32768 stands for "no sample".
``annotations``
    Annotation files in the MIT format, end to end, at the pack's rate.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.datasets.record import Record, Subject, no_signal
from ecgedge.datasets.resample import resample
from ecgedge.errors import DataError, RecordingError
from ecgedge.recordings.annotations import Annotation, decode, encode

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.datasets.catalogue import DataSet
    from ecgedge.messages import Floats

    Steps = npt.NDArray[np.int16]
    Bytes = npt.NDArray[np.uint8]

FORMAT = 1
STEPS_PER_MV = 1000.0
_MISSING = -32768
_EXPECTED = "a file made by ecgedge data pack"
_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error),
    *(RuntimeError, SyntaxError, TokenError, MemoryError),  # a damaged entry of the zip, or array header
)


def write_pack(
    path: Path,
    known: DataSet,
    records: Iterable[Record],
    rate_hz: float,
    splits: Mapping[str, Mapping[str, list[str]]] | None = None,
) -> int:
    """Write a pack; the file appears when it is whole. The set passes through memory once, at the new rate.

    Parameters
    ----------
    known : the set, for the terms that go into the file
    records : what to pack; values beyond 32.767 mV are clipped
    rate_hz : samples per second in the pack
    splits : record names by list and part

    Returns
    -------
    n : number of records

    Raises
    ------
    DataError
        If the file cannot be written, or there is nothing to pack.
    """
    entries: list[dict[str, Any]] = []
    steps: list[Steps] = []
    marks: list[bytes] = []
    for record in records:
        signal = _to_steps(resample(record.signal, record.rate_hz, rate_hz))
        ratio = rate_hz / record.rate_hz
        coded = {a: encode(_at_rate(m, ratio)) for a, m in record.annotations.items()}
        steps += [signal[:, lead] for lead in range(signal.shape[1])]
        marks += coded.values()
        entries.append(
            {
                "name": record.name,
                "n": len(signal),
                "leads": record.leads,
                "subject": {k: v for k, v in asdict(record.subject).items() if v is not None},
                "labels": dict(record.labels),
                "annotations": {annotator: len(data) for annotator, data in coded.items()},
            }
        )
    if not entries:
        raise DataError(f"{known.name} holds no records", "at least one")
    index = {
        "format": FORMAT,
        "set": known.name,
        "title": known.title,
        "licence": known.licence,
        "citation": known.citation,
        "source": f"https://physionet.org/content/{known.address}",
        "rate_hz": rate_hz,
        "splits": splits or {},
        "records": entries,
    }
    _save(
        path,
        index=np.frombuffer(json.dumps(index, ensure_ascii=False).encode(), np.uint8),
        signal=_squeeze(np.concatenate(steps) if steps else np.empty(0, np.int16)),
        annotations=np.frombuffer(b"".join(marks), np.uint8),
    )
    return len(entries)


class Pack:
    """An opened pack; its signals are in memory, two bytes a sample.

    Parameters
    ----------
    path : the file
    expected : name of the set that it must hold; None takes any

    Raises
    ------
    DataError
        If the file is missing, damaged, no pack, or one of another set.
    """

    def __init__(self, path: Path, expected: str | None = None) -> None:
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                self.index: dict[str, Any] = json.loads(arrays["index"].tobytes())
                if self.index["format"] != FORMAT:
                    raise DataError(f"{path}: format {self.index['format']}", str(FORMAT), "Update ecgedge.")
                self._signal = _expand(arrays["signal"])
                self._marks = arrays["annotations"].tobytes()
            self.rate_hz = float(self.index["rate_hz"])
            self._places = self._find()
        except _UNREADABLE as error:
            raise DataError(f"{path} cannot be read ({error})", _EXPECTED, "Copy or make it again.") from None
        if expected is not None and self.index["set"] != expected:
            raise DataError(f"{path} holds {self.index['set']}", f"a pack of {expected}")

    @property
    def names(self) -> list[str]:
        """Names of the records, in order."""
        return list(self._places)

    def labels(self, kind: str) -> dict[str, tuple[str, ...]]:
        """Labels of one kind by record name, of the records that have them."""
        entries = self.index["records"]
        return {e["name"]: tuple(e["labels"][kind]) for e in entries if kind in e["labels"]}

    def records(self, names: list[str] | None = None) -> Iterator[Record]:
        """The named records (all, where none are named), in order.

        Raises
        ------
        DataError
            If one is not in the pack.
        """
        for name in self.names if names is None else names:
            if name not in self._places:
                raise DataError(f"record {name}", f"a record of {self.index['set']}", "Check the split.")
            yield self._record(*self._places[name])

    def _find(self) -> dict[str, tuple[dict[str, Any], int, int]]:
        """Each record's entry with its first sample and first byte of annotations."""
        places: dict[str, tuple[dict[str, Any], int, int]] = {}
        sample = byte = 0
        for entry in self.index["records"]:
            places[entry["name"]] = entry, sample, byte
            sample += entry["n"] * len(entry["leads"])
            byte += sum(entry["annotations"].values())
        if sample != self._signal.size or byte != len(self._marks):
            raise ValueError("its arrays do not have the lengths that its index says")
        return places

    def _record(self, entry: dict[str, Any], sample: int, byte: int) -> Record:
        n, leads = entry["n"], tuple(entry["leads"])
        steps = self._signal[sample : sample + n * len(leads)].reshape(len(leads), n).T
        signal = np.where(steps == _MISSING, np.nan, steps / STEPS_PER_MV) if leads else no_signal()
        marks: dict[str, tuple[Annotation, ...]] = {}
        for annotator, length in entry["annotations"].items():
            try:
                marks[annotator] = tuple(decode(self._marks[byte : byte + length], entry["name"]))
            except RecordingError as error:
                raise DataError(error.received, error.expected, "Make the pack again.") from None
            byte += length
        labels = {kind: tuple(said) for kind, said in entry["labels"].items()}
        return Record(entry["name"], signal, self.rate_hz, leads, Subject(**entry["subject"]), labels, marks)


def _at_rate(marks: Iterable[Annotation], ratio: float) -> Iterator[Annotation]:
    for m in marks:
        yield Annotation(round(m.sample * ratio), m.symbol, m.subtype, m.chan, m.num, m.aux)


def _to_steps(signal: Floats) -> Steps:
    steps = np.clip(np.rint(signal * STEPS_PER_MV), _MISSING + 1, -_MISSING - 1)
    return np.where(np.isnan(steps), _MISSING, steps).astype(np.int16)


def _squeeze(steps: Steps) -> Bytes:
    """High bytes, then low bytes, of the differences."""
    differences = np.diff(steps, prepend=np.zeros(1, np.int16)).astype("<i2")
    return np.ascontiguousarray(differences.view(np.uint8).reshape(-1, 2).T[::-1]).reshape(-1)


def _expand(data: Bytes) -> Steps:
    high_low = data.reshape(2, -1)
    differences = np.ascontiguousarray(high_low[::-1].T).reshape(-1).view("<i2")
    return np.cumsum(differences, dtype=np.int16)


def _save(path: Path, **arrays: Bytes) -> None:
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        beside.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            beside.unlink()
