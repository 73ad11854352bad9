"""Kafka records as the system writes them, for tests of the log."""

import numpy as np
import orjson
from aiokafka import ConsumerRecord

from limelight.engine.score import Reasons, Score, Shadow
from limelight.engine.window import Segment
from limelight.streams.score_records import encode_score
from limelight.streams.window_records import encode_segment, encode_window

SEGMENT_MS = 30_000
# The start of an hour.
START_MS = 1_699_999_200_000
ENCODER = ("tiny", "r1")
MAX_BYTES = 1_000_000


def feature_of(room_id: str, index: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng([index, *room_id.encode()]).normal(size=size).astype(np.float16)


def segment_of(room_id: str, index: int, encoder=ENCODER, picture: bool = True) -> bytes:
    start_ms = START_MS + index * SEGMENT_MS
    segment = Segment(
        index=index,
        start_ms=start_ms,
        frame_feature=feature_of(room_id, index) if picture else None,
        frame_times_ms=(start_ms + 1, start_ms + 2) if picture else (),
        speech=f"{room_id} speaks {index}" if index % 3 else "",
        comments=("666", f"a {index}") if index % 2 else (),
        comment_count=2 * (index % 2),
        user_count=index % 2,
        comment_weight=1.5 * (index % 2),
        comment_bins=tuple(range(15)),
        picture_changes=(0.25,) if picture else (),
    )
    return encode_segment(segment, encoder if picture else None, {"comments": 2 * (index % 2)})


def window_record(
    room_id: str, index: int, offset: int, *, partition: int = 0, encoder=ENCODER, picture=True
) -> ConsumerRecord:
    value = encode_window(
        room_id=room_id,
        streamer_id=f"streamer of {room_id}",
        room_started_ms=START_MS,
        segment_ms=SEGMENT_MS,
        segments=[
            segment_of(room_id, each, encoder, picture or each != index)
            for each in range(max(0, index - 2), index + 1)
        ],
        segment_index=index,
        start_ms=START_MS + index * SEGMENT_MS,
        final=False,
    )
    return record("windows", partition, offset, value, [("closed_at_ms", b"1700000000123")])


def score_record(room_id: str, index: int, offset: int, *, partition: int = 0) -> ConsumerRecord:
    start_ms = START_MS + index * SEGMENT_MS
    score = Score(
        room_id=room_id,
        streamer_id=f"streamer of {room_id}",
        room_started_ms=START_MS,
        segment_index=index,
        start_ms=start_ms,
        end_ms=start_ms + SEGMENT_MS,
        ctr=0.125,
        energy=0.5,
        decided_by="network",
        decision=0.125,
        model_version="m1",
        reasons=Reasons({"comments": 0.75, "frames": 0.25}, ("666",), start_ms + 1, 2),
        final=False,
        shadow=Shadow("m2", 0.25) if index % 2 else None,
    )
    value = encode_score(score, {"closed_at_ms": 5, "scored_at_ms": 7})
    return record("scores", partition, offset, value)


def engagement_record(
    room_id: str, index: int, offset: int, *, partition: int = 0, **fields: object
) -> ConsumerRecord:
    start_ms = START_MS + index * SEGMENT_MS
    value = {"room_id": room_id, "start_ms": start_ms, "end_ms": start_ms + SEGMENT_MS}
    value |= {"impressions": 100.0, "clicks": float(index % 10)} | fields
    return record("engagement", partition, offset, orjson.dumps(value))


def record(topic: str, partition: int, offset: int, value: bytes, headers=()) -> ConsumerRecord:
    return ConsumerRecord(
        topic, partition, offset, 0, 0, None, value, None, 0, len(value), tuple(headers)
    )
