"""The `windows` record: a closed segment as JSON, and a whole window of them.

A segment is written once, when it closes, and its bytes are reused in each of the windows that
hold it and in the assembler's table: 20 windows share one encoding.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from limelight.engine.window import Segment, Window
from limelight.streams.records import MalformedRecord

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
    if not data or len(data) % 2:
        raise MalformedRecord(f"feature: found {len(data)} bytes, expected pairs of bytes")
    feature = np.frombuffer(data, dtype="<f2").astype(np.float16)
    if not np.isfinite(feature).all():
        raise MalformedRecord("feature: found NaN or infinity, expected finite values")
    return feature


def encode_segment(segment: Segment, encoder: tuple[str, str] | None) -> bytes:
    """One closed segment; the same input gives the same bytes, whatever else happened."""
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
            "comment_weight": round(segment.comment_weight, 4),
        }
    )


def window_id(room_id: str, segment_index: int) -> str:
    return f"{room_id}/{segment_index}/window"


def encode_window(
    *,
    room_id: str,
    streamer_id: str,
    room_started_ms: int | None,
    segment_ms: int,
    segments: Sequence[bytes],
    segment_index: int,
    final: bool,
) -> bytes:
    """The `windows` record of consecutive encoded segments, oldest first."""
    return orjson.dumps(
        {
            "schema": SCHEMA,
            "id": window_id(room_id, segment_index),
            "room_id": room_id,
            "streamer_id": streamer_id,
            "room_started_ms": room_started_ms,
            "segment_ms": segment_ms,
            "segment_index": segment_index,
            "final": final,
            "segments": [orjson.Fragment(segment) for segment in segments],
        }
    )


def decode_window(value: bytes, *, max_bytes: int) -> Window:
    """The window of a `windows` record.

    Features of another encoder than the newest feature's are left out: they share no space.

    Raises:
        MalformedRecord: not a window, or segments that are not consecutive.
    """
    if len(value) > max_bytes:
        raise MalformedRecord(f"window: found {len(value)} bytes, expected at most {max_bytes}")
    try:
        fields = orjson.loads(value)
        if fields["schema"] != SCHEMA:
            raise MalformedRecord(f"window: found schema {fields['schema']}, expected {SCHEMA}")
        encoders = [entry["encoder"] for entry in fields["segments"] if entry["encoder"]]
        encoder = encoders[-1] if encoders else None
        segments = tuple(_decode_segment(entry, encoder) for entry in fields["segments"])
        if not segments:
            raise MalformedRecord("window: found no segments, expected at least one")
        first = segments[0].index
        if [segment.index for segment in segments] != list(range(first, first + len(segments))):
            raise MalformedRecord(f"window: found a gap among segments from {first} on")
        return Window(
            room_id=fields["room_id"],
            streamer_id=fields["streamer_id"],
            room_started_ms=fields["room_started_ms"],
            segment_ms=fields["segment_ms"],
            encoder_id=encoder[0] if encoder else "",
            encoder_revision=encoder[1] if encoder else "",
            segments=segments,
            final=fields["final"],
        )
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise MalformedRecord(
            f"window: found {value[:24]!r}, expected a windows record ({error!r})"
        ) from error


def _decode_segment(entry: dict[str, Any], encoder: list[str] | None) -> Segment:
    usable = entry["feature"] is not None and entry["encoder"] == encoder
    return Segment(
        index=entry["index"],
        start_ms=entry["start_ms"],
        frame_feature=decode_feature(entry["feature"]) if usable else None,
        frame_times_ms=tuple(entry["frame_times_ms"]),
        speech=entry["speech"],
        comments=tuple(entry["comments"]),
        comment_count=entry["comment_count"],
        user_count=entry["user_count"],
        comment_weight=entry["comment_weight"],
    )
