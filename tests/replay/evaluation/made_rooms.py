"""Rooms with everything that real ones have: ties, segments nobody measured, missing modalities."""

import numpy as np

from limelight.replay.evaluation.rooms import JudgedRoom


def make_room(
    number: int = 0,
    segments: int = 40,
    *,
    errors: dict[str, float] | None = None,
    unmeasured: float = 0.1,
    counted: bool = True,
    **changes: object,
) -> JudgedRoom:
    """A room whose models predict its true CTR with a normal error of their own size."""
    random = np.random.default_rng([7, number])
    truth = np.clip(0.2 + np.cumsum(random.normal(size=segments)) * 0.05, 0.02, 0.9)
    viewers = random.integers(20, 300, segments).astype(np.float32)
    clicks = random.binomial(viewers.astype(int), truth).astype(np.float32)
    measured = (clicks / viewers).astype(np.float32)
    measured[random.random(segments) < unmeasured] = np.nan
    noise = random.normal(size=segments)
    predictions = {
        name: np.clip(truth + error * noise, 0.01, 0.99).round(2).astype(np.float32)
        for name, error in (errors or {"good": 0.02, "bad": 0.2}).items()
    }
    fields = {
        "room_id": f"room-{number}",
        "streamer_id": f"streamer-{number % 3}",
        "segment_ms": 30_000,
        "start_ms": 1_700_000_010_000 + 30_000 * (120 * number + np.arange(segments)),
        "measured": measured,
        "clicks": clicks if counted else np.zeros(segments, np.float32),
        "viewers": viewers if counted else np.zeros(segments, np.float32),
        "present": random.random((segments, 2)) < 0.8,
        "predictions": predictions,
        "category": f"category-{number % 2}",
    }
    return JudgedRoom(**(fields | changes))


def make_rooms(count: int = 12, **options) -> list[JudgedRoom]:
    return [make_room(number, 21 + 7 * (number % 4), **options) for number in range(count)]
