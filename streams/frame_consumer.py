"""`frames` in, `frame-features` out: a plain batch consumer around the frame encoder.

Marks are passed on in their place among the features, so the watermark of `frame-features` is that
of `frames`, however long encoding takes.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import CommitFailedError, IllegalStateError
from numpy.typing import NDArray

from limelight.engine.errors import DecodeFailed
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.images import decode_image
from limelight.engine.settings import EngineSettings
from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.records import (
    FrameFeature,
    Headers,
    MalformedRecord,
    Watermark,
    header_map,
    parse_frame_headers,
    parse_mark,
    to_json,
)
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics
from limelight.streams.window_records import encode_feature

logger = logging.getLogger(__name__)

MAX_FRAMES_A_BATCH = 64


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One record of `frames`."""

    partition: int
    offset: int
    value: bytes | None
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What follows from it; `topic` without prefix."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


def encode_frames(
    messages: Sequence[FrameMessage], encoder: FrameEncoder, settings: EngineSettings
) -> list[FrameOutput]:
    """One output for each message, in order: a feature, a mark passed on, or a dead letter."""
    outputs: list[FrameOutput | None] = []
    images, image_places, owners = [], [], []
    for place, message in enumerate(messages):
        outputs.append(None)
        try:
            mark = parse_mark(message.headers)
            if isinstance(mark, Watermark):
                outputs[place] = FrameOutput("frame-features", None, b"", mark.encode())
                continue
            if mark is not None:
                raise MalformedRecord("header kind: found a room's end, expected it on comments")
            owner = parse_frame_headers(message.headers)
            image = decode_image(
                message.value or b"",
                max_bytes=settings.max_image_bytes,
                max_pixels=settings.max_image_pixels,
                size=encoder.image_size,
            )
        except (MalformedRecord, DecodeFailed) as error:
            metrics.events_total.labels("frames").inc()
            metrics.dead_letters_total.labels("frames").inc()
            origin = Origin("frames", message.partition, message.offset)
            letter = encode_dead_letter(origin, str(error), message.value, message.headers)
            outputs[place] = FrameOutput("dlq", str(origin).encode(), letter, [])
        else:
            metrics.events_total.labels("frames").inc()
            images.append(image)
            image_places.append(place)
            owners.append(owner)
    features: Sequence[NDArray[np.float16]] = list(encoder.encode(images)) if images else []
    metrics.frames_encoded_total.inc(len(images))
    for place, owner, feature in zip(image_places, owners, features, strict=True):
        record = FrameFeature(
            room_id=owner.room_id,
            streamer_id=owner.streamer_id,
            room_started_ms=owner.room_started_ms,
            event_time_ms=owner.event_time_ms,
            encoder_id=encoder.encoder_id,
            encoder_revision=encoder.revision,
            feature=encode_feature(feature),
            frame_offset=messages[place].offset,
        )
        outputs[place] = FrameOutput("frame-features", owner.room_id.encode(), to_json(record), [])
    return [output for output in outputs if output is not None]


async def run_frame_consumer(
    settings: Settings, encoder: FrameEncoder, started: asyncio.Event
) -> None:
    """Encode for ever; a batch's offsets are committed once its features are delivered."""
    topics = Topics(settings.kafka.topic_prefix)
    group_id = topics.name("limelight-frames")
    consumer = make_consumer(settings.kafka, topics.name("frames"), group_id=group_id)
    producer = make_producer(settings.kafka)
    await producer.start()
    try:
        await consumer.start()
        started.set()
        while True:
            batches = await consumer.getmany(timeout_ms=100, max_records=MAX_FRAMES_A_BATCH)
            if not batches:
                continue
            for partition, records in batches.items():
                messages = [
                    FrameMessage(r.partition, r.offset, r.value, header_map(r.headers))
                    for r in records
                ]
                outputs = await asyncio.to_thread(encode_frames, messages, encoder, settings.engine)
                await _deliver(producer, topics, partition.partition, outputs)
            await commit_batches(consumer, {tp: recs[-1].offset for tp, recs in batches.items()})
    finally:
        await consumer.stop()
        await producer.stop()


async def _deliver(
    producer: AIOKafkaProducer, topics: Topics, partition: int, outputs: Sequence[FrameOutput]
) -> None:
    sent = [
        await producer.send(
            topics.name(output.topic),
            key=output.key,
            value=output.value,
            headers=output.headers,
            partition=partition,
        )
        for output in outputs
    ]
    await asyncio.gather(*sent)


async def commit_batches(consumer: AIOKafkaConsumer, last_offsets: dict[object, int]) -> None:
    """Commit what has been delivered; a partition that has moved meanwhile is done again there."""
    offsets = {partition: offset + 1 for partition, offset in last_offsets.items()}
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError):
        logger.warning("partitions moved before their commit", extra={"partitions": len(offsets)})
