"""A port that gets over its loss: cable out, board restarted, server gone, host asleep.

While it is lost a thread looks for it ten times a second; what is there but cannot be opened is tried ever
more rarely, down to every two seconds. A device that ``/dev/serial/by-id`` knows is looked for by that name
only: after two boards were unplugged, ``/dev/ttyUSB0`` may be the other one, and two hearts must not end up
in one recording.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ecgedge.arrivals import now_s
from ecgedge.errors import EcgedgeError, PortError
from ecgedge.messages import Chunk
from ecgedge.ports.base import Port

BY_ID = Path("/dev/serial/by-id")
FIRST_S, LONGEST_S = 0.1, 2.0
"""Pause before the first attempt and while there is no device; doubled after each attempt that fails, up to
the longest."""
STEADY_S = 10.0
"""A connection that lasted so long was a good one: the next loss is met with the first pause again."""
_TELL_FROM = 3
"""Attempts that fail before the reason is told: rights are set some time after a device is there."""
_JOIN_S = 2.0

Opener = Callable[[int | None], Port | None]
"""Opens at a baud rate (None: the one first asked for); gives None where the device is not there."""


def lasting_name(device: str, by_id: Path = BY_ID) -> str:
    """The name under which a device can be found when it is plugged in again; empty where it has none."""
    with suppress(OSError):
        path = Path(device)
        if path.is_symlink():  # a name of that kind already
            return device
        for link in sorted(by_id.glob("*")):
            if link.resolve() == path.resolve():
                return str(link)
    return ""


class ReconnectingPort(Port):
    """A port behind which the connection may be made anew.

    Parameters
    ----------
    name : of the port, as the user gave it
    open_ : opens it
    pauses_s : before the first attempt after a loss, and the longest

    Raises
    ------
    PortError, UsageError, MissingExtraError
        Whatever ``open_`` raises the first time: only a port that once worked is waited for.
    """

    def __init__(
        self, name: str, open_: Opener, pauses_s: tuple[float, float] = (FIRST_S, LONGEST_S)
    ) -> None:
        self.name, self._open = name, open_
        self._first_s, self._longest_s = pauses_s
        self._baud: int | None = None
        port = open_(None)
        if port is None:
            raise PortError(f"no port {name}", "a connected device", "List the ports with: ecgedge ports")
        self.protocol, self.tunable, self.lead_names = port.protocol, port.tunable, port.lead_names
        self.place, self.trouble = port.place, port.trouble
        self._port: Port | None = port
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._fatal: EcgedgeError | None = None
        self._pause_s = 0.0  # before the first attempt after the latest loss
        self._since_s = now_s()  # when it was connected, or lost

    @property
    def ended(self) -> bool:
        """True once it was closed: a loss is no end."""
        return self._closing

    @property
    def connected(self) -> bool:
        """False between a loss and the return."""
        return self._port is not None

    def read(self, timeout_s: float = 0.2) -> Chunk:
        """The next bytes; none while the port is lost, nor from the call that finds it back."""
        port = self._port
        if port is None:
            with self._condition:
                self._condition.wait_for(lambda: self._port or self._fatal or self._closing, timeout_s)
            if self._fatal is not None:
                raise self._fatal
            return Chunk(b"", now_s())
        try:
            return port.read(timeout_s)
        except PortError as error:
            self._lose(port, error)
            return Chunk(b"", now_s())

    def write(self, data: bytes) -> None:
        """Send bytes; while the port is lost nobody hears them."""
        port = self._port
        if port is not None:
            try:
                port.write(data)
            except PortError as error:
                self._lose(port, error)

    def tune(self, baud: int) -> None:
        """Go on at another baud rate, after a loss too."""
        port, self._baud = self._port, baud
        if port is not None:
            try:
                port.tune(baud)
            except PortError as error:
                self._lose(port, error)

    def close(self) -> None:
        """Let go of the port, and stop looking for it."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        if self._port is not None:
            self._port.close()

    def _lose(self, port: Port, error: PortError) -> None:
        lasted_s = now_s() - self._since_s
        doubled_s = 0.0 if lasted_s >= STEADY_S else 2 * self._pause_s
        self._pause_s = min(max(doubled_s, self._first_s), self._longest_s)
        self._since_s = now_s()
        self.trouble = f"{error.received}; waiting for it to come back"
        self._port = None
        port.close()  # before anything else: a device still held comes back under another name
        self._thread = threading.Thread(target=self._bring_back, name=f"return of {self.name}", daemon=True)
        self._thread.start()

    def _bring_back(self) -> None:
        """Thread: open the port again as soon as that can be done."""
        pause_s, failed = self._pause_s, 0
        while not self._waited(pause_s):
            try:
                port = self._open(self._baud)
            except PortError as error:
                failed, pause_s = failed + 1, min(2 * pause_s, self._longest_s)
                if failed >= _TELL_FROM:
                    self.trouble = f"{error}; waiting for it"
                continue
            except EcgedgeError as error:
                with self._condition:
                    self._fatal = error
                    self._condition.notify_all()
                return
            if port is not None:
                self._come_back(port)
                return
            pause_s = self._first_s  # to see that it is not there costs nothing

    def _waited(self, pause_s: float) -> bool:
        """Wait; whether the port was closed meanwhile."""
        with self._condition:
            return self._condition.wait_for(lambda: self._closing, pause_s)

    def _come_back(self, port: Port) -> None:
        with self._condition:
            if self._closing:
                port.close()
                return
            self._since_s = now_s()
            self.place, self.trouble = port.place, port.trouble
            self.connections += 1
            self._port = port
            self._condition.notify_all()
