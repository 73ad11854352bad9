"""Event times as people write them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def parse_event_time(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time; UTC unless it says otherwise.

    Raises:
        ValueError: not such a time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise ValueError(
            f"time: found {text!r:.40}, expected one like 2026-05-01T12:00:00Z"
        ) from error
    return round((moment.replace(tzinfo=moment.tzinfo or UTC) - _EPOCH) / _MS)


def shown_event_time(time_ms: int) -> str:
    """What `parse_event_time` reads as that time again."""
    return (_EPOCH + time_ms * _MS).isoformat(timespec="milliseconds").replace("+00:00", "Z")
