"""Where topic-partitions end, also on a broker whose look-up of the latest offset is wrong.

The embedded broker answers it with the offset behind the *first* record of the last batch:

    batch 0..9, batch 10..14 -> 11 instead of 15

Faust recovers a table up to that offset, and a restarted worker would miss what came last. The
answer to a fetch tells the true end on every broker, so it is asked for as well.
"""

import asyncio
import logging
from collections.abc import Mapping

from aiokafka import TopicPartition

from limelight.streams.kafka import make_consumer
from limelight.streams.settings import KafkaSettings

logger = logging.getLogger(__name__)


async def log_ends(
    settings: KafkaSettings, looked_up: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """The end of each partition: the offset that its next record will have.

    Args:
        looked_up: the broker's own answers; they stay where no fetch is answered in time.
    """
    ends = dict(looked_up)
    filled = [partition for partition, end in ends.items() if end]
    if not filled:
        return ends
    consumer = make_consumer(settings, group_id=None)
    consumer.assign(filled)
    await consumer.start()
    try:
        for partition in filled:
            consumer.seek(partition, ends[partition] - 1)
        async with asyncio.timeout(settings.connect_timeout_s):
            while any(consumer.highwater(partition) is None for partition in filled):
                await consumer.getmany(timeout_ms=100)
    except TimeoutError:
        logger.warning("no answer to a fetch, believing the look-up of the latest offsets")
    finally:
        for partition in filled:
            ends[partition] = max(ends[partition], consumer.highwater(partition) or 0)
        await consumer.stop()
    return ends
