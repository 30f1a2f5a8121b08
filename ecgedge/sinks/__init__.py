"""Where messages leave the house: JSON lines, the terminal, a line per record.

A sink is told every message of the stream and keeps what concerns it. Opening one imports nothing but
the standard library; Rich is imported by the terminal sink, and only for a live terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ecgedge.messages import Message


class Sink:
    """What the session talks to. Only taking messages is a must: not every sink shows anything by itself."""

    def write(self, message: Message) -> None:
        """Take one message; the ones that do not concern this sink are passed over."""
        raise NotImplementedError

    def flush(self) -> None:
        """Show what was written; called after everything that one read of a port or file brought about."""

    def problem(self, text: str) -> None:
        """Tell a person of something that went wrong without ending the run (standard error)."""

    def close(self) -> None:
        """End the output, with the summary where the sink has one. A second call does nothing."""
