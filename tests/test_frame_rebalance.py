"""Frame consumers come and go while pictures are in flight; on a real broker none is lost."""

import asyncio
import io
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import TopicPartition
from PIL import Image

from limelight.engine.encoders import load_frame_encoder
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.frame_consumer import run_frame_consumer
from limelight.streams.kafka import create_topics, make_consumer, make_producer
from limelight.streams.records import FrameHeaders, Watermark, header_map
from limelight.streams.settings import KafkaSettings, Settings

pytestmark = pytest.mark.broker

FRAMES = 120  # of each partition; every tenth record is a mark
STARTED_MS = 1_700_000_000_000


class SlowEncoder:
    """The tiny encoder, at 30 ms a picture or what it is told."""

    seconds = 0.03

    def __init__(self) -> None:
        self._encoder = load_frame_encoder("tiny")
        self.pictures = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode(self, images: list[Any], digests: list[bytes]) -> Any:
        time.sleep(self.seconds * len(images))
        self.pictures += len(images)
        return self._encoder.encode(images, digests)


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "JPEG")
    return data.getvalue()


async def send_frames(kafka: KafkaSettings) -> None:
    producer = make_producer(kafka)
    await producer.start()
    picture = jpeg()
    for k in range(FRAMES):
        for partition in range(kafka.partitions):
            frame = FrameHeaders("room", "s", STARTED_MS + k, None).encode()
            mark = Watermark(STARTED_MS + k).encode()
            value, headers = (b"", mark) if k % 10 == 9 else (picture, frame)
            await producer.send("frames", value, headers=headers, partition=partition)
    await producer.stop()


@asynccontextmanager
async def frame_consumer(settings: Settings) -> AsyncIterator[SlowEncoder]:
    encoder, started = SlowEncoder(), asyncio.Event()
    running = asyncio.create_task(run_frame_consumer(settings, encoder, started))  # type: ignore[arg-type]
    try:
        await started.wait()
        yield encoder
    finally:
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def until_encoded(encoder: SlowEncoder, pictures: int) -> None:
    async with asyncio.timeout(60):
        while encoder.pictures < pictures:
            await asyncio.sleep(0.02)


class Outputs:
    """What has come to `frame-features`: the event times of each partition, in their order."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.times_ms: dict[int, list[int]] = defaultdict(list)
        self._kafka = kafka

    async def read(self, *, until_complete: bool) -> None:
        consumer = make_consumer(self._kafka, "frame-features", group_id=None)
        await consumer.start()
        self.times_ms.clear()
        try:
            async with asyncio.timeout(60):
                while not (until_complete and self.is_complete):
                    batches = await consumer.getmany(timeout_ms=500)
                    if not batches and not until_complete:
                        break
                    for partition, records in batches.items():
                        self.times_ms[partition.partition] += [_time_ms(r) for r in records]
        finally:
            await consumer.stop()

    @property
    def is_complete(self) -> bool:
        partitions = range(self._kafka.partitions)
        return all(len(set(self.times_ms[p])) == FRAMES for p in partitions)


def _time_ms(record: Any) -> int:
    headers = header_map(record.headers)
    return int(headers.get("event_time_ms") or orjson.loads(record.value)["event_time_ms"])


async def committed(kafka: KafkaSettings) -> dict[int, int]:
    consumer = make_consumer(kafka, group_id="limelight-frames")
    await consumer.start()
    places = [TopicPartition("frames", k) for k in range(kafka.partitions)]
    consumer.assign(places)
    found = {place.partition: await consumer.committed(place) or 0 for place in places}
    await consumer.stop()
    return found


async def test_frames_survive_consumers_that_join_and_leave(tmp_path: Path) -> None:
    # A group's members come together within half a session, which is what this test waits for.
    kafka = embedded_kafka(free_port(), partitions=2)
    settings = Settings(kafka=kafka.model_copy(update={"session_timeout_s": 2.0}))
    outputs = Outputs(settings.kafka)
    async with embedded_broker(settings.kafka, tmp_path / "broker.log"):
        await create_topics(settings.kafka)
        await send_frames(settings.kafka)
        async with frame_consumer(settings) as first:
            await until_encoded(first, 10)
            await asyncio.sleep(0.1)  # what would be committed too early is committed now
        # Stopped in the middle: what was committed had been delivered before.
        offsets = await committed(settings.kafka)
        await outputs.read(until_complete=False)
        assert not outputs.is_complete
        for partition, offset in offsets.items():
            assert set(range(offset)) <= {t - STARTED_MS for t in outputs.times_ms[partition]}
        async with frame_consumer(settings) as second:
            await until_encoded(second, 10)
            # On a busy machine the third takes its time to come; something must be left for it.
            second.seconds = 0.1
            async with frame_consumer(settings) as third:
                await until_encoded(third, 1)
                second.seconds = 0.03
                await outputs.read(until_complete=True)
        assert await committed(settings.kafka) == dict.fromkeys(range(2), FRAMES)
    for times in outputs.times_ms.values():
        # Read again after a rebalance, but never out of order: only steps back, no leap ahead.
        reached = STARTED_MS - 1
        for time_ms in times:
            assert time_ms <= reached + 1
            reached = max(reached, time_ms)
