"""The `windows` record: a closed segment as JSON, and a whole window of them.

A segment is written once, when it closes, and its bytes are reused in each of the windows that
hold it and in the assembler's table: 20 windows share one encoding.
"""

import base64
import binascii
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limelight.engine.window import COMMENT_BINS, Segment, Window
from limelight.streams.kept_json import kept_json
from limelight.streams.records import (
    MAX_FEATURE_SIZE,
    TIME_LIMIT_MS,
    Count,
    EventTimeMs,
    MalformedRecord,
    RoomId,
    Text,
    first_problem,
)

SCHEMA = 1


def encode_feature(feature: NDArray[np.float16]) -> str:
    """Base64 of a float16 vector, little endian."""
    return base64.b64encode(feature.astype("<f2").tobytes()).decode()


def decode_feature(text: str) -> NDArray[np.float16]:
    """The vector of `encode_feature`, shape (F,).

    Raises:
        MalformedRecord: not base64 of float16, empty, or with a value that is not finite.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedRecord(f"feature: found {text[:24]!r}, expected base64") from error
    if not data or len(data) % 2 or len(data) > 2 * MAX_FEATURE_SIZE:
        raise MalformedRecord(
            f"feature: found {len(data)} bytes, expected pairs, at most {2 * MAX_FEATURE_SIZE}"
        )
    feature = np.frombuffer(data, dtype="<f2").astype(np.float16)
    if not np.isfinite(feature).all():
        raise MalformedRecord("feature: found NaN or infinity, expected finite values")
    return feature


def encode_segment(
    segment: Segment, encoder: tuple[str, str] | None, entries: Mapping[str, int]
) -> bytes:
    """One closed segment; the same input gives the same bytes, whatever else happened.

    Args:
        entries: how many entries of each modality topic are in it, for whoever balances the books.
    """
    feature = segment.frame_feature
    return orjson.dumps(
        {
            "index": segment.index,
            "start_ms": segment.start_ms,
            "missing": [
                name
                for name, present in (
                    ("frames", feature is not None),
                    ("asr", bool(segment.speech)),
                    ("comments", segment.comment_count > 0),
                )
                if not present
            ],
            "encoder": encoder,
            "feature": None if feature is None else encode_feature(feature),
            "frame_times_ms": segment.frame_times_ms,
            "speech": segment.speech,
            "comments": segment.comments,
            "comment_count": segment.comment_count,
            "user_count": segment.user_count,
            "entries": dict(entries),
            "comment_weight": round(segment.comment_weight, 4),
            "comment_bins": segment.comment_bins,
            "picture_changes": segment.picture_changes,
        }
    )


def window_id(room_id: str, start_ms: int) -> str:
    """By the newest segment's start: a restarted room may use an index again, on another grid."""
    return f"{room_id}/{start_ms}/window"


def encode_window(
    *,
    room_id: str,
    streamer_id: str,
    room_started_ms: int | None,
    segment_ms: int,
    segments: Sequence[bytes],
    segment_index: int,
    start_ms: int,
    final: bool,
) -> bytes:
    """The `windows` record of consecutive encoded segments, oldest first."""
    return kept_json(
        {
            "schema": SCHEMA,
            "id": window_id(room_id, start_ms),
            "room_id": room_id,
            "streamer_id": streamer_id,
            "room_started_ms": room_started_ms,
            "segment_ms": segment_ms,
            "segment_index": segment_index,
            "final": final,
            "segments": [orjson.Fragment(segment) for segment in segments],
        }
    )


class _SegmentFields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    index: Annotated[int, Field(ge=0, lt=TIME_LIMIT_MS)]
    start_ms: EventTimeMs
    encoder: tuple[str, str] | None
    feature: str | None
    frame_times_ms: tuple[EventTimeMs, ...]
    speech: Text
    comments: tuple[Text, ...]
    comment_count: Count
    user_count: Count
    comment_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    comment_bins: Annotated[tuple[Count, ...], Field(max_length=COMMENT_BINS)] = ()
    picture_changes: tuple[Annotated[float, Field(ge=0, le=2)], ...] = ()


class _WindowFields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    schema_: Annotated[Literal[1], Field(alias="schema")]
    room_id: RoomId
    streamer_id: Annotated[str, Field(max_length=200)]
    room_started_ms: EventTimeMs | None
    segment_ms: Annotated[int, Field(ge=1, lt=TIME_LIMIT_MS)]
    segments: Annotated[tuple[_SegmentFields, ...], Field(min_length=1, max_length=10_000)]
    final: bool


