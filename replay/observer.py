"""Watching the topics from outside, as any consumer of the platform would."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka import TopicPartition

from limelight.streams.kafka import make_consumer
from limelight.streams.records import MalformedRecord
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import MODALITY_TOPICS, Topics

logger = logging.getLogger(__name__)

OBSERVED_TOPICS = ("frames", *MODALITY_TOPICS, "windows", "scores", "highlights", "late", "dlq")

Starts = Mapping[TopicPartition, int]


class Watcher(Protocol):
    def see(self, topic: str, record: Any) -> None:
        """Take a record of a topic, whose name comes without prefix."""


async def observe(
    settings: KafkaSettings, *watchers: Watcher, starts: Starts | None = None
) -> None:
    """Show every record of the topics to the watchers until cancelled.

    Args:
        starts: only these partitions, each from that offset on.
    """
    topics = Topics(settings.topic_prefix)
    names = [topics.name(topic) for topic in OBSERVED_TOPICS] if starts is None else []
    consumer = make_consumer(settings, *names, group_id=None)
    await consumer.start()
    try:
        if starts is not None:
            consumer.assign(list(starts))
            for partition, offset in starts.items():
                consumer.seek(partition, offset)
        async for record in consumer:
            topic = topics.plain(record.topic)
            for watcher in watchers:
                try:
                    watcher.see(topic, record)
                except (MalformedRecord, ValueError, KeyError, TypeError) as error:
                    # Anybody may write to a topic; whoever should have read this one rejects it.
                    logger.info("unreadable", extra={"topic": topic, "reason": str(error)})
    finally:
        await consumer.stop()
