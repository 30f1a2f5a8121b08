"""Errors that a user can mend: each says what was received, what was expected, and what to do.

The command line prints them as one line and ends with the class's exit code; nothing else should
reach the terminal for a user's mistake.
"""

from __future__ import annotations


class EcgedgeError(Exception):
    """Base of all errors this package raises on purpose.

    Parameters
    ----------
    received : what was found, in words
    expected : what would have been right
    advice : what to do about it
    """

    exit_code = 1

    def __init__(self, received: str, expected: str = "", advice: str = "") -> None:
        self.received = received
        self.expected = expected
        self.advice = advice
        parts = [received]
        if expected:
            parts.append(f"expected {expected}")
        line = "; ".join(parts)
        super().__init__(f"{line}. {advice}" if advice else line)


class UsageError(EcgedgeError):
    """A word or value on the command line that makes no sense here (exit code 2)."""

    exit_code = 2


class PortError(EcgedgeError):
    """A port that cannot be opened, or was lost (exit code 3)."""

    exit_code = 3


class BundleError(EcgedgeError):
    """A model bundle that is missing, damaged or not what its manifest says (exit code 4)."""

    exit_code = 4


class RecordingError(EcgedgeError):
    """A recording that cannot be read (exit code 5)."""

    exit_code = 5


class DataError(EcgedgeError):
    """A data set that is missing or damaged (exit code 6)."""

    exit_code = 6


class MissingExtraError(EcgedgeError):
    """A command that needs an extra which is not installed (exit code 7)."""

    exit_code = 7


class UnrecognisedError(EcgedgeError):
    """Bytes arrived, but no protocol makes sense of them (exit code 8)."""

    exit_code = 8
