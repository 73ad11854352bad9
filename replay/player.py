"""Sending what a source gives to Kafka, at a chosen pace."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from limelight.replay.pace import Pace
from limelight.replay.sources.source import Source
from limelight.streams.kafka import make_producer
from limelight.streams.settings import Settings
from limelight.streams.topics import Topics


@dataclass(slots=True)
class Played:
    """How far a replay has come.

    `sent` counts the records of each topic, marks left out. `first_ms` is the event time at which
    it began and `at_ms` the one that has been reached, None before the first message. `stopped_ms`
    is that of the first message that was not sent: everything older was.
    """

    sent: Counter[str] = field(default_factory=Counter)
    first_ms: int | None = None
    at_ms: int | None = None
    stopped_ms: int | None = None
    is_over: bool = False


async def play(
    source: Source,
    settings: Settings,
    pace: Pace,
    *,
    played: Played | None = None,
    on_progress: Callable[[int], None] = lambda at_ms: None,
) -> Played:
    """Send a source's messages until its end, or until the pace is stopped.

    Args:
        played: kept up to date meanwhile, for whoever shows it.
        on_progress: called with the event time that has been reached.

    Raises:
        BrokerUnavailable, ValueError, and whatever the source raises.
    """
    played = Played() if played is None else played
    topics = Topics(settings.kafka.topic_prefix)
    async with contextlib.aclosing(source.messages) as messages:
        producer = make_producer(settings.kafka)
        await producer.start()
        try:
            async for message in messages:
                if played.first_ms is None:
                    first_ms = message.at_ms if source.start_ms is None else source.start_ms
                    played.first_ms = first_ms
                    pace.begin(first_ms)
                # What belongs to one moment is sent or left together, so that going on there
                # sends nothing twice.
                if message.at_ms != played.at_ms and not await pace.reach(message.at_ms):
                    played.stopped_ms = message.at_ms
                    break
                await producer.send(
                    topics.name(message.topic),
                    key=message.key,
                    value=message.value,
                    partition=message.partition,
                    headers=message.headers,
                )
                played.at_ms = message.at_ms
                if message.value:
                    played.sent[message.topic] += 1
                on_progress(message.at_ms)
            await producer.flush()
            played.is_over = True
        finally:
            await producer.stop()
    return played
