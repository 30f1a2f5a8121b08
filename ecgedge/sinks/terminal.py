"""The stream for a person: one live status line, a line for every event, and a summary at the end.

On a terminal Rich redraws the status line in place and colours what matters. Everywhere else (a pipe,
a file, a service's journal) the same lines come plain, without the live one, and Rich stays unimported.
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

from ecgedge.messages import (
    Ectopic,
    EctopicRun,
    EctopyCount,
    Episode,
    Gap,
    Message,
    Period,
    Segment,
    Status,
    Verdict,
)
from ecgedge.sinks import Sink
from ecgedge.sinks.ectopic import Teller, run_line
from ecgedge.sinks.lines import episode_line, gap_line, segment_line, status_line, verdict_line
from ecgedge.sinks.summary import LENGTHS, Summary, span_words, whole_words
from ecgedge.sinks.words import clock_time

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_STYLES = {
    "AF": "bold red",
    "episode": "bold red",
    "sinus": "green",
    "other": "yellow",
    "inconclusive": "dim",
    "ectopic": "magenta",
    "run": "bold magenta",
    "gap": "yellow",
    "notice": "cyan",
    "plain": "",
}
_REDRAWS_PER_SECOND = 8.0


class _Screen(Protocol):
    """Where the lines go."""

    def line(self, text: str, kind: str) -> None: ...

    def live(self, text: str, kind: str) -> None: ...

    def close(self) -> None: ...


class _PlainScreen:
    """Lines only, each flushed, for whatever is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str, kind: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()

    def live(self, text: str, kind: str) -> None:
        """Show nothing: a log is no place for a line that changes."""

    def close(self) -> None:
        self._stream.flush()


class _LiveScreen:
    """Lines that scroll above one that is redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console(file=stream, highlight=False, soft_wrap=True)
        # No refresh thread: the stream drives the redraws, and a fast replay must not drown in them.
        self._live: Live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=sys.stderr.isatty(),  # a log file must not end up on the screen
        )
        self._live.start()
        self._drawn = -1.0

    def _styled(self, text: str, kind: str) -> Text:
        from rich.text import Text

        return Text(text, style=_STYLES.get(kind, ""), no_wrap=True, overflow="ellipsis")

    def line(self, text: str, kind: str) -> None:
        # A line that scrolls away may wrap; only the live one must stay on its row.
        styled = self._styled(text, kind)
        styled.no_wrap, styled.overflow = False, "fold"
        self._console.print(styled)

    def live(self, text: str, kind: str) -> None:
        now = time.monotonic()
        if now - self._drawn >= 1.0 / _REDRAWS_PER_SECOND:
            self._drawn = now
            self._live.update(self._styled(text, kind), refresh=True)

    def close(self) -> None:
        self._live.stop()


class TerminalSink(Sink):
    """The text output of ``ecgedge stream``.

    Parameters
    ----------
    stream : where the lines go; standard output when not given
    live : force the live status line on or off; by default it follows ``stream.isatty()``
    """

    def __init__(self, stream: TextIO | None = None, live: bool | None = None) -> None:
        out = sys.stdout if stream is None else stream
        use_live = out.isatty() if live is None else live
        self._screen: _Screen = _LiveScreen(out) if use_live else _PlainScreen(out)
        self._summary = Summary()
        self._teller = Teller()
        self._verdicts: dict[str, tuple[str, bool]] = {}
        self._notice = ""
        self._heard = False
        self._closed = False

    def write(self, message: Message) -> None:
        """Show one message, where it says something a person does not know yet."""
        self._heard = True
        self._summary.add(message)
        if isinstance(message, Status):
            self._status(message)
        elif isinstance(message, Verdict):
            self._verdict(message)
        elif isinstance(message, Episode):
            self._event(message.offset_s, episode_line(message), "episode")
        elif isinstance(message, Gap):
            self._event(message.time_s, gap_line(message), "gap")
        elif isinstance(message, Ectopic):
            if line := self._teller.line(message):
                self._event(message.beat.time_s, line, "ectopic")
        elif isinstance(message, EctopicRun):
            self._event(message.offset_s, run_line(message), "run")
        elif isinstance(message, Period | EctopyCount):
            # A piece of an hour or day comes at the stream's end, where the summary has it.
            if message.seconds >= LENGTHS.get(message.span, math.inf):
                text = f"{message.model}: {span_words(message)}: {whole_words(message)}"
                self._event(message.time_s + message.seconds, text, "notice")
        elif isinstance(message, Segment):
            self._event(message.time_s, segment_line(message), "notice")

    def _event(self, time_s: float, text: str, kind: str) -> None:
        self._screen.line(f"{clock_time(time_s):>8}  {text}", kind)

    def _status(self, message: Status) -> None:
        # A notice that is repeated word for word has been read; the state it speaks of is in the live line.
        if message.text and message.text != self._notice:
            self._event(message.time_s, message.text, "notice")
        if message.text or message.state == "streaming":
            self._notice = message.text
        self._screen.live(status_line(message, self._summary.ectopic), message.verdict or "plain")

    def _verdict(self, message: Verdict) -> None:
        scores = message.scores
        known = self._verdicts.get(scores.model)
        said = (message.verdict, scores.provisional)
        self._verdicts[scores.model] = said
        # From the first full window on only a change is news; a provisional one never repeats itself.
        if known is None or known[0] != said[0] or (known[1] and not said[1]):
            self._event(scores.time_s + scores.seconds, verdict_line(message), message.verdict)

    def problem(self, text: str) -> None:
        """Write ``text`` to standard error."""
        print(f"ecgedge: {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the live line and print the summary; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._screen.close()
        if not self._heard:  # The port never opened: the error is all there is to say.
            return
        for line in ["", *self._summary.lines(), "Not a medical device."]:
            self._screen.line(line, "plain")
