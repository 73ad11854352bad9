"""Windows on their way through the engine: read, scored, delivered, committed, all at once.

    read ──► waiting windows ──► score, in one thread ──► deliver ──► commit

While one batch is on the device the next windows are read and the last scores delivered. An offset
is committed once it and all before it on its partition have been answered and the answer is safe.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aiokafka import TopicPartition

from limelight.engine.score import Rejected, Score
from limelight.engine.waiting import Waiting, WaitingWindows
from limelight.engine.window import Window
from limelight.streams.offset_ledger import OffsetLedger

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Batches whose scores are on their way to Kafka; a slow broker holds the engine back, not a batch.
MAX_UNDELIVERED = 4


class WindowScorer(Protocol):
    def score(self, windows: Sequence[Window]) -> list[Score | Rejected]: ...

    def catch_up(self) -> bool: ...

    def cost(self, window: Window) -> int: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the log a window stands, and what its answer needs to know of its record."""

    partition: TopicPartition
    offset: int
    closed_at_ms: int
    record: Any


Answers = Sequence[tuple[Place, Score | Rejected]]
# Hands the answers over; what it returns can be awaited until they are safe.
Send = Callable[[Answers], Awaitable[Awaitable[object]]]
Commit = Callable[[Mapping[Any, int]], Awaitable[None]]


@dataclass(slots=True)
class _Partition:
    """What has been read of a partition, and which of it has been answered."""

    ledger: OffsetLedger = field(default_factory=OffsetLedger)
    answered: set[int] = field(default_factory=set)


class ScorePipeline:
    """Scores what `add` is given, in batches, until `run` is cancelled or a stage fails.

    Args:
        scorer: asked in a thread of its own, one batch at a time.
        send: asked for one batch at a time, in order, so that a room's scores stay in order.
        commit: takes the last finished offset of each partition.
        max_rooms, max_wait_s: when a batch is full, and how long it waits until it is.
        deadline_s: how long after its close a window should have its score.
    """

    def __init__(
        self,
        scorer: WindowScorer,
        send: Send,
        commit: Commit,
        *,
        max_rooms: int,
        max_wait_s: float,
        deadline_s: float,
    ) -> None:
        self._scorer = scorer
        self._send = send
        self._sending = asyncio.Lock()  # handed on in the order in which it is asked for
        self._commit = commit
        self._deadline_s = deadline_s
        self._waiting: WaitingWindows[Place] = WaitingWindows(
            max_rooms=max_rooms, max_wait_s=max_wait_s, cost=scorer.cost
        )
        self._thread = ThreadPoolExecutor(1, "score")
        self._asked: list[tuple[Callable[[], object], asyncio.Future[Any]]] = []
        self._partitions: defaultdict[TopicPartition, _Partition] = defaultdict(_Partition)
        self._deliveries: set[asyncio.Task[None]] = set()
        self._last_delivery: asyncio.Task[None] | None = None
        self._work = asyncio.Event()
        self._finished = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        """How many windows wait for their batch."""
        return len(self._waiting)

    def add(self, answers: Iterable[tuple[Place, Window | None]]) -> None:
        """Takes what was read, in the order of its log; None for what has been answered already."""
        now_s, wall_ms = time.monotonic(), time.time() * 1000
        for place, window in answers:
            partition = self._partitions[place.partition]
            partition.ledger.read(place.offset)
            if window is None:
                partition.answered.add(place.offset)
                self._finished.set()
            else:
                age_s = (wall_ms - place.closed_at_ms) / 1000
                due_s = now_s - age_s + self._deadline_s
                self._waiting.add(window, place, now_s=now_s, due_s=due_s)
        self._work.set()

    async def between_batches(self, work: Callable[[], T]) -> T:
        """The result of some work with the scorer, done in its thread while no batch runs there."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append((work, done))
        self._work.set()
        return await done

    async def run(self) -> None:
        """Score, deliver and commit for ever.

        Raises:
            ExceptionGroup: what ended one of them.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._score_all(group))
                group.create_task(self._commit_all())
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def forget_partitions(self, timeout_s: float) -> None:
        """Give all partitions up: finish what is under way, commit it, leave the rest to be read.

        What is not finished in time is neither committed here nor lost: whoever gets the partition
        reads it again.
        """
        self._waiting.drop(lambda _: True)
        partitions, self._partitions = self._partitions, defaultdict(_Partition)
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
                while self._deliveries:
                    await asyncio.wait(set(self._deliveries))
                if offsets := _finished(partitions):
                    await self._commit(offsets)
        except TimeoutError:
            logger.warning("left windows to be read again")

    async def _score_all(self, group: asyncio.TaskGroup) -> None:
        catching_up = False
        while True:
            self._work.clear()
            wait_s = self._waiting.wait_s(time.monotonic())
            if not self._asked and not catching_up and wait_s != 0:
                try:
                    async with asyncio.timeout(wait_s):
                        await self._work.wait()
                except TimeoutError:
                    pass
                continue
            self._idle.clear()
            try:
                while self._asked:
                    await self._answer(*self._asked.pop(0))
                    catching_up = True
                if wait_s == 0:
                    await self._score_batch(group)
                if catching_up:
                    catching_up = await self._in_thread(self._scorer.catch_up)
            finally:
                self._idle.set()

    async def _score_batch(self, group: asyncio.TaskGroup) -> None:
        while len(self._deliveries) >= MAX_UNDELIVERED:
            await asyncio.wait(self._deliveries, return_when=asyncio.FIRST_COMPLETED)
        batch = self._waiting.take(time.monotonic())
        if not batch:
            return
        partitions = self._partitions
        windows = [each.window for each in batch]
        results = await self._in_thread(lambda: self._scorer.score(windows))
        delivery = group.create_task(
            self._answer_batch(partitions, batch, results, self._last_delivery)
        )
        self._last_delivery = delivery
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def _answer_batch(
        self,
        partitions: Mapping[TopicPartition, _Partition],
        batch: Sequence[Waiting[Place]],
        results: Sequence[Score | Rejected],
        before: asyncio.Task[None] | None,
    ) -> None:
        # One window a room, so the room tells them apart; one scored before has no result.
        places = {each.window.room_id: each.origin for each in batch}
        async with self._sending:
            safe = await self._send([(places[_room_id(result)], result) for result in results])
        await safe
        if before is not None:
            # A window scored before was answered by an earlier batch; that must be safe as well.
            await before
        for each in batch:
            partitions[each.origin.partition].answered.add(each.origin.offset)
        self._finished.set()

    async def _commit_all(self) -> None:
        while True:
            await self._finished.wait()
            self._finished.clear()
            if offsets := _finished(self._partitions):
                await self._commit(offsets)

    async def _answer(self, work: Callable[[], Any], done: asyncio.Future[Any]) -> None:
        try:
            result = await self._in_thread(work)
        except Exception as error:
            # It is the asker's to handle; scoring goes on.
            if not done.cancelled():
                done.set_exception(error)
        else:
            if not done.cancelled():
                done.set_result(result)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _finished(partitions: Mapping[TopicPartition, _Partition]) -> dict[TopicPartition, int]:
    """The last offset of each partition that is finished together with all before it."""
    found = {}
    for partition, state in partitions.items():
        next_offset = state.ledger.committable(state.answered)
        if next_offset is not None:
            found[partition] = next_offset - 1
    return found


def _room_id(result: Score | Rejected) -> str:
    return result.window.room_id if isinstance(result, Rejected) else result.room_id
