"""Times as the formats write them, as whole ms: clock text, seconds, ms."""

import re
from decimal import ROUND_HALF_UP, Decimal

from limelight.replay.readers.malformed import Place

# A year: what lies beyond is a wrong unit (microseconds, an epoch), not a long stream.
MAX_OFFSET_MS = 366 * 24 * 3_600_000

_CLOCK = re.compile(r"(?:(\d{1,5}):)?([0-5]?\d):([0-5]?\d(?:[.,]\d{1,9})?)", re.ASCII)
_SECONDS = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,15}", re.ASCII)


def clock_ms(place: Place, text: str) -> int:
    """`1:02:03.45`, `02:03,450` or `02:03` in ms; a finer fraction is rounded.

    Raises:
        MalformedRecording: anything else, and a time beyond a year.
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise place.malformed_value(text, "a time such as 0:01:02.345")
    hours, minutes, seconds = match.groups()
    whole_minutes = 60 * int(hours or 0) + int(minutes)
    return _checked_ms(place, text, 60 * whole_minutes + Decimal(seconds.replace(",", ".")))


def seconds_ms(place: Place, value: object) -> int:
    """Seconds, a number or its text, in ms, rounded.

    Raises:
        MalformedRecording: not a number, not finite, negative, or beyond a year.
    """
    if isinstance(value, str):
        if _SECONDS.fullmatch(value.strip()) is None:
            raise place.malformed_value(value, "a time in seconds")
        return _checked_ms(place, value, Decimal(value.strip()))
    # JSON has no way to write what is not finite, and its reader refuses NaN and Infinity.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise place.malformed_value(value, "a time in seconds")
    return _checked_ms(place, value, Decimal(repr(value)))


def whole_ms(place: Place, text: str) -> int:
    """Whole ms from their text.

    Raises:
        MalformedRecording: not a whole number, negative, or beyond a year.
    """
    if _WHOLE.fullmatch(text.strip()) is None:
        raise place.malformed_value(text, "a time in whole ms")
    return _checked_ms(place, text, Decimal(text.strip()) / 1000)


def _checked_ms(place: Place, written: object, seconds: Decimal) -> int:
    if seconds < 0:
        raise place.malformed_value(written, "a time that is not negative")
    if seconds * 1000 > MAX_OFFSET_MS:
        raise place.malformed_value(written, "a time within a year of the start")
    return int((seconds * 1000).to_integral_value(ROUND_HALF_UP))
