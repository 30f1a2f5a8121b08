"""Records in WFDB form out of a data set's archive or folder: signals, annotations, age and sex.

The reader is the device's own (``ecgedge.recordings``); values are (count - baseline) / gain, as the WFDB
manual page signal(5) says.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ecgedge.datasets.record import Record, Subject, no_signal
from ecgedge.errors import DataError, RecordingError
from ecgedge.recordings import Header, parse_header
from ecgedge.recordings.annotations import Annotation, decode
from ecgedge.recordings.wfdb import count_frames, groups, microvolts, pieces

if TYPE_CHECKING:
    from ecgedge.datasets.archive import Archive
    from ecgedge.messages import Floats

_NAMED = re.compile(r"<?(age|sex|gender)>?\s*:\s*(\S+)", re.IGNORECASE)
_MIT = re.compile(r"(-?\d+) ([MF])\b")  # "69 M 1085 1629 x1"
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}


def record_names(archive: Archive, folder: str) -> list[str]:
    """Paths of a set's records without ending, in the order of its RECORDS file.

    A line that ends in ``/`` stands for a folder with a RECORDS file of its own. Where there is no such
    file, all headers count.
    """
    listed = f"{folder}/RECORDS"
    if not archive.holds(listed):
        return headers(archive, folder)
    names: list[str] = []
    for line in archive.read(listed).decode("utf-8", "replace").split():
        if line.endswith("/"):
            names += record_names(archive, f"{folder}/{line.rstrip('/')}")
        else:
            names.append(f"{folder}/{line}")
    return names


def headers(archive: Archive, folder: str) -> list[str]:
    """Paths of all headers without ending, in the order of their names.

    Raises
    ------
    DataError
        If there is none.
    """
    found = [name[:-4] for name in archive.members() if name.endswith(".hea")]
    if not found:
        raise DataError(f"{archive.path} holds no records", "headers (.hea)")
    return [name if name.startswith(f"{folder}/") else f"{folder}/{name}" for name in found]


def read_record(
    archive: Archive,
    path: str,
    annotators: Iterable[str] = (),
    signals: bool = True,
) -> tuple[Record, Header]:
    """One record, and its header for what a set writes into its comments.

    Parameters
    ----------
    path : member without ending, such as ``mitdb/100``
    annotators : endings of annotation files to read
    signals : False leaves the samples out

    Raises
    ------
    DataError
        If a file is missing or damaged.
    """
    name = path.rpartition("/")[2]
    with _as_data_error(archive):
        header = parse_header(archive.read(f"{path}.hea").decode("latin-1"), f"{name}.hea")
        signal = _signal(archive, path, header) if signals and header.signals else no_signal()
        marks = {a: tuple(decode(archive.read(f"{path}.{a}"), f"{name}.{a}")) for a in annotators}
    leads = tuple(s.name for s in header.signals) if signal.size else ()
    subject = subject_of(header.comments)
    return Record(name, signal, header.rate_hz, leads, subject, annotations=marks), header


def with_labels(record: Record, labels: Mapping[str, tuple[str, ...]], subject: str | None) -> Record:
    """The record with what its set says of it elsewhere."""
    return replace(record, labels=labels, subject=replace(record.subject, id=subject))


def subject_of(comments: Iterable[str]) -> Subject:
    """Age and sex from a header's comments, in the forms that the sets use."""
    said: dict[str, str] = {}
    for line in comments:
        mit = _MIT.match(line)
        if mit:
            said.update(age=mit[1], sex=mit[2])
        for key, value in _NAMED.findall(line):
            said["sex" if key.lower() != "age" else "age"] = value
    age = int(said["age"]) if said.get("age", "").isdecimal() else None  # -1 and NaN: not known
    return Subject(age=age, sex=_SEX.get(said.get("sex", "").lower()))


def _signal(archive: Archive, path: str, header: Header) -> Floats:
    """All leads, shape (n, leads), mV."""
    folder = path.rpartition("/")[0]
    found = groups(header.signals)  # one a file
    files = {g[0].file_name: archive.read(f"{folder}/{g[0].file_name}") for g in found}
    held = min(count_frames(len(files[g[0].file_name]), g) for g in found)
    n = header.n_samples or held
    if held < n:
        raise RecordingError(f"{path} has {held} samples of {n}", "the whole record")
    counts = np.concatenate(list(pieces(header, n, lambda name: io.BytesIO(files[name]))))
    steps = [(microvolts(s.units) or 1000.0) / 1000.0 / s.gain for s in header.signals]
    return np.asarray(counts * np.array(steps), dtype=np.float64)


@contextmanager
def _as_data_error(archive: Archive) -> Iterator[None]:
    """Say of a damaged file which set it belongs to."""
    try:
        yield
    except RecordingError as error:
        said = f"{archive.name}: {error.received}"
        raise DataError(said, error.expected, "Fetch the set again.") from None


def marks_of(archive: Archive, member: str) -> tuple[Annotation, ...]:
    """One annotation file."""
    with _as_data_error(archive):
        return tuple(decode(archive.read(member), member.rpartition("/")[2]))
