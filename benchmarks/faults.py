"""What does damage on the wire cost each kind of board, and is it told?

Each packet of a simulated board is given an arrival time of its own, so that of every sample a decoder
delivers it is known in which packet its last byte came. A delivered sample is *right* (its packet was sent
and holds this value), *altered* (the packet holds another one: a damaged count, which no checksum guards) or
*invented* (more than the packet holds, or bytes of another board). What is missing between the first and the
last sample delivered stands beside the gaps that the clock tells, exact ones and estimates apart;
*displaced* is by how many samples the stream slipped against the truth at most. Faults begin after three
seconds and are drawn with fixed seeds.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import report
from ecgedge.clock import Clock
from ecgedge.messages import Board, Chunk, Counters, Gap, SampleBlock
from ecgedge.ports.boards import BOARDS
from ecgedge.ports.framed import FramesVoice
from ecgedge.ports.sources import PatientSource, Run
from ecgedge.wire import PROTOCOLS

QUESTION = "What does damage on the wire cost each kind of board, and is it told?"
SECONDS = 60.0
CLEAN_S = 3.0
"""Faults begin after so many seconds."""
FLIP = 1e-3
DROP = 0.1
REPEAT_S = 1.0
REPEATED = 5
LOST = 300
FRAMES = "ecgedge frames"
NAMES = (FRAMES, *BOARDS)
_EPSILON_S = 1e-7
"""Between a packet's bytes and what comes in front of the next."""


@dataclass(frozen=True)
class Sent:
    """What a board sends: a piece of bytes for each packet, as it leaves."""

    protocol: str
    rate_hz: float
    pieces: list[bytes]
    ends: list[int]
    """Index behind the samples of a piece."""

    def times(self) -> list[float]:
        """When each piece arrives."""
        return [10.0 + end / self.rate_hz for end in self.ends]


Item = tuple[float, bytes, int | None]
"""Arrival, bytes, and the number of the piece; None for bytes that are not the board's."""


def speak(name: str, seconds: float) -> Sent:
    """The simulated patient through a board, packet by packet."""
    if name == FRAMES:
        source = PatientSource(0, seconds)
        voice = FramesVoice(source.board)
        pieces, ends = [voice.hello(0, True)], [0]
        for run in source.runs():  # of five seconds: as often the board says hello
            for piece, end in voice.pieces(run):
                pieces.append(piece)
                ends.append(end)
            pieces[-1] += voice.hello(ends[-1], True)
        return Sent("frames", source.board.rate_hz or 1.0, pieces, ends)
    speech = BOARDS[name].make()
    source = PatientSource(0, seconds, speech.rate_hz)
    pieces = [b"\n"]  # text is believed after the end of a line
    for run in source.runs():
        pieces += packets(speech, run)
    filled = [(piece, k) for k, piece in enumerate(pieces) if piece]
    return Sent(speech.protocol, speech.rate_hz, [p for p, _ in filled], [k for _, k in filled])


def packets(speech: Any, run: Run) -> list[bytes]:
    """The bytes of each sample of a run."""
    found: list[bytes] = speech.packets(run.first, run.counts[:, 0] * run.uv_per_count, bool(run.off))
    return found


# -- faults ------------------------------------------------------------------------------------------


def clean(sent: Sent, rng: random.Random) -> list[Item]:
    """No fault."""
    return [(t, piece, k) for k, (t, piece) in enumerate(zip(sent.times(), sent.pieces, strict=True))]


def bit_flips(sent: Sent, rng: random.Random) -> list[Item]:
    """Every bit is wrong with a probability of 1e-3."""
    draw = np.random.default_rng(rng.getrandbits(32))
    items = []
    for t, piece, k in clean(sent, rng):
        bits = np.unpackbits(np.frombuffer(piece, np.uint8))
        items.append((t, np.packbits(bits ^ (draw.random(bits.size) < FLIP)).tobytes(), k))
    return items


def dropped_bytes(sent: Sent, rng: random.Random) -> list[Item]:
    """Every tenth byte, by chance, never arrives."""
    return [(t, bytes(byte for byte in piece if rng.random() >= DROP), k) for t, piece, k in clean(sent, rng)]


def duplicated_blocks(sent: Sent, rng: random.Random) -> list[Item]:
    """Every second, the last five packets arrive once more."""
    items, next_s = [], sent.times()[0] + REPEAT_S
    for t, piece, k in clean(sent, rng):
        items.append((t, piece, k))
        if t >= next_s and k is not None:
            next_s += REPEAT_S
            again = b"".join(sent.pieces[max(0, k - REPEATED + 1) : k + 1])
            items.append((t + _EPSILON_S, again, None))
    return items


def mixed_with_another(sent: Sent, rng: random.Random) -> list[Item]:
    """Bytes of a second board of another kind come in between, cut anywhere."""
    other = speak("cyton" if sent.protocol != "cyton" else "chords-uno-r3", 5.0)
    noise = b"".join(other.pieces)
    items, at = [], 0
    for t, piece, k in clean(sent, rng):
        items.append((t, piece, k))
        if rng.random() < 0.2:
            n = rng.randrange(1, 80)
            items.append((t + _EPSILON_S, noise[at % len(noise) :][:n], None))
            at += n
    return items


