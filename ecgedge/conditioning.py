"""Raw samples -> band-limited signal at the rate a consumer asks for.

A conditioning specification is a closed dictionary with a version::

    {"version": 1, "rate_hz": 100.0, "highpass_hz": 0.5, "lowpass_hz": 40.0}

Two linear-phase windowed-sinc stages (Oppenheim & Schafer, *Discrete-Time Signal Processing*, ch. 7,
Kaiser window): a polyphase low-pass that evaluates the input at ``k * rate_in / rate_out`` for every
output sample k, then a high-pass at the output rate. The delay of both is compensated, so output sample
k belongs to input position ``k * rate_in / rate_out``; it is available ``delay_s`` later.

The version says how steep the edges of the band are: 2 has gentle ones (a high-pass that is flat only from
twice its cut-off on, a low-pass from half of it down), and so about half of the delay of 1.

A push costs the same few array operations whether it brings ten samples or ten thousand. Where the output
phases are few, as at most boards' rates, the low-pass takes whole periods of them in one product: each row
of input against each phase's taps. Every sum runs over its own row in the same order, so it is bit-equal for
any number of rows. The high-pass is a dot product for each sample; a long one (more than ``SHORT`` on either
side) gives whole blocks of ``BLOCK`` samples.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge.errors import BundleError, UsageError

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

_EDGES = {1: (0.5, 1.2), 2: (1.0, 2.0)}
"""By version: widest transition of the low-pass and that of the high-pass, over their cut-offs."""
BLOCK = 32
SHORT = 64
_FEW_PHASES = 32  # up to so many, the low-pass takes whole periods of them
_KEYS = {"version", "rate_hz", "highpass_hz", "lowpass_hz"}
_KAISER_BETA = 3.4  # 40 dB of stop-band attenuation
_KAISER_HALF = 1.12  # half length of that window in samples = this * rate / width of the transition
_MIN_RATE_HZ, _MAX_RATE_HZ = 20.0, 20_000.0
_MAX_PHASES = 2000
_NOTHING = np.empty(0, dtype=np.float32)
_DESIGNS = 4  # filters that are kept: every stretch of a stream has the same ones


def check_rate(rate_hz: float) -> None:
    """Refuse a sampling rate of which no ECG can be made.

    Raises
    ------
    UsageError
        Outside of 20-20000 Hz.
    """
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        raise UsageError(f"a sampling rate of {rate_hz:g} Hz", "20-20000 Hz", "Check --fs or the board.")


def check_spec(spec: dict[str, Any]) -> None:
    """Refuse a specification that this version does not understand in full.

    Raises
    ------
    BundleError
        On unknown or missing keys, another version, a rate outside of 20-20000 Hz, or a band that it cannot
        hold.
    """
    if set(spec) != _KEYS:
        odd = sorted(map(str, set(spec) ^ _KEYS))
        raise BundleError(f"preprocessing keys {odd} unknown or missing", f"exactly {sorted(_KEYS)}")
    if spec["version"] not in list(_EDGES):
        known = " or ".join(map(str, _EDGES))
        raise BundleError(f"preprocessing version {spec['version']}", known, "Update ecgedge.")
    figures = [spec[key] for key in ("rate_hz", "highpass_hz", "lowpass_hz")]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in figures):
        raise BundleError(f"preprocessing rate and band {figures}", "numbers")
    rate, low, high = figures
    if not _MIN_RATE_HZ <= rate <= _MAX_RATE_HZ:
        raise BundleError(f"preprocessing rate_hz {rate}", f"{_MIN_RATE_HZ:g}-{_MAX_RATE_HZ:g} Hz")
    if not 0 < low < high < rate / 2:
        raise BundleError(f"a band of {low}-{high} Hz at {rate} Hz", "0 < highpass < lowpass < half the rate")


def _windowed_sinc(offsets: Floats, cutoff: float, half: float) -> Floats:
    """Low-pass kernel at ``offsets`` (in samples), cut-off in cycles per sample, Kaiser of +-half."""
    inside = np.clip(1.0 - (offsets / half) ** 2, 0.0, None)
    window = np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    kernel = 2 * cutoff * np.sinc(2 * cutoff * offsets) * window
    kernel[np.abs(offsets) > half] = 0.0
    return np.asarray(kernel, dtype=np.float64)


def _ratio(value: float) -> tuple[int, int]:
    """The nearest fraction with at most ``_MAX_PHASES`` as its denominator, by continued fractions.

    As ``Fraction.limit_denominator``, whose module brings ``decimal`` along: 0.5 MB of memory.
    """
    n, d = value.as_integer_ratio()
    p0, q0, p1, q1 = 0, 1, 1, 0
    while d:
        a = n // d
        if q0 + a * q1 > _MAX_PHASES:
            k = (_MAX_PHASES - q0) // q1  # the last convergent, or the semiconvergent before the next
            p0, q0 = p0 + k * p1, q0 + k * q1
            return (p0, q0) if abs(p0 / q0 - value) < abs(p1 / q1 - value) else (p1, q1)
        p0, q0, p1, q1 = p1, q1, p0 + a * p1, q0 + a * q1
        n, d = d, n - a * d
    return p1, q1


@lru_cache(maxsize=_DESIGNS)
def _resampler(
    ratio: tuple[int, int], rate_in_hz: float, rate_hz: float, lowpass_hz: float, width: float
) -> tuple[int, Floats]:
    """Low-pass at the input's rate: reach on either side, and a row of taps for each phase of the output.

    Where the phases are few, each row stands where its input does, from the first input of a period on.
    """
    num, den = ratio
    limit = min(rate_in_hz, rate_hz) / 2
    cut = min(lowpass_hz, 0.9 * limit)
    transition = min(2 * (limit - cut), width * cut)
    half = max(3.0, _KAISER_HALF * rate_in_hz / transition)
    reach = ceil(half)
    offsets = np.arange(-reach, reach + 2, dtype=np.float64)
    few = den <= _FEW_PHASES
    taps = np.zeros((den, offsets.size + few * ((den - 1) * num // den)))
    for phase in range(den):
        row = _windowed_sinc(offsets - phase * num % den / den, cut / rate_in_hz, half)
        begin = few * (phase * num // den)
        taps[phase, begin : begin + row.size] = row / row.sum()
    taps.setflags(write=False)
    return reach, taps


@lru_cache(maxsize=_DESIGNS)
def _highpass(rate_hz: float, highpass_hz: float, width: float) -> tuple[int, Floats]:
    """Unit impulse minus a low-pass, both of unit gain at 0 Hz: constants vanish exactly. Reach and taps."""
    reach = ceil(_KAISER_HALF * rate_hz / (width * highpass_hz))
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = _windowed_sinc(offsets, highpass_hz / rate_hz, reach + 1.0)
    taps = -kernel / kernel.sum()
    taps[reach] += 1.0
    taps.setflags(write=False)
    return reach, taps


class Conditioner:
    """One conditioning chain for one stretch of signal at a fixed input rate.

    Parameters
    ----------
    spec : conditioning specification (see the module)
    rate_in_hz : input samples per second

    Raises
    ------
    BundleError
        If the specification is not understood.
    UsageError
        If the input rate is not 20-20,000 Hz.
    """

    def __init__(self, spec: dict[str, Any], rate_in_hz: float) -> None:
        check_spec(spec)
        check_rate(rate_in_hz)
        self.rate_hz = float(spec["rate_hz"])
        self.rate_in_hz = float(rate_in_hz)
        self._num, self._den = _ratio(self.rate_in_hz / self.rate_hz)
        """Input samples an output sample, as a fraction."""
        low_width, high_width = _EDGES[spec["version"]]
        ratio = self._num, self._den
        self._half_in, self._taps = _resampler(
            ratio, self.rate_in_hz, self.rate_hz, float(spec["lowpass_hz"]), low_width
        )
        self._half_hp, self._highpass = _highpass(self.rate_hz, float(spec["highpass_hz"]), high_width)
        self._block = BLOCK if self._half_hp > SHORT else 1
        self.delay_s = self._half_in / self.rate_in_hz + (self._half_hp + self._block) / self.rate_hz
        self._offset = 0.0
        self._n_in = 0
        self._n_out = 0
        # Short pushes wait here until they complete a block: a block costs little more than a sample.
        self._waiting: list[Floats] = []
        self._latest = np.zeros(1)
        self._due = self.needed(1)
        # Input kept for stage 1; before the first sample it is zero, the offset being removed.
        before = self._half_hp * self._num // self._den + self._half_in + 2 + self._num
        self._raw = np.zeros(before)
        self._raw_first = -before
        # Stage 1 begins early by half a high-pass, so that stage 2 can begin at output sample 0.
        self._mid_next = -self._half_hp
        self._mid = np.empty(0)
        # Behind the input stand zeros: the last period may be short, what it lacks is not used.
        self._beyond = np.zeros(self._num + 1)

    def needed(self, n_out: int) -> int:
        """How many input samples must have been pushed before ``n_out`` output samples are complete."""
        last = -(-n_out // self._block) * self._block - 1 + self._half_hp
        return last * self._num // self._den + self._half_in + 2

    def position(self, n_in: int) -> int:
        """The first output sample that stands at an input sample, or behind it."""
        return -(-n_in * self._den // self._num)

    def wait(self, n_out: int) -> None:
        """Nobody will ask for anything before ``n_out`` output samples: in one go they cost less."""
        self._due = max(self._due, self.needed(n_out))

    def push(self, values: Floats) -> Signal32:
        """Take input values, shape (n,), float64, finite; they are kept for a while, and must not change.

        Returns what is complete and not waited for: shape (m,), float32, in the unit of the input.
        """
        if not values.size:
            return _NOTHING
        if not self._n_in:
            # A constant removed first keeps a large electrode offset from eating the mantissa.
            self._offset = float(values[0])
        self._n_in += values.size
        self._latest = values
        self._waiting.append(values)
        return _NOTHING if self._n_in < self._due else self._run()

    def finish(self) -> Signal32:
        """Give the rest, the input being extended by its last value. The chain is spent then."""
        if not self._n_in:
            return _NOTHING
        total = (self._n_in - 1) * self._den // self._num + 1
        missing = total - self._n_out
        self._waiting.append(np.full(self.needed(total) - self._n_in, self._latest[-1]))
        return self._run()[:missing]

    def _run(self) -> Signal32:
        """Work off what waits."""
        before = self._raw.size
        raw = np.concatenate((self._raw, *self._waiting, self._beyond))
        self._raw = raw[: -self._beyond.size]
        self._raw[before:] -= self._offset
        self._waiting = []
        self._lowpass(raw)
        n = max(0, self._mid.size - 2 * self._half_hp) // self._block * self._block
        if not n:
            return _NOTHING
        # The kernel is symmetric: a correlation is a convolution.
        signal = np.correlate(self._mid[: n + 2 * self._half_hp], self._highpass, "valid")
        self._mid = self._mid[n:]
        self._n_out += n
        self._due = self.needed(self._n_out + 1)
        return np.asarray(signal, dtype=np.float32)

    def _lowpass(self, raw: Floats) -> None:
        """Stage 1: every output sample that the input reaches; ``raw`` is the input and zeros beyond."""
        num, den = self._num, self._den
        last = self._raw_first + self._raw.size - self._half_in - 2  # the highest position within reach
        stop = ((last + 1) * den - 1) // num + 1
        n = stop - self._mid_next
        if n <= 0:
            return
        width = self._taps.shape[1]
        if den <= _FEW_PHASES:
            first = self._mid_next // den
            rows = _rows(
                raw, first * num - self._half_in - self._raw_first, num, (-(-stop // den) - first, width)
            )
            mid = np.einsum("ij,kj->ik", rows, self._taps).reshape(-1)[self._mid_next - first * den :][:n]
        else:
            k = np.arange(self._mid_next, stop)
            begin = k * num // den - self._half_in - self._raw_first
            rows = _rows(self._raw, 0, 1, (self._raw.size - width + 1, width))
            mid = np.einsum("ij,ij->i", rows[begin], self._taps[k % den])
        self._mid = np.concatenate((self._mid, mid))
        self._mid_next = stop
        drop = stop // den * num - self._half_in - self._raw_first
        self._raw = self._raw[drop:]
        self._raw_first += drop


def _rows(x: Floats, begin: int, step: int, shape: tuple[int, int]) -> Floats:
    """Overlapping rows of a contiguous array, each ``step`` behind the one before; a view.

    As ``sliding_window_view``, whose checks would cost more than the arithmetic of a short push.
    """
    size = x.itemsize
    return np.ndarray(shape, x.dtype, x, begin * size, (step * size, size))
