"""Messages of the modality topics, read record by record within their limits."""

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One message of a modality topic; `topic` without prefix, headers as text."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: dict[str, str]
    ack: Ack


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
