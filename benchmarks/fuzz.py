"""Does any input make a decoder or a reader of recordings fail?

Every decoder of ``ecgedge.wire``, recognition with all of them at once, and the readers of recordings. A
decoder must never raise, must account for every byte, and must say the same however the bytes were cut; a
reader must read, or refuse with one of our errors. Coverage-guided fuzzing (libFuzzer through Atheris) finds
inputs that reach new code; that is slow, so most inputs are those, damaged further by chance. The tests draw
from the same checks with Hypothesis; this is the long run. It needs Atheris (``pip install atheris``), on
Linux with Python 3.11 to 3.13.
"""

from __future__ import annotations

import gc
import io
import random
import re
import subprocess
import sys
import tempfile
import time
import types
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from ecgedge.errors import EcgedgeError
from ecgedge.messages import Chunk, SampleBlock
from ecgedge.recordings import open_recording
from ecgedge.recordings.annotations import Annotation, decode, encode
from ecgedge.wire import PROTOCOLS, make_reader

QUESTION = "Does any input make a decoder or a reader of recordings fail?"
INPUTS = 1_000_000
FEWER_INPUTS = 100_000
"""To recognition, which is all decoders at once, and to the readers."""
GUIDED_INPUTS = 2_000
"""Of these, with coverage in view."""
LONGEST = 320
"""Bytes of an input: enough for the longest run of packets that is needed as a proof."""
SHORTER = {"bitalino": 160, "auto": 160}
"""Where a long input takes long and a proof is shorter; all parts of ``auto`` are fuzzed by themselves."""
AUTO = "auto"
SEED = 2026
_WATCHED = ("ecgedge.wire", "ecgedge.recordings")
_DONE = re.compile(r"Done (\d+) runs in (\d+) second")
_COVERED = re.compile(r"cov: (\d+)")


# -- what must hold ------------------------------------------------------------------------------------


def check_decoder(name: str, data: bytes) -> None:
    """Read bytes with a protocol (or ``auto``), and one time in four cut as well; the first bytes say where
    and when.

    Raises
    ------
    AssertionError
        If a byte is not accounted for, or the two readings differ.
    """
    size, step, body = 7 + (data[0] % 90 if data else 0), data[1] if len(data) > 1 else 0, data[2:]
    chunks = [Chunk(body[k : k + 100], k / 100 * step / 50) for k in range(0, len(body), 100)]
    whole = _read(name, chunks)
    counters = whole[1]
    assert counters.bytes == len(body)
    assert 0 <= counters.discarded_bytes <= counters.bytes
    assert counters.samples == sum(isinstance(item, tuple) for item in whole[0])
    if size % 4 == 0:
        pieces = [
            Chunk(chunk.data[k : k + size], chunk.arrival_s)
            for chunk in chunks
            for k in range(0, len(chunk.data), size)
        ]
        assert whole == _read(name, pieces)


def _read(name: str, chunks: list[Chunk]) -> tuple[list[Any], Any]:
    """All messages, blocks sample by sample, and the counters."""
    reader = make_reader(AUTO) if name == AUTO else PROTOCOLS[name].decoder()
    out: list[Any] = []
    for chunk in chunks:
        out += reader.push(chunk)
    out += reader.finish()
    return list(_items(out)), reader.counters


def _items(out: list[Any]) -> Iterator[Any]:
    for message in out:
        if isinstance(message, SampleBlock):
            rows = np.ascontiguousarray(message.counts)
            for k, row in enumerate(rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel().tolist()):
                yield message.first + k, row, message.arrival_s, message.leads_off
        elif not hasattr(message, "counters"):  # a notice may come with another chunk
            yield message


def check_reader(kind: str, data: bytes) -> None:
    """Read bytes as a recording; a refusal is an answer.

    Raises
    ------
    AssertionError
        If what was read is not what the recording says of itself.
    """
    try:
        if kind == "annotations":
            decode(data)
            return
        recording = _open(kind, data)
        total = 0
        for block in recording.blocks(4096):
            assert block.counts.shape[1] == recording.board.leads
            assert block.first >= total
            total = block.first + block.n
        assert total <= recording.n_samples
    except EcgedgeError:
        return


def _open(kind: str, data: bytes) -> Any:
    """A recording in a zip file in memory: for WFDB the header, a zero byte, the samples."""
    if kind == "wfdb":
        header, _, samples = data.partition(b"\0")
        files, path, fs = {"r.hea": header, "r.dat": samples}, "r.hea", None
    elif kind == "matrix":
        files, path, fs = {"r.mat": data}, "r.mat", 300.0
    else:
        files, path, fs = {"r.csv": data}, "r.csv", 250.0
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return open_recording(path, fs, archive=zipfile.ZipFile(kept))


DECODERS = (*PROTOCOLS, AUTO)
READERS = ("wfdb", "matrix", "csv", "annotations")
TARGETS: dict[str, Callable[[str, bytes], None]] = {
    **dict.fromkeys(DECODERS, check_decoder),
    **dict.fromkeys(READERS, check_reader),
}


