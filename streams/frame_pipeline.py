"""Batches on their way from the log to the log: decoded, encoded, delivered, committed.

While batch k is on the device, k + 1 is decoded and k - 1 delivered. Every stage takes the batches
in the order in which they were read, so offsets are committed in order, and only once everything
before them has been delivered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limelight.streams.frame_batch import FrameMessage, FrameOutput, Picture

logger = logging.getLogger(__name__)

# One for each stage.
MAX_IN_FLIGHT = 3

Read = list[Picture | FrameOutput]


@dataclass(slots=True)
class _Batch:
    messages: Sequence[FrameMessage]
    offsets: Mapping[Any, int]
    dropped: bool = False
    task: asyncio.Task[None] = field(init=False)


class FramePipeline:
    """At most `MAX_IN_FLIGHT` batches at a time; the first that fails ends all that follow it.

    Args:
        decode: runs in a thread, for one batch at a time.
        encode: likewise, beside it.
        deliver: returns once the outputs are safe.
        commit: takes a batch's offsets when it has been delivered, and all before it.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[FrameMessage]], Read],
        encode: Callable[[Read], list[FrameOutput]],
        deliver: Callable[[list[FrameOutput]], Awaitable[None]],
        commit: Callable[[Mapping[Any, int]], Awaitable[None]],
    ) -> None:
        self._decode = decode
        self._encode = encode
        self._deliver = deliver
        self._commit = commit
        # asyncio's locks are handed on in the order in which they were asked for.
        self._decoding = asyncio.Lock()
        self._encoding = asyncio.Lock()
        self._in_flight: deque[_Batch] = deque()

    async def has_room(self, wait_s: float) -> bool:
        """Whether another batch may be submitted; if not at once, within that time.

        Raises:
            Exception: whatever ended a batch.
        """
        if len(self._in_flight) == MAX_IN_FLIGHT:
            await asyncio.wait({self._in_flight[0].task}, timeout=wait_s)
        while self._in_flight and self._in_flight[0].task.done():
            self._in_flight.popleft().task.result()
        return len(self._in_flight) < MAX_IN_FLIGHT

    def submit(self, messages: Sequence[FrameMessage], offsets: Mapping[Any, int]) -> None:
        """Begin with a batch, of any partitions, for which there is room."""
        batch = _Batch(messages, offsets)
        before = self._in_flight[-1].task if self._in_flight else None
        batch.task = asyncio.create_task(self._run(batch, before))
        self._in_flight.append(batch)

    async def drain(self, timeout_s: float) -> None:
        """Wait for what is in flight; drop what takes longer, neither delivered nor committed.

        A batch that is being delivered when the time is over is delivered, but not committed.
        """
        if self._in_flight:
            await asyncio.wait({batch.task for batch in self._in_flight}, timeout=timeout_s)
        for batch in self._in_flight:
            # A thread cannot be stopped, and the encoder serves one at a time: it runs to its end.
            batch.dropped = not batch.task.done()
        if dropped := sum(batch.dropped for batch in self._in_flight):
            logger.warning("left frames to be read again", extra={"batches": dropped})

    async def close(self) -> None:
        """Stop at once; what has not been committed will be read again."""
        tasks = [batch.task for batch in self._in_flight]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._in_flight.clear()

    async def _run(self, batch: _Batch, before: asyncio.Task[None] | None) -> None:
        async with self._decoding:
            frames = await asyncio.to_thread(self._decode, batch.messages)
        batch.messages = ()  # the pictures' bytes are free to go
        async with self._encoding:
            outputs = await asyncio.to_thread(self._encode, frames)
        if before is not None:
            await before  # and fail with it
        if batch.dropped:
            return
        await self._deliver(outputs)
        if not batch.dropped:
            await self._commit(batch.offsets)
