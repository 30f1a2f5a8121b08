"""Bytes that nothing makes sense of, in words: what is seen, and what to try."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ecgedge.messages import Chunk
from ecgedge.wire.text import MAX_VALUES, parse_line

if TYPE_CHECKING:
    from ecgedge.wire.recognise import WireProtocol

EXCERPT = 1024
"""So many of the latest bytes are looked at."""
_SHOWN = 12


def explain(recent: bytes, tried: Sequence[WireProtocol], known: Sequence[WireProtocol]) -> str:
    """One line on bytes that none of ``tried`` makes sense of.

    Parameters
    ----------
    recent : the latest bytes, not empty
    tried : the protocols that were tried
    known : all there are
    """
    share = sum(byte in b"\t\r\n" or 0x20 <= byte < 0x7F for byte in recent) / max(1, len(recent))
    wanted = f"as {tried[0].name}" if len(tried) == 1 else "as what any known board sends"
    seen = (
        f"these bytes make no sense {wanted} ({100 * share:.0f} % printable, for example "
        f"{recent[:_SHOWN].hex(' ')}{' ...' if len(recent) > _SHOWN else ''})"
    )
    rates = ", ".join(map(str, sorted({rate for row in known for rate in row.baud_rates})))
    other = _other(recent, tried, known)
    if other is not None:
        return f"{seen}; they look like {other}. Try --protocol {other}"
    if share > 0.95 and recent.count(b"\n") > 1:
        whole = recent.split(b"\n")[1]
        line = whole[:40].decode("ascii", "replace").strip()
        what = f"more than {MAX_VALUES} numbers" if parse_line(_few(whole)) is not None else "not numbers"
        seen += f"; a line reads {line!r}, {what}. Check what the board's sketch prints;"
        return f"{seen} if that line is gibberish, try another --baud ({rates})"
    return f"{seen}; most often the baud rate is wrong. Try another --baud ({rates}) or --protocol"


def _few(line: bytes) -> bytes:
    """As much of a line as may be read."""
    return b",".join(re.split(rb"[,;\t]", line.strip())[:MAX_VALUES])


def _other(recent: bytes, tried: Sequence[WireProtocol], known: Sequence[WireProtocol]) -> str | None:
    """A protocol that is not being tried, yet makes sense of the bytes."""
    names = {row.name for row in tried}
    for row in known:
        if row.guess and row.name not in names:
            decoder = row.decoder()
            decoder.push(Chunk(recent, 0.0))
            if decoder.protocol is not None:
                return row.name
    return None
