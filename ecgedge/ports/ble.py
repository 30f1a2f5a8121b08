"""Bluetooth: ``ble:polar-h10`` or ``ble:polar-h10:ADDRESS``, with the extra ``ble`` (bleak).

A thread of its own runs the connection. Each notification of the strap's measurement service goes, encoded
as ``wire.polar`` has it, into the stream of bytes that a port is. The strap is told to stop in the end,
whatever happened: one that goes on measuring empties its battery.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any

from ecgedge.arrivals import now_s
from ecgedge.errors import EcgedgeError, MissingExtraError, PortError, UsageError
from ecgedge.messages import Chunk
from ecgedge.ports.base import Port
from ecgedge.wire.polar import pack

PREFIX = "ble:"
DEVICES = {"polar-h10": "Polar H10"}
"""What can be connected, and how its advertised name begins."""
CONTROL = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"
DATA = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"
START = bytes.fromhex("02 00 00 01 82 00 01 01 0e 00")
"""ECG, 130 Hz, 14 bit."""
STOP = bytes.fromhex("03 00")
_ANSWER = 0xF0
FIND_S = 20.0
ANSWER_S = 5.0
_JOIN_S = 5.0
_HELD_CHUNKS = 8192
_WEAR = "Wear the strap with wet electrodes, and end other apps that are connected to it."


class BlePort(Port):
    """A strap, connected.

    Parameters
    ----------
    spec : ``ble:polar-h10``, or with ``:ADDRESS`` where there are several
    backend : what ``import bleak`` gives; for tests

    Raises
    ------
    UsageError
        A device of another kind.
    MissingExtraError
        bleak is not installed.
    PortError
        No Bluetooth, no strap, or it refuses.
    """

    protocol = "polar-h10"
    lead_names = ("ECG",)

    def __init__(self, spec: str, backend: Any = None) -> None:
        kind, _, self._address = spec[len(PREFIX) :].partition(":")
        if kind not in DEVICES:
            raise UsageError(f"the Bluetooth device {kind!r}", f"one of {', '.join(DEVICES)}")
        self.name, self._called = spec, DEVICES[kind]
        self._backend = _bleak() if backend is None else backend
        self._condition = threading.Condition()
        self._chunks: deque[Chunk] = deque()
        self._error: EcgedgeError | None = None
        self._open = self._ended = self._closing = False
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._answer: asyncio.Queue[bytes] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name=f"Bluetooth {spec}", daemon=True)
        self._thread.start()
        with self._condition:
            self._condition.wait_for(lambda: self._open or self._error)
        if self._error is not None:
            self._ended = True
            self._thread.join(_JOIN_S)
            raise self._error

    @property
    def ended(self) -> bool:
        """True once the port was closed, or its loss was reported."""
        return self._ended

    def read(self, timeout_s: float = 0.2) -> Chunk:
        """The next notification, encoded; ``data`` is empty when none came."""
        with self._condition:
            self._condition.wait_for(lambda: self._chunks or self._error or self._closing, timeout_s)
            if self._chunks:
                return self._chunks.popleft()
            if self._error is not None and not self._ended:
                self._ended = True
                raise self._error
            return Chunk(b"", now_s())

    def write(self, data: bytes) -> None:
        """A strap takes no commands by this way."""

    def close(self) -> None:
        """Tell the strap to stop, and let go of it."""
        with self._condition:
            if self._closing:
                return
            self._closing = self._ended = True
            self._condition.notify_all()
        with suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_JOIN_S)

    # -- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._session())
        except Exception as error:  # each system's Bluetooth raises what it likes
            self._fail(_said(self.name, error))
        finally:
            self._loop.close()

    async def _session(self) -> None:
        device = await self._find()
        client = self._backend.BleakClient(device, disconnected_callback=self._gone)
        async with client:
            asked = False
            try:
                await client.start_notify(CONTROL, self._answered)
                await client.start_notify(DATA, self._notified)
                asked = True
                await client.write_gatt_char(CONTROL, START, response=True)
                await self._check()
                with self._condition:
                    self._open = True
                    self._condition.notify_all()
                await self._over.wait()
            finally:
                if asked and client.is_connected:
                    with suppress(Exception):
                        await client.write_gatt_char(CONTROL, STOP, response=True)

    async def _find(self) -> Any:
        scanner = self._backend.BleakScanner
        if self._address:
            device = await scanner.find_device_by_address(self._address, timeout=FIND_S)
        else:
            device = await scanner.find_device_by_filter(
                lambda found, _: (found.name or "").startswith(self._called), timeout=FIND_S
            )
        if device is None:
            which = f"{self._called} {self._address}".strip()
            raise PortError(f"no {which} within {FIND_S:g} s", "a strap in reach", _WEAR)
        return device

    async def _check(self) -> None:
        """The strap's answer to the start: its fourth byte is 0 where it obeys."""
        while True:
            try:
                answer = await asyncio.wait_for(self._answer.get(), ANSWER_S)
            except asyncio.TimeoutError:
                raise PortError(f"{self.name} does not answer", "an answer to the start", _WEAR) from None
            if len(answer) >= 4 and answer[0] == _ANSWER and answer[1] == START[0]:
                if answer[3]:
                    raise PortError(f"{self.name} refused to start (error {answer[3]})", "", _WEAR)
                return

    def _answered(self, _: Any, data: bytearray) -> None:
        self._answer.put_nowait(bytes(data))

    def _notified(self, _: Any, data: bytearray) -> None:
        with self._condition:
            if len(self._chunks) < _HELD_CHUNKS:  # what is lost beyond shows in the strap's own clock
                self._chunks.append(Chunk(pack(bytes(data)), now_s()))
                self._condition.notify_all()

    def _gone(self, _: Any) -> None:
        if not self._closing:
            self._fail(PortError(f"{self.name} was lost: out of reach or switched off", "", _WEAR))
        self._loop.call_soon_threadsafe(self._over.set)

    def _fail(self, error: EcgedgeError) -> None:
        with self._condition:
            if self._error is None:
                self._error = error
            self._condition.notify_all()


def _bleak() -> Any:
    try:
        import bleak  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise MissingExtraError(
            "Bluetooth needs bleak, which is not installed", advice="In a checkout: pip install '.[ble]'"
        ) from None
    return bleak


def _said(name: str, error: Exception) -> EcgedgeError:
    if isinstance(error, EcgedgeError):
        return error
    text = " ".join(str(error).split())[:160] or type(error).__name__
    return PortError(f"{name}: {text}", "a Bluetooth adapter that is switched on", _WEAR)
