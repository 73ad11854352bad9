"""The `scores` record: an engine score as JSON with its deterministic id and its timings."""

from dataclasses import asdict
from dataclasses import fields as fields_of
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limelight.engine.score import Reasons, Score, Shadow
from limelight.streams.records import (
    TIME_LIMIT_MS,
    Count,
    EventTimeMs,
    MalformedRecord,
    RoomId,
    first_problem,
)

Share = Annotated[float, Field(ge=0, le=1)]
# A highlight carries its reasons twice and must fit into a message; the assembler keeps no longer
# texts than this.
_Comment = Annotated[str, Field(max_length=2_000)]
_Modality = Annotated[str, Field(max_length=200)]
_NESTED = ("reasons", "shadow")
_SCORE_NAMES = tuple(field.name for field in fields_of(Score) if field.name not in _NESTED)


def score_id(score: Score) -> str:
    return f"{score.room_id}/{score.start_ms}/score/{score.model_version}"


def encode_score(score: Score, timings: dict[str, int]) -> bytes:
    """The `scores` record; `timings` are wall-clock milliseconds and no part of the result."""
    return orjson.dumps({"id": score_id(score), **asdict(score), "timings": timings})


class _ReasonsFields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    modality_shares: Annotated[
        dict[_Modality, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=16)
    ]
    strongest_comments: Annotated[tuple[_Comment, ...], Field(max_length=16)]
    key_frame_ms: EventTimeMs | None
    comment_count: Count
    speech: _Comment = ""


class _ShadowFields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", protected_namespaces=())

    model_version: Annotated[str, Field(max_length=200)]
    ctr: Share


class _ScoreFields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", protected_namespaces=())

    room_id: RoomId
    streamer_id: Annotated[str, Field(max_length=200)]
    room_started_ms: EventTimeMs | None
    segment_index: Annotated[int, Field(ge=0, lt=TIME_LIMIT_MS)]
    start_ms: EventTimeMs
    end_ms: EventTimeMs
    ctr: Share
    energy: Share
    decided_by: Literal["energy", "network"]
    decision: Share
    model_version: Annotated[str, Field(max_length=200)]
    reasons: _ReasonsFields
    final: bool
    comment_lag_ms: EventTimeMs | None = None
    shadow: _ShadowFields | None = None
    timings: Annotated[dict[str, EventTimeMs], Field(max_length=16)]


def decode_score(value: bytes | None, *, max_bytes: int) -> tuple[Score, dict[str, int]]:
    """The score of a `scores` record and its timings.

    Raises:
        MalformedRecord: not a scores record.
    """
    if not value or len(value) > max_bytes:
        raise MalformedRecord(f"score: found {len(value or b'')} bytes, expected 1 to {max_bytes}")
    try:
        fields = _ScoreFields.model_validate_json(value)
    except ValidationError as error:
        raise MalformedRecord(f"score: {first_problem(error)}") from error
    plain = {name: getattr(fields, name) for name in _SCORE_NAMES}
    shadow = None if fields.shadow is None else Shadow(**dict(fields.shadow))
    score = Score(**plain, reasons=Reasons(**dict(fields.reasons)), shadow=shadow)
    return score, fields.timings
