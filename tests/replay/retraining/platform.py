"""A simulated platform's feature log, written as the live system would have written it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import orjson
from aiokafka import ConsumerRecord

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.score import Reasons, Score, Shadow
from limelight.engine.window import Segment
from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.bundled_model import bundled_world
from limelight.replay.simulator.raw_rooms import raw_rooms, segment_texts
from limelight.replay.simulator.world import World
from limelight.streams.score_records import encode_score
from limelight.streams.window_records import encode_segment, encode_window
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import SEGMENT_MS, START_MS, record

# The audience has come to like what it did not.
CHANGED_APPEAL = (0.3, -1.4, -0.6, 1.5, 0.4)


def changed_world() -> World:
    world = bundled_world(0)
    return World(replace(world.config, appeal=CHANGED_APPEAL), world.seed)


def write_log(root: Path, rooms: Sequence[tuple[World, int, int]], segments: int = 40) -> None:
    """Log rooms, given by world, number and the segment of the log's time at which each begins."""
    windows: list[ConsumerRecord] = []
    engagement: list[ConsumerRecord] = []
    for world, number, first in rooms:
        for value in _windows(world, number, first, segments):
            windows.append(record("windows", 0, len(windows), value, [("closed_at_ms", b"5")]))
        for value in _engagement(world, number, first, segments):
            engagement.append(record("engagement", 0, len(engagement), value))
    write(str(root), windows)
    write(str(root), engagement)


@cache
def _encoder() -> FrameEncoder:
    return load_frame_encoder("tiny")


def _windows(world: World, number: int, first: int, segments: int) -> list[bytes]:
    encoder, texts = _encoder(), load_text_encoder("tiny")
    size = encoder.image_size
    shorter = World(replace(world.config, segments_a_room=segments), world.seed)
    (room,) = raw_rooms(shorter, range(number, number + 1), texts, image_size=size)
    features = encoder.encode(list(room.pictures[:, 0]))
    said = segment_texts(world, world.room(number, segments=segments), number)
    start_ms = START_MS + first * SEGMENT_MS
    found = []
    for index in range(segments):
        speech, comments = said[index] if room.present[index, 1] else ("", [])
        has_picture = bool(room.present[index, 0])
        segment = Segment(
            index=index,
            start_ms=start_ms + index * SEGMENT_MS,
            frame_feature=features[index] if has_picture else None,
            frame_times_ms=(start_ms + index * SEGMENT_MS + 1,) if has_picture else (),
            speech=speech,
            comments=tuple(comments),
            comment_count=len(comments),
            user_count=len(comments),
            comment_weight=float(len(comments)),
        )
        key = (encoder.encoder_id, encoder.revision) if has_picture else None
        found.append(
            encode_window(
                room_id=room.room_id,
                streamer_id=room.streamer_id,
                room_started_ms=start_ms,
                segment_ms=SEGMENT_MS,
                segments=[encode_segment(segment, key, {"comments": len(comments)})],
                segment_index=index,
                start_ms=start_ms + index * SEGMENT_MS,
                final=index == segments - 1,
            )
        )
    return found


def _engagement(world: World, number: int, first: int, segments: int) -> list[bytes]:
    truth = world.room(number, segments=segments)
    counts = world.counts(truth, number)
    start_ms = START_MS + first * SEGMENT_MS
    return [
        orjson.dumps(
            {
                "room_id": truth.room_id,
                "room_started_ms": start_ms,
                "start_ms": start_ms + index * SEGMENT_MS,
                "end_ms": start_ms + (index + 1) * SEGMENT_MS,
                **dict(zip(COUNT_NAMES, map(float, counts[index]), strict=True)),
            }
        )
        for index in range(segments)
    ]


def write_scores(
    root: Path, rooms: Sequence[tuple[World, int, int]], champion: str, challenger: str
) -> None:
    """Scores of logged rooms: the champion guesses, the challenger knows the truth."""
    scores = []
    for world, number, first in rooms:
        truth = world.room(number, segments=40)
        start_ms = START_MS + first * SEGMENT_MS
        guesses = world.rng(number, 99).permutation(truth.ctr)
        for index, (ctr, guess) in enumerate(zip(truth.ctr, guesses, strict=True)):
            at_ms = start_ms + index * SEGMENT_MS
            score = Score(
                room_id=truth.room_id,
                streamer_id=truth.streamer.streamer_id,
                room_started_ms=start_ms,
                segment_index=index,
                start_ms=at_ms,
                end_ms=at_ms + SEGMENT_MS,
                ctr=float(guess),
                energy=0.5,
                decided_by="network",
                decision=float(guess),
                model_version=champion,
                reasons=Reasons({}, (), None, 0),
                final=False,
                shadow=Shadow(challenger, float(ctr)),
            )
            value = encode_score(score, {"closed_at_ms": 5, "scored_at_ms": 7})
            scores.append(record("scores", 0, len(scores), value))
    write(str(root), scores)
