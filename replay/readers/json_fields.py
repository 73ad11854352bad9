"""Checked look-ups in a parsed JSON item."""

from collections.abc import Mapping

from limelight.replay.readers.malformed import Place, shown


def members(place: Place, value: object) -> Mapping[str, object]:
    """`value` as an object.

    Raises:
        MalformedRecording: it is something else.
    """
    if not isinstance(value, dict):
        raise place.malformed_value(value, "a JSON object")
    return value


def text_of(place: Place, item: Mapping[str, object], key: str) -> str:
    """The string under `key`.

    Raises:
        MalformedRecording: there is none, or it is not a string.
    """
    value = item.get(key)
    if not isinstance(value, str):
        found = f"no {key!r}" if key not in item else f"{key!r} as {shown(value)}"
        raise place.malformed(found, f"a string as {key!r}")
    return value


def user_of(item: object, *keys: str) -> str:
    """The first of `keys` that is a non-empty string; "" when there is none."""
    if not isinstance(item, dict):
        return ""
    values = (item.get(key) for key in keys)
    return next((value for value in values if isinstance(value, str) and value), "")