# What msgspec reads ten times as fast, to the same bounds; what it refuses pydantic judges, whose
# errors name the field.
_Time = Annotated[int, msgspec.Meta(ge=0, lt=TIME_LIMIT_MS)]
_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
_Text = Annotated[str, msgspec.Meta(max_length=20_000)]
_Change = Annotated[float, msgspec.Meta(ge=0, le=2)]


class _FastSegment(msgspec.Struct, frozen=True, gc=False):
    index: _Time
    start_ms: _Time
    encoder: tuple[str, str] | None
    feature: str | None
    frame_times_ms: tuple[_Time, ...]
    speech: _Text
    comments: tuple[_Text, ...]
    comment_count: _Number
    user_count: _Number
    comment_weight: Annotated[float, msgspec.Meta(ge=0, le=sys.float_info.max)]
    comment_bins: Annotated[tuple[_Number, ...], msgspec.Meta(max_length=COMMENT_BINS)] = ()
    picture_changes: tuple[_Change, ...] = ()


class _FastWindow(msgspec.Struct, frozen=True, gc=False):
    schema: Literal[1]
    room_id: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    streamer_id: Annotated[str, msgspec.Meta(max_length=200)]
    room_started_ms: _Time | None
    segment_ms: Annotated[int, msgspec.Meta(ge=1, lt=TIME_LIMIT_MS)]
    segments: Annotated[tuple[_FastSegment, ...], msgspec.Meta(min_length=1, max_length=10_000)]
    final: bool


_fast_decoder = msgspec.json.Decoder(_FastWindow)


def decode_window(value: bytes, *, max_bytes: int) -> Window:
    """The window of a `windows` record.

    Features of another encoder than the newest feature's are left out: they share no space.

    Raises:
        MalformedRecord: not a window, or segments that are not consecutive.
    """
    if len(value) > max_bytes:
        raise MalformedRecord(f"window: found {len(value)} bytes, expected at most {max_bytes}")
    fields = _read(value)
    encoders = [entry.encoder for entry in fields.segments if entry.encoder]
    encoder = encoders[-1] if encoders else None
    first = fields.segments[0].index
    if [entry.index for entry in fields.segments] != list(
        range(first, first + len(fields.segments))
    ):
        raise MalformedRecord(f"window: found a gap among segments from {first} on")
    features = _features(fields.segments, encoder)
    return Window(
        room_id=fields.room_id,
        streamer_id=fields.streamer_id,
        room_started_ms=fields.room_started_ms,
        segment_ms=fields.segment_ms,
        encoder_id=encoder[0] if encoder else "",
        encoder_revision=encoder[1] if encoder else "",
        segments=tuple(map(_segment, fields.segments, features)),
        final=fields.final,
    )


def _read(value: bytes) -> _FastWindow | _WindowFields:
    try:
        return _fast_decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    try:
        return _WindowFields.model_validate_json(value)
    except ValidationError as error:
        raise MalformedRecord(f"window: {first_problem(error)}") from error


def _features(
    segments: Sequence[_FastSegment | _SegmentFields], encoder: tuple[str, str] | None
) -> list[NDArray[np.float16] | None]:
    """The feature of each segment, None where it has none or another encoder's."""
    features: list[NDArray[np.float16] | None] = [None] * len(segments)
    texts = {
        at: entry.feature
        for at, entry in enumerate(segments)
        if entry.feature is not None and entry.encoder == encoder
    }
    if len({len(text) for text in texts.values()}) == 1:
        try:
            # One conversion and one check for all; base64 of whole features ends where each ends.
            rows = [base64.b64decode(text, validate=True) for text in texts.values()]
            together = np.frombuffer(b"".join(rows), "<f2").astype(np.float16)
            stacked = together.reshape(len(rows), -1)
            if stacked.shape[1] <= MAX_FEATURE_SIZE and np.isfinite(stacked).all():
                for at, row in zip(texts, stacked, strict=True):
                    features[at] = row
                return features
        except ValueError:
            pass  # one by one, for an error that says what is wrong with it
    for at, text in texts.items():
        features[at] = decode_feature(text)
    return features


def _segment(entry: _FastSegment | _SegmentFields, feature: NDArray[np.float16] | None) -> Segment:
    return Segment(
        index=entry.index,
        start_ms=entry.start_ms,
        frame_feature=feature,
        frame_times_ms=entry.frame_times_ms,
        speech=entry.speech,
        comments=entry.comments,
        comment_count=entry.comment_count,
        user_count=entry.user_count,
        comment_weight=entry.comment_weight,
        comment_bins=entry.comment_bins,
        picture_changes=entry.picture_changes,
    )
