"""The `highlights` record: a CloudEvents 1.0 JSON event, the same bytes that are pushed.

Nothing in it comes from a clock or a random number but `data.timings`, so a replay of the same
log gives the same events.
"""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from limelight.streams.detection import HighlightEvent
from limelight.streams.records import MalformedRecord

CONTENT_TYPE = "application/cloudevents+json"


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
