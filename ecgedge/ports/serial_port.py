"""Serial devices and pyserial URLs, read by a thread so that arrival times do not wait for the program."""

from __future__ import annotations

import errno
import os
import re
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecgedge.arrivals import now_s
from ecgedge.errors import PortError, UsageError
from ecgedge.messages import Chunk
from ecgedge.places import absent, is_file, is_folder
from ecgedge.ports.base import Port
from ecgedge.ports.holders import holders, named
from ecgedge.ports.reconnect import BY_ID, Opener, lasting_name

if TYPE_CHECKING:
    from collections.abc import Callable

_HELD_BYTES = 1 << 20
_HELD_CHUNKS = 8192
_POLL_S = 0.1
_WRITE_S = 1.0
_JOIN_S = 2.0
_LIST = "List the ports with: ecgedge ports"


class SerialPort(Port):
    """A serial line, or anything that pyserial opens by URL.

    Parameters
    ----------
    spec : device path, COM port or pyserial URL
    baud : rate of the line

    Raises
    ------
    PortError
        Missing, busy, no permission, no serial port.
    UsageError
        A baud rate that makes no sense.
    """

    def __init__(self, spec: str, baud: int = 115200) -> None:
        self.name = spec
        self.tunable = "://" not in spec or spec.lower().startswith("rfc2217://")
        # A socket cannot tell how much is waiting; small blocks keep what a hang-up can swallow small.
        self._block = 64 if spec.lower().startswith("socket://") else 1
        self._serial = _open(spec, baud, 0.02 if self._block > 1 else _POLL_S)
        if "://" not in spec:
            self.place = os.path.realpath(spec)
        if self.place and (others := named(holders(spec))):
            self.trouble = f"{spec} is open in {others} as well: each gets only a part of the bytes"
        self._condition = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._held = 0
        self._lost: PortError | None = None
        self._closing = False
        self._ended = False
        self._thread = threading.Thread(target=self._receive, name=f"reader of {spec}", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """True once the port was closed, or its loss was reported."""
        return self._ended

    def read(self, timeout_s: float = 0.2) -> Chunk:
        """The next bytes with the time at which they came; ``data`` is empty when none did."""
        with self._condition:
            self._condition.wait_for(lambda: self._chunks or self._lost or self._closing, timeout_s)
            if self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk.data)
                self._condition.notify_all()
                return chunk
            if self._lost is not None and not self._ended:
                self._ended = True
                raise self._lost
            return Chunk(b"", now_s())

    def write(self, data: bytes) -> None:
        """Send bytes; a board that does not take them within a second just does not get them."""
        import serial

        try:
            self._serial.write(data)
        except serial.SerialTimeoutException:
            return
        except OSError as error:
            raise _unplugged(self.name, error) from None

    def tune(self, baud: int) -> None:
        """Go on at another baud rate; what came at the old one is thrown away."""
        import serial

        try:
            self._serial.baudrate = baud
            self._serial.reset_input_buffer()
        except (OSError, serial.SerialException) as error:
            raise _unplugged(self.name, error) from None
        with self._condition:
            self._chunks.clear()
            self._held = 0
            self._condition.notify_all()

    def close(self) -> None:
        """Stop the reader and let go of the port."""
        with self._condition:
            if self._closing:
                return
            self._closing = self._ended = True
            self._condition.notify_all()
        with suppress(OSError, AttributeError):
            self._serial.cancel_read()
        self._thread.join(_JOIN_S)
        with suppress(OSError):
            self._serial.close()

    def _receive(self) -> None:
        """Thread: bytes into the queue, each block with the moment of its last byte."""
        try:
            while not self._closing:
                data = self._serial.read(self._block)
                if data and self._block == 1:
                    data += self._serial.read(min(self._serial.in_waiting, 4095))
                if data:
                    self._put(Chunk(bytes(data), now_s()))
        except Exception as error:  # handlers of URLs raise what they like; none may pass unseen
            with self._condition:
                self._lost = _unplugged(self.name, error)
                self._condition.notify_all()

    def _put(self, chunk: Chunk) -> None:
        with self._condition:
            # A full queue leaves the bytes to the system's own buffer; what is lost there shows as loss.
            self._condition.wait_for(
                lambda: self._closing or (self._held < _HELD_BYTES and len(self._chunks) < _HELD_CHUNKS)
            )
            self._chunks.append(chunk)
            self._held += len(chunk.data)
            self._condition.notify_all()


