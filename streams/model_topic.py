"""The topic `models`: which network is champion and which one challenges it.

One partition, compacted, keyed by role, so its end is all that counts: the last record of each role
says where that network lies; one without a value says that there is none.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Literal, get_args

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limelight.streams import metrics
from limelight.streams.kafka import make_consumer, make_producer
from limelight.streams.log_ends import log_ends
from limelight.streams.records import MalformedRecord, first_problem
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

logger = logging.getLogger(__name__)

Role = Literal["champion", "challenger"]
ROLES: tuple[Role, ...] = get_args(Role)
_MAX_BYTES = 10_000


class ModelPointer(BaseModel):
    """A network's version and the folder, as engines see it, that `save_pretrained` wrote.

    With a registry the engine takes the version from there, each file checked, and not the folder.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="ignore", populate_by_name=True, protected_namespaces=()
    )

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    version: Annotated[str, Field(min_length=1, max_length=200)]
    folder: Annotated[str, Field(min_length=1, max_length=4_000)]
    registry: Annotated[str, Field(max_length=4_000)] = ""


Pointers = dict[Role, ModelPointer | None]


def decode_pointer(key: bytes | None, value: bytes | None) -> tuple[Role, ModelPointer | None]:
    """The role that a record is about and what it says.

    Raises:
        MalformedRecord: an unknown role, or not a pointer.
    """
    role = next((role for role in ROLES if key == role.encode()), None)
    if role is None:
        raise MalformedRecord(f"models: found key {key!r}, expected one of {ROLES}")
    if not value:
        return role, None
    if len(value) > _MAX_BYTES:
        raise MalformedRecord(f"models: found {len(value)} bytes, expected at most {_MAX_BYTES}")
    try:
        return role, ModelPointer.model_validate_json(value)
    except ValidationError as error:
        raise MalformedRecord(f"models: {first_problem(error)}") from error


def latest(records: Sequence[ConsumerRecord]) -> Pointers:
    """The last pointer of each role that the records name; one that cannot be read is logged."""
    found: Pointers = {}
    for record in records:
        try:
            role, pointer = decode_pointer(record.key, record.value)
        except MalformedRecord as error:
            metrics.dead_letters_total.labels("models").inc()
            logger.error("model pointer refused", extra={"reason": str(error)})
        else:
            found[role] = pointer
    return found


async def point(settings: KafkaSettings, role: Role, pointer: ModelPointer | None) -> None:
    """Write who has that role from now on, None for nobody.

    Raises:
        KafkaError: the broker does not take it.
    """
    producer = make_producer(settings)
    await producer.start()
    try:
        value = None if pointer is None else orjson.dumps(pointer.model_dump(by_alias=True))
        topic = Topics(settings.topic_prefix).models
        await producer.send_and_wait(topic, key=role.encode(), value=value, partition=0)
    finally:
        await producer.stop()


class ModelTopic:
    """Reads the topic from its start; made by `open_model_topic`."""

    def __init__(
        self, settings: KafkaSettings, consumer: AIOKafkaConsumer, partition: TopicPartition
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._partition = partition

    async def to_its_end(self) -> list[ConsumerRecord]:
        """All records that are there now, in order."""
        looked_up = await self._consumer.end_offsets([self._partition])
        end = (await log_ends(self._settings, looked_up))[self._partition]
        records: list[ConsumerRecord] = []
        while await self._consumer.position(self._partition) < end:
            records += await self.more()
        return records

    async def more(self) -> list[ConsumerRecord]:
        """What has been written since the last call; it waits a second for it."""
        batches = await self._consumer.getmany(timeout_ms=1_000)
        return [record for records in batches.values() for record in records]


@asynccontextmanager
async def open_model_topic(settings: KafkaSettings) -> AsyncIterator[ModelTopic]:
    """A reader of the topic; no consumer group, for every engine needs all of it."""
    consumer = make_consumer(settings, group_id=None)
    partition = TopicPartition(Topics(settings.topic_prefix).models, 0)
    consumer.assign([partition])
    await consumer.start()
    try:
        consumer.seek(partition, 0)
        yield ModelTopic(settings, consumer, partition)
    finally:
        await consumer.stop()
