"""Where partitions end, on the very broker that says it wrongly."""

from pathlib import Path

import pytest
from aiokafka import TopicPartition

from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.log_ends import log_ends

BATCHED, SINGLE, EMPTY = (TopicPartition("comments", number) for number in range(3))


@pytest.mark.broker
async def test_a_partition_ends_behind_the_last_record_of_its_last_batch(tmp_path: Path) -> None:
    settings = embedded_kafka(free_port(), partitions=3)
    async with embedded_broker(settings, tmp_path / "broker.log"):
        producer = make_producer(settings)
        await producer.start()
        for partition, count in ((BATCHED, 10), (BATCHED, 5), (SINGLE, 1)):
            batch = producer.create_batch()
            for _ in range(count):
                batch.append(key=None, value=b"x", timestamp=None)
            sent = await producer.send_batch(batch, "comments", partition=partition.partition)
            await sent
        await producer.stop()
        consumer = make_consumer(settings, "comments", group_id=None)
        await consumer.start()
        looked_up = await consumer.end_offsets([BATCHED, SINGLE, EMPTY])
        await consumer.stop()
        ends = await log_ends(settings, looked_up)
    assert ends == {BATCHED: 15, SINGLE: 1, EMPTY: 0}
