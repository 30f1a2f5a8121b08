"""The Polar H10's session against a Bluetooth that is made up, in the shape of bleak's."""

from __future__ import annotations

import asyncio
import inspect
import struct
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ecgedge.arrivals import now_s
from ecgedge.errors import MissingExtraError, PortError, UsageError
from ecgedge.messages import Chunk, SampleBlock
from ecgedge.ports import ble, open_port
from ecgedge.ports.ble import CONTROL, DATA, START, STOP, BlePort
from ecgedge.wire.polar import PolarDecoder

ACCEPTED = bytes.fromhex("f0 02 00 00 00")


class Strap:
    """What a Polar H10 does, as far as a session sees it."""

    def __init__(self, answer: bytes | None = ACCEPTED, leaves_after: int | None = None) -> None:
        self.answer, self.leaves_after = answer, leaves_after
        self.written: list[tuple[str, bytes]] = []
        self.sent = 0
        self.events: list[str] = []

    def notification(self) -> bytes:
        """73 samples that count on."""
        first = 73 * self.sent
        self.sent += 1
        time_ns = 600_000_000_000_000_000 + round((first + 72) * 1e9 / 130)
        samples = b"".join((first + k).to_bytes(3, "little") for k in range(73))
        return b"\0" + struct.pack("<QB", time_ns, 0) + samples


def bluetooth(strap: Strap, names: tuple[str | None, ...] = (None, "Polar H10 7E3A1F25")) -> Any:
    """A module like bleak with one strap in reach."""

    class BleakScanner:
        @staticmethod
        async def find_device_by_filter(filterfunc: Callable[..., bool], timeout: float = 10.0) -> Any:
            for name in names:
                device = SimpleNamespace(name=name, address="AA:BB")
                if filterfunc(device, SimpleNamespace()):
                    return device
            return None

        @staticmethod
        async def find_device_by_address(device_identifier: str, timeout: float = 10.0) -> Any:
            found = device_identifier.upper() == "AA:BB:CC:DD:EE:FF"
            return SimpleNamespace(name="x", address=device_identifier) if found else None

    class BleakClient:
        def __init__(self, address_or_ble_device: Any, disconnected_callback: Any = None) -> None:
            self._gone = disconnected_callback
            self._callbacks: dict[str, Callable[..., None]] = {}
            self._task: asyncio.Task[None] | None = None
            self.is_connected = False

        async def __aenter__(self) -> Any:
            self.is_connected = True
            strap.events.append("connected")
            return self

        async def __aexit__(self, *_: Any) -> None:
            if self._task is not None:
                self._task.cancel()
            self.is_connected = False
            strap.events.append("disconnected")

        async def start_notify(self, char_specifier: str, callback: Callable[..., None]) -> None:
            self._callbacks[char_specifier] = callback

        async def write_gatt_char(self, char_specifier: str, data: bytes, response: bool = False) -> None:
            assert self.is_connected
            strap.written.append((char_specifier, bytes(data)))
            if bytes(data) == START and strap.answer is not None:
                self._callbacks[CONTROL](None, bytearray(strap.answer))
                if strap.answer == ACCEPTED:
                    self._task = asyncio.get_running_loop().create_task(self._send())

        async def _send(self) -> None:
            while strap.leaves_after is None or strap.sent < strap.leaves_after:
                self._callbacks[DATA](None, bytearray(strap.notification()))
                await asyncio.sleep(0.005)
            self.is_connected = False
            self._gone(self)

    return SimpleNamespace(BleakScanner=BleakScanner, BleakClient=BleakClient)


def read(port: BlePort, n: int) -> tuple[list[Chunk], list[SampleBlock]]:
    decoder, chunks, blocks = PolarDecoder(), [], []
    while len(blocks) < n:
        chunk = port.read(5)
        assert chunk.data
        chunks.append(chunk)
        blocks += [m for m in decoder.push(chunk) if isinstance(m, SampleBlock)]
    return chunks, blocks


