"""Factories for messages and scores; every test says what it needs of them."""

from collections.abc import Callable

import numpy as np
import orjson
import pytest

from limelight.engine.score import Reasons, Score
from limelight.streams.records import Watermark, header_map
from limelight.streams.source_messages import SourceMessage
from limelight.streams.watermark import no_ack
from limelight.streams.window_records import encode_feature

SEGMENT_MS = 30_000
STARTED_MS = 1_700_000_000_000


@pytest.fixture
def started_ms() -> int:
    return STARTED_MS


@pytest.fixture
def make_mark() -> Callable[..., SourceMessage]:
    def make(topic: str, offset: int, mark_ms: int, ack=no_ack) -> SourceMessage:
        return SourceMessage(
            topic, 0, offset, b"", header_map(Watermark(STARTED_MS + mark_ms).encode()), ack
        )

    return make


@pytest.fixture
def make_message() -> Callable[..., SourceMessage]:
    """A comment, speech line or feature `at_ms` after the room's start."""

    def make(
        topic: str,
        offset: int,
        at_ms: int,
        *,
        room_id: str = "room",
        text: str = "text",
        user: str = "",
        value: object = None,
        ack=no_ack,
    ) -> SourceMessage:
        fields = {"room_id": room_id, "streamer_id": "s", "room_started_ms": STARTED_MS}
        if topic == "comments":
            fields |= {"event_time_ms": STARTED_MS + at_ms, "text": text, "user": user}
        elif topic == "asr":
            fields |= {
                "start_ms": STARTED_MS + at_ms,
                "end_ms": STARTED_MS + at_ms,
                "text": text,
            }
        else:
            feature = np.full(4, at_ms % 7, dtype=np.float16)
            fields |= {
                "event_time_ms": STARTED_MS + at_ms,
                "encoder_id": "tiny",
                "encoder_revision": "r",
                "feature": encode_feature(feature),
                "frame_offset": offset,
            }
        body = orjson.dumps(fields if value is None else value)
        return SourceMessage(topic, 0, offset, body, {}, ack)

    return make


@pytest.fixture
def make_score() -> Callable[..., Score]:
    def make(
        index: int,
        decision: float,
        *,
        room_id: str = "room",
        final: bool = False,
        started_ms: int | None = STARTED_MS,
    ) -> Score:
        start_ms = STARTED_MS + index * SEGMENT_MS
        return Score(
            room_id=room_id,
            streamer_id="s",
            room_started_ms=started_ms,
            segment_index=index,
            start_ms=start_ms,
            end_ms=start_ms + SEGMENT_MS,
            ctr=0.5,
            energy=decision,
            decided_by="energy",
            decision=decision,
            model_version="energy",
            reasons=Reasons(
                modality_shares={"comments": 1.0},
                strongest_comments=("wow",),
                key_frame_ms=start_ms + 15_000,
                comment_count=7,
            ),
            final=final,
        )

    return make
