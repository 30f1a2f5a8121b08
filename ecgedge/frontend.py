"""Wires continuity, conditioning, R peaks, windows, quality and features; used by the stream, by
``classify`` and, piece by piece, by training.

Every stage takes whatever has arrived in one go; what comes out of the stages is put in the order of the
stream sample that made it certain. So the work per sample falls with the backlog, while the order of beats,
windows and gaps does not depend on how the samples were delivered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgedge import beat_windows, features, irregularity, morphology, polarity, quality, rpeaks
from ecgedge.beat_windows import BeatSpec, BeatWindow, BeatWindower
from ecgedge.clipping import Clipping
from ecgedge.conditioning import Conditioner, check_rate
from ecgedge.continuity import Continuity
from ecgedge.mains import BLOCK_S, Hum, MainsMeter, MainsWatch
from ecgedge.messages import (
    UNKNOWN,
    Beat,
    Context,
    Gap,
    Likeness,
    Person,
    Piece,
    Quality,
    SampleBlock,
    Segment,
    Stretch,
    StretchEnd,
    Window,
)
from ecgedge.windows import Windower, WindowSpec

if TYPE_CHECKING:
    from ecgedge.messages import Floats, Signal32

AT_ONCE = 8192
"""Most samples that the stages take at once: beyond that, more only costs memory."""
_MANY = 512
"""Beats of which it is remembered when they became certain; a model needs that of the latest ones."""
KEPT_S = 10.0
"""Beats are kept for so long beyond a window: no window is ready later than that after its end."""
_MOST_HELD = 512
"""Pieces of signal that wait at most for a window to become due."""


@dataclass(frozen=True)
class Consumer:
    """A model as the frontend sees it: what its window is made of decides what it is given.

    Windows of signal come with all that a verdict needs (``Prepared``), or, for a model that is asked only
    now and then, bare (``Cut``); windows of beats as ``PreparedBeats``.
    """

    name: str
    preprocessing: dict[str, Any]
    window: WindowSpec | BeatSpec
    inputs: list[dict[str, Any]]
    bare: bool = False

    @property
    def length_s(self) -> float:
        """Seconds of a window of signal; 0 for one of beats."""
        return self.window.length_s if isinstance(self.window, WindowSpec) else 0.0


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
class PreparedBeats:
    """Beats in a row with all that a classifier needs."""

    model: str
    beats: tuple[Beat, ...]
    """Those that the model is asked about; see ``BeatWindow``."""
    likeness: tuple[Likeness, ...]
    """Of each of them."""
    tensors: dict[str, Signal32]
    whole: bool
    """Whether all places of the window hold a beat."""


@dataclass(frozen=True)
class Cut:
    """A window of signal for a model that may be asked about it later."""

    model: str
    window: Window


@dataclass(frozen=True)
class Notice:
    """Something about the signal that a person should read."""

    text: str


Out = Gap | Beat | Prepared | PreparedBeats | Cut | StretchEnd | Notice
Come = tuple[int, Callable[[], Sequence[Out]]]
"""What comes out, after the stream sample (one past the last needed) that makes it certain: to be called at
once, since a call also brings what is watched up to that sample."""


_Found = Beat | Hum | tuple[Consumer, Window | BeatWindow]


class Watches:
    """What is watched over all stretches of a stream."""

    def __init__(self) -> None:
        self.mains = MainsWatch()
        self.polarity = polarity.Polarity()


class _Chain:
    """What works on one stretch: one conditioner for each distinct specification.

    Only beats are looked for at once, and not even they where none can be told yet. When the next window, row
    of beats or finding about the mains can be complete is known beforehand; the signal waits until then, for
    it costs the same in one go.
    """

    def __init__(
        self, stretch: Stretch, consumers: tuple[Consumer, ...], watches: Watches, person: Person
    ) -> None:
        rate = stretch.rate_hz
        self._stretch = stretch
        self._in_mv = stretch.in_mv
        self._watches = watches
        self._person = person
        self._meter = MainsMeter(stretch.time_s, rate)
        self._rhythm = irregularity.load()
        self._kept_s = KEPT_S + max((c.length_s for c in consumers), default=0.0)
        self._clipping = Clipping(stretch.time_s, rate, self._kept_s)
        self._beats: deque[Beat] = deque()
        self._beats_band = Conditioner(rpeaks.BAND, rate)
        self._detector = rpeaks.RPeakDetector(stretch.first, stretch.time_s, rate, stretch.in_mv)
        self._first = next((c for c in consumers if c.length_s and not c.bare), None)
        self._certain: dict[int, int] = {}  # latest beats, and the sample that made each certain
        self._specs: list[dict[str, Any]] = []
        self._bands: list[tuple[Conditioner, list[tuple[Consumer, Windower | BeatWindower]]]] = []
        for consumer in consumers:
            windower = self._windower(consumer)
            for spec_of, (_, users) in zip(self._specs, self._bands, strict=True):
                if spec_of == consumer.preprocessing:
                    users.append((consumer, windower))
                    break
            else:
                self._specs.append(consumer.preprocessing)
                self._bands.append((Conditioner(consumer.preprocessing, rate), [(consumer, windower)]))
        self._held: list[Floats] = []
        self._came = 0  # samples of the stretch
        self._due = self._next_due()

    def _windower(self, consumer: Consumer) -> Windower | BeatWindower:
        stretch = self._stretch
        if isinstance(consumer.window, BeatSpec):
            return BeatWindower(consumer.window, stretch.first, stretch.rate_hz)
        return Windower(consumer.window, stretch.first, stretch.time_s, stretch.rate_hz)

    def push(self, values: Floats, bridged: int) -> list[Come]:
        """Take values, shape (n,), and how many of the first of them bridge a gap."""
        found: list[tuple[int, _Found]] = []
        if bridged:
            self._bridge(bridged)
        self._held.append(values)
        self._came += values.size
        signal = self._beats_band.push(values)
        if signal.size:
            found += self._beats_in(signal)
        if self._came >= self._due or len(self._held) > _MOST_HELD:
            found += self._run()
        if len(self._certain) > _MANY:
            self._certain = dict(list(self._certain.items())[-_MANY // 2 :])
        if not found:  # as nearly always
            return []
        found.sort(key=itemgetter(0))
        return [(at, partial(self._take, what)) for at, what in found]

    def _bridge(self, n: int) -> None:
        """The next samples bridge a gap."""
        for band, users in self._bands:
            begin, end = band.position(self._came), band.position(self._came + n)
            for _, windower in users:
                if isinstance(windower, Windower):
                    windower.bridge(begin, end)

    def _beats_in(self, signal: Signal32) -> list[tuple[int, Beat]]:
        """Beats, and the stream sample that makes each certain."""
        band, first = self._beats_band, self._stretch.first
        found = [(first + band.needed(n), beat) for n, beat in self._detector.push_timed(signal)]
        band.wait(self._detector.due)
        if found:
            self._certain.update((beat.sample, at) for at, beat in found)
            self._hand_on([beat for _, beat in found])
        return found

    def _hand_on(self, beats: list[Beat]) -> None:
        """Tell who waits for beats; they may make a row of beats due."""
        for band, users in self._bands:
            for _, windower in users:
                if isinstance(windower, BeatWindower):
                    windower.add(beats)
                    if (n := windower.due) is not None:
                        self._due = min(self._due, band.needed(n))

    def _next_due(self) -> int:
        """How many samples of the stretch must have come before there is something to tell beside beats."""
        due = [] if self._meter.due is None else [self._meter.due]
        for band, users in self._bands:
            due += [band.needed(n) for _, windower in users if (n := windower.due) is not None]
        return min(due, default=1 << 62)

    def _run(self) -> list[tuple[int, _Found]]:
        """Work off what was held; what that completes, and the stream sample that makes it certain."""
        first, rate = self._stretch.first, self._stretch.rate_hz
        values = np.concatenate(self._held)
        self._held = []
        found: list[tuple[int, _Found]] = []
        self._clipping.push(values)
        for hum in self._meter.push(values):
            found.append((first + round((hum.time_s - self._stretch.time_s) * rate), hum))
        for band, users in self._bands:
            signal = band.push(values)
            for consumer, windower in users:
                if isinstance(windower, BeatWindower):
                    for row in windower.push(signal):
                        at = max(self._certain[row.last.sample], first + band.needed(row.signal_needed))
                        found.append((at, (consumer, row)))
                else:
                    for window in windower.push(signal):
                        end_s = window.time_s - self._stretch.time_s + window.seconds
                        at = first + band.needed(round(end_s * window.rate_hz))
                        found.append((at, (consumer, window)))
        self._due = self._next_due()
        return found

    def finish(self) -> list[Out]:
        """The stretch has ended: the rest."""
        out: list[Out] = []
        if self._held:
            out += [told for _, what in self._run() for told in self._take(what)]
        beats = self._detector.push(self._beats_band.finish()) + self._detector.finish()
        out += [found for beat in beats for found in self._take(beat)]
        for band, users in self._bands:
            signal = band.finish()
            for consumer, windower in users:
                rest: list[BeatWindow] | list[Window]
                if isinstance(windower, BeatWindower):
                    windower.add(beats)
                    rest = windower.push(signal) + windower.finish()
                else:
                    rest = windower.push(signal) + windower.finish()
                for window in rest:
                    out += self._take((consumer, window))
        return out

    def _take(self, what: _Found) -> list[Out]:
        if isinstance(what, Beat):
            return [self._remember(what)]
        if isinstance(what, Hum):
            return self._hum(what)
        consumer, window = what
        if isinstance(window, BeatWindow):
            tensors = beat_windows.make_inputs(consumer.inputs, window)
            whole = window.places == (0, consumer.window.beats)  # type: ignore[union-attr]
            return [PreparedBeats(consumer.name, window.beats, window.likeness, tensors, whole)]
        return [Cut(consumer.name, window)] if consumer.bare else self._window(consumer, window)

    def _hum(self, hum: Hum) -> list[Out]:
        """The mains in the raw signal, against the QRS of the same seconds."""
        heights = [abs(b.height) for b in self._beats if b.time_s >= hum.time_s - BLOCK_S]
        height = float(np.median(heights)) if heights else None
        text = self._watches.mains.push(hum, height, self._in_mv)
        return [Notice(text)] if text else []

    def _window(self, consumer: Consumer, window: Window) -> list[Out]:
        prepared = self._prepare(consumer, window)
        # Every model sees the same signal: one of them is enough to see which way up it is.
        if consumer is not self._first or window.provisional or not prepared.quality.usable:
            return [prepared]
        times = np.array([b.time_s for b in self._inside(window)])
        text = self._watches.polarity.look(window, times)
        return [prepared, Notice(text)] if text else [prepared]

    def _remember(self, beat: Beat) -> Beat:
        """Keep a beat for the windows to come; it is ready long before a window that holds it."""
        self._beats.append(beat)
        while self._beats[-1].time_s - self._beats[0].time_s > self._kept_s:
            self._beats.popleft()
        return beat

    def _inside(self, window: Window) -> list[Beat]:
        end_s = window.time_s + window.seconds
        return [b for b in self._beats if window.time_s <= b.time_s < end_s]

    def _prepare(self, consumer: Consumer, window: Window) -> Prepared:
        inside = self._inside(window)
        mains = self._watches.mains
        times = np.array([b.time_s for b in inside])
        heights = np.array([b.height for b in inside])
        context = Context(window.rate_hz, times - window.time_s, heights, self._person)
        return Prepared(
            model=consumer.name,
            window=window,
            quality=quality.assess(
                window,
                times,
                clipped=self._clipping.share(window),
                mains=mains.words(self._in_mv) if mains.is_high else "",
            ),
            tensors=features.make_inputs(consumer.inputs, window.signal, context),
            irregularity=self._rhythm.probability(times, morphology.odd_beats(window, times)),
        )


class Frontend:
    """Samples and gaps of one stream -> beats, prepared windows, gaps, ends of stretches, notices.

    Parameters
    ----------
    consumers : the models that windows are cut for
    lead : column of the samples, from 0, or what the board calls it
    person : whose heart it is
    """

    def __init__(
        self, consumers: tuple[Consumer, ...], lead: int | str = 0, person: Person = UNKNOWN
    ) -> None:
        self._consumers, self._person = consumers, person
        self._continuity = Continuity(lead)
        self._chain: _Chain | None = None
        self._watches = Watches()

    @property
    def mains(self) -> MainsWatch:
        """What was measured of the mains."""
        return self._watches.mains

    @property
    def lead(self) -> int:
        """The column in which the lead stands now."""
        return self._continuity.column

    def push(self, message: Segment | SampleBlock | Gap) -> list[Out]:
        """Take what the clock gave.

        Raises
        ------
        UsageError
            For a segment whose rate or leads will not do; nothing has changed then, and its samples must not
            be pushed.
        """
        return [out for _, come in self.push_timed(message) for out in come()]

    def push_timed(self, message: Segment | SampleBlock | Gap) -> Iterable[Come]:
        """The same, in the order in which it becomes certain; to be read to its end."""
        if isinstance(message, Segment):
            check_rate(message.rate_hz)
        messages = self._continuity.push(message)
        piece = messages[0] if len(messages) == 1 else None
        if isinstance(piece, Piece) and not piece.bridged and piece.values.size <= AT_ONCE:  # as nearly all
            assert self._chain is not None
            return self._chain.push(piece.values, 0)
        return self._take(messages)

    def finish(self) -> list[Out]:
        """End of the stream, or of what can be worked on: the rest. Another segment may follow."""
        return [out for _, come in self._take(self._continuity.finish()) for out in come()]

    def _take(self, messages: list[Stretch | Piece | StretchEnd | Gap]) -> Iterator[Come]:
        for message in messages:
            if isinstance(message, Stretch):
                self._chain = _Chain(message, self._consumers, self._watches, self._person)
            elif isinstance(message, Piece):
                yield from self._piece(message)
            elif isinstance(message, StretchEnd):
                yield message.last + self._continuity.bridge + 1, partial(self._end, message)
            else:
                yield message.first + message.n + 1, partial(tuple, (message,))

    def _piece(self, piece: Piece) -> Iterator[Come]:
        assert self._chain is not None
        # What bridges a gap is known with the first sample behind it.
        least = piece.first + piece.bridged + 1
        for begin in range(0, piece.values.size, AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            for at, come in self._chain.push(piece.values[part], min(max(0, piece.bridged - begin), AT_ONCE)):
                yield max(at, least), come

    def _end(self, end: StretchEnd) -> list[Out]:
        assert self._chain is not None
        out = self._chain.finish()
        self._chain = None
        self._watches.mains.pause()
        return [*out, end]