def seeds(target: str) -> list[bytes]:
    """Valid inputs to start from."""
    if target in DECODERS:
        from benchmarks.faults import NAMES, speak

        sent = [speak(name, 3.0) for name in NAMES]
        wanted = [s for s in sent if target in (AUTO, s.protocol)]
        return [bytes((5, 1)) + b"".join(s.pieces)[: LONGEST - 2] for s in wanted]
    if target == "wfdb":
        heads = [
            b"r 1 250 8\nr.dat 16 200 16 0 0 0 0 ECG\n",
            b"r 2 360 4\nr.dat 212 200 11 1024 0 0 0 a\nr.dat 212 200 11 1024 0 0 0 b\n",
            b"r 1 500\nr.dat 24 1000(3)/mV 24 0 0 0 0 x\n",
        ]
        return [head + b"\0" + bytes(range(24)) for head in heads]
    if target == "matrix":
        return [np.array([10, 1, 9, 0, 4], "<i4").tobytes() + b"val\0" + bytes(range(18))]
    if target == "csv":
        return [b"time,ecg_mv\n0.000,0.1\n0.004,-0.2\n0.008,\n", b"512\n513\n514\n", b"a;b\n1,5;2\n3,25;4\n"]
    notes = [Annotation(100 * k, "N" if k % 3 else "+", aux="(AFIB" if k % 3 == 0 else "") for k in range(9)]
    return [encode(notes)]


def longest(target: str) -> int:
    """Bytes of an input to a target, at most."""
    return SHORTER.get(target, LONGEST)


def damaged(target: str, rng: random.Random, known: Sequence[bytes]) -> bytes:
    """One of the known inputs with bytes changed, cut out, repeated and mixed with those of another."""
    out = bytearray(rng.choice(known))
    for _ in range(rng.randrange(1, 12)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 20)]
        elif kind == 2:
            out[at:at] = out[max(0, at - rng.randrange(1, 60)) : at]
        else:
            other = rng.choice(known)
            start = rng.randrange(len(other) + 1)
            out[at:at] = other[start : start + rng.randrange(1, 60)]
    if target in DECODERS:
        out[:2] = rng.randbytes(2)  # how it is cut, and when it comes
    return bytes(out[: longest(target)])


# -- the long run --------------------------------------------------------------------------------------


def guided(target: str, inputs: int, corpus: Path) -> None:
    """Fuzz in this process with coverage in view; it ends the process. What reaches new code is kept."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    warnings.simplefilter("error")
    check = TARGETS[target]
    check(target, seeds(target)[0])  # imports what it needs
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and (thing.__module__ or "").startswith(_WATCHED):
            atheris.instrument_func(thing)
    options = [f"-runs={inputs}", f"-max_len={longest(target)}", f"-seed={SEED}"]
    options += ["-len_control=0", "-timeout=20"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], lambda data: check(target, data))
    atheris.Fuzz()


def by_chance(target: str, inputs: int, known: Sequence[bytes]) -> None:
    """Check damaged ones of the known inputs.

    Raises
    ------
    EcgedgeError
        If one fails, with it.
    """
    rng = random.Random(SEED)
    check = TARGETS[target]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(inputs):
            data = damaged(target, rng, known)
            try:
                check(target, data)
            except Exception as error:
                raise EcgedgeError(f"{target}: {error!r} at {data!r}", "no input that fails") from error


def run(target: str, inputs: int) -> report.Json:
    """Fuzz a target: with coverage in view, in a process of its own, then by chance.

    Raises
    ------
    EcgedgeError
        If an input was found that fails, with the end of what was said.
    """
    begin = time.process_time()
    few = min(inputs, GUIDED_INPUTS)
    with tempfile.TemporaryDirectory() as folder:
        for k, seed in enumerate(seeds(target)):
            (Path(folder) / f"seed{k}").write_bytes(seed)
        words = [sys.executable, "-m", "benchmarks.fuzz", "--one", target, "--inputs", str(few)]
        done = subprocess.run([*words, "--corpus", folder], capture_output=True, text=True, errors="replace")
        known = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    found = _DONE.search(done.stderr)
    if done.returncode or found is None:
        raise EcgedgeError(f"{target}: {done.stderr[-2000:]}", "no input that fails")
    by_chance(target, inputs - int(found[1]), known)
    return {
        "inputs": max(inputs, int(found[1])),
        "guided": int(found[1]),
        "guided_seconds": int(found[2]),
        "edges": int(_COVERED.findall(done.stderr)[-1]),
        "kept": len(known),
        "longest_bytes": longest(target),
        "seconds": round(time.process_time() - begin, 1),
        "failures": 0,
    }


def main() -> None:
    """Parse the command line, fuzz, write the result file."""
    parser = report.options("fuzz", QUESTION)
    parser.add_argument("--inputs", type=int, default=INPUTS, help="inputs to each decoder")
    parser.add_argument("--fewer", type=int, default=FEWER_INPUTS, help="to recognition and to each reader")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--one", help="fuzz this target in this process")
    parser.add_argument("--corpus", type=Path, help="folder of inputs to start from, for --one")
    given = parser.parse_args()
    if given.one:
        guided(given.one, given.inputs, given.corpus)
        return
    figures: report.Json = {}
    for target in given.targets:
        figures[target] = run(target, given.inputs if target in PROTOCOLS else given.fewer)
        print(target, figures[target], flush=True)
        path = report.write(parser, given, QUESTION, {}, {"targets": figures})
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
