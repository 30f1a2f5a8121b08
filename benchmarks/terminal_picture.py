"""README's picture: what ``ecgedge stream --port demo`` shows on a terminal, as SVG.

``python -m benchmarks.terminal_picture`` runs the real command in a pseudo-terminal, stops it in the
middle of the simulated atrial fibrillation, and draws the screen as it stood.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from benchmarks import report

TARGET = Path(__file__).parents[1] / ".github" / "terminal.svg"
COLUMNS = 120
SPEED = 40
STOP_AFTER_S = 3.6
COMMAND = f"ecgedge stream --port demo --speed {SPEED}"

# Rich's own template, without the web font that it fetches.
SVG_FORMAT = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def capture() -> str:
    """What the command wrote to its terminal until it was interrupted, control sequences included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, COLUMNS, 0, 0))
    words = [sys.executable, "-m", *COMMAND.split()]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "30"}
    run = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    stop_at, parts = time.monotonic() + STOP_AFTER_S, []
    while time.monotonic() < stop_at:
        parts.append(os.read(ours, 65536))
    run.send_signal(signal.SIGKILL)  # the screen as it stands, without the summary
    run.wait()
    os.close(ours)
    return b"".join(parts).decode()


def screen(written: str) -> str:
    """Lines that scrolled by, and the live line last: on each row what followed the last erasure counts."""
    rows = written.replace("\r\n", "\n").split("\n")
    kept = [re.split(r"\r\x1b\[2K", row)[-1] for row in rows]
    return "\n".join(re.sub(r"\x1b\[\?25[lh]", "", row) for row in kept)


def main() -> None:
    """Write the picture."""
    report.no_options("terminal_picture", __doc__)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        console = Console(record=True, width=COLUMNS, file=nothing)
        console.print(Text(f"$ {COMMAND}", style="bold"))
        console.print(Text.from_ansi(screen(capture())))
    TARGET.write_text(
        console.export_svg(title="ecgedge", theme=MONOKAI, code_format=SVG_FORMAT, unique_id="ecgedge")
    )
    print(f"{TARGET.name} written")


if __name__ == "__main__":
    main()
