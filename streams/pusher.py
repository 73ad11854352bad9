"""The pusher agent: `highlights` in, webhooks out, in order for each room.

A room whose event is being retried holds up nobody but itself. An event is acknowledged when it
is delivered, or when it has gone to `dlq` with the reason.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable

import faust

from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.faust_app import raw_topic
from limelight.streams.highlight_records import ENRICHED, decode_highlight
from limelight.streams.records import MalformedRecord, header_map
from limelight.streams.settings import PushSettings, Settings
from limelight.streams.topics import Topics
from limelight.streams.webhook import Attempt, Outcome, WebhookClient, check_endpoint

logger = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]
Job = Callable[[], Awaitable[None]]
Post = Callable[[str, bytes], Awaitable[Attempt]]


class Delivery:
    """Tries one event until it is delivered, given up, or unwanted."""

    def __init__(
        self, settings: PushSettings, post: Post, *, rng: random.Random, sleep: Sleep
    ) -> None:
        self.switched_off: str | None = None
        self._settings = settings
        self._post = post
        self._rng = rng
        self._sleep = sleep

    async def deliver(self, event_id: str, body: bytes) -> str | None:
        """None when delivered, else why not.

        Waits first_backoff_s, then twice that, ... up to max_backoff_s, each shortened by up to
        half at random so that many senders do not return at once; a receiver's Retry-After is
        heeded within the same bound.
        """
        for attempt_number in range(self._settings.max_attempts):
            if self.switched_off:
                return self.switched_off
            attempt = await self._post(event_id, body)
            metrics.pushes_total.labels(attempt.outcome.value).inc()
            if attempt.outcome is Outcome.DELIVERED:
                return None
            if attempt.outcome is Outcome.GONE:
                self.switched_off = f"endpoint switched off: {attempt.reason}"
                logger.error("endpoint switched off", extra={"reason": attempt.reason})
                return self.switched_off
            logger.warning("push failed", extra={"id": event_id, "reason": attempt.reason})
            if attempt_number + 1 < self._settings.max_attempts:
                await self._sleep(self._backoff_s(attempt_number, attempt.retry_after_s))
        return f"gave up after {self._settings.max_attempts} attempts: {attempt.reason}"

    def _backoff_s(self, attempt_number: int, retry_after_s: float | None) -> float:
        most_s = self._settings.max_backoff_s
        backoff_s = min(most_s, self._settings.first_backoff_s * 2.0**attempt_number)
        wait_s = backoff_s * self._rng.uniform(0.5, 1.0)
        return max(wait_s, min(retry_after_s or 0.0, most_s))


class _Places:
    """So many at a time, until they are abandoned."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)
        self._waiting = 0
        self._abandoned = False

    async def take(self) -> bool:
        """Wait for a place; whether there was one, instead of the end of all places."""
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        return not self._abandoned

    def give_back(self) -> None:
        self._free.release()

    def abandon(self) -> None:
        """Let everybody through who waits, with nothing."""
        self._abandoned = True
        for _ in range(self._waiting):
            self._free.release()


class RoomLanes:
    """Runs jobs of one room one after the other, those of different rooms side by side.

    A job that fails ends its lane and is told to `on_failure`; nothing behind it is run, for it
    would overtake.

    Args:
        most_rooms: how many rooms may have work at a time.
        most_jobs: how many jobs may wait or run, over all rooms.
    """

    def __init__(
        self,
        most_rooms: int,
        on_failure: Callable[[Exception], Awaitable[None]],
        *,
        most_jobs: int,
    ) -> None:
        self._most_rooms = most_rooms
        self._most_jobs = most_jobs
        self._on_failure = on_failure
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: dict[str, deque[Job]] = {}
        self._rooms = _Places(self._most_rooms)
        self._jobs = _Places(self._most_jobs)

    async def put(self, room_id: str, job: Job) -> None:
        """Queue the job; waits while there are as many jobs, or rooms with work, as allowed.

        What is still waiting when `clear` is called is dropped like the rest.
        """
        rooms, jobs = self._rooms, self._jobs
        if not await jobs.take():
            return
        if room_id in self._lanes:
            self._lanes[room_id].append(job)
            return
        if not await rooms.take():
            return
        self._lanes[room_id] = deque([job])
        task = asyncio.create_task(self._run(self._lanes, room_id, rooms, jobs))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(
        self, lanes: dict[str, deque[Job]], room_id: str, rooms: _Places, jobs: _Places
    ) -> None:
        lane = lanes[room_id]
        try:
            while lane:
                await lane.popleft()()
                jobs.give_back()
        except Exception as error:
            await self._on_failure(error)
            return
        del lanes[room_id]
        rooms.give_back()

    def clear(self) -> None:
        """Drop what waits and stop what runs; the log still has it.

        Lanes and places are made anew: a task that is cancelled before its first step could not
        give its own back.
        """
        for task in self._tasks:
            task.cancel()
        self._rooms.abandon()
        self._jobs.abandon()
        self._begin_anew()


def install_pusher(app: faust.App, settings: Settings) -> None:
    """Add the pusher's agent to the app; without an endpoint highlights stay on their topic."""
    if not settings.push.endpoint:
        logger.info("no push.endpoint: highlights stay on their topic")
        return
    check_endpoint(settings.push)
    topics = Topics(settings.kafka.topic_prefix)
    dlq = raw_topic(app, topics.name("dlq"))

    async def fail(error: Exception) -> None:
        logger.error("pusher failed", exc_info=error)
        await app.crash(error)

    lanes = RoomLanes(
        settings.push.max_rooms_in_flight, fail, most_jobs=settings.push.max_events_in_flight
    )

    async def reject(event: faust.types.EventT, reason: str) -> None:
        message = event.message
        metrics.dead_letters_total.labels("highlights").inc()
        origin = Origin("highlights", message.partition, message.offset)
        headers = header_map(message.headers)
        letter = encode_dead_letter(origin, reason, message.value, headers)
        await (await dlq.send(key=str(origin).encode(), value=letter))
        event.ack()

    @app.agent(raw_topic(app, topics.name("highlights")), name="pusher")  # type: ignore[untyped-decorator]
    async def push(highlights: faust.StreamT[bytes]) -> None:
        async with WebhookClient(settings.push) as client:
            delivery = Delivery(
                settings.push, client.post, rng=random.Random(), sleep=asyncio.sleep
            )
            async for event in highlights.noack().events():
                try:
                    highlight = decode_highlight(
                        event.message.value, max_bytes=settings.kafka.max_message_bytes
                    )
                except MalformedRecord as error:
                    await reject(event, str(error))
                    continue

                async def job(
                    event: faust.types.EventT = event,
                    highlight: dict = highlight,  # type: ignore[type-arg]
                ) -> None:
                    reason = await delivery.deliver(highlight["id"], event.message.value)
                    if reason is not None:
                        await reject(event, reason)
                        return
                    event.ack()
                    closed_at_ms = highlight["data"]["timings"].get("closed_at_ms")
                    # How long an enriched one took is the enricher's to tell.
                    if closed_at_ms and highlight["data"].get("kind") != ENRICHED:
                        metrics.push_latency_seconds.observe(time.time() - closed_at_ms / 1000)

                await lanes.put(highlight["data"]["room_id"], job)

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def forget(app: faust.App, revoked: set[object], **kwargs: object) -> None:
        lanes.clear()
