"""A simulated patient: one lead, through sinus rhythm, AF, APCs, noise and a loose electrode.

The beat is a sum of Gaussians in time (after McSharry et al., "A dynamical model for generating synthetic
electrocardiogram signals", IEEE Trans Biomed Eng 50, 2003), its T wave moving with the square root of the
RR interval: little with that of a single beat, wholly within some minutes (Franz et al., "Cycle length
dependence of human action potential duration in vivo", J Clin Invest 82, 1988). Fibrillatory waves are a
frequency-modulated saw tooth of three harmonics (after Stridh and Soernmo, "Spatiotemporal QRST cancellation
techniques for analysis of atrial fibrillation", IEEE Trans Biomed Eng 48, 2001). It is a means to try and to
test the program. That a model does well on it is no evidence of the model's accuracy: the rhythms are as
clear as textbooks draw them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ecgedge.messages import Board

if TYPE_CHECKING:
    import numpy.typing as npt

    from ecgedge.messages import Floats

Part = Literal["sinus", "af", "apc", "noise", "loose"]
Kind = Literal["sinus", "af", "apc"]
_KINDS: tuple[Kind, ...] = ("sinus", "af", "apc")

PROGRAMME: tuple[tuple[float, Part], ...] = (
    (60.0, "sinus"),
    (170.0, "af"),
    (230.0, "apc"),
    (255.0, "noise"),
    (265.0, "loose"),
    (300.0, "sinus"),
)
"""End of each part in seconds; the whole repeats. Ends are multiples of ``PIECE_S``."""
PROGRAMME_S = PROGRAMME[-1][0]
RATE_HZ = 250.0
"""Of the patient's own board; others sample him at theirs."""
PIECE_S = 5.0
UV_PER_COUNT = 0.5
_RAIL = 32767
_BEFORE_S, _AFTER_S = 0.35, 0.75  # how far the waves of a beat reach around its R peak


@dataclass(frozen=True)
class PatientParameters:
    """Fixed before any model was scored on the demo; the noise was raised once, to what it says of itself."""

    waves_mv: tuple[float, ...] = (0.13, -0.10, 1.15, -0.22, 0.30)
    """Heights of P, Q, R, S, T in lead II of a healthy adult (proportions after McSharry 2003, table 1)."""
    waves_s: tuple[float, ...] = (-0.165, -0.030, 0.0, 0.030, 0.31)
    """Peaks relative to R at an RR interval of 1 s; T moves with the square root of RR (Bazett)."""
    t_at_once: float = 0.25
    """Share of the T wave's way that it goes with the interval of a beat; the rest follows the mean one."""
    t_memory_s: float = 50.0
    """Time constant of that mean: nine tenths of a change of rate are followed within two minutes."""
    widths_s: tuple[float, ...] = (0.024, 0.010, 0.011, 0.011, 0.052)
    """Standard deviations of the Gaussians."""
    amplitude_spread: float = 0.15
    """Spread of the overall height among patients (standard deviation of its logarithm)."""
    sinus_bpm: float = 72.0
    respiration_hz: float = 0.25
    respiratory_rr: float = 0.045
    """Share of RR that swings with respiration (McSharry 2003: a high-frequency peak at 0.25 Hz)."""
    mayer_hz: float = 0.1
    mayer_rr: float = 0.025
    """The low-frequency peak of the same model."""
    jitter_rr: float = 0.008
    af_bpm: float = 105.0
    af_spread: float = 0.24
    """Standard deviation of log RR in AF: intervals are independent and irregular without order (Conrath
    and Opthof, "The patient with atrial fibrillation: RR intervals", Prog Biophys Mol Biol 76, 2001)."""
    af_shortest_s: float = 0.33
    af_longest_s: float = 1.5
    fibrillation_hz: float = 6.2
    fibrillation_swing_hz: float = 0.35
    fibrillation_mv: float = 0.075
    """Peak of the fundamental; Stridh and Soernmo 2001 use waves of 4-9 Hz and 0.05-0.15 mV."""
    apc_every: tuple[int, int] = (4, 8)
    """Fewest and most beats from one APC to the next."""
    apc_coupling: tuple[float, float] = (0.58, 0.70)
    apc_pause: tuple[float, float] = (1.05, 1.2)
    """RR after an APC over the sinus RR; coupling + pause stays below 2, so it is non-compensatory."""
    apc_p: tuple[float, float, float] = (-0.07, -0.125, 0.016)
    """Height in mV, place and width in s of the ectopic P wave: inverted, earlier, narrower."""
    baseline_mv: float = 0.08
    mains_hz: float = 50.0
    mains_mv: float = 0.006
    noise_mv: float = 0.008
    muscle_mv: float = 1.5
    motion_mv: float = 2.5
    """Strong muscle and electrode-motion noise: the QRS complexes can no longer be read."""


