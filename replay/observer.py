"""Watching the topics from outside, as any consumer of the platform would."""

import logging

import orjson

from limelight.replay.demo_state import DemoState
from limelight.streams.highlight_records import decode_highlight
from limelight.streams.kafka import make_consumer
from limelight.streams.records import MalformedRecord
from limelight.streams.score_records import decode_score
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

OBSERVED_TOPICS = ("windows", "scores", "highlights", "late", "dlq")


async def observe(settings: KafkaSettings, state: DemoState) -> None:
    """Fill `state` from the topics until cancelled."""
    topics = Topics(settings.topic_prefix)
    names = [topics.name(topic) for topic in OBSERVED_TOPICS]
    consumer = make_consumer(settings, *names, group_id=None)
    await consumer.start()
    try:
        async for record in consumer:
            try:
                _see(topics.plain(record.topic), record.value, state, settings.max_message_bytes)
            except (MalformedRecord, ValueError, KeyError, TypeError) as error:
                # Anybody may write to a topic; whoever should have read this one rejects it.
                logger.info("unreadable", extra={"topic": record.topic, "reason": str(error)})
    finally:
        await consumer.stop()


def _see(topic: str, value: bytes, state: DemoState, max_bytes: int) -> None:
    if topic == "scores":
        state.see_score(*decode_score(value, max_bytes=max_bytes))
    elif topic == "highlights":
        state.see_highlight(decode_highlight(value, max_bytes=max_bytes))
    elif topic == "windows":
        state.window_ids.add(orjson.loads(value)["id"])
    elif topic == "late":
        state.see_late(orjson.loads(value))
    else:
        state.see_dead_letter(orjson.loads(value))
