"""One file over HTTP, so that it is there whole or not at all.

What has arrived lies beside it as ``NAME.part``; the next attempt asks for the rest (RFC 9110, 14: Range).
The ``wfdb`` package's ``dl_files`` writes into the final file, keeps no checksums, shows no progress, and
asks a fixed host: hence this.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from threading import Event

from ecgedge import __version__
from ecgedge.datasets.checksums import sha256
from ecgedge.errors import DataError

ATTEMPTS = 4
TIMEOUT_S = 30.0
PAUSE_S = 1.0
"""Before the second attempt; doubled before each further one."""
_BLOCK = 1 << 16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses after which another attempt makes sense."""
_NOTHING_LEFT = 416

Tell = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes that there are to be, where known."""


class Stopped(Exception):
    """The user has ended it."""


def download(
    url: str, path: Path, digest: str | None, stop: Event, tell: Tell = lambda have, whole: None
) -> None:
    """Fetch one file.

    Parameters
    ----------
    digest : SHA-256 in hexadecimal that the file must have; None takes what comes
    stop : set it, and the download ends soon with ``Stopped``; what has arrived stays for the next time

    Raises
    ------
    DataError
        If the server does not give the file, gives another, or the file cannot be written.
    Stopped
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for last in (False, True):
            continued = part.is_file()
            _attempts(url, part, stop, tell)
            if digest is None or sha256(part) == digest:
                part.replace(path)
                return
            part.unlink()
            if last or not continued:
                break
            # The beginning was of something else: once more from the start.
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error})",
            advice="Make room, or choose another folder.",
        ) from None
    raise DataError(f"{url} has another checksum than its list says", digest or "", "Try again later.")


def _attempts(url: str, part: Path, stop: Event, tell: Tell) -> None:
    """Fetch what is missing of ``part``; a line that breaks is taken up again."""
    pause = PAUSE_S
    for left in reversed(range(ATTEMPTS)):
        try:
            _fetch(url, part, stop, tell)
            return
        except _Passing as error:
            if not left:
                raise DataError(
                    str(error), "a connection to the server", "What has arrived stays; run it again."
                ) from None
        if stop.wait(pause):
            raise Stopped
        pause *= 2


class _Passing(Exception):
    """What another attempt may mend."""


def _fetch(url: str, part: Path, stop: Event, tell: Tell) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": f"ecgedge/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        ) as answer:
            if answer.status != http.client.PARTIAL_CONTENT:
                have = 0  # the whole file, whatever was asked for
            length = answer.headers.get("Content-Length", "")
            whole = have + int(length) if length.isdecimal() else None
            _copy(answer, part, have, whole, stop, tell)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == _NOTHING_LEFT:
            return  # all of it was there; its checksum tells
        if error.code in _PASSING:
            raise _Passing(f"{url}: status {error.code} ({error.reason})") from None
        raise DataError(
            f"{url}: status {error.code} ({error.reason})", "the file", "Is the set still at this address?"
        ) from None
    except (http.client.HTTPException, urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise _Passing(f"{url} cannot be reached ({reason})") from None


def _copy(
    answer: http.client.HTTPResponse, part: Path, have: int, whole: int | None, stop: Event, tell: Tell
) -> None:
    with part.open("ab" if have else "wb") as out:
        tell(have, whole)
        while block := _read(answer):
            if stop.is_set():
                raise Stopped
            out.write(block)
            have += len(block)
            tell(have, whole)
    if whole is not None and have < whole:
        raise _Passing(f"{answer.url}: {have} bytes of {whole} arrived")


def _read(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes; errors of the line must not be taken for errors of the disk."""
    try:
        return answer.read1(_BLOCK)
    except OSError as error:
        raise _Passing(f"{answer.url}: the connection broke ({error})") from None
