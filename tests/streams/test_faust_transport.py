"""What the transport commits, seen from the broker."""

import asyncio
from pathlib import Path

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.faust_app import make_app, raw_topic
from limelight.streams.kafka import make_producer
from limelight.streams.settings import KafkaSettings

TOPIC = TopicPartition("comments", 0)


async def committed(settings: KafkaSettings, at_least: int) -> int:
    """The committed offset, asked for until it is so far or five seconds have passed."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap_servers,
        group_id="limelight-worker",
        enable_auto_commit=False,
    )
    consumer.assign([TOPIC])
    await consumer.start()
    found = 0
    try:
        for _ in range(50):
            found = await consumer.committed(TOPIC) or 0
            if found >= at_least:
                break
            await asyncio.sleep(0.1)
    finally:
        await consumer.stop()
    return found


@pytest.mark.broker
async def test_offsets_are_committed_up_to_the_first_message_that_is_held(tmp_path: Path) -> None:
    settings = embedded_kafka(free_port(), partitions=1)
    held: dict[int, faust.types.EventT] = {}
    async with embedded_broker(settings, tmp_path / "broker.log"):
        producer = make_producer(settings)
        await producer.start()
        for number in range(6):
            await producer.send_and_wait("comments", b"%d" % number, partition=0)
        await producer.stop()
        app = make_app(settings, tmp_path / "worker")

        @app.agent(raw_topic(app, "comments"))
        async def read(messages: faust.StreamT[bytes]) -> None:
            async for event in messages.noack().events():
                held[event.message.offset] = event

        await app.start()
        try:
            async with asyncio.timeout(20):
                while len(held) < 6:
                    await asyncio.sleep(0.05)
            for offset in (0, 1, 3, 5):
                held[offset].ack()
            assert await committed(settings, 2) == 2
            held[2].ack()
            assert await committed(settings, 4) == 4
        finally:
            await app.stop()
