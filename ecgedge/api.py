"""The stream for a Python program: the words of ``ecgedge stream`` in, its messages out.

from ecgedge import open_stream
from ecgedge.messages import Beat, Episode, Verdict

with open_stream("demo", speed="max", duration=120) as stream:
    for message in stream:
        if isinstance(message, Beat) and message.rr_s:
            print(f"{message.time_s:.1f} s: {60 / message.rr_s:.0f} beats per minute")
        elif isinstance(message, Verdict):
            print(f"{message.scores.time_s:.0f} s: {message.verdict}")
        elif isinstance(message, Episode):
            print(f"{message.kind} from {message.onset_s:.0f} s, {message.state}")
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgedge import words
from ecgedge.errors import EcgedgeError, UsageError
from ecgedge.messages import SampleBlock
from ecgedge.places import check_folder
from ecgedge.sinks import Sink

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from ecgedge.messages import Message
    from ecgedge.session import StreamOptions
    from ecgedge.sinks.recorder import Recorder


def open_stream(
    port: str,
    *,
    baud: int | None = None,
    protocol: str = "auto",
    model: str | Path | Sequence[str | Path] = (),
    duration: float | None = None,
    lead: str | int | None = None,
    fs: float | None = None,
    speed: str | float = 1.0,
    seed: int = 0,
    board: str | None = None,
    min_episode: float = 30.0,
    record: str | Path | None = None,
    age: float | None = None,
    sex: str | None = None,
    attention: bool = False,
    reconnect: bool = True,
    samples: bool = False,
) -> Stream:
    """Open a stream, to be used in ``with`` and iterated: the messages of ``ecgedge.messages``, in order.

    Every parameter is the flag of that name, with the same meaning and default (``ecgedge stream --help``).
    Neither configuration file nor environment is looked at.

    Parameters
    ----------
    model : name or path of a bundle, or several; none for the usual ones
    samples : give the signal too: ``SampleBlock`` (counts of all leads), after the ``Segment`` that tells
        their rate and scale

    Raises
    ------
    UsageError, PortError, BundleError, RecordingError
        As the command would end; ``PortError`` and ``UnrecognisedError`` also in the course of the stream.
    """
    folder = None if record is None else Path(record)
    if folder is not None:
        check_folder("record", folder)
    models = (model,) if isinstance(model, str | Path) else model or words.DEFAULT_MODELS
    options = words.stream_options(
        port,
        tuple(map(str, models)),
        baud=baud,
        protocol=protocol,
        duration=duration,
        lead=None if lead is None else str(lead),
        fs=fs,
        speed=speed,
        seed=seed,
        board=board,
        min_episode=min_episode,
        samples=samples or folder is not None,
        person=words.person(age, sex),
        attention=attention,
        reconnect=reconnect,
    )
    return Stream(options, samples, folder)


class Stream(Sink):
    """A running stream; iterating reads the port. It is closed by ``close`` or at the end of ``with``.

    Attributes
    ----------
    problems : what went wrong beside the stream (a disk that is full), in words
    """

    def __init__(self, options: StreamOptions, samples: bool, record: Path | None) -> None:
        from ecgedge.session import LiveStream

        self.problems: list[str] = []
        self._samples = samples
        self._recorder = self._open_recorder(record)
        self._waiting: deque[Message] = deque()
        self._error: EcgedgeError | None = None
        self._over = False
        self._live = LiveStream(options, self)

    def _open_recorder(self, folder: Path | None) -> Recorder | None:
        if folder is None:
            return None
        from ecgedge.sinks.recorder import Recorder

        return Recorder(folder, self.problem)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        while not self._waiting:
            if self._over:
                error, self._error = self._error, None
                if error is not None:
                    raise error
                raise StopIteration
            self._step()
        return self._waiting.popleft()

    def _step(self) -> None:
        """Read once. An error is raised after the messages that came before it."""
        try:
            if self._live.step():
                return
            self._live.finish()
            self.close()
            self._live.check_recognised()
        except UsageError as error:  # a stage cannot work on this stream
            self._error = error
        except EcgedgeError as error:
            self._error = error
            self._live.finish()
        self._over = True
        self.close()

    def write(self, message: Message) -> None:
        """Take a message of the session."""
        if self._recorder is not None:
            self._recorder.write(message)
        if self._samples or not isinstance(message, SampleBlock):
            self._waiting.append(message)

    def problem(self, text: str) -> None:
        """Take note of something that went wrong beside the stream."""
        self.problems.append(text)

    def close(self) -> None:
        """Stop the board, finish the recording, let go of the port. What was not read yet is still given."""
        if not self._over:
            self._over = True
            self._live.finish()
        self._live.close()
        if self._recorder is not None:
            self._recorder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
