"""A session: a port's bytes through the pipeline into a sink. The loop that the CLI starts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ecgedge.classifier import open_models
from ecgedge.errors import PortError, UnrecognisedError, UsageError
from ecgedge.greeting import Greeting
from ecgedge.leads import column, find_lead
from ecgedge.messages import (
    UNKNOWN,
    Board,
    Chunk,
    Message,
    Person,
    SampleBlock,
    Segment,
    Status,
)
from ecgedge.pace import PaceWatch
from ecgedge.pipeline import Pipeline
from ecgedge.ports import Port, open_port
from ecgedge.wire import make_reader, usual_rates
from ecgedge.words import DEFAULT_MODELS

if TYPE_CHECKING:
    from ecgedge.sinks import Sink

WAIT_S = 0.2
"""Longest wait for bytes."""
SILENCE_S = 3.0
"""Without a byte for so long, a live port is said to be silent."""


@dataclass(frozen=True)
class StreamOptions:
    """What ``ecgedge stream`` was asked to do; see its flags."""

    port: str
    baud: int | None = None
    """None: the rates that are usual for the protocol are tried in turn."""
    protocol: str = "auto"
    models: tuple[str, ...] = DEFAULT_MODELS
    duration_s: float | None = None
    lead: str | None = None
    fs: float | None = None
    speed: float = 1.0
    seed: int = 0
    board: str | None = None
    """Kind of board through which the demo plays; None: one that speaks ecgedge frames."""
    minimum_episode_s: float = 30.0
    samples: bool = False
    """Give the sink the samples as well, for a recorder."""
    person: Person = UNKNOWN
    attention: bool = False
    """Tell what a model of APC windows looked at."""
    reconnect: bool = True
    """Wait for a port that was lost; False: its loss ends the stream."""


def run_stream(options: StreamOptions, sink: Sink) -> None:
    """Stream until the port ends, the duration is over, or Ctrl-C; then tell the sink the rest.

    Raises
    ------
    UsageError
        If a word makes no sense, or the stream turns out to have no such lead or an impossible rate.
    BundleError, RecordingError
        If a model or the recording to replay cannot be used.
    PortError
        If the port cannot be opened or is lost; the stream's end is told to the sink first.
    UnrecognisedError
        If bytes came but never made sense.
    """
    live = LiveStream(options, sink)
    try:
        while live.step():
            pass
        live.finish()
    except UsageError:  # a stage cannot work on this stream: nothing was begun that could be finished
        raise
    except BaseException:
        live.finish()
        raise
    finally:
        live.close()
    live.check_recognised()


class LiveStream:
    """A port's bytes through the pipeline into a sink, one read a step.

    Raises
    ------
    EcgedgeError
        As ``run_stream``.
    """

    def __init__(self, options: StreamOptions, sink: Sink) -> None:
        usual = usual_rates(options.protocol)
        rates = usual if options.baud is None else (options.baud,)
        self._options, self._sink = options, sink
        self._port = port = open_port(
            options.port,
            baud=rates[0],
            speed=options.speed,
            seed=options.seed,
            board=options.board,
            duration_s=options.duration_s,
            fs=options.fs,
            reconnect=options.reconnect,
        )
        try:
            self._meet_port(rates)
        except BaseException:
            port.close()
            raise

    def _meet_port(self, rates: tuple[int, ...]) -> None:
        options, port = self._options, self._port
        protocol = options.protocol
        if protocol == "auto" and port.protocol is not None:
            protocol = port.protocol
        self._reader = make_reader(protocol)
        named = port.protocol or (None if options.protocol == "auto" else options.protocol)
        self._greeting = Greeting(self._reader, named, rates if port.tunable else ())
        self._until_s = math.inf if options.duration_s is None else options.duration_s
        # Models are opened after the port: a port that cannot be opened is told at once.
        self._models = open_models(options.models)
        self._lead = _find_lead(options.lead, port)
        self._pipeline = Pipeline(
            self._models,
            rate_hz=None if options.port.startswith("replay:") else options.fs,
            lead=self._lead,
            minimum_episode_s=options.minimum_episode_s,
            samples=options.samples,
            person=options.person,
            attention=options.attention,
            wire=lambda: self._reader.counters,
        )
        self._last_byte_s: float | None = None
        self._silent = False
        self._read = 0  # samples read when last looked
        self._progress_s: float | None = None  # when that last changed, on the port's clock
        self._connections, self._place, self._trouble = port.connections, port.place, ""
        self._lost_s: float | None = None
        self._pace = PaceWatch()
        self._wait_s = 0.0  # the first look only tells the time on the port's clock
        self._finished = False

    @property
    def protocol(self) -> str | None:
        """What the board speaks, once that is known."""
        return self._reader.protocol

    @property
    def place(self) -> str:
        """The device behind the port; empty where there is none."""
        return self._port.place

    @property
    def baud(self) -> int | None:
        """Rate at which a serial line is listened to."""
        return self._greeting.baud if self._port.tunable else None

    @property
    def lead(self) -> int:
        """The column in which the lead stands now."""
        return self._pipeline.lead

    def step(self) -> bool:
        """Read once, and tell what follows; False at the end of the port or of the duration."""
        if self._port.ended:
            return False
        chunk = self._next_chunk(self._wait_s)
        self._wait_s = WAIT_S
        self._watch_port(chunk.arrival_s)
        if chunk.data:
            self._last_byte_s, self._silent = chunk.arrival_s, False
        else:
            self._watch_silence(chunk.arrival_s)
        self._take(self._reader.push(chunk))
        if chunk.data and (text := self._pace.push(chunk.arrival_s, self._pipeline.sample)):
            self._write([self._pipeline.status(None, text)])
        self._meet(chunk.arrival_s)
        return self._pipeline.time_s + self._idle_s(chunk.arrival_s) < self._until_s

    def _take(self, items: Iterable[Board | SampleBlock | Status]) -> None:
        for item in items:
            if isinstance(item, Board) and not self._pipeline.sample:
                column(item, self._lead)  # a mistake is told at once, not when the rate has been measured
            self._write(self._pipeline.push(item))

    def _meet(self, now_s: float) -> None:
        """Ask the board what there is to ask, and find its baud rate."""
        step = self._greeting.step(now_s)
        if step.baud is not None:
            self._port.tune(step.baud)
            self._take(self._reader.restart())
        if step.write:
            self._port.write(step.write)
        if step.text:
            state = "waiting" if self._reader.protocol else "unrecognised"
            self._write([self._pipeline.status(state, step.text)])

    def _next_chunk(self, wait_s: float) -> Chunk:
        try:
            return self._port.read(wait_s)
        except PortError as error:
            self._write([self._pipeline.status("unplugged", error.received)])
            raise

    def _watch_port(self, now_s: float) -> None:
        """Tell of a loss and of the return, after which everything about the board is learned anew."""
        port = self._port
        if not port.connected and self._lost_s is None:
            self._lost_s = now_s
        if port.connections != self._connections:
            self._connections = port.connections
            self._take(self._reader.restart())
            self._write(self._pipeline.cut())
            self._greeting.restart()
            text = "connected again" + (f", as {port.place}" if port.place != self._place else "")
            if self._lost_s is not None:
                text += f", after {now_s - self._lost_s:.1f} s"
            self._place, self._lost_s, self._last_byte_s, self._silent = port.place, None, now_s, False
            self._write([self._pipeline.status("waiting", text)])
        if port.trouble != self._trouble:
            self._trouble = port.trouble
            state = "waiting" if port.connected else "unplugged"
            if self._trouble:
                self._write([self._pipeline.status(state, self._trouble)])

    def _idle_s(self, now_s: float) -> float:
        """How long a live port has given nothing that can be read; short pauses count as none."""
        read = self._reader.counters.samples
        if self._progress_s is None or read != self._read:
            self._progress_s, self._read = now_s, read
        idle_s = now_s - self._progress_s
        return idle_s if self._port.live and idle_s > SILENCE_S else 0.0

    def finish(self) -> None:
        """Stop a board that was started; tell what was held back. A second call does nothing."""
        if self._finished:
            return
        self._finished = True
        if self._greeting.stop:
            with suppress(PortError):
                self._port.write(self._greeting.stop)
        self._take(self._reader.finish())
        self._write(self._pipeline.finish())

    def close(self) -> None:
        """Let go of the port."""
        self._port.close()

    def check_recognised(self) -> None:
        """Fail when bytes came but gave no samples."""
        counters = self._reader.counters
        if not counters.bytes or self._pipeline.time_s > 0:
            return
        if self._reader.protocol is None:
            came = f"{counters.bytes} bytes came, none made sense"
            raise UnrecognisedError(came, "a known protocol", "Try --baud or --protocol.")
        came = f"{counters.bytes} bytes came, but no samples could be taken from them"
        raise UnrecognisedError(came, f"a whole stream of the protocol {self._reader.protocol}")

    def _watch_silence(self, now_s: float) -> None:
        if self._last_byte_s is None:
            self._last_byte_s = now_s
        if (
            self._port.live
            and self._port.connected
            and not self._silent
            and now_s - self._last_byte_s > SILENCE_S
        ):
            self._silent = True
            text = f"nothing received for {SILENCE_S:g} s: is the board powered and sending?"
            self._write([self._pipeline.status("silent", text)])

    def _write(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if isinstance(message, Segment):
                self._pace.begin(message)
            self._sink.write(message)
        self._sink.flush()


def _find_lead(lead: str | None, port: Port) -> int | str:
    """Column of ``--lead``, or its name where nothing has told of the leads yet."""
    if lead is None:
        return 0
    if port.lead_names:
        return find_lead(port.lead_names, lead, port.name)
    return int(lead) if lead.isdecimal() else lead