def serial_opener(spec: str, baud: int, by_id: Path = BY_ID) -> Opener:
    """Opens a serial port again and again: a device by its lasting name, from the first time on.

    Parameters
    ----------
    spec, baud : as of ``SerialPort``
    by_id : folder of lasting names
    """
    place, opened = spec, False

    def open_(tuned: int | None) -> SerialPort | None:
        nonlocal place, opened
        if opened and place.startswith("/") and absent(place):
            return None
        port = SerialPort(place, baud if tuned is None else tuned)
        if not opened and "://" not in spec:
            place = lasting_name(spec, by_id) or spec
        opened = True
        return port

    return open_


def _open(spec: str, baud: int, timeout_s: float) -> Any:
    if not 1 <= baud <= 20_000_000:
        raise UsageError(f"a baud rate of {baud}", "a number such as 9600 or 115200")
    if not spec.strip():
        raise PortError("no port named", "a device, a URL, demo or replay:PATH", _LIST)
    if is_file(spec) or is_folder(spec):
        kind = "folder" if is_folder(spec) else "file"
        raise PortError(f"{spec} is a {kind}", "a serial port", f"For a recording use replay:{spec}")
    import serial

    try:
        # Exclusive: a second program on the same port would take half of the bytes.
        return serial.serial_for_url(
            spec, baudrate=baud, timeout=timeout_s, write_timeout=_WRITE_S, exclusive=True
        )
    except Exception as error:  # termios.error and what URL handlers raise share no base class
        raise _not_opened(spec, baud, error) from None


def _not_opened(spec: str, baud: int, error: Exception) -> PortError:
    """Why a port did not open, and what to do about it."""
    text = _one_line(error)
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"(?:Errno |Error\()(\d+)", text)):
        number = int(found.group(1))
    if "://" in spec:
        said = text if spec in text else f"{spec}: {text}"
        if isinstance(error, ValueError):
            return PortError(said, "a URL such as socket://host:port or rfc2217://host:port")
        return PortError(said, "a server that accepts", "Check address, port and network.")
    if number in (errno.EBUSY, errno.EAGAIN) or "Access is denied" in text:
        which = named(holders(spec))
        advice = (
            f"Close {'it' if which else 'the other program (serial monitor, another ecgedge, ModemManager)'}."
        )
        return PortError(f"{spec} is in use by {which or 'another program'}", "a free port", advice)
    if number in (errno.EACCES, errno.EPERM):
        advice = f"Join its group: sudo usermod -aG {_group(spec)} $USER, then log in again."
        return PortError(f"no permission to open {spec}", "the right to read and write", advice)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) or "FileNotFoundError" in text:
        return PortError(f"no port {spec}", "a connected device", f"Check the cable. {_LIST}")
    if number in (errno.ENOTTY, errno.EINVAL) or "configure" in text:
        return PortError(f"{spec} is no serial port", "a serial port", _LIST)
    return PortError(f"{spec} at {baud} baud cannot be opened ({text})", "a serial port", _LIST)


def _group(path: str) -> str:
    """The group that owns a device, on most systems dialout."""
    with suppress(OSError, KeyError, NotImplementedError):
        group = Path(path).group()
        if group != "root":
            return group
    return "dialout"


def _unplugged(spec: str, error: Exception) -> PortError:
    text = _one_line(error)
    if getattr(error, "errno", None) == errno.EIO or "returned no data" in text:
        text = "unplugged or switched off"
    advice = "Check the cable; a board that restarts may come back under another name (ecgedge ports)."
    return PortError(f"{spec} was lost: {text}", "", advice)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def describe_ports(by_id: Path = BY_ID, listed: Callable[[], Any] | None = None) -> list[str]:
    """One line a port: device, its lasting name under /dev/serial/by-id, what it says it is."""
    if listed is None:
        from serial.tools.list_ports import comports

        listed = comports
    lasting = {str(link.resolve()): str(link) for link in sorted(by_id.glob("*"))} if by_id.is_dir() else {}
    lines = []
    for port in sorted(listed(), key=lambda port: str(port.device)):
        about = port.description if port.description not in (None, "n/a", port.name) else ""
        lines.append("  ".join(filter(None, [port.device, lasting.get(str(port.device), ""), about])))
    return lines
