"""What decoders of boards with fixed packets share: framing, proof, recovery and exact counters of bytes.

A decoder says where a packet may begin and what stands there; here is decided whether to believe it. The
first packets are believed when a run of them follows each other without a byte in between; after damage a
shorter run is enough. What is believed is placed by ``placing`` and becomes SampleBlocks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from ecgedge.messages import Board, Chunk, Counters, SampleBlock, Status
from ecgedge.wire.placing import Counted, Packet, Placed, RateChoice, Running

if TYPE_CHECKING:
    from collections.abc import Iterable

MORE: Final = "more"
BAD: Final = "bad"
_DAMAGE = 4096
"""Damage beyond so many bytes is left to be told by timing."""
Read = Packet | Literal["more", "bad"]
Out = Board | SampleBlock | Status


@dataclass(frozen=True, slots=True)
class Nature:
    """What the first packets have told of a board."""

    board: Board
    rates_hz: tuple[float, ...] = ()
    """Rates that such boards sample at: with several, arrival times tell which; the board tells one itself;
    with none it is left to the clock."""


class PacketDecoder(ABC):
    """Bytes of a board that sends packets of fixed size -> Board, SampleBlock.

    Every byte is part of a packet that was believed, or held (less than ``PROOF`` packets), or counted in
    ``discarded_bytes``. ``bad_frames`` counts the places at which the bytes left the layout (a counter that
    jumped for one packet included) and packets that were received twice. Never raises, whatever the bytes.
    """

    NAME: ClassVar[str]
    PROOF: ClassVar[int] = 8
    """Packets in a row that prove the layout."""
    RESUME: ClassVar[int] = 2
    """Packets in a row that are believed after damage, or where the counter jumps."""
    MODULUS: ClassVar[int | None] = None
    """The packet counter counts modulo this; None where packets carry none."""

    def __init__(self) -> None:
        self.protocol: str | None = None
        self._held = b""
        self._at = 0  # position of the first held byte in the stream
        self._arrivals: deque[tuple[int, float]] = deque()  # position behind a chunk, its arrival
        self._in_step = False
        self._before: Packet | None = None
        self._damage = b""  # since the last packet
        self._bytes = self._discarded = self._frames = self._bad = 0
        self._samples = self._leads_off = 0
        self._nature: Nature | None = None
        self._announced = False
        self._rate = RateChoice(())
        self._placer: Counted | Running = Running()

    # -- what a layout says of itself ---------------------------------------------------------------

    @abstractmethod
    def _seek(self, data: bytes, at: int) -> int:
        """Where, from ``at`` on, a packet may begin; ``len(data)`` where none can have begun."""

    @abstractmethod
    def _read(self, data: bytes, at: int) -> Read:
        """The packet at ``at``, MORE where it is not all there, BAD where it is none."""

    @abstractmethod
    def _learn(self, packets: list[Packet]) -> Nature | None:
        """What the first packets tell; None where they are not to be believed after all."""

    def _lost_in(self, damage: bytes) -> int:
        """How many packets a damaged stretch seems to have held, where no counter tells."""
        return 0

    def _follows(self, before: Packet, packet: Packet) -> bool:
        """Whether two packets, one right behind the other, come from one board."""
        same = before.size == packet.size
        if self.MODULUS is None or before.counter is None or packet.counter is None:
            return same
        return same and packet.counter == (before.counter + 1) % self.MODULUS

    def _interpret(self, packets: list[Packet]) -> list[Packet]:
        """What a layout makes of packets that it can judge only together."""
        return packets

    def _last(self) -> list[Packet]:
        """What ``_interpret`` held back, at the end of the stream."""
        return []

    # -- what a reader sees ---------------------------------------------------------------------------

    @property
    def counters(self) -> Counters:
        """What has been read and dropped so far."""
        dropped = self._placer.dropped
        return Counters(
            bytes=self._bytes,
            discarded_bytes=self._discarded + self._placer.dropped_bytes,
            frames=self._frames - dropped,
            bad_frames=self._bad + dropped,
            samples=self._samples,
            leads_off=self._leads_off,
        )

    def push(self, chunk: Chunk) -> list[Out]:
        """What the bytes up to here say."""
        if not chunk.data:
            return []
        self._bytes += len(chunk.data)
        self._arrivals.append((self._bytes, chunk.arrival_s))
        out: list[Out] = []
        self._deliver(self._packets(self._held + chunk.data), out)
        return out

    def finish(self) -> list[Out]:
        """The stream has ended: an unfinished packet is discarded, what was held back is told."""
        self._discarded += len(self._held)
        self._at += len(self._held)
        self._held = b""
        out: list[Out] = []
        self._place(self._rate.push(self._last()) + self._rate.finish(), out)
        self._blocks(self._placer.finish(), out)
        return out

    # -- bytes to packets -----------------------------------------------------------------------------

    def _packets(self, data: bytes) -> list[Packet]:
        """Packets that can be believed; keeps the rest of the bytes."""
        found: list[Packet] = []
        at = 0
        while at < len(data):
            begin = self._seek(data, at)
            if begin > at:
                self._skip(data[at:begin])
                at = begin
                continue
            run = self._run(data, at)
            if run == MORE:
                break
            if run == BAD:
                self._skip(data[at : at + 1])
                at += 1
                continue
            self._in_step, self._before = True, run[-1]
            self._frames += len(run)
            if self._damage:
                run[0].lost = self._lost_in(self._damage) if len(self._damage) < _DAMAGE else 0
                self._damage = b""
            for packet in run:
                at += packet.size
                packet.arrival_s = self._arrival(self._at + at)
            found += run
        self._held, self._at = data[at:], self._at + at
        while self._arrivals and self._arrivals[0][0] <= self._at:  # no packet to come ends there
            self._arrivals.popleft()
        return found

    def _skip(self, data: bytes) -> None:
        self._bad += self._in_step
        self._in_step = False
        self._discarded += len(data)
        if self._before is not None and len(self._damage) < _DAMAGE:
            self._damage += data

    def _run(self, data: bytes, at: int) -> list[Packet] | Literal["more", "bad"]:
        """As many packets in a row as it takes to believe them."""
        need = self.PROOF if self.protocol is None else 1 if self._in_step else self.RESUME
        run: list[Packet] = []
        while len(run) < need:
            packet = self._read(data, at)
            if not isinstance(packet, Packet):
                return packet
            if run and not self._follows(run[-1], packet):
                return BAD
            if self._before is not None and need == 1 and not self._follows(self._before, packet):
                need = self.RESUME  # packets were lost, or this one's counter is damaged
            run.append(packet)
            at += packet.size
        if self.protocol is None:
            self._nature = self._learn(run)
            if self._nature is None:
                return BAD
            self.protocol = self.NAME
            self._rate = RateChoice(self._nature.rates_hz)
        return run

    def _arrival(self, end: int) -> float:
        """When the byte in front of stream position ``end`` came."""
        while self._arrivals[0][0] < end:
            self._arrivals.popleft()
        return self._arrivals[0][1]

    # -- packets to blocks ----------------------------------------------------------------------------

    def _deliver(self, packets: list[Packet], out: list[Out]) -> None:
        if packets:
            self._place(self._rate.push(self._interpret(packets)), out)

    def _place(self, packets: list[Packet], out: list[Out]) -> None:
        if not packets or self._nature is None:
            return
        if not self._announced:
            self._announced = True
            board = self._board(self._nature.board, self._rate.rate_hz)
            out.append(board)
            if self.MODULUS is not None:
                self._placer = Counted(self.MODULUS, board.rate_hz)
        self._blocks(self._placer.push(packets), out)

    def _board(self, board: Board, rate_hz: float | None) -> Board:
        """The board once its rate is chosen."""
        if rate_hz is None:
            return board
        return Board(board.name, rate_hz, board.uv_per_count, board.bits, board.leads, board.lead_names)

    def _blocks(self, placed: Iterable[Placed], out: list[Out]) -> None:
        """Packets that came together and follow each other become one block."""
        rows: list[tuple[float, ...]] = []
        head: Placed | None = None

        def close() -> None:
            if head is not None and rows:
                off = head.packet.off
                self._samples += len(rows)
                self._leads_off += len(rows) if off else 0
                out.append(
                    SampleBlock(
                        head.first,
                        np.array(rows, np.float64),
                        head.packet.arrival_s,
                        off,
                        indexed=self.MODULUS is not None,
                        estimated=head.estimated,
                    )
                )

        for item in placed:
            packet = item.packet
            if (
                head is None
                or item.estimated
                or item.first != head.first + len(rows)
                or packet.arrival_s != head.packet.arrival_s
                or packet.off != head.packet.off
            ):
                close()
                head, rows = item, []
            rows += packet.rows
        close()
