"""ecgedge: an arrhythmia monitor from a single-lead ECG sensor and a small computer.

Not a medical device. Importing this package pulls in nothing beyond the standard library; ``open_stream``
brings the rest when it is first looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgedge.api import open_stream

__version__ = "0.1.0"
__all__ = ["__version__", "open_stream"]


def __getattr__(name: str) -> Any:
    if name == "open_stream":
        from ecgedge.api import open_stream

        return open_stream
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
