"""What the readers give: one comment, one piece of speech, one count of engagement.

All times are ms from the start of the file that holds them; `Recording` moves them by the part's
offset. The makers below check what no reader may let through.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from limelight.replay.readers.malformed import Place

MAX_TEXT_CHARS = 10_000


@dataclass(frozen=True, slots=True)
class CommentLine:
    """`user` is whatever tells users apart in the file, "" where the file does not say."""

    offset_ms: int
    user: str
    text: str


@dataclass(frozen=True, slots=True)
class SpeechLine:
    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class EngagementLine:
    """Counts by kind (impressions, clicks, gifts, ...) in `[start_ms, end_ms]`.

    A single event has equal times.
    """

    start_ms: int
    end_ms: int
    counts: Mapping[str, float]


def comment_line(place: Place, offset_ms: int, user: str, text: str) -> CommentLine | None:
    """The comment, on one line; None when it has no text, as a gift without a message."""
    text = one_line(place, text)
    return CommentLine(offset_ms, user, text) if text else None


def speech_line(place: Place, start_ms: int, end_ms: int, text: str) -> SpeechLine | None:
    """The piece of speech, on one line; None when nothing is said.

    Raises:
        MalformedRecording: it ends before it starts, or its text is too long.
    """
    check_order(place, start_ms, end_ms)
    text = one_line(place, text)
    return SpeechLine(start_ms, end_ms, text) if text else None


def check_order(place: Place, start_ms: int, end_ms: int) -> None:
    if end_ms < start_ms:
        raise place.malformed(f"an end at {end_ms} ms", f"one not before its start, {start_ms} ms")


def one_line(place: Place, text: str) -> str:
    """`text` with every run of white space and line breaks as one space."""
    if len(text) > MAX_TEXT_CHARS:
        raise place.malformed(f"a text of {len(text):,} characters", f"at most {MAX_TEXT_CHARS:,}")
    return " ".join(text.split())
