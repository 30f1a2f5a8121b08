"""Annotation files in the MIT format (``.atr`` and its kin), read and written; after annot(5) of WFDB.

A file is a row of 16-bit little-endian words. A word's upper six bits are a code, its lower ten the
samples since the annotation before; five codes carry something else (a long interval, or a field of the
annotation before them). A word of zero ends the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ecgedge.errors import RecordingError

SYMBOLS = {
    **dict(enumerate("NLRaVFJASEj/Q~", start=1)),
    **dict(enumerate('|', start=16)),
    **dict(enumerate('sT*D"=pB^t+u?![]en@xf()r', start=18)),
}  # fmt: skip
"""Annotation codes and the symbols that stand for them; others are written ``[code]``."""
BEATS = frozenset("NLRaVFJASEj/QBenfr?")
"""Symbols that mark a QRS complex."""
RHYTHM, NOTE = "+", '"'
LEADS_OFF, LEADS_ON = "leads off", "leads on"
END = b"\0\0"
MAX_AUX = 255

_CODES = {symbol: code for code, symbol in SYMBOLS.items()}
_SKIP, _NUM, _SUB, _CHN, _AUX = 59, 60, 61, 62, 63
_LAST_CODE = 49


@dataclass(frozen=True, slots=True)
class Annotation:
    """One label at one sample of a record."""

    sample: int
    symbol: str
    subtype: int = 0
    """-128 to 127."""
    chan: int = 0
    """Signal it belongs to, 0 to 255."""
    num: int = 0
    """-128 to 127."""
    aux: str = ""
    """The attached text as it stands in the file; some writers end it with a NUL, see ``note``."""

    @property
    def note(self) -> str:
        """The attached text without padding."""
        return self.aux.rstrip("\0")

    @property
    def is_beat(self) -> bool:
        """Whether it marks a QRS complex."""
        return self.symbol in BEATS


def read_annotations(path: str | Path) -> list[Annotation]:
    """Read an annotation file.

    Raises
    ------
    RecordingError
        Missing, unreadable, or not in the MIT format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})", "an annotation file") from None
    return decode(data, str(path))


def decode(data: bytes, name: str = "annotations") -> list[Annotation]:
    """Annotations of a file's bytes, in file order.

    A file that ends without its end mark, or inside an annotation (its writer was cut off), gives what is
    whole. Notes that define the file itself (``## ...`` at sample 0) are left out.

    Raises
    ------
    RecordingError
        Where time goes backwards, or a code is used that the format does not have.
    """
    words = struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])
    out: list[Annotation] = []
    at, sample, chan, num = 0, 0, 0, 0
    while at < len(words) and words[at] != 0:
        skip = 0
        while at + 3 < len(words) and words[at] >> 10 == _SKIP:
            interval = words[at + 1] << 16 | words[at + 2]
            skip += interval - (1 << 32 if interval >> 31 else 0)
            at += 3
        code, interval = words[at] >> 10, skip + (words[at] & 0x3FF)
        if code == _SKIP:
            break  # cut off inside a long interval
        if code > _LAST_CODE or interval < 0:
            found = f"code {code}" if code > _LAST_CODE else f"an interval of {interval} samples"
            raise RecordingError(f"{name}: {found} at byte {2 * at}", "annotations in the MIT format")
        sample += interval
        at += 1
        subtype, aux, whole = 0, "", True
        while at < len(words) and words[at] >> 10 >= _NUM:
            field, value = words[at] >> 10, words[at] & 0xFF
            at += 1
            if field == _NUM:
                num = value - (value >> 7 << 8)
            elif field == _SUB:
                subtype = value - (value >> 7 << 8)
            elif field == _CHN:
                chan = value
            else:
                aux = data[2 * at : 2 * at + value].decode("latin-1")
                whole = len(aux) == value
                at += (value + 1) // 2
        if whole and code and not (sample == 0 and aux.startswith("## ")):
            out.append(Annotation(sample, SYMBOLS.get(code, f"[{code}]"), subtype, chan, num, aux))
    return out


