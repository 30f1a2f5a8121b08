"""Standard input, output and error, as every command may rely on them."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Put streams in place where there are none, and let no character stop one.

    A program may be started with a stream closed (``2>&-``, some services): what it says there goes nowhere.
    A character that the terminal's encoding does not have, or a byte of a file name that is no text, is
    written as its escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # Takes the lowest number that is free, which is the stream's own: no file will be taken for it.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush meets no closed pipe."""
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 -- os.devnull is no path of ours
        os.dup2(nothing.fileno(), sys.stdout.fileno())
