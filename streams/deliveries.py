"""Sending from an agent without waiting: settle each emission once Kafka has it.

Order matters here. The message goes first; when the broker has confirmed it the table is written,
and only when the broker has confirmed that too are the source messages acknowledged. A crash at any
point repeats work, and never loses any: before the table is written, the log is read again and the
same window is built again, with the same id.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from limelight.streams import metrics
from limelight.streams.assembly import Emission

logger = logging.getLogger(__name__)

Send = Callable[[Emission, int], Awaitable[Awaitable[Any]]]


class PartitionedTable(Protocol):
    def put(self, partition: int, key: bytes, value: bytes | None) -> Awaitable[Any] | None:
        """Set the key, or delete it for None; what it gives resolves when the broker has it."""


class Deliveries:
    """Emissions on their way, settled in the order they were sent.

    Args:
        send: starts sending an emission to a partition; the awaitable it gives resolves when the
            broker has it.
        table: where closed segments are kept.
        most_in_flight: how many may be unconfirmed before `submit` waits.
        most_bytes: the same for what they weigh together; a window has some 50 kB.
    """

    def __init__(
        self,
        send: Send,
        table: PartitionedTable,
        *,
        most_in_flight: int = 5_000,
        most_bytes: int = 64_000_000,
    ) -> None:
        self._send = send
        self._table = table
        self._in_flight: asyncio.Queue[tuple[int, int, Emission, Awaitable[Any] | None]] = (
            asyncio.Queue(most_in_flight)
        )
        self._written: asyncio.Queue[tuple[int, Emission, list[Awaitable[Any]]]] = asyncio.Queue(
            most_in_flight
        )
        self._generation = 0
        self._most_bytes = most_bytes
        self._bytes = 0
        self._freed = asyncio.Event()

    async def submit(self, emissions: Sequence[Emission], partition: int) -> None:
        """Start sending what follows from one message; waits while too much is unconfirmed."""
        generation = self._generation
        for emission in emissions:
            while self._bytes >= self._most_bytes:
                self._freed.clear()
                await self._freed.wait()
            self._bytes += len(emission.value)
            confirmed = None
            if emission.topic is not None:
                confirmed = await self._send(emission, partition)
            await self._in_flight.put((generation, partition, emission, confirmed))
        self._count()

    def forget(self) -> None:
        """Partitions have moved: whoever has them now settles; what is under way does not."""
        self._generation += 1

    async def run(self) -> None:
        """Settle for ever. A failed send ends the worker, and the log is read again."""
        stages = [asyncio.create_task(each) for each in (self._write_table(), self._settle())]
        try:
            await asyncio.gather(*stages)
        finally:
            for stage in stages:
                stage.cancel()

    async def _write_table(self) -> None:
        while True:
            generation, partition, emission, confirmed = await self._in_flight.get()
            if confirmed is not None:
                await confirmed
            if generation == self._generation:
                written = [
                    self._table.put(partition, key, value) for key, value in emission.table.items()
                ]
                pending = [each for each in written if each is not None]
                await self._written.put((generation, emission, pending))
            else:
                self._let_go(emission)
            self._count()

    async def _settle(self) -> None:
        while True:
            generation, emission, written = await self._written.get()
            for each in written:
                await each
            if generation == self._generation:
                emission.settle()
            self._let_go(emission)
            self._count()

    def _let_go(self, emission: Emission) -> None:
        self._bytes -= len(emission.value)
        self._freed.set()

    def _count(self) -> None:
        metrics.unacknowledged.set(self._in_flight.qsize() + self._written.qsize())