def lost_packets(sent: Sent, rng: random.Random) -> list[Item]:
    """300 packets in a row are lost: counters of 8 and 4 bits wrap in the meantime."""
    middle = len(sent.pieces) // 2
    lost = min(LOST, middle // 2)
    return [item for k, item in enumerate(clean(sent, rng)) if not middle <= k < middle + lost]


FAULTS: dict[str, Callable[[Sent, random.Random], list[Item]]] = {
    "none": clean,
    "bit flips, 1e-3": bit_flips,
    "10 % of the bytes dropped": dropped_bytes,
    "blocks of 5 packets repeated": duplicated_blocks,
    "another board's bytes mixed in": mixed_with_another,
    "300 packets lost at once": lost_packets,
}


def faults_of(name: str) -> list[str]:
    """Bluetooth delivers its notifications whole or not at all."""
    bytewise = ("bit flips, 1e-3", "10 % of the bytes dropped")
    return [fault for fault in FAULTS if name != "polar-h10" or fault not in bytewise]


# -- what comes of it ----------------------------------------------------------------------------------

Rows = list[tuple[int, tuple[float, ...]]]
"""Samples: place in the stream, values."""


def decode(protocol: str, items: list[Item]) -> tuple[list[Any], Counters]:
    """What decoder and clock make of the bytes, and the decoder's counters."""
    decoder, clock = PROTOCOLS[protocol].decoder(), Clock()
    told: list[Any] = []
    for arrival_s, data, _ in items:
        told += decoder.push(Chunk(data, arrival_s))
    out: list[Any] = []
    for message in told + decoder.finish():
        if isinstance(message, Board | SampleBlock):
            out += clock.push(message)
    return out + clock.finish(), decoder.counters


def by_arrival(out: list[Any]) -> dict[float, Rows]:
    """Samples by the arrival of the packet that brought them."""
    found: dict[float, Rows] = {}
    for block in out:
        if isinstance(block, SampleBlock):
            rows = [tuple(row) for row in np.nan_to_num(block.counts, nan=-1e9).tolist()]
            found.setdefault(block.arrival_s, []).extend(enumerate(rows, start=block.first))
    return found


def measure(name: str, fault: str, seconds: float = SECONDS) -> dict[str, int]:
    """The counts of one board under one fault."""
    sent = speak(name, seconds)
    rng = random.Random(f"{name} {fault}")
    truth = by_arrival(decode(sent.protocol, clean(sent, rng))[0])
    until_s = sent.times()[0] + CLEAN_S
    before = [item for item in clean(sent, rng) if item[0] <= until_s]
    after = [item for item in FAULTS[fault](sent, rng) if item[0] > until_s]
    out, counters = decode(sent.protocol, before + after)
    found = by_arrival(out)
    tally: Counter[str] = Counter()
    shifts = [0]
    for arrival_s, rows in found.items():
        wanted = truth.get(arrival_s, [])
        tally["invented"] += max(0, len(rows) - len(wanted))
        for (place, row), (true_place, true_row) in zip(rows, wanted, strict=False):
            tally["right" if row == true_row else "altered"] += 1
            shifts.append(place - true_place)
    begin, end = min(found, default=float("inf")), max(found, default=float("inf"))
    samples = sum(map(len, truth.values()))
    outside = sum(len(rows) for arrival_s, rows in truth.items() if not begin <= arrival_s <= end)
    gaps = [message for message in out if isinstance(message, Gap)]
    return {
        "samples": samples,
        "right": tally["right"],
        "altered": tally["altered"],
        "invented": tally["invented"],
        "missing_at_ends": outside,
        "missing": samples - tally["right"] - tally["altered"] - outside,
        "told_exactly": sum(gap.n for gap in gaps if not gap.estimated),
        "told_as_estimate": sum(gap.n for gap in gaps if gap.estimated),
        "displaced": max(shifts[1:], default=0) - min(shifts[1:], default=0),
        "bad_frames": counters.bad_frames,
        "discarded_bytes": counters.discarded_bytes,
        "bytes": counters.bytes,
    }


def main() -> None:
    """Parse the command line, measure, write the result file."""
    parser = report.options("faults", QUESTION)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of each stream")
    given = parser.parse_args()
    figures: report.Json = {}
    for name in NAMES:
        figures[name] = {fault: measure(name, fault, given.seconds) for fault in faults_of(name)}
        for fault, row in figures[name].items():
            print(f"{name:18}{fault:32}", {k: row[k] for k in list(row)[:9]}, flush=True)
    path = report.write(parser, given, QUESTION, {}, {"seconds": given.seconds, "boards": figures})
    print(f"{path.name} written")


if __name__ == "__main__":
    report.run(main)
