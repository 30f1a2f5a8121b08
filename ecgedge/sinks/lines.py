"""Messages in words, one line each: what the terminal shows and a log keeps."""

from __future__ import annotations

from collections.abc import Mapping

from ecgedge.messages import Episode, Gap, Segment, Status, Verdict
from ecgedge.sinks.summary import CAUSES, mains_words
from ecgedge.sinks.words import clock_time

SOURCES = {"declared": "declared by the board", "given": "given by --fs", "measured": "measured"}


def segment_line(message: Segment) -> str:
    """Say what signal begins."""
    source, leads = SOURCES[message.source], message.board.leads
    lead_text = "1 lead" if leads == 1 else f"{leads} leads"
    return f"{message.board.name}: {message.rate_hz:g} samples/s ({source}), {lead_text}"


def gap_line(message: Gap) -> str:
    """Say what is not there, and whether that was counted or estimated."""
    how = "about " if message.estimated else ""
    return f"gap of {how}{message.seconds:.2f} s ({how}{message.n} samples): {CAUSES[message.cause]}"


def verdict_line(message: Verdict) -> str:
    """Say a window's verdict, or why there is none, with what it came from: scores and RR intervals."""
    scores = message.scores
    values = " ".join(f"{name} {value:.2f}" for name, value in scores.scores.items())
    text = f"{scores.model}: {message.verdict}"
    if message.reasons:
        text += f" ({'; '.join(message.reasons)})"
    else:
        text += f" {message.probability:.2f}"
    if message.irregularity is not None:
        values += f", irregular RR {message.irregularity:.2f}"
    text += f" [{values}]"
    return text + (" provisional" if scores.provisional else "")


def episode_line(message: Episode) -> str:
    """Say that an episode is there, or has ended."""
    if message.state == "open":
        return (
            f"{message.kind} episode since {clock_time(message.onset_s)}, "
            f"probability {message.probability:.2f} ({message.model})"
        )
    return (
        f"{message.kind} episode ended: {clock_time(message.onset_s)} to {clock_time(message.offset_s)}, "
        f"probability {message.probability:.2f} ({message.model})"
    )


def status_line(message: Status, ectopic: Mapping[str, int] | None = None) -> str:
    """Say where the stream stands, for the live line, with the ectopic beats so far by kind."""
    parts = [clock_time(message.time_s)]
    rate = message.heart_rate_bpm
    parts.append("heart rate --" if rate is None else f"heart rate {rate:.0f}/min")
    if message.verdict is not None:
        rhythm = message.verdict
        if message.probability is not None:
            rhythm += f" {message.probability:.2f}"
        parts.append(rhythm)
    parts += [f"{kind} {n}" for kind, n in sorted((ectopic or {}).items())]
    if message.quality is not None:
        parts.append(f"quality {100 * message.quality:.0f} %")
    if message.mains_hz is not None and message.mains_share is not None and message.mains_share >= 0.05:
        parts.append(mains_words(message.mains_hz, message.mains_share))
    counters = message.counters
    lost = f"lost {counters.lost}"
    if counters.lost_estimated:
        lost += f" + about {counters.lost_estimated}"
    parts.append(lost)
    if message.state not in ("streaming", "ended"):
        parts.append(message.state.replace("_", " "))
    return "  ·  ".join(parts)
