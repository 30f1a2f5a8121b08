"""Hashes of the standard library without OpenSSL, whose library costs 3.5 MB of a small computer's memory.

``hashlib`` loads it when it can, and so does numpy by way of ``secrets``. Python's own hashes are as good for
checking a bundle. Only for a program of our own, and before numpy is imported: what others do with hashes
in their process is theirs.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

OWN = (("_md5",), ("_sha1",), ("_sha256", "_sha2"), ("_sha512", "_sha2"), ("_sha3",), ("_blake2",))
"""Modules of Python's own hashes, by older and newer names. Some distributions leave them out."""


def without_openssl() -> bool:
    """Load ``hashlib`` and ``hmac`` with Python's own hashes; whether that was possible.

    It is not where they are loaded already, or where this Python has no hashes of its own.
    """
    if any(name in sys.modules for name in ("hashlib", "hmac", "_hashlib")):
        return False
    if not all(any(find_spec(name) for name in names) for names in OWN):
        return False
    sys.modules["_hashlib"] = None  # type: ignore[assignment]
    try:
        import hashlib  # noqa: F401
        import hmac  # noqa: F401
    finally:
        del sys.modules["_hashlib"]
    return True
