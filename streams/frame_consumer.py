"""`frames` in, `frame-features` out: a plain batch consumer around the frame encoder."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.threads import usable_cores
from limelight.streams.frame_batch import (
    FrameMessage,
    FrameOutput,
    encode_pictures,
    read_frames,
)
from limelight.streams.frame_pipeline import FramePipeline
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.records import header_map
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

MIN_FRAMES_A_FETCH = 64
# Kafka takes a consumer that has not polled for five minutes for dead.
_POLL_EVERY_S = 1.0

Records = Mapping[TopicPartition, Sequence[ConsumerRecord]]


async def run_frame_consumer(
    settings: Settings, encoder: FrameEncoder, started: asyncio.Event
) -> None:
    """Encode for ever; a batch's offsets are committed once its features are delivered.

    A rebalance waits for what is in flight, up to half a session: what takes longer is dropped, and
    whoever gets the partition reads it again.
    """
    topics = Topics(settings.kafka.topic_prefix)
    consumer = make_consumer(settings.kafka, group_id=topics.name("limelight-frames"))
    producer = make_producer(settings.kafka)
    pool = ThreadPoolExecutor(decode_threads(settings.engine.decode_threads), "decode")
    pipeline = FramePipeline(
        partial(read_frames, size=encoder.image_size, settings=settings.engine, pool=pool),
        partial(encode_pictures, encoder=encoder),
        partial(_deliver, producer, topics),
        partial(commit_batches, consumer),
    )
    draining = _DrainFirst(pipeline, settings.kafka.session_timeout_s / 2)
    consumer.subscribe([topics.name("frames")], listener=draining)
    max_records = max(MIN_FRAMES_A_FETCH, settings.engine.frame_batch)
    await producer.start()
    try:
        await consumer.start()
        started.set()
        await feed(
            pipeline,
            lambda: consumer.getmany(timeout_ms=100, max_records=max_records),
            # A poll of a partition that nobody has: it counts, and takes nothing.
            lambda: consumer.getmany(TopicPartition(topics.name("frames"), -1)),
        )
    finally:
        await pipeline.close()
        await consumer.stop()
        await producer.stop()
        pool.shutdown(wait=False, cancel_futures=True)


async def feed(
    pipeline: FramePipeline,
    fetch: Callable[[], Awaitable[Records]],
    poll_nothing: Callable[[], Awaitable[object]],
    poll_every_s: float = _POLL_EVERY_S,
) -> None:
    """Fetch for ever, one batch across all partitions each time the pipeline has room for it."""
    while True:
        if not await pipeline.has_room(poll_every_s):
            await poll_nothing()
            continue
        # Nothing is awaited between fetch and submit: a rebalance must find the batch in flight.
        if batches := await fetch():
            pipeline.submit(
                [
                    FrameMessage(record.partition, record.offset, record.value, headers)
                    for records in batches.values()
                    for record in records
                    for headers in (header_map(record.headers),)
                ],
                {partition: records[-1].offset for partition, records in batches.items()},
            )


def decode_threads(setting: int) -> int:
    """How many threads decode pictures: the setting, or for 0 one a core, but for one core.

    That one is the encoder's, which keeps a core busy even where a GPU computes.
    """
    if setting:
        return setting
    return max(1, usable_cores() - 1)


class _DrainFirst(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, pipeline: FramePipeline, timeout_s: float) -> None:
        self._pipeline = pipeline
        self._timeout_s = timeout_s

    async def on_partitions_revoked(self, revoked: object) -> None:
        await self._pipeline.drain(self._timeout_s)

    async def on_partitions_assigned(self, assigned: object) -> None:
        pass


async def _deliver(
    producer: AIOKafkaProducer, topics: Topics, outputs: Sequence[FrameOutput]
) -> None:
    sent = [
        await producer.send(
            topics.name(output.topic),
            key=output.key,
            value=output.value,
            headers=output.headers,
            partition=output.partition,
        )
        for output in outputs
    ]
    await asyncio.gather(*sent)


async def commit_batches(consumer: AIOKafkaConsumer, last_offsets: Mapping[Any, int]) -> None:
    """Commit what has been delivered; a partition that has moved meanwhile is done again there."""
    offsets = {partition: offset + 1 for partition, offset in last_offsets.items()}
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError):
        logger.warning("partitions moved before their commit", extra={"partitions": len(offsets)})
