"""The dead letters of a cluster: what lies in `dlq`, and sending a message to its topic again.

A letter that has been replayed is marked in `dlq` itself, by a record with its id as key and the
header `kind=replayed`, so that nobody sends it a second time by mistake.
"""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from limelight.engine.errors import LimelightError
from limelight.streams.dead_letters import Origin
from limelight.streams.kafka import connect_admin, make_consumer, make_producer
from limelight.streams.records import Headers, header_map
from limelight.streams.settings import KafkaSettings
from limelight.streams.topics import Topics

REPLAYED: Headers = [("kind", b"replayed")]
# How long a broker may take over a record that should be there.
READ_TIMEOUT_S = 10.0


class LetterGone(LimelightError):
    """The rest of a long message is no longer in its topic."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter; `value` is what it carries of the message, `value_bytes` the message's length."""

    origin: Origin
    reason: str
    headers: Mapping[str, str]
    value: bytes
    value_bytes: int
    # None where neither headers nor value tell.
    room_id: str | None
    # Where it lies in `dlq`.
    place: TopicPartition
    offset: int
    replayed: bool = False

    @property
    def id(self) -> str:
        return str(self.origin)

    @property
    def is_whole(self) -> bool:
        return len(self.value) == self.value_bytes


def room_of(value: bytes, headers: Mapping[str, str]) -> str | None:
    """The room that a message is about, from its headers or JSON; None where neither tells."""
    if headers.get("room_id"):
        return headers["room_id"]
    try:
        fields = orjson.loads(value)
        if isinstance(fields, list):
            fields = fields[0]
        found = fields.get("room_id") or fields["data"]["room_id"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def decode_dead_letter(value: bytes, place: TopicPartition, offset: int) -> DeadLetter:
    """The letter of a `dlq` record.

    Raises:
        ValueError: not one of ours.
    """
    try:
        fields = orjson.loads(value)
        origin = Origin(fields["topic"], fields["partition"], fields["offset"], fields["element"])
        headers = {str(name): str(text) for name, text in fields["headers"].items()}
        value_carried = base64.b64decode(fields["value_base64"], validate=True)
        letter = DeadLetter(
            origin=origin,
            reason=str(fields["reason"]),
            headers=headers,
            value=value_carried,
            value_bytes=int(fields["value_bytes"]),
            room_id=room_of(value_carried, headers),
            place=place,
            offset=offset,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"dlq: found no dead letter at offset {offset} ({error!r:.100})"
        ) from error
    if str(origin) != fields["id"]:
        raise ValueError(f"dlq: found id {fields['id']!r:.80}, expected its origin {origin}")
    return letter


class DeadLetterLog:
    """Reads `dlq` and the topics that its letters come from, and writes to both.

    An async context manager.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.unreadable = 0
        self._settings = settings
        self._topics = Topics(settings.topic_prefix)
        self._consumer: AIOKafkaConsumer = make_consumer(settings, group_id=None)
        self._producer = make_producer(settings)
        self._partitions: list[TopicPartition] = []

    async def __aenter__(self) -> "DeadLetterLog":
        """Connect.

        Raises:
            BrokerUnavailable: names the servers that were asked.
            ValueError: there is no `dlq`.
        """
        self._partitions = await self._find_partitions()
        await self._consumer.start()
        try:
            await self._producer.start()
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def _find_partitions(self) -> list[TopicPartition]:
        name = self._topics.name("dlq")
        admin = await connect_admin(self._settings)
        try:
            # Asked for by name, a topic that is missing might be created.
            if name not in await admin.list_topics():
                raise ValueError(f"found no topic {name}, expected the one that a worker creates")
            (described,) = await admin.describe_topics([name])
        finally:
            await admin.close()
        numbers = sorted(each["partition"] for each in described["partitions"])
        return [TopicPartition(name, number) for number in numbers]

    async def __aexit__(self, *exc_info: object) -> None:
        await self._producer.stop()
        await self._consumer.stop()

    async def letters(self) -> list[DeadLetter]:
        """Every letter once, oldest first within its partition, without the values' bytes.

        Those might not fit into memory; `whole_letter` reads one with its value.
        """
        partitions = self._partitions
        ends = await self._consumer.end_offsets(partitions)
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        letters: dict[str, DeadLetter] = {}
        replayed: set[str] = set()
        self.unreadable = 0
        while True:
            behind = [tp for tp in partitions if await self._consumer.position(tp) < ends[tp]]
            # One more look than the end tells: the embedded broker's end may be behind the truth.
            wait_s = READ_TIMEOUT_S if behind else 0.3
            batches = await self._consumer.getmany(timeout_ms=int(wait_s * 1000))
            if not batches:
                break
            for record in (record for records in batches.values() for record in records):
                self._take(record, letters, replayed)
        return [replace(each, replayed=each.id in replayed) for each in letters.values()]

    def _take(
        self, record: ConsumerRecord, letters: dict[str, DeadLetter], replayed: set[str]
    ) -> None:
        if header_map(record.headers) == header_map(REPLAYED):
            replayed.add((record.key or b"").decode(errors="replace"))
            return
        try:
            place = TopicPartition(record.topic, record.partition)
            letter = decode_dead_letter(record.value or b"", place, record.offset)
        except ValueError:
            self.unreadable += 1
            return
        letters.setdefault(letter.id, replace(letter, value=b""))

    async def whole_letter(self, letter: DeadLetter) -> DeadLetter:
        """The letter with its message's whole value, read again from its topic if it is long.

        Raises:
            LetterGone: the topic no longer has it.
        """
        record = await self._record(letter.place, letter.offset)
        if record is None:
            raise LetterGone(f"{letter.id}: found it gone from {letter.place.topic} meanwhile")
        found = decode_dead_letter(record.value, letter.place, letter.offset)
        if found.is_whole:
            return replace(found, replayed=letter.replayed)
        origin = found.origin
        topic = self._topics.name(origin.topic)
        source = await self._record(TopicPartition(topic, origin.partition), origin.offset)
        if source is None:
            raise LetterGone(
                f"{letter.id}: found {len(found.value)} of {found.value_bytes} bytes in dlq and the"
                f" message gone from {topic}, expected it there still"
            )
        value = source.value or b""
        if origin.element is not None:
            value = orjson.dumps(orjson.loads(value)[origin.element])
        headers = header_map(source.headers)
        room_id = room_of(value, headers)
        return replace(
            found, value=value, headers=headers, room_id=room_id, replayed=letter.replayed
        )

    async def replay(self, letter: DeadLetter) -> None:
        """Send the letter's value and headers to its topic and partition, and mark it replayed.

        A crash between the two leaves it unmarked, so it can be sent twice but is never lost.
        """
        room_id = room_of(letter.value, letter.headers)
        await self._producer.send_and_wait(
            self._topics.name(letter.origin.topic),
            key=None if room_id is None else room_id.encode(),
            value=letter.value,
            partition=letter.origin.partition,
            headers=[(name, text.encode()) for name, text in letter.headers.items()],
        )
        await self._producer.send_and_wait(
            letter.place.topic,
            key=letter.id.encode(),
            value=b"",
            partition=letter.place.partition,
            headers=REPLAYED,
        )

    async def _record(self, place: TopicPartition, offset: int) -> Any:
        """The record at that very offset, None if it is gone."""
        self._consumer.assign([place])
        self._consumer.seek(place, offset)
        try:
            record = await asyncio.wait_for(self._consumer.getone(place), READ_TIMEOUT_S)
        except TimeoutError:
            return None
        # Where an offset is gone the consumer goes on at the earliest that is there.
        return record if record.offset == offset else None
