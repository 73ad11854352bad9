"""The error of every unreadable file of a recording, and the place in the file it points at."""

from dataclasses import dataclass

from limelight.engine.errors import LimelightError
from limelight.replay.media_url import Video

_SHOWN_CHARS = 80


class MalformedRecording(LimelightError):
    """Reads like `comments.xml, line 12: found ..., expected ...`.

    `where` is a line, a byte, a time or a key of the manifest; None when the whole file is meant.
    """

    def __init__(self, path: Video, where: str | None, found: str, expected: str) -> None:
        self.path = path
        self.where = where
        self.found = found
        self.expected = expected
        place = path.name if where is None else f"{path.name}, {where}"
        super().__init__(f"{place}: found {found}, expected {expected}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file a reader stands."""

    path: Video
    where: str | None = None

    def malformed(self, found: str, expected: str) -> MalformedRecording:
        return MalformedRecording(self.path, self.where, found, expected)

    def malformed_value(self, value: object, expected: str) -> MalformedRecording:
        return self.malformed(shown(value), expected)


def shown(value: object) -> str:
    """`value` as it can stand in an error: quoted, on one line, cut to a readable length."""
    if isinstance(value, str | bytes) and len(value) > _SHOWN_CHARS:
        return f"{value[:_SHOWN_CHARS]!r} and {len(value) - _SHOWN_CHARS:,} more"
    text = repr(value)
    return text if len(text) <= 2 * _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