class Encoder:
    """Turns annotations into bytes, piece after piece; keeps what the next one is relative to."""

    def __init__(self) -> None:
        self.sample = 0
        """Sample of the last annotation."""
        self._chan = 0
        self._num = 0

    def encode(self, annotations: Iterable[Annotation]) -> bytes:
        """Bytes of annotations that follow on those before, without the end mark.

        Raises
        ------
        ValueError
            Where one lies before its predecessor, or a field does not fit the format.
        """
        return b"".join(self._one(annotation) for annotation in annotations)

    def _one(self, a: Annotation) -> bytes:
        code = _code(a.symbol)
        aux = a.aux.encode("latin-1", "replace")
        interval = a.sample - self.sample
        if interval < 0:
            raise ValueError(f"an annotation at sample {a.sample} after one at {self.sample}")
        fits = -128 <= a.subtype < 128 and -128 <= a.num < 128 and 0 <= a.chan < 256 and len(aux) <= MAX_AUX
        if not fits:
            raise ValueError(f"{a} does not fit the annotation format")
        out = bytearray()
        while interval > 0x3FF:
            step = min(interval, 0x7FFFFFFF)
            out += (
                _word(_SKIP, 0) + (step >> 16).to_bytes(2, "little") + (step & 0xFFFF).to_bytes(2, "little")
            )
            interval -= step
        out += _word(code, interval)
        if a.subtype:
            out += _word(_SUB, a.subtype & 0xFF)
        if a.chan != self._chan:
            out += _word(_CHN, a.chan)
        if a.num != self._num:
            out += _word(_NUM, a.num & 0xFF)
        if aux:
            out += _word(_AUX, len(aux)) + aux + b"\0" * (len(aux) % 2)
        self.sample, self._chan, self._num = a.sample, a.chan, a.num
        return bytes(out)


def code_word(symbol: str, interval: int) -> tuple[int, bytes]:
    """The word that holds an annotation's code, and where among the annotation's bytes it stands.

    Parameters
    ----------
    interval : samples since the annotation before
    """
    skips = -(-interval // 0x7FFFFFFF) if interval > 0x3FF else 0
    return 6 * skips, _word(_code(symbol), 0 if skips else interval)


def encode(annotations: Iterable[Annotation]) -> bytes:
    """A whole file's bytes, with the end mark.

    Raises
    ------
    ValueError
        Where annotations are not in order of their samples, or a field does not fit the format.
    """
    return Encoder().encode(annotations) + END


def write_annotations(path: str | Path, annotations: Iterable[Annotation]) -> None:
    """Write an annotation file.

    Raises
    ------
    ValueError
        See ``encode``; nothing is written then.
    OSError
        Where the file cannot be written.
    """
    data = encode(annotations)
    Path(path).write_bytes(data)


def leads_off_spans(annotations: Iterable[Annotation], n_samples: int) -> tuple[tuple[int, int], ...]:
    """Spans between the notes "leads off" and "leads on"; what a note at sample 1 says holds from 0 on."""
    out: list[tuple[int, int]] = []
    since: int | None = None
    for a in annotations:
        if a.symbol == NOTE and a.note == LEADS_OFF and since is None:
            since = 0 if a.sample == 1 else a.sample
        elif a.symbol == NOTE and a.note == LEADS_ON and since is not None:
            out.append((since, a.sample))
            since = None
    return tuple(out) if since is None else (*out, (since, n_samples))


def cut(first: int, last: int, spans: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int, bool]]:
    """``first`` to ``last`` in parts that lie wholly inside (True) or outside the spans."""
    edges = sorted({first, last, *(edge for span in spans for edge in span if first < edge < last)})
    for a, b in pairwise(edges):
        yield a, b, any(start <= a < stop for start, stop in spans)


def _code(symbol: str) -> int:
    code = _CODES.get(symbol)
    if code is None and symbol[:1] == "[" and symbol[-1:] == "]" and symbol[1:-1].isdecimal():
        code = int(symbol[1:-1])
    if code is None or not 0 < code <= _LAST_CODE:
        raise ValueError(f"{symbol!r} is no symbol of the annotation format")
    return code


def _word(code: int, value: int) -> bytes:
    return (code << 10 | value).to_bytes(2, "little")
