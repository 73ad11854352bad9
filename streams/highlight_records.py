"""The `highlights` record: a CloudEvents 1.0 JSON event, the same bytes that are pushed.

Nothing in it comes from a clock or a random number but `data.timings`, so a replay of the same
log gives the same events.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from limelight.streams.detection import HighlightEvent
from limelight.streams.records import MalformedRecord

CONTENT_TYPE = "application/cloudevents+json"
# The kind of event that an enricher adds to a detector's opened, updated and closed.
ENRICHED = "enriched"


def _rfc3339(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode_highlight(event: HighlightEvent, timings: dict[str, int]) -> bytes:
    """The CloudEvent of one highlight event; `subject` is the id that its three events share."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": event.event_id,
            "source": f"/limelight/rooms/{quote(event.room_id, safe='')}",
            "type": f"live.limelight.highlight.{event.kind}",
            "subject": event.highlight_id,
            "time": _rfc3339(event.segment_end_ms),
            "datacontenttype": "application/json",
            "data": {
                "kind": event.kind,
                "highlight_id": event.highlight_id,
                "room_id": event.room_id,
                "streamer_id": event.streamer_id,
                "room_started_ms": event.room_started_ms,
                "segment_index": event.segment_index,
                "start_ms": event.start_ms,
                "end_ms": event.end_ms,
                "decided_by": event.decided_by,
                "model_version": event.model_version,
                "baseline": event.baseline,
                "rise": event.rise,
                "peak": event.peak,
                "reason": reason(event),
                "timings": timings,
            },
        }
    )


def encode_enriched(closed: Mapping[str, Any], enrichment: Mapping[str, Any]) -> bytes:
    """The CloudEvent that follows a `closed` one: all that it said, and what viewers may be sent.

    Its `subject`, the highlight's id, is the same; its own id differs from the closed event's in
    the kind alone, so that enriching again gives the same event.

    Args:
        closed: a `closed` event as `decode_highlight` gives it.
        enrichment: plain JSON types; see docs/enrichment.md.

    Raises:
        ValueError: an event of another kind.
    """
    kind = closed["data"]["kind"]
    if kind != "closed":
        raise ValueError(f"highlight {closed['id']}: found kind {kind!r}, expected 'closed'")
    event_id = closed["id"].replace("/closed/", f"/{ENRICHED}/", 1)
    if event_id == closed["id"]:
        # Another detector's: a receiver would take it for what it has seen.
        event_id = f"{event_id}/{ENRICHED}"
    return orjson.dumps(
        {
            **closed,
            "id": event_id,
            "type": f"live.limelight.highlight.{ENRICHED}",
            "data": {**closed["data"], "kind": ENRICHED, "enrichment": enrichment},
        }
    )


def reason(event: HighlightEvent) -> str:
    """Why, in one sentence for a person."""
    what = "comment energy" if event.decided_by == "energy" else "predicted CTR"
    sentence = (
        f"{what} rose to {event.peak['value']:.2f} from the room's usual {event.baseline:.2f}"
        f" ({event.peak['comment_count']} comments in the segment)"
    )
    comments = event.peak["strongest_comments"]
    return f"{sentence}; most said: {' | '.join(comments)}" if comments else sentence


def decode_highlight(value: bytes | None, *, max_bytes: int) -> dict[str, Any]:
    """The CloudEvent as a dict, its envelope checked.

    Raises:
        MalformedRecord: not a CloudEvent of ours.
    """
    if not value or len(value) > max_bytes:
        raise MalformedRecord(
            f"highlight: found {len(value or b'')} bytes, expected 1 to {max_bytes}"
        )
    try:
        event: dict[str, Any] = orjson.loads(value)
        if event["specversion"] != "1.0" or not isinstance(event["id"], str):
            raise MalformedRecord("highlight: found no id or another specversion, expected 1.0")
        data = event["data"]
        if not event["id"].isascii() or not event["id"].isprintable():
            raise MalformedRecord("highlight: found an id that no HTTP header can carry")
        if not isinstance(data["room_id"], str) or not isinstance(data["timings"], dict):
            raise MalformedRecord("highlight: found no data.room_id or data.timings")
        if not all(isinstance(number, int) for number in data["timings"].values()):
            raise MalformedRecord("highlight: found data.timings that are no whole numbers")
        return event
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedRecord(
            f"highlight: found {value[:24]!r}, expected a CloudEvent ({error!r:.100})"
        ) from error
