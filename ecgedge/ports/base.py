"""What every port is to the rest of the program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING

from ecgedge.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Self

    from ecgedge.messages import Chunk


class Port(ABC):
    """A source of bytes with arrival times, which may also take bytes."""

    name: str
    protocol: str | None = None
    """The protocol that the other side is known to speak; None where it must be recognised."""
    live: bool = True
    """True where bytes come at the pace of the world, so that silence means something."""
    lead_names: tuple[str, ...] = ()
    """Names of the leads where the port knows them (a replay)."""
    tunable: bool = False
    """True where ``tune`` changes the rate of a serial line."""
    connections: int = 1
    """How often it was connected: one more after each loss that it got over."""
    place: str = ""
    """The device behind it just now (a board that comes back may have another); empty where there is none."""
    trouble: str = ""
    """What is wrong with the port just now, in words; empty where nothing is known to be."""

    @property
    def connected(self) -> bool:
        """False while the port is lost and may yet come back."""
        return True

    @property
    @abstractmethod
    def ended(self) -> bool:
        """True when no byte will come any more and all were read."""

    @abstractmethod
    def read(self, timeout_s: float = 0.2) -> Chunk:
        """The next bytes, waiting for them up to ``timeout_s``; ``data`` is empty when none came.

        Raises
        ------
        PortError
            When the port was lost; bytes that came before are handed out first.
        """

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send bytes; a receiver that takes none is no error, since listening is optional.

        Raises
        ------
        PortError
            When the port was lost.
        """

    def tune(self, baud: int) -> None:
        """Go on at another baud rate; what came at the old one is thrown away.

        Raises
        ------
        PortError
            When the port was lost.
        UsageError
            When this port has no baud rate.
        """
        raise UsageError(f"a baud rate of {baud} for {self.name}", "a serial port")

    @abstractmethod
    def close(self) -> None:
        """Let go of the port; closing twice is fine."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
