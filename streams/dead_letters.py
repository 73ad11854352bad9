"""What could not be used: late and unreadable messages, each with its reason and origin."""

import base64
from dataclasses import dataclass
from typing import Any

import orjson

# Of a rejected message at most this much is carried along; the origin offset finds the rest.
MAX_CARRIED_BYTES = 256_000
MAX_REASON_CHARS = 500
MAX_HEADER_CHARS = 500
MAX_HEADERS = 16


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a message in Kafka; with `element`, one entry of a message that is a list."""

    topic: str
    partition: int
    offset: int
    element: int | None = None

    def __str__(self) -> str:
        place = f"{self.topic}/{self.partition}@{self.offset}"
        return place if self.element is None else f"{place}#{self.element}"


def encode_dead_letter(
    origin: Origin, reason: str, value: bytes | None, headers: dict[str, str]
) -> bytes:
    """The `dlq` record of one rejected message (or list entry); its id is its origin."""
    carried = (value or b"")[:MAX_CARRIED_BYTES]
    kept_headers = {
        name[:MAX_HEADER_CHARS]: text[:MAX_HEADER_CHARS]
        for name, text in list(headers.items())[:MAX_HEADERS]
    }
    return orjson.dumps(
        {
            "id": str(origin),
            "reason": reason[:MAX_REASON_CHARS],
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "element": origin.element,
            "headers": kept_headers,
            "value_base64": base64.b64encode(carried).decode(),
            "value_bytes": len(value or b""),
        }
    )


def encode_late(
    origin: Origin,
    *,
    room_id: str,
    segment_index: int,
    event_time_ms: int,
    watermark_ms: int,
    record: Any,
) -> bytes:
    """The `late` record of one event that came after its own source's mark had closed it out."""
    return orjson.dumps(
        {
            "id": str(origin),
            "reason": f"event time {event_time_ms} is behind the watermark {watermark_ms}",
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "element": origin.element,
            "room_id": room_id,
            "segment_index": segment_index,
            "event_time_ms": event_time_ms,
            "watermark_ms": watermark_ms,
            "record": record,
        }
    )
