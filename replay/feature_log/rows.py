"""Kafka records as rows of the log, in the order of the schemas' columns."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from aiokafka import ConsumerRecord

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.feature_log.arrow import pa
from limelight.replay.feature_log.schema import SCHEMAS
from limelight.streams.records import (
    TIME_LIMIT_MS,
    Engagement,
    MalformedRecord,
    header_map,
    parse_json,
    parse_record,
)
from limelight.streams.score_records import decode_score
from limelight.streams.window_records import decode_feature, decode_window

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Row:
    """A row, the hour it belongs to by event time, and about how much memory it takes."""

    values: tuple[Any, ...]
    hour: int
    size_bytes: int


# The bounds of `window_records`: what is beyond them could not be a row.
_Time = Annotated[int, msgspec.Meta(ge=0, lt=TIME_LIMIT_MS)]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Segment(msgspec.Struct, frozen=True):
    index: _Time
    start_ms: _Time
    encoder: tuple[str, str] | None
    feature: str | None
    frame_times_ms: list[_Time]
    speech: str
    comments: list[str]
    comment_count: _Number
    user_count: _Number
    comment_weight: float
    comment_bins: list[_Number] = []
    picture_changes: list[float] = []
    missing: list[str] = []
    entries: dict[str, _Number] = {}


class _Window(msgspec.Struct, frozen=True):
    room_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    streamer_id: str
    room_started_ms: _Time | None
    segment_ms: Annotated[int, msgspec.Meta(ge=1, lt=TIME_LIMIT_MS)]
    final: bool
    segments: list[msgspec.Raw]


_read_window = msgspec.json.Decoder(_Window).decode
_read_segment = msgspec.json.Decoder(_Segment).decode


def segment_row(record: ConsumerRecord, max_bytes: int) -> Row:
    """The newest segment of a `windows` record: every segment is the newest of one window.

    Raises:
        MalformedRecord: not a window.
    """
    value = record.value or b""
    window, newest = _newest(value, max_bytes)
    feature = None if newest.feature is None else decode_feature(newest.feature)
    encoder = newest.encoder or (None, None)
    values = (
        record.partition,
        record.offset,
        window.room_id,
        window.streamer_id,
        window.room_started_ms,
        newest.index,
        newest.start_ms,
        window.segment_ms,
        window.final,
        _closed_at_ms(record),
        *encoder,
        None if feature is None else feature.astype("<f2").tobytes(),
        newest.frame_times_ms,
        newest.picture_changes,
        newest.speech,
        newest.comments,
        newest.comment_count,
        newest.user_count,
        newest.comment_weight,
        newest.comment_bins,
        newest.missing,
        list(newest.entries.items()),
    )
    return Row(values, newest.start_ms // HOUR_MS, len(window.segments[-1]) + 1_000)


def _closed_at_ms(record: ConsumerRecord) -> int | None:
    """When the assembler closed the segment, by its own clock."""
    text = header_map(record.headers).get("closed_at_ms", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 13
    return int(text) if is_number and int(text) < TIME_LIMIT_MS else None


def _newest(value: bytes, max_bytes: int) -> tuple[_Window, _Segment]:
    # The nineteen older segments are skipped, not read: they have rows of their own.
    try:
        if len(value) <= max_bytes:
            window = _read_window(value)
            return window, _read_segment(window.segments[-1])
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError):
        pass
    decode_window(value, max_bytes=max_bytes)  # says what is wrong
    raise MalformedRecord("window: found a newest segment that cannot be read")


def score_row(record: ConsumerRecord, max_bytes: int) -> Row:
    """A `scores` record.

    Raises:
        MalformedRecord: not a score.
    """
    score, timings = decode_score(record.value, max_bytes=max_bytes)
    reasons, shadow = score.reasons, score.shadow
    values = (
        record.partition,
        record.offset,
        score.room_id,
        score.streamer_id,
        score.room_started_ms,
        score.segment_index,
        score.start_ms,
        score.end_ms,
        score.final,
        score.model_version,
        score.ctr,
        score.energy,
        score.decided_by,
        score.decision,
        None if shadow is None else shadow.model_version,
        None if shadow is None else shadow.ctr,
        list(reasons.modality_shares.items()),
        reasons.strongest_comments,
        reasons.key_frame_ms,
        reasons.comment_count,
        score.comment_lag_ms,
        list(timings.items()),
    )
    return Row(values, score.start_ms // HOUR_MS, len(record.value or b"") + 1_000)


def engagement_row(record: ConsumerRecord, max_bytes: int) -> Row:
    """An `engagement` record.

    Raises:
        MalformedRecord: not engagement, an interval that ends before it begins, or counts that
            cannot be.
    """
    found = parse_record(Engagement, parse_json(record.value, max_bytes=max_bytes))
    if found.end_ms <= found.start_ms:
        raise MalformedRecord(
            f"end_ms: found {found.end_ms}, expected more than start_ms {found.start_ms}"
        )
    counts = [getattr(found, name) for name in COUNT_NAMES]
    for name, count in zip(COUNT_NAMES, counts, strict=True):
        if count is not None and not 0 <= count < 2**53:
            raise MalformedRecord(f"{name}: found {count}, expected 0 or more")
    values = (
        record.partition,
        record.offset,
        found.room_id,
        found.streamer_id,
        found.room_started_ms,
        found.start_ms,
        found.end_ms,
        *counts,
        list(found.paid.items()),
    )
    return Row(values, found.start_ms // HOUR_MS, len(record.value or b"") + 500)


READERS = {"segments": segment_row, "scores": score_row, "engagement": engagement_row}


def table_of(dataset: str, rows: list[Row]) -> Any:
    """The rows as an Arrow table."""
    schema = SCHEMAS[dataset]
    columns = zip(*(row.values for row in rows), strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
