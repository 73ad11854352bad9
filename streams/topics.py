"""Kafka topics: their names, who they are for, and how a room finds its partition."""

from dataclasses import dataclass

from aiokafka.partitioner import murmur2

# The assembler waits for marks of exactly these.
MODALITY_TOPICS = ("frame-features", "asr", "comments")
# Where a player or gateway sends what happens in a room.
SOURCE_TOPICS = ("frames", "asr", "comments", "engagement")
# The sources that carry watermark marks; those of `frames` are passed on to `frame-features`.
MARKED_SOURCE_TOPICS = ("frames", "asr", "comments")


@dataclass(frozen=True, slots=True)
class Topics:
    """Topic names under one prefix; every one has the same number of partitions."""

    prefix: str = ""

    def name(self, topic: str) -> str:
        return f"{self.prefix}{topic}"

    def plain(self, name: str) -> str:
        """The topic's name without the prefix."""
        return name.removeprefix(self.prefix)

    @property
    def all_keyed_by_room(self) -> tuple[str, ...]:
        return tuple(
            self.name(topic)
            for topic in (
                *SOURCE_TOPICS,
                "frame-features",
                "windows",
                "scores",
                "highlights",
                "late",
                "dlq",
            )
        )

    @property
    def models(self) -> str:
        return self.name("models")


def partition_of(room_id: str, partitions: int) -> int:
    """The partition that holds everything of a room: Kafka's own default (murmur2) on its bytes."""
    return int((murmur2(room_id.encode()) & 0x7FFFFFFF) % partitions)