@dataclass(frozen=True, slots=True)
class PatientBeat:
    """Truth of one simulated beat."""

    time_s: float
    rr_s: float
    kind: Kind
    t_rr_s: float
    """RR interval that its T wave keeps to."""


@dataclass(frozen=True, slots=True)
class PatientPiece:
    """Consecutive samples in one state."""

    first: int
    counts: npt.NDArray[np.int32]
    """Shape (n,), half a microvolt each."""
    leads_off: bool


def part_at(time_s: float) -> Part:
    """Which part of the programme runs at a time."""
    within = time_s % PROGRAMME_S
    return next(part for end, part in PROGRAMME if within < end)


class SimulatedPatient:
    """A patient who is the same for the same seed.

    Parameters
    ----------
    seed : which patient
    duration_s : how long; None for the programme once
    rate_hz : samples a second; ``PIECE_S`` must hold a whole number
    """

    def __init__(
        self,
        seed: int = 0,
        duration_s: float | None = None,
        parameters: PatientParameters | None = None,
        rate_hz: float = RATE_HZ,
    ) -> None:
        self.board = Board("ecgedge simulated patient", rate_hz, UV_PER_COUNT, 16, 1)
        self._rate_hz = rate_hz
        self.n_samples = max(1, round((PROGRAMME_S if duration_s is None else duration_s) * rate_hz))
        self._seed = abs(seed)
        self._p = PatientParameters() if parameters is None else parameters
        self._waves = _waves(self._p)
        self._turns: dict[float, npt.NDArray[np.complex128]] = {}  # by frequency, over a piece
        self._gain = float(np.exp(np.random.default_rng([self._seed, 0]).normal(0, self._p.amplitude_spread)))

    def beats(self) -> Iterator[PatientBeat]:
        """The beats without end, those inside noise and a loose electrode included."""
        p = self._p
        rng = np.random.default_rng([self._seed, 1])
        time_s, until_apc, pause = 0.35, int(rng.integers(*p.apc_every)), 0.0
        rr_s = mean_s = 60 / p.sinus_bpm
        kind: Kind = "sinus"
        while True:
            yield PatientBeat(time_s, rr_s, kind, mean_s + p.t_at_once * (rr_s - mean_s))
            mean_s += (rr_s - mean_s) * min(1.0, rr_s / p.t_memory_s)
            part = part_at(time_s)
            if part == "af":
                kind, pause = "af", 0.0
                rr_s = 60 / p.af_bpm * float(np.exp(rng.normal(0, p.af_spread)))
                rr_s = min(max(rr_s, p.af_shortest_s), p.af_longest_s)
            else:
                kind, rr_s = "sinus", self._sinus_rr(time_s, rng)
                until_apc -= part == "apc"
                if pause:
                    rr_s, pause = rr_s * pause, 0.0
                elif part == "apc" and until_apc <= 0:
                    kind, rr_s = "apc", rr_s * float(rng.uniform(*p.apc_coupling))
                    pause = float(rng.uniform(*p.apc_pause))
                    until_apc = int(rng.integers(*p.apc_every))
            time_s += rr_s

    def _sinus_rr(self, time_s: float, rng: np.random.Generator) -> float:
        p = self._p
        swing = p.respiratory_rr * np.sin(2 * np.pi * p.respiration_hz * time_s)
        swing += p.mayer_rr * np.sin(2 * np.pi * p.mayer_hz * time_s + 1.0) + rng.normal(0, p.jitter_rr)
        return float(60 / p.sinus_bpm * (1 + swing))

    def pieces(self) -> Iterator[PatientPiece]:
        """The signal from its start to its end, in pieces of at most ``PIECE_S``."""
        coming = self.beats()
        held: deque[PatientBeat] = deque([next(coming)])
        length = round(PIECE_S * self._rate_hz)
        for number, first in enumerate(range(0, self.n_samples, length)):
            start_s, end_s = first / self._rate_hz, (first + length) / self._rate_hz
            while held[-1].time_s - _BEFORE_S < end_s:
                held.append(next(coming))
            while held[0].time_s + _AFTER_S < start_s:
                held.popleft()
            rng = np.random.default_rng([self._seed, 2, number])
            part = part_at(start_s)
            counts = self._render(first, length, part, list(held), rng)
            yield PatientPiece(first, counts[: self.n_samples - first], part == "loose")

    def _render(
        self, first: int, length: int, part: Part, beats: list[PatientBeat], rng: np.random.Generator
    ) -> npt.NDArray[np.int32]:
        p = self._p
        if part == "loose":
            # The input floats to the rail, with mains humming through it.
            hum = 400 * self._sine(p.mains_hz, first, length)
            return _to_counts((_RAIL + hum) * UV_PER_COUNT / 1000)
        signal = self._beats(first, length, beats)
        if part == "af":
            signal += self._fibrillation(first, length)
        signal *= self._gain
        signal += p.baseline_mv * self._sine(p.respiration_hz, first, length)
        signal += p.mains_mv * self._sine(p.mains_hz, first, length)
        signal += rng.normal(0, p.noise_mv, length)
        if part == "noise":
            signal += self._disturbance(length, rng)
        return _to_counts(signal)

    def _beats(self, first: int, length: int, beats: list[PatientBeat]) -> Floats:
        """The waves of the beats, mV: all of them in one go, each added where it stands."""
        starts = [int((beat.time_s - _BEFORE_S) * self._rate_hz) for beat in beats]
        n = int((_BEFORE_S + _AFTER_S) * self._rate_hz)
        heights, places, widths = self._waves[:, [_KINDS.index(beat.kind) for beat in beats]]
        places[:, 4] *= np.sqrt([min(max(beat.t_rr_s, 0.4), 1.2) for beat in beats])
        places += np.array([beat.time_s for beat in beats])[:, None]
        times = (np.array(starts)[:, None] + np.arange(n)) / self._rate_hz
        bells = times[:, None] - places[:, :, None]
        bells /= widths[:, :, None]
        bells *= bells
        bells *= -0.5
        np.maximum(bells, -80.0, out=bells)  # what is left there is nothing, and slow to compute
        drawn = (heights[:, None] @ np.exp(bells, out=bells))[:, 0]
        signal = np.zeros(length)
        for row, start in zip(drawn, starts, strict=True):
            begin, end = max(start - first, 0), min(start + n - first, length)
            if begin < end:
                signal[begin:end] += row[begin + first - start : end + first - start]
        return signal

    def _sine(self, hz: float, first: int, length: int) -> Floats:
        """A sine of some samples: that from sample 0 on, turned, which costs a tenth of another one."""
        if hz not in self._turns:
            self._turns[hz] = np.exp(2j * np.pi * hz * np.arange(length) / self._rate_hz)
        turned = self._turns[hz] * np.exp(2j * np.pi * (hz * first / self._rate_hz))
        return np.asarray(turned.imag)

    def _fibrillation(self, first: int, length: int) -> Floats:
        p = self._p
        # The swing of the frequency, integrated, is a swing of the phase.
        swing = p.fibrillation_swing_hz / 0.13 * self._sine(0.13, first, length)
        phase = 2 * np.pi * p.fibrillation_hz * (first + np.arange(length)) / self._rate_hz + swing
        size = p.fibrillation_mv * (1 + 0.3 * self._sine(0.21, first, length))
        sine, cosine = np.sin(phase), np.cos(phase)
        # The sines of once, twice and thrice the phase, the latter two over two and three.
        waves: Floats = size * sine * (1 + cosine + (4 * cosine * cosine - 1) / 3)
        return waves

    def _disturbance(self, length: int, rng: np.random.Generator) -> Floats:
        """Muscle noise (differenced white noise) and electrode motion (jumps that decay)."""
        p = self._p
        white = rng.normal(0, p.muscle_mv / np.sqrt(2), length + 1)
        noise = np.diff(white)
        age = np.arange(length) / self._rate_hz
        for at in rng.uniform(0, length / self._rate_hz, 7):
            height, decay = rng.normal(0, p.motion_mv), rng.uniform(0.1, 0.6)
            begin = int(age.searchsorted(at))
            late = at - age[begin:]
            noise[begin:] += height * (np.exp(late / decay) - np.exp(late / 0.02))
        return noise


def _waves(p: PatientParameters) -> Floats:
    """Heights, places and widths of the waves of each kind of beat, shape (3, kinds, waves)."""
    waves = np.array([(p.waves_mv, p.waves_s, p.widths_s)] * len(_KINDS)).transpose(1, 0, 2)
    waves[0, _KINDS.index("af"), 0] = 0.0
    waves[:, _KINDS.index("apc"), 0] = p.apc_p
    return waves


def _to_counts(signal_mv: Floats) -> npt.NDArray[np.int32]:
    """What a converter of 16 bits makes of it."""
    counts: npt.NDArray[np.int32] = (
        np.rint(signal_mv * (1000 / UV_PER_COUNT)).clip(-_RAIL - 1, _RAIL).astype(np.int32)
    )
    return counts
