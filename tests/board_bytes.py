"""What tests of boards share: what a simulated board sends for a signal, and what a decoder makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from ecgedge.messages import Board, Chunk, SampleBlock
from ecgedge.ports.boards import BOARDS
from ecgedge.ports.simulated import Speech
from ecgedge.wire import PROTOCOLS

PERIOD_S = 0.05
"""Bytes come in groups, as a driver hands them on."""


def signal(n: int, seed: int = 0) -> np.ndarray:
    """Microvolt, never twice the same for long: a slow swing, beats, noise; not 0 for more than a sample."""
    k = np.arange(n)
    noise = np.random.default_rng(seed).normal(0, 60, n)
    return 400 * np.sin(k / 40) + np.where(k % 190 < 4, 900.0, 0.0) + noise


@dataclass
class Sent:
    """A stream of bytes with the time at which each group came."""

    speech: Speech
    packets: list[bytes]
    """Of each sample; empty where it waits for others."""
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        return b"".join(self.packets)


def speak(name: str, n: int, first: int = 0, off: bool = False) -> Sent:
    """What a board sends for ``n`` samples, in groups of ``PERIOD_S``."""
    speech = BOARDS[name].make()
    packets = speech.packets(first, signal(n), off)
    return Sent(speech, packets, timed(packets, speech.rate_hz))


def timed(packets: list[bytes], rate_hz: float, start_s: float = 100.0) -> list[Chunk]:
    """Pieces that follow each other at a rate, as they arrive in groups."""
    groups = groupby(enumerate(packets), key=lambda item: int((item[0] + 1) / rate_hz / PERIOD_S))
    return [Chunk(b"".join(p for _, p in group), start_s + at * PERIOD_S) for at, group in groups]


def cut(chunks: list[Chunk], size: int) -> list[Chunk]:
    """The same bytes with the same times, in pieces of at most ``size``."""
    return [Chunk(c.data[k : k + size], c.arrival_s) for c in chunks for k in range(0, len(c.data), size)]


def read(name: str, chunks: list[Chunk]) -> tuple[list[Any], Any]:
    """Everything a decoder of a protocol gives, and the decoder."""
    decoder = PROTOCOLS[name].decoder()
    out: list[Any] = []
    for chunk in chunks:
        out += decoder.push(chunk)
    return out + decoder.finish(), decoder


def blocks(out: list[Any]) -> list[SampleBlock]:
    return [message for message in out if isinstance(message, SampleBlock)]


def boards(out: list[Any]) -> list[Board]:
    return [message for message in out if isinstance(message, Board)]


def placed(out: list[Any]) -> dict[int, tuple[float, ...]]:
    """Every sample by its index; an index must not come twice."""
    found: dict[int, tuple[float, ...]] = {}
    for block in blocks(out):
        for k, row in enumerate(block.counts.tolist()):
            assert block.first + k not in found
            found[block.first + k] = tuple(row)
    return found
