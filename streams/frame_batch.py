"""Pictures to features without Kafka: a batch of any partitions is read, decoded and encoded.

Marks are passed on in their place among the features, so the watermark of `frame-features` is that
of `frames`, however long encoding takes.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from limelight.engine.errors import DecodeFailed
from limelight.engine.frame_encoder import FrameEncoder, picture_digest
from limelight.engine.images import decode_image
from limelight.engine.settings import EngineSettings
from limelight.streams import metrics
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.records import (
    FrameFeature,
    FrameHeaders,
    Headers,
    MalformedRecord,
    Watermark,
    parse_frame_headers,
    parse_mark,
    to_json,
)
from limelight.streams.window_records import encode_feature


@dataclass(frozen=True, slots=True)
class FrameMessage:
    """One record of `frames`."""

    partition: int
    offset: int
    value: bytes | None
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What follows from it, for the same partition of `topic` (without prefix)."""

    partition: int
    topic: str
    key: bytes | None
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded frame on its way to the encoder."""

    partition: int
    offset: int
    owner: FrameHeaders
    pixels: NDArray[np.uint8]
    digest: bytes


def encode_frames(
    messages: Sequence[FrameMessage],
    encoder: FrameEncoder,
    settings: EngineSettings,
    pool: Executor | None = None,
) -> list[FrameOutput]:
    """One output for each message, in order: a feature, a mark passed on, or a dead letter."""
    return encode_pictures(read_frames(messages, encoder.image_size, settings, pool), encoder)


def read_frames(
    messages: Sequence[FrameMessage],
    size: tuple[int, int],
    settings: EngineSettings,
    pool: Executor | None = None,
) -> list[Picture | FrameOutput]:
    """Each message's picture, decoded to `size`, or what is sent instead; in the pool's threads."""
    read = partial(_read_frame, size=size, settings=settings)
    return list(pool.map(read, messages) if pool is not None else map(read, messages))


def encode_pictures(
    frames: Sequence[Picture | FrameOutput], encoder: FrameEncoder
) -> list[FrameOutput]:
    """The outputs in the order of the frames, all pictures encoded together."""
    pictures = [frame for frame in frames if isinstance(frame, Picture)]
    features = iter(
        encoder.encode([each.pixels for each in pictures], [each.digest for each in pictures])
    )
    outputs = []
    for frame in frames:
        if isinstance(frame, Picture):
            metrics.events_total.labels("frames").inc()
            outputs.append(_feature_output(frame, next(features), encoder))
        else:
            if frame.topic == "dlq":
                metrics.events_total.labels("frames").inc()
                metrics.dead_letters_total.labels("frames").inc()
            outputs.append(frame)
    metrics.frames_encoded_total.inc(len(pictures))
    return outputs


def _read_frame(
    message: FrameMessage, size: tuple[int, int], settings: EngineSettings
) -> Picture | FrameOutput:
    try:
        mark = parse_mark(message.headers)
        if isinstance(mark, Watermark):
            return FrameOutput(message.partition, "frame-features", None, b"", mark.encode())
        if mark is not None:
            raise MalformedRecord("header kind: found a room's end, expected it on comments")
        owner = parse_frame_headers(message.headers)
        pixels = decode_image(
            message.value or b"",
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
            size=size,
        )
    except (MalformedRecord, DecodeFailed) as error:
        origin = Origin("frames", message.partition, message.offset)
        letter = encode_dead_letter(origin, str(error), message.value, message.headers)
        return FrameOutput(message.partition, "dlq", str(origin).encode(), letter, [])
    return Picture(message.partition, message.offset, owner, pixels, picture_digest(pixels))


def _feature_output(
    picture: Picture, feature: NDArray[np.float16], encoder: FrameEncoder
) -> FrameOutput:
    owner = picture.owner
    record = FrameFeature(
        room_id=owner.room_id,
        streamer_id=owner.streamer_id,
        room_started_ms=owner.room_started_ms,
        event_time_ms=owner.event_time_ms,
        encoder_id=encoder.encoder_id,
        encoder_revision=encoder.revision,
        feature=encode_feature(feature),
        frame_offset=picture.offset,
    )
    return FrameOutput(
        picture.partition, "frame-features", owner.room_id.encode(), to_json(record), []
    )
