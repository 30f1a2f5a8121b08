"""A board's 32-bit sample index and microsecond clock, carried on beyond their wraps."""

from __future__ import annotations

_SPAN = 1 << 32
_HALF = 1 << 31


class Unwrapper:
    """Position of a board in its own numbering.

    An index less than half the range ahead is progress (or loss); one behind means that the board
    started again, for a board never sends an index twice.
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._device_us = 0
        self.next_index: int | None = None
        """Unwrapped index that follows the last data frame; None before the first one."""
        self.went_back = False
        """True once an index fell behind; cleared by whoever has dealt with it."""
        self._announced: int | None = None

    def restart(self) -> None:
        """The board has said that it started again: the next index and time are taken as they come."""
        self._first = None
        self.next_index = None
        self.went_back = False
        self._announced = None

    def announce(self, raw_index: int) -> None:
        """The board has said, before any data, with which sample it would go on."""
        if self.next_index is None:
            self._announced = raw_index

    def missed(self, raw_index: int) -> int | None:
        """Unwrapped index of the first sample that never came, where the board now stands at ``raw_index``.

        None where nothing is missing: between two data frames the frames themselves tell.
        """
        since = self._announced if self.next_index is None else self.next_index
        if since is None or not 0 < (raw_index - since) % _SPAN < _HALF:
            return None
        return since

    def behind(self, raw_index: int) -> bool:
        """Whether an index lies behind what has already been received."""
        if self.next_index is None:
            return False
        return (raw_index - self.next_index) % _SPAN >= _HALF

    def data(self, raw_index: int, raw_us: int, n: int, rate_hz: float | None) -> tuple[int, int]:
        """Unwrapped index and device time (microseconds) of a data frame's first sample.

        Parameters
        ----------
        raw_index, raw_us : as on the wire, 0 to 2**32 - 1
        n : samples in the frame
        rate_hz : declared rate, which tells how often the clock wrapped in a long pause
        """
        if self._first is None or self.next_index is None:
            since = self.missed(raw_index)
            first = raw_index if since is None else since + (raw_index - since) % _SPAN
            device_us = raw_us
        else:
            ahead = (raw_index - self.next_index) % _SPAN
            first = self.next_index + ahead
            if ahead < _HALF:
                device_us = self._time(raw_us, first - self._first, rate_hz)
            else:
                first -= _SPAN
                self.went_back = True
                device_us = raw_us
        self._first, self._device_us = first, device_us
        self.next_index = first + n
        return first, device_us

    def _time(self, raw_us: int, samples: int, rate_hz: float | None) -> int:
        ahead = (raw_us - self._device_us) % _SPAN
        if rate_hz is None:
            return self._device_us + ahead
        hidden_us = samples * 1e6 / rate_hz - ahead
        if hidden_us < _HALF:
            return self._device_us + ahead
        # The whole wraps that a long pause hides are those which bring the two clocks nearest.
        return self._device_us + ahead + round(hidden_us / _SPAN) * _SPAN
