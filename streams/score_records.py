"""The `scores` record: an engine score as JSON with its deterministic id and its timings."""

from dataclasses import asdict
from typing import Any

import orjson

from limelight.engine.score import Reasons, Score
from limelight.streams.records import MalformedRecord


def score_id(score: Score) -> str:
    return f"{score.room_id}/{score.segment_index}/score/{score.model_version}"


def encode_score(score: Score, timings: dict[str, int]) -> bytes:
    """The `scores` record; `timings` are wall-clock milliseconds and no part of the result."""
    return orjson.dumps({"id": score_id(score), **asdict(score), "timings": timings})


def decode_score(value: bytes | None, *, max_bytes: int) -> tuple[Score, dict[str, int]]:
    """The score of a `scores` record and its timings.

    Raises:
        MalformedRecord: not a scores record.
    """
    if not value or len(value) > max_bytes:
        raise MalformedRecord(f"score: found {len(value or b'')} bytes, expected 1 to {max_bytes}")
    try:
        fields: dict[str, Any] = orjson.loads(value)
        timings = fields.pop("timings")
        del fields["id"]
        reasons = fields.pop("reasons")
        reasons["strongest_comments"] = tuple(reasons["strongest_comments"])
        score = Score(**fields, reasons=Reasons(**reasons))
        if not 0.0 <= score.decision <= 1.0:
            raise MalformedRecord(f"score: found decision {score.decision}, expected 0 to 1")
        return score, timings
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedRecord(
            f"score: found {value[:24]!r}, expected a scores record ({error!r})"
        ) from error
