"""Messages of the modality topics, read record by record within their limits."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from limelight.streams.records import (
    Comment,
    FrameFeature,
    MalformedRecord,
    Speech,
    parse_json,
    parse_record,
)
from limelight.streams.settings import AssemblerSettings
from limelight.streams.watermark import Ack

# Comments come alone or as a list; the other sources send one record a message.
MAX_COMMENTS_A_MESSAGE = 1_000

SourceRecord = Comment | Speech | FrameFeature

_MODELS: dict[str, type[Comment] | type[Speech] | type[FrameFeature]] = {
    "comments": Comment,
    "asr": Speech,
    "frame-features": FrameFeature,
}


_COMMENTS = TypeAdapter(list[Comment])


class SourceMessage(NamedTuple):
    """One message of a modality topic; `topic` without prefix, headers as text."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: dict[str, str]
    ack: Ack


class Entries(NamedTuple):
    """What a message says, entry by entry; in a list an entry's number is its place.

    `records` holds the error for an entry that cannot be used; `values` are their JSON values.
    """

    is_list: bool
    records: Sequence[SourceRecord | MalformedRecord]
    values: Sequence[Any]


def read_records(message: SourceMessage, max_bytes: int, settings: AssemblerSettings) -> Entries:
    """The message's entries, each read or refused by itself.

    Raises:
        MalformedRecord: the message as a whole cannot be read; see `read_entries`.
    """
    entries = read_entries(message, max_bytes)
    values = [fields for _, fields in entries]
    is_list = not entries or entries[0][0] is not None
    if is_list:
        # All at once costs half as much; if that fails, each is read by itself for its reason.
        most = settings.max_comment_chars
        try:
            comments = _COMMENTS.validate_python(values)
        except ValidationError:
            pass
        else:
            if all(len(comment.text) <= most for comment in comments):
                return Entries(True, comments, values)
    return Entries(is_list, [_read(message.topic, each, settings) for each in values], values)


def _read(topic: str, fields: Any, settings: AssemblerSettings) -> SourceRecord | MalformedRecord:
    try:
        return read_record(topic, fields, settings)
    except MalformedRecord as error:
        return error


def read_entries(message: SourceMessage, max_bytes: int) -> list[tuple[int | None, Any]]:
    """The message's JSON values, each with its place in the list, or None if it is no list.

    Raises:
        MalformedRecord: too large, not JSON, or a list where none may be or that is too long.
    """
    value = parse_json(message.value, max_bytes=max_bytes)
    if not isinstance(value, list):
        return [(None, value)]
    if message.topic != "comments":
        raise MalformedRecord("value: found a list, expected one JSON object")
    if len(value) > MAX_COMMENTS_A_MESSAGE:
        raise MalformedRecord(
            f"value: found {len(value)} comments, expected at most {MAX_COMMENTS_A_MESSAGE}"
        )
    return list(enumerate(value))


def read_record(topic: str, fields: Any, settings: AssemblerSettings) -> SourceRecord:
    """One record of the topic.

    Raises:
        MalformedRecord: fields that do not fit, or what no honest source sends.
    """
    record = parse_record(_MODELS[topic], fields)
    if isinstance(record, Comment | Speech):
        is_comment = isinstance(record, Comment)
        most = settings.max_comment_chars if is_comment else settings.max_speech_chars
        if len(record.text) > most:
            raise MalformedRecord(
                f"text: found {len(record.text)} characters, expected at most {most}"
            )
    if isinstance(record, Speech) and record.end_ms < record.start_ms:
        raise MalformedRecord(
            f"end_ms: found {record.end_ms}, expected at least start_ms {record.start_ms}"
        )
    return record
