"""Factories for windows, so that a test states only what it is about."""

from collections.abc import Callable

import numpy as np
import pytest

from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import Segment, Window

SEGMENT_MS = 30_000


def segment(index: int, room_id: str = "room", /, **changes: object) -> Segment:
    """A segment with a picture and text that depend on its room and number alone."""
    seed = [index + 1000, *room_id.encode()]
    generator = np.random.default_rng(seed)
    start_ms = index * SEGMENT_MS
    fields = {
        "index": index,
        "start_ms": start_ms,
        "frame_feature": generator.normal(size=48).astype(np.float16),
        "frame_times_ms": (start_ms + 5_000, start_ms + 15_000, start_ms + 25_000),
        "speech": f"segment {index} of {room_id}",
        "comments": (f"hello {index}", "666"),
        "comment_count": 2,
        "user_count": 2,
        "comment_weight": 2.0,
    }
    return Segment(**{**fields, **changes})  # type: ignore[arg-type]


def window(
    newest: int,
    room_id: str = "room",
    length: int = 20,
    segment_changes: dict[int, dict[str, object]] | None = None,
    **changes: object,
) -> Window:
    """The window that a room sends when segment `newest` closes; the room began at segment 0."""
    segments = tuple(
        segment(index, room_id, **(segment_changes or {}).get(index, {}))
        for index in range(max(0, newest - length + 1), newest + 1)
    )
    fields = {
        "room_id": room_id,
        "streamer_id": f"streamer of {room_id}",
        "room_started_ms": 0,
        "segment_ms": SEGMENT_MS,
        "encoder_id": "tiny",
        "encoder_revision": weights_revision([FRAME_WEIGHTS]),
        "segments": segments,
    }
    return Window(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_segment() -> Callable[..., Segment]:
    return segment


@pytest.fixture
def make_window() -> Callable[..., Window]:
    return window
