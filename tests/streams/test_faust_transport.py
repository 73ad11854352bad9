"""What the transport commits, seen from the broker."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import faust
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers.aiokafka import Consumer as AIOKafkaTransportConsumer
from faust.types import TP

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


class Fetches:
    """Stands for the fetch underneath: gives what it is asked for, and can be slow about it."""

    def __init__(self, app: faust.App, monkeypatch: pytest.MonkeyPatch) -> None:
        self.app = app
        self.asked: list[set[str]] = []
        self.sought = 0
        self.meanwhile = lambda: None
        ignore = lambda *anything: None  # noqa: E731
        self.consumer = app.transport.create_consumer(
            ignore, on_partitions_revoked=ignore, on_partitions_assigned=ignore
        )

        async def fetch(consumer, active_partitions, timeout) -> dict[TP, list[str]]:
            self.asked.append({tp.topic for tp in active_partitions})
            self.meanwhile()
            return {tp: ["record"] for tp in active_partitions}

        async def seek(consumer) -> None:
            self.sought += 1

        monkeypatch.setattr(AIOKafkaTransportConsumer, "_getmany", fetch)
        monkeypatch.setattr(AIOKafkaTransportConsumer, "perform_seek", seek)
        monkeypatch.setattr(
            AIOKafkaTransportConsumer, "_is_changelog_tp", lambda consumer, tp: tp.topic == "log"
        )

    async def getmany(self) -> set[str]:
        active = {TP("comments", 0), TP("log", 0)}
        return {tp.topic for tp in await self.consumer._getmany(active, 0.1)}


@pytest.fixture
async def fetches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fetches]:
    made = Fetches(make_app(KafkaSettings(), tmp_path), monkeypatch)
    yield made
    made.consumer._thread.thread_loop.close()


async def test_before_a_rebalance_is_over_nothing_but_table_logs_is_fetched(fetches) -> None:
    fetches.app.rebalancing = True
    assert await fetches.getmany() == {"log"}
    fetches.app.rebalancing = False
    assert await fetches.getmany() == {"comments", "log"}
    assert fetches.asked == [{"log"}, {"comments", "log"}]


async def test_what_was_fetched_for_a_former_assignment_is_dropped(fetches) -> None:
    def rebalance(over: bool) -> None:
        fetches.app.rebalancing_count += 1
        fetches.app.rebalancing = not over

    fetches.meanwhile = lambda: rebalance(over=False)
    assert await fetches.getmany() == {"log"}
    assert fetches.sought == 0  # the rebalance seeks at its end
    fetches.app.rebalancing = False
    fetches.meanwhile = lambda: rebalance(over=True)
    assert await fetches.getmany() == {"log"}
    assert fetches.sought == 1
    fetches.meanwhile = lambda: None
    assert await fetches.getmany() == {"comments", "log"}
