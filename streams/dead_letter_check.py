"""Whether a message would be read if it were sent to its topic: the very parsers, beforehand."""

from collections.abc import Callable

from limelight.engine.errors import DecodeFailed
from limelight.streams.dead_letter_log import DeadLetter
from limelight.streams.highlight_records import decode_highlight
from limelight.streams.records import (
    MalformedRecord,
    RoomEnd,
    parse_frame_headers,
    parse_mark,
)
from limelight.streams.score_records import decode_score
from limelight.streams.settings import Settings
from limelight.streams.source_messages import SourceMessage, read_entries, read_record
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import no_ack
from limelight.streams.window_records import decode_window

# Any size will do for a look whether a picture can be decoded.
_LOOK = (8, 8)


def check_message(letter: DeadLetter, settings: Settings) -> None:
    """Raise unless whoever reads the letter's topic would accept its value and headers.

    What depends on more than the message is not known here: whether its time is too far ahead or
    too late, and whether a window suits the engine's model.

    Raises:
        MalformedRecord: what was found and expected.
    """
    topic = letter.origin.topic
    check = _CHECKS.get(topic)
    if check is None:
        raise MalformedRecord(f"topic: found {topic!r}, expected one of {', '.join(_CHECKS)}")
    check(letter, settings)


def _check_source(letter: DeadLetter, settings: Settings) -> None:
    if _is_mark(letter):
        return
    origin = letter.origin
    message = SourceMessage(
        origin.topic, origin.partition, origin.offset, letter.value, dict(letter.headers), no_ack
    )
    for element, fields in read_entries(message, settings.kafka.max_message_bytes):
        try:
            read_record(origin.topic, fields, settings.assembler)
        except MalformedRecord as error:
            if element is None:
                raise
            raise MalformedRecord(f"entry {element} of the list: {error}") from error


def _check_frame(letter: DeadLetter, settings: Settings) -> None:
    from limelight.engine.images import decode_image

    if _is_mark(letter):
        return
    parse_frame_headers(letter.headers)
    try:
        decode_image(
            letter.value,
            max_bytes=settings.engine.max_image_bytes,
            max_pixels=settings.engine.max_image_pixels,
            size=_LOOK,
        )
    except DecodeFailed as error:
        raise MalformedRecord(str(error)) from error


def _is_mark(letter: DeadLetter) -> bool:
    """Whether the message is a mark, whose value does not matter.

    Raises:
        MalformedRecord: a mark that is none, or not of this topic.
    """
    mark = parse_mark(letter.headers)
    if isinstance(mark, RoomEnd) and letter.origin.topic != "comments":
        raise MalformedRecord("header kind: found a room's end, expected it on comments")
    return mark is not None


def _check_window(letter: DeadLetter, settings: Settings) -> None:
    decode_window(letter.value, max_bytes=settings.kafka.max_message_bytes)


def _check_score(letter: DeadLetter, settings: Settings) -> None:
    decode_score(letter.value, max_bytes=settings.kafka.max_message_bytes)


def _check_highlight(letter: DeadLetter, settings: Settings) -> None:
    decode_highlight(letter.value, max_bytes=settings.kafka.max_message_bytes)


_CHECKS: dict[str, Callable[[DeadLetter, Settings], None]] = {
    "frames": _check_frame,
    **dict.fromkeys(MODALITY_TOPICS, _check_source),
    "windows": _check_window,
    "scores": _check_score,
    "highlights": _check_highlight,
}
