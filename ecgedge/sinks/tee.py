"""Several sinks told the same."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from ecgedge.sinks import Sink

if TYPE_CHECKING:
    from ecgedge.messages import Message


class Tee(Sink):
    """Tells every sink every message, in the order given; what keeps should stand before what shows."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def write(self, message: Message) -> None:
        """Pass a message on."""
        for sink in self._sinks:
            sink.write(message)

    def flush(self) -> None:
        """Let all show what they have."""
        for sink in self._sinks:
            sink.flush()

    def problem(self, text: str) -> None:
        """Pass a problem on."""
        for sink in self._sinks:
            sink.problem(text)

    def close(self) -> None:
        """Close all, also where one of them fails."""
        with ExitStack() as closing:
            for sink in reversed(self._sinks):
                closing.callback(sink.close)
