"""Sending a load to Kafka at its rate, in record batches of our own making.

A producer's `send` costs about 30 us a message, most of it for futures that nobody waits for. Here
messages are written straight into batches, one for each topic-partition, so that the generator is
not what a measurement measures.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

from limelight.replay.script import ScriptedMessage
from limelight.streams.kafka import connection_options
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

# Below what brokers usually take, and enough that a batch's own cost does not count.
_MAX_BATCH_BYTES = 500_000
# Batches go out when so much real time has come together; sleeping for less only costs. A generator
# that is behind sends what it has after the longer time.
_LEAST_SLEEP_S = 0.02
_MOST_KEPT_S = 0.1
# Confirmations are looked at when so many are out, so that a broken broker is noticed.
_MOST_UNCONFIRMED = 1_000


@dataclass(slots=True)
class LoadSent:
    """What was sent: messages by topic without marks, their bytes, and how long it took."""

    messages: Counter[str] = field(default_factory=Counter)
    value_bytes: int = 0
    seconds: float = 0.0
    # The longest that a message was sent after its time; 0 where no speed was asked for.
    most_behind_s: float = 0.0


async def send_load(
    slices: Iterable[list[ScriptedMessage]],
    settings: KafkaSettings,
    *,
    base_ms: int,
    slice_ms: int,
    speed: float,
    on_sending: Callable[[int], None] = lambda until_ms: None,
) -> LoadSent:
    """Send slices of event time, the first from `base_ms` on, each when it has passed.

    Args:
        speed: event time over real time; 0 sends as fast as Kafka takes it.
        on_sending: called with the event time before which everything is sent now or has been.

    Raises:
        BrokerUnavailable, KafkaError, ValueError.
    """
    if speed < 0:
        raise ValueError(f"speed: found {speed}, expected 0 (as fast as possible) or more")
    sent = LoadSent()
    producer = AIOKafkaProducer(
        **connection_options(settings), acks="all", max_batch_size=_MAX_BATCH_BYTES
    )
    await producer.start()
    try:
        batches = _Batches(producer, Topics(settings.topic_prefix))
        until_ms = told_ms = base_ms
        started_s = flushed_s = time.monotonic()
        for messages in slices:
            until_ms += slice_ms
            for message in messages:
                await batches.add(message)
                if message.key is not None:
                    sent.messages[message.topic] += 1
                    sent.value_bytes += len(message.value)
            now_s = time.monotonic()
            if speed:
                wait_s = started_s + (until_ms - base_ms) / 1000 / speed - now_s
                sent.most_behind_s = max(sent.most_behind_s, -wait_s)
                if wait_s >= _LEAST_SLEEP_S:
                    await asyncio.sleep(wait_s)
                elif now_s - flushed_s < _MOST_KEPT_S:
                    continue
                flushed_s = time.monotonic()
            on_sending(until_ms)
            told_ms = until_ms
            if speed:
                await batches.flush()
        if told_ms != until_ms:  # the last slices were kept for one flush
            on_sending(until_ms)
        await batches.flush()
        await batches.confirm()
        sent.seconds = time.monotonic() - started_s
    finally:
        await producer.stop()
    return sent


class _Batches:
    """One open batch for each topic-partition."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics) -> None:
        self._producer = producer
        self._topics = topics
        self._open: dict[tuple[str, int], Any] = {}
        self._unconfirmed: list[asyncio.Future[Any]] = []

    async def add(self, message: ScriptedMessage) -> None:
        place = (message.topic, message.partition)
        batch = self._open.get(place)
        if batch is None or not _fits(batch, message):
            if batch is not None:
                await self._send(place)
            batch = self._open[place] = self._producer.create_batch()
            _fits(batch, message)

    async def flush(self) -> None:
        for place in list(self._open):
            await self._send(place)

    async def confirm(self) -> None:
        """Wait until the broker has everything; raises what went wrong."""
        confirmed, self._unconfirmed = self._unconfirmed, []
        await asyncio.gather(*confirmed)

    async def _send(self, place: tuple[str, int]) -> None:
        topic, partition = place
        batch = self._open.pop(place)
        name = self._topics.name(topic)
        self._unconfirmed.append(await self._producer.send_batch(batch, name, partition=partition))
        if len(self._unconfirmed) >= _MOST_UNCONFIRMED:
            await self.confirm()


def _fits(batch: Any, message: ScriptedMessage) -> bool:
    """Write the message into the batch; whether there was room."""
    written = batch.append(
        timestamp=None, key=message.key, value=message.value, headers=message.headers
    )
    return written is not None
