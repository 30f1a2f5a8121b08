"""Keeps the converters' chatter from the terminal, unless it is needed to understand a failure."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ecgedge.errors import EcgedgeError


class ConversionError(EcgedgeError):
    """A converter that gave up (exit code 9, as the gate's)."""

    exit_code = 9


@contextmanager
def quiet(step: str) -> Iterator[None]:
    """Hold back what Python and native code write to both standard streams; show it if the step fails.

    onnx2tf and TensorFlow print from C++, from loggers and from programs they start, so the descriptors
    themselves are turned to a file.

    Raises
    ------
    ConversionError
        In place of any error within that is none of ours, with that error's first line.
    """
    with tempfile.TemporaryFile() as chatter:
        try:
            with _turned_to(chatter), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the converters' own internals
                yield
        except (Exception, SystemExit) as error:  # onnx2tf ends the interpreter where it gives up
            chatter.seek(0)
            sys.stderr.write(chatter.read().decode(errors="replace"))
            if isinstance(error, EcgedgeError):
                raise
            reason = (str(error).strip().splitlines() or [""])[0]
            raise ConversionError(
                f"{step} failed ({type(error).__name__}: {reason})", advice="What it printed stands above."
            ) from error


@contextmanager
def silent() -> Iterator[None]:
    """Drop what native code writes to both standard streams; errors pass."""
    with tempfile.TemporaryFile() as chatter, _turned_to(chatter):
        yield


@contextmanager
def _turned_to(chatter: IO[bytes]) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    os.dup2(chatter.fileno(), 1)
    os.dup2(chatter.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in enumerate(kept, 1):
            os.dup2(original, descriptor)
            os.close(original)
