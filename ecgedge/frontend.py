"""Wires continuity, conditioning, R peaks, windows, quality and features; used by the stream, by
``classify`` and, piece by piece, by training.

Input of a stretch is handed on in quanta of a fixed number of samples, so that the order of what comes
out (beats, windows, gaps) does not depend on how the samples were delivered.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge import features, irregularity, polarity, quality, rpeaks
from ecgedge.conditioning import Conditioner
from ecgedge.continuity import Continuity
from ecgedge.mains import BLOCK_S, MainsMeter, MainsWatch
from ecgedge.messages import Beat, Gap, Piece, Quality, SampleBlock, Segment, Stretch, StretchEnd, Window
from ecgedge.windows import Windower, WindowSpec

if TYPE_CHECKING:
    from ecgedge.messages import Bools, Floats, Signal32

QUANTUM_S = 0.2
KEPT_S = 10.0
"""Beats are kept for so long beyond a window: no window is ready later than that after its end."""


@dataclass(frozen=True)
class Consumer:
    """A model as the frontend sees it."""

    name: str
    preprocessing: dict[str, Any]
    window: WindowSpec
    inputs: list[dict[str, Any]]


@dataclass(frozen=True)
class Prepared:
    """A window with all that a classifier and a judge need."""

    model: str
    window: Window
    quality: Quality
    tensors: dict[str, Signal32]
    irregularity: float | None
    """Probability of AF from the RR intervals of the window; None where they do not tell."""


@dataclass(frozen=True)
class Notice:
    """Something about the signal that a person should read."""

    text: str


Out = Gap | Beat | Prepared | StretchEnd | Notice


class Watches:
    """What is watched over all stretches of a stream."""

    def __init__(self) -> None:
        self.mains = MainsWatch()
        self.polarity = polarity.Polarity()


class _Chain:
    """What works on one stretch: one conditioner for each distinct specification."""

    def __init__(self, stretch: Stretch, consumers: tuple[Consumer, ...], watches: Watches) -> None:
        rate = stretch.rate_hz
        self._in_mv = stretch.in_mv
        self._watches = watches
        self._meter = MainsMeter(stretch.time_s, rate)
        self.quantum = max(1, round(QUANTUM_S * rate))
        self._rhythm = irregularity.load()
        self._kept_s = KEPT_S + max((c.window.length_s for c in consumers), default=0.0)
        self._beats: deque[Beat] = deque()
        self._beats_band = Conditioner(rpeaks.BAND, rate)
        self._detector = rpeaks.RPeakDetector(stretch.first, stretch.time_s, rate, stretch.in_mv)
        self._first = consumers[0] if consumers else None
        self._specs: list[dict[str, Any]] = []
        self._bands: list[tuple[Conditioner, list[tuple[Consumer, Windower]]]] = []
        for consumer in consumers:
            windower = Windower(consumer.window, stretch.first, stretch.time_s, rate)
            for spec_of, (_, users) in zip(self._specs, self._bands, strict=True):
                if spec_of == consumer.preprocessing:
                    users.append((consumer, windower))
                    break
            else:
                self._specs.append(consumer.preprocessing)
                self._bands.append((Conditioner(consumer.preprocessing, rate), [(consumer, windower)]))

    def push(self, values: Floats, filled: Bools) -> list[Out]:
        out: list[Out] = self._remember(self._detector.push(self._beats_band.push(values, filled)[0]))
        out += self._hum(values)
        for band, users in self._bands:
            signal, mask = band.push(values, filled)
            for consumer, windower in users:
                out += self._windows(consumer, windower.push(signal, mask))
        return out

    def finish(self) -> list[Out]:
        out: list[Out] = self._remember(self._detector.push(self._beats_band.finish()[0]))
        out += self._remember(self._detector.finish())
        for band, users in self._bands:
            signal, mask = band.finish()
            for consumer, windower in users:
                windows = windower.push(signal, mask) + windower.finish()
                out += self._windows(consumer, windows)
        return out

    def _hum(self, values: Floats) -> list[Out]:
        """Measure the mains in the raw signal, against the QRS of the same seconds."""
        out: list[Out] = []
        for hum in self._meter.push(values):
            heights = [abs(b.height) for b in self._beats if b.time_s >= hum.time_s - BLOCK_S]
            height = float(np.median(heights)) if heights else None
            text = self._watches.mains.push(hum, height, self._in_mv)
            out += [Notice(text)] if text else []
        return out

    def _windows(self, consumer: Consumer, windows: list[Window]) -> list[Out]:
        out: list[Out] = []
        for window in windows:
            prepared = self._prepare(consumer, window)
            out.append(prepared)
            # Every model sees the same signal: one of them is enough to see which way up it is.
            if consumer is self._first and not window.provisional and prepared.quality.usable:
                times = np.array([b.time_s for b in self._inside(window)])
                text = self._watches.polarity.push(polarity.points_up(window, times))
                out += [Notice(text)] if text else []
        return out

    def _remember(self, beats: list[Beat]) -> list[Out]:
        """Keep beats for the windows to come; they are ready long before a window that holds them."""
        self._beats.extend(beats)
        while self._beats and self._beats[-1].time_s - self._beats[0].time_s > self._kept_s:
            self._beats.popleft()
        return list(beats)

    def _inside(self, window: Window) -> list[Beat]:
        end_s = window.time_s + window.seconds
        return [b for b in self._beats if window.time_s <= b.time_s < end_s]

    def _prepare(self, consumer: Consumer, window: Window) -> Prepared:
        inside = self._inside(window)
        mains = self._watches.mains
        times, heights = np.array([b.time_s for b in inside]), np.array([b.height for b in inside])
        return Prepared(
            model=consumer.name,
            window=window,
            quality=quality.assess(window, mains.words(self._in_mv) if mains.is_high else ""),
            tensors=features.make_inputs(consumer.inputs, window.signal),
            irregularity=self._rhythm.probability(times, heights),
        )


class Frontend:
    """Samples and gaps of one stream -> beats, prepared windows, gaps, ends of stretches, notices.

    Parameters
    ----------
    consumers : the models that windows are cut for
    lead : column of the samples, from 0
    """

    def __init__(self, consumers: tuple[Consumer, ...], lead: int = 0) -> None:
        self._consumers = consumers
        self._continuity = Continuity(lead)
        self._chain: _Chain | None = None
        self._watches = Watches()
        self._values: Floats = np.empty(0)
        self._filled: Bools = np.empty(0, dtype=bool)

    @property
    def mains(self) -> MainsWatch:
        """What was measured of the mains."""
        return self._watches.mains

    def push(self, message: Segment | SampleBlock | Gap) -> list[Out]:
        """Take what the clock gave."""
        return self._take(self._continuity.push(message))

    def finish(self) -> list[Out]:
        """End of the stream."""
        return self._take(self._continuity.finish())

    def _take(self, messages: list[Stretch | Piece | StretchEnd | Gap]) -> list[Out]:
        out: list[Out] = []
        for message in messages:
            if isinstance(message, Stretch):
                self._chain = _Chain(message, self._consumers, self._watches)
            elif isinstance(message, Piece):
                out += self._piece(message)
            elif isinstance(message, StretchEnd):
                out += self._end(message)
            else:
                out.append(message)
        return out

    def _piece(self, piece: Piece) -> list[Out]:
        assert self._chain is not None
        self._values = np.concatenate((self._values, piece.values))
        self._filled = np.concatenate((self._filled, piece.filled))
        n = self._chain.quantum
        whole = self._values.size - self._values.size % n
        out: list[Out] = []
        for at in range(0, whole, n):
            out += self._chain.push(self._values[at : at + n], self._filled[at : at + n])
        self._values, self._filled = self._values[whole:], self._filled[whole:]
        return out

    def _end(self, end: StretchEnd) -> list[Out]:
        assert self._chain is not None
        out = self._chain.push(self._values, self._filled) + self._chain.finish()
        self._values, self._filled = self._values[:0], self._filled[:0]
        self._chain = None
        self._watches.mains.pause()
        return [*out, end]
