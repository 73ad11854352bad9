"""Playing recordings into Kafka at a chosen speed, as if their rooms were on air."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from limelight.replay.recording import Recording
from limelight.replay.script import COMMENT_LIST_MS, ScriptedMessage, script
from limelight.streams.kafka import make_producer
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics
from limelight.streams.user_ids import make_user_key

# Messages read ahead of their time, so that decoding a picture does not delay the rest.
_READ_AHEAD = 256
# About this many marks a second of real time; more would only cost, fewer would delay closing.
_MARKS_A_SECOND = 5


def mark_interval_ms(speed: float) -> int:
    """Event time between marks: a multiple of the comment lists' grid that suits the speed."""
    wanted_ms = 1_000 * (speed or 60.0) / _MARKS_A_SECOND
    return max(1, round(wanted_ms / COMMENT_LIST_MS)) * COMMENT_LIST_MS


async def play(
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    base_ms: int,
    speed: float,
    on_progress: Callable[[int], None] = lambda offset_ms: None,
) -> Counter[str]:
    """Send the recordings; gives how many records each topic got, marks not counted.

    Args:
        base_ms: the event time at which all recordings start.
        speed: event time over real time; 0 plays as fast as Kafka takes it.
        on_progress: called with the event time since `base_ms` that has been sent.

    Raises:
        BrokerUnavailable, MalformedRecording, ValueError.
    """
    if speed < 0:
        raise ValueError(f"speed: found {speed}, expected 0 (as fast as possible) or more")
    topics = Topics(settings.kafka.topic_prefix)
    messages = script(
        recordings,
        base_ms=base_ms,
        segment_ms=settings.assembler.segment_ms,
        partitions=settings.kafka.partitions,
        mark_interval_ms=mark_interval_ms(speed),
        closing_delay_ms=settings.assembler.closing_delay_ms,
        user_key=make_user_key(settings.privacy.user_key),
    )
    sent: Counter[str] = Counter()
    last_ms = base_ms + max(recording.duration_ms for recording in recordings)
    loop = asyncio.get_running_loop()
    producer = make_producer(settings.kafka)
    await producer.start()
    try:
        started_s = loop.time()
        async with contextlib.aclosing(_read_ahead(messages)) as ahead:
            async for message in ahead:
                offset_ms = min(message.at_ms, last_ms) - base_ms
                if speed:
                    delay_s = started_s + offset_ms / 1000 / speed - loop.time()
                    if delay_s > 0:
                        await asyncio.sleep(delay_s)
                await producer.send(
                    topics.name(message.topic),
                    key=message.key,
                    value=message.value,
                    partition=message.partition,
                    headers=message.headers,
                )
                if message.key is not None and message.value:
                    sent[message.topic] += 1
                on_progress(offset_ms)
        await producer.flush()
    finally:
        await producer.stop()
    return sent


async def _read_ahead(messages: Iterator[ScriptedMessage]) -> AsyncGenerator[ScriptedMessage, None]:
    """The messages, read in a thread of their own, a bounded number of them ahead."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[ScriptedMessage | BaseException | None] = asyncio.Queue()
    places = threading.Semaphore(_READ_AHEAD)
    stop = threading.Event()

    def read() -> None:
        last: BaseException | None = None
        try:
            for message in messages:
                places.acquire()
                if stop.is_set():
                    return
                loop.call_soon_threadsafe(queue.put_nowait, message)
        except BaseException as error:
            last = error
        loop.call_soon_threadsafe(queue.put_nowait, last)

    thread = threading.Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item = await queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            places.release()
            yield item
    finally:
        stop.set()
        places.release()
        await asyncio.to_thread(thread.join)
