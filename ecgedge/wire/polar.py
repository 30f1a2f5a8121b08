"""Polar H10: notifications of its measurement service (PMD), ECG at 130 Hz in microvolt.

Bluetooth delivers a notification whole. To travel as a stream of bytes like that of any other board, each
is encoded with COBS and ended with a zero by the port; the radio has checked it already. A notification is
``00``, the time of its last sample (nanoseconds, 64 bits, low byte first), a frame type (0), then counts of
24 bits. Loss is read from these times: they tell it exactly as long as notifications are of one length.
"""

from __future__ import annotations

import numpy as np

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status
from ecgedge.wire import cobs

RATE_HZ = 130.0
BOARD = Board("Polar H10", RATE_HZ, 1.0, 14, 1)
SAMPLES = 73
"""In a notification, usually."""
LONGEST = 1024
_ECG, _RAW = 0x00, 0x00
_HEAD = 10
_LONGEST_LOSS_S = 3600.0
_REPEAT_NS = 10_000_000_000
"""A time that goes back by less repeats what was received; further back, the strap started again."""


def pack(notification: bytes) -> bytes:
    """A notification as it travels in the stream of bytes."""
    return cobs.encode(notification) + cobs.DELIMITER


class PolarDecoder:
    """Bytes of ``ble:polar-h10`` -> Board, SampleBlock.

    Every byte belongs to a notification that was delivered, or is held, or is counted in
    ``discarded_bytes``; ``bad_frames`` counts notifications that are no raw ECG, or came
    before.
    """

    def __init__(self) -> None:
        self.protocol: str | None = None
        self._splitter = cobs.Splitter(cobs.DELIMITER, LONGEST)
        self._bytes = self._discarded = self._frames = self._bad = self._samples = 0
        self._next = 0
        self._last_ns: int | None = None
        self._n = 0  # samples of the notification before

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far."""
        return Counters(
            bytes=self._bytes,
            discarded_bytes=self._discarded + self._splitter.thrown,
            frames=self._frames,
            bad_frames=self._bad,
            samples=self._samples,
        )

    def push(self, chunk: Chunk) -> list[Board | SampleBlock | Status]:
        """What the bytes up to here say."""
        self._bytes += len(chunk.data)
        out: list[Board | SampleBlock | Status] = []
        for unit in self._splitter.push(chunk.data):
            if unit == b"":
                continue
            body = None if unit is None else cobs.decode(unit)
            if body is None or not self._ecg(body, chunk.arrival_s, out):
                self._bad += 1
                self._discarded += 1 + (0 if unit is None else len(unit))
        return out

    def finish(self) -> list[Board | SampleBlock | Status]:
        """The stream has ended: an unfinished notification is discarded."""
        self._discarded += self._splitter.flush()
        return []

    def _ecg(self, body: bytes, arrival_s: float, out: list[Board | SampleBlock | Status]) -> bool:
        n, rest = divmod(len(body) - _HEAD, 3)
        if n < 1 or rest or body[0] != _ECG or body[9] != _RAW:
            return False
        last_ns = int.from_bytes(body[1:9], "little")
        if self._last_ns is not None and 0 <= self._last_ns - last_ns < _REPEAT_NS:
            return False
        estimated = self._place(last_ns, n, out)
        wide = np.zeros((n, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(body, np.uint8, offset=_HEAD).reshape(n, 3)
        counts = (wide.view("<i4") >> 8).astype(np.float64)
        first_us = (last_ns - round((n - 1) * 1e9 / RATE_HZ)) // 1000
        out.append(
            SampleBlock(self._next, counts, arrival_s, indexed=True, device_us=first_us, estimated=estimated)
        )
        self.protocol = "polar-h10"
        self._frames += 1
        self._samples += n
        self._next += n
        self._last_ns, self._n = last_ns, n
        return True

    def _place(self, last_ns: int, n: int, out: list[Board | SampleBlock | Status]) -> bool:
        """Step over what was lost; whether its number is an estimate."""
        since_s = None if self._last_ns is None else (last_ns - self._last_ns) / 1e9
        if since_s is None or not 0 < since_s < _LONGEST_LOSS_S:
            out.append(BOARD)  # begins, or begins again
            self._next = 0
            return False
        missing = since_s * RATE_HZ - n
        if missing < n / 2:
            return False
        frames = missing / n
        # Notifications of one length are lost whole; the strap's crystal is off by a little.
        whole = n == self._n and abs(frames - round(frames)) < 0.25
        self._next += round(frames) * n if whole else round(missing)
        return not whole
