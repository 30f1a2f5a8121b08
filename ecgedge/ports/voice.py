"""What a virtual board needs to speak and to listen, whatever kind of board it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ecgedge.ports.sources import Run


@dataclass(frozen=True, slots=True)
class Heard:
    """What a board makes of bytes from the host."""

    start: bool = False
    stop: bool = False
    answer: bytes = b""
    hello: bool = False
    """It is to say hello."""


class Voice(Protocol):
    """How a board speaks. Its state is what its counters need: one object a stream."""

    @property
    def protocol(self) -> str:
        """Name of the row of ``ecgedge.wire.PROTOCOLS`` that reads it."""

    @property
    def silent(self) -> bool:
        """Nothing is sent before a command asks for it."""

    @property
    def banner(self) -> bytes:
        """What it prints when it is switched on."""

    def hear(self, data: bytes) -> Heard:
        """What bytes from the host mean to it."""

    def hello(self, next_index: int, streaming: bool) -> bytes:
        """What it says of itself every few seconds, and in the end."""

    def pieces(self, run: Run) -> Iterator[tuple[bytes, int]]:
        """The bytes of some samples, written at once, and the index behind these samples."""
