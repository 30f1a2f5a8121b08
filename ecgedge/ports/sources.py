"""What a virtual board plays: the simulated patient, or a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ecgedge.errors import RecordingError
from ecgedge.ports.patient import RATE_HZ, UV_PER_COUNT, SimulatedPatient
from ecgedge.wire.frames import MAX_LEADS

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Board, Floats


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive samples in one state of the electrodes."""

    first: int
    counts: npt.NDArray[np.int32]
    """Shape (n, leads)."""
    off: int
    """Bit k set where lead k has no signal."""
    uv_per_count: float = 1.0
    """Microvolt per count; meaningless where the source has no scale."""


class Source(Protocol):
    """Something to play."""

    board: Board
    lead_names: tuple[str, ...]
    n_samples: int

    def runs(self) -> Iterator[Run]:
        """The samples in order; a jump of the index stands for samples that are not there."""


class PatientSource:
    """The simulated patient."""

    def __init__(self, seed: int, duration_s: float | None, rate_hz: float = RATE_HZ) -> None:
        self._patient = SimulatedPatient(seed, duration_s, rate_hz=rate_hz)
        self.board = self._patient.board
        self.lead_names: tuple[str, ...] = ("ECG",)
        self.n_samples = self._patient.n_samples

    def runs(self) -> Iterator[Run]:
        """Pieces of the programme."""
        for piece in self._patient.pieces():
            yield Run(piece.first, piece.counts[:, None], int(piece.leads_off), UV_PER_COUNT)


class RecordingSource:
    """A recording with all its leads."""

    def __init__(self, path: str, fs: float | None = None, duration_s: float | None = None) -> None:
        from ecgedge.recordings import open_recording  # a patient needs none of it

        self._recording = open_recording(path, fs)
        self.board = replace(self._recording.board, name=self._recording.board.name or "recording")
        self.lead_names = self._recording.lead_names
        if self.board.leads > MAX_LEADS:
            raise RecordingError(
                f"{path}: {self.board.leads} leads", f"at most {MAX_LEADS} for a replay", "Use classify."
            )
        self.n_samples = self._recording.n_samples
        if duration_s is not None and self.board.rate_hz is not None:
            self.n_samples = min(self.n_samples, ceil(duration_s * self.board.rate_hz))

    def runs(self) -> Iterator[Run]:
        """Runs of samples with the same leads present; none where all leads are missing."""
        every = (1 << self.board.leads) - 1
        for block in self._recording.blocks(4096):
            if block.first >= self.n_samples:
                return
            counts = block.counts[: self.n_samples - block.first]
            if block.leads_off:
                yield Run(block.first, np.nan_to_num(counts).astype(np.int32), every)
                continue
            for start, stop, off in _same_state(counts):
                if off != every:
                    values = np.nan_to_num(counts[start:stop]).astype(np.int32)
                    yield Run(block.first + start, values, off)


def _same_state(counts: Floats) -> Iterator[tuple[int, int, int]]:
    """Start, stop and missing leads (as bits) of every run in which the same leads are missing."""
    missing = np.isnan(counts)
    if not missing.any():
        yield 0, len(counts), 0
        return
    bits = missing @ (1 << np.arange(counts.shape[1]))
    cuts = [0, *(np.flatnonzero(np.diff(bits)) + 1).tolist(), len(counts)]
    for start, stop in pairwise(cuts):
        yield start, stop, int(bits[start])
