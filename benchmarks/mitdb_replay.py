"""Does a replayed recording arrive whole, and is its atrial fibrillation found?

Records 202, 203 and 222 of the MIT-BIH Arrhythmia Database, played by the virtual board as frames, as fast
as the host reads. The comparison with the reference rhythm is a first look at duration, second by second over
the whole record. It is no scoring after ANSI/AAMI EC57.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.unpacked import unpack
from ecgedge.datasets.archive import data_root
from ecgedge.datasets.catalogue import open_set
from ecgedge.errors import MissingExtraError
from ecgedge.messages import Episode, Gap, Message, Status
from ecgedge.ports.sources import RecordingSource
from ecgedge.session import StreamOptions, run_stream
from ecgedge.sinks import Sink

QUESTION = "Does a replayed recording arrive whole, and is its atrial fibrillation found?"
RECORDS = ("202", "203", "222")
MODEL = "efficientecg-s"

Spans = list[tuple[float, float]]


class Kept(Sink):
    """A sink that keeps what is counted."""

    def __init__(self) -> None:
        self.gap_samples = 0
        self.delivered = 0
        self.bad_frames = 0
        self.episodes: dict[int, Episode] = {}

    def write(self, message: Message) -> None:
        """Take one message."""
        if isinstance(message, Gap):
            self.gap_samples += message.n
        elif isinstance(message, Episode):
            self.episodes[message.onset] = message  # the latest word on it
        elif isinstance(message, Status):
            self.delivered = message.counters.samples
            self.bad_frames = message.counters.bad_frames


def reference_spans(record: Path, rhythm: str, seconds: float) -> Spans:
    """Times in seconds of a rhythm by the record's own annotations (``.atr``), e.g. ``(AFIB``."""
    try:
        import wfdb
    except ImportError:
        raise MissingExtraError(
            "the reference annotations need wfdb", advice="pip install '.[dev]'"
        ) from None
    marks = wfdb.rdann(str(record), "atr")
    changes = [
        (sample / marks.fs, note.strip("\0"))
        for sample, note in zip(marks.sample.tolist(), marks.aux_note, strict=True)
        if note.startswith("(")
    ]
    ends = [time_s for time_s, _ in changes[1:]] + [seconds]
    return [(begin_s, end_s) for (begin_s, name), end_s in zip(changes, ends, strict=True) if name == rhythm]


def total(spans: Spans) -> float:
    """Seconds in spans that do not overlap."""
    return sum(end_s - begin_s for begin_s, end_s in spans)


def shared(one: Spans, other: Spans) -> float:
    """Seconds that lie in a span of each."""
    return sum(max(0.0, min(b, d) - max(a, c)) for a, b in one for c, d in other)


def replay(record: Path) -> report.Json:
    """One record through the virtual board and the whole pipeline."""
    source = RecordingSource(str(record))
    rate_hz = source.board.rate_hz or math.nan
    sink = Kept()
    run_stream(StreamOptions(port=f"replay:{record}", models=(MODEL,), speed=math.inf), sink)
    seconds = source.n_samples / rate_hz
    found = [(e.onset_s, e.offset_s) for e in sink.episodes.values()]
    fibrillation, flutter = (reference_spans(record, rhythm, seconds) for rhythm in ("(AFIB", "(AFL"))
    common_s = shared(found, fibrillation)
    return {
        "samples": source.n_samples,
        "sent": sum(len(run.counts) for run in source.runs()),
        "delivered": sink.delivered,
        "in_gaps": sink.gap_samples,
        "bad_frames": sink.bad_frames,
        "seconds": round(seconds, 1),
        "af_episodes": [[round(begin_s, 1), round(end_s, 1)] for begin_s, end_s in found],
        "af_s": round(total(found), 1),
        "reference_af_episodes": len(fibrillation),
        "reference_af_s": round(total(fibrillation), 1),
        "reference_flutter_s": round(total(flutter), 1),
        "common_s": round(common_s, 1),
        "af_in_flutter_s": round(shared(found, flutter), 1),
        "duration_sensitivity": round(common_s / total(fibrillation), 4) if fibrillation else None,
        "duration_ppv": round(common_s / total(found), 4) if found else None,
    }


def measure(root: Path, names: tuple[str, ...] = RECORDS) -> report.Json:
    """Replay the named records."""
    out = {}
    with open_set(root, "mitdb") as archive, tempfile.TemporaryDirectory() as folder:
        for name in names:
            unpack(archive, [f"mitdb/{name}"], Path(folder))
            out[name] = replay(Path(folder) / name)
    return {
        "set": "MIT-BIH Arrhythmia Database, first lead of each record",
        "model": MODEL,
        "scoring": "a first look: shared seconds over the whole record, flutter counted as not AF; no EC57",
        "minimum_episode_s": 30.0,
        "records": out,
    }


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("mitdb_replay", QUESTION)
    given = parser.parse_args()
    figures = measure(data_root(given.root))
    path = report.write(parser, given, QUESTION, report.model_facts([MODEL]), figures)
    for name, row in figures["records"].items():
        print(
            f"{name}: {row['delivered']} + {row['in_gaps']} of {row['sent']} samples; AF {row['af_s']} s in "
            f"{len(row['af_episodes'])} episodes, reference {row['reference_af_s']} s, "
            f"sensitivity {row['duration_sensitivity']}, +P {row['duration_ppv']}"
        )
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
