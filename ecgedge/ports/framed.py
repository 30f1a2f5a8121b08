"""The voice of a virtual board that speaks ecgedge frames, version 1, as hardware would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ecgedge.ports.voice import Heard
from ecgedge.wire.frames import CommandDecoder, encode_hello, encode_run, max_samples

if TYPE_CHECKING:
    from ecgedge.messages import Board
    from ecgedge.ports.sources import Run

FRAME_S = 0.1
_INT16 = 32767


class FramesVoice:
    """All leads of a source; waits for ``start`` and answers every command with a hello.

    Parameters
    ----------
    board : what it says of itself
    """

    protocol = "frames"
    silent = True
    banner = b""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._rate_hz = board.rate_hz or 1.0
        self._commands = CommandDecoder()

    def hear(self, data: bytes) -> Heard:
        """Commands. Another rate cannot be had; the hello says which one stays (clause 5.3)."""
        kinds = [command.kind for command in self._commands.push(data)]
        last = next((kind for kind in reversed(kinds) if kind in ("start", "stop")), None)
        return Heard(last == "start", last == "stop", hello=bool(kinds))

    def hello(self, next_index: int, streaming: bool) -> bytes:
        """A hello frame, with a delimiter in front of it."""
        time_us = round(next_index * 1e6 / self._rate_hz)
        return b"\0" + encode_hello(
            self._board, boot=1, next_index=next_index, device_us=time_us, streaming=streaming
        )

    def pieces(self, run: Run) -> Iterator[tuple[bytes, int]]:
        """Every data frame with the index behind it."""
        counts = run.counts
        wide = bool(counts.max() > _INT16 or counts.min() < -_INT16 - 1)
        bits = 24 if wide else 16
        n = max(1, min(round(FRAME_S * self._rate_hz), max_samples(counts.shape[1], bits)))
        frames = encode_run(run.first, self._rate_hz, counts, n, bits, run.off)
        for number, frame in enumerate(frames, start=1):
            yield frame, run.first + min(number * n, len(counts))