@pytest.mark.parametrize("spec", ["ble:polar-h10", "ble:polar-h10:aa:bb:cc:dd:ee:ff"])
def test_samples_come_and_the_strap_is_stopped(spec: str) -> None:
    strap = Strap()
    before_s = now_s()
    with BlePort(spec, bluetooth(strap)) as port:
        assert (port.protocol, port.live, port.ended) == ("polar-h10", True, False)
        chunks, blocks = read(port, 10)
    values = np.concatenate([block.counts[:, 0] for block in blocks])
    np.testing.assert_array_equal(values, np.arange(730))
    assert [block.first for block in blocks] == list(range(0, 730, 73))
    assert before_s < chunks[0].arrival_s <= chunks[-1].arrival_s <= now_s()
    assert strap.written == [(CONTROL, START), (CONTROL, STOP)]
    assert strap.events == ["connected", "disconnected"]
    assert port.ended
    assert port.read(0.01).data == b""
    port.close()


def test_a_strap_that_goes_out_of_reach_is_a_port_that_was_lost() -> None:
    strap = Strap(leaves_after=4)
    with BlePort("ble:polar-h10", bluetooth(strap)) as port:
        read(port, 4)  # what came before is handed out first
        with pytest.raises(PortError, match="was lost"):
            port.read(5)
        assert port.ended
    assert strap.written == [(CONTROL, START)]


def test_a_strap_that_refuses_is_told_to_stop_all_the_same() -> None:
    strap = Strap(answer=bytes.fromhex("f0 02 00 0a 00"))
    with pytest.raises(PortError, match=r"refused to start \(error 10\)"):
        BlePort("ble:polar-h10", bluetooth(strap))
    assert strap.written[-1] == (CONTROL, STOP)
    assert strap.events[-1] == "disconnected"


def test_a_strap_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ble, "ANSWER_S", 0.05)
    strap = Strap(answer=None)
    with pytest.raises(PortError, match="does not answer"):
        BlePort("ble:polar-h10", bluetooth(strap))
    assert strap.written[-1] == (CONTROL, STOP)


@pytest.mark.parametrize(
    ("spec", "names"), [("ble:polar-h10", ("Polar Sense", None)), ("ble:polar-h10:00:11", ("Polar H10",))]
)
def test_no_strap(spec: str, names: tuple[str | None, ...]) -> None:
    with pytest.raises(PortError, match="no Polar H10"):
        BlePort(spec, bluetooth(Strap(), names))


def test_no_bluetooth() -> None:
    def missing(*_: Any, **__: Any) -> Any:
        raise OSError("[org.bluez.Error.NotReady]\nResource Not Ready")

    scanner = SimpleNamespace(find_device_by_filter=missing)
    with pytest.raises(PortError, match="Resource Not Ready") as caught:
        BlePort("ble:polar-h10", SimpleNamespace(BleakScanner=scanner))
    assert "\n" not in str(caught.value)


def test_closing_twice_and_threads_end() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        port = BlePort("ble:polar-h10", bluetooth(Strap()))
        port.close()
        port.close()
    assert set(threading.enumerate()) <= before


def test_other_devices_are_refused() -> None:
    with pytest.raises(UsageError, match="polar-h10"):
        open_port("ble:toaster")


def test_without_bleak_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bleak", None)
    with pytest.raises(MissingExtraError, match=r"\.\[ble\]"):
        open_port("ble:polar-h10")


def test_the_made_up_bluetooth_has_the_shape_of_bleak() -> None:
    bleak = pytest.importorskip("bleak")
    made_up = bluetooth(Strap())
    for owner, name in (
        ("BleakScanner", "find_device_by_filter"),
        ("BleakScanner", "find_device_by_address"),
        ("BleakClient", "__init__"),
        ("BleakClient", "start_notify"),
        ("BleakClient", "write_gatt_char"),
    ):
        ours = inspect.signature(getattr(getattr(made_up, owner), name)).parameters
        theirs = inspect.signature(getattr(getattr(bleak, owner), name)).parameters
        assert set(ours) <= set(theirs), name
    assert isinstance(bleak.BleakClient.is_connected, property)
