"""Whether a window can be scored by a network."""

import math

import numpy as np

from limelight.engine.network import check_encoder
from limelight.engine.window import Segment, Window
from limelight.models.contentctr.config import ContentCTRConfig


def check_window(window: Window, config: ContentCTRConfig) -> None:
    """Passes if the network of that config can score the window.

    Raises:
        EncoderMismatch: its pictures were encoded by another encoder or revision.
        ValueError: its segments are not consecutive or too many, or a number in it is unusable.
    """
    segments = window.segments
    if not 1 <= len(segments) <= config.window_length:
        expected = f"1 to {config.window_length}"
        raise ValueError(f"segments: found {len(segments)}, expected {expected}")
    if window.segment_ms < 1:
        raise ValueError(f"segment_ms: found {window.segment_ms}, expected at least 1")
    for position, segment in enumerate(segments):
        _check_place(segment, segments[0], position, window.segment_ms)
        _check_numbers(segment, config)
    if not _all_finite(segments):
        for segment in segments:
            _check_finite(segment)
    # A window without a picture has no encoder to speak of.
    if any(segment.has_picture for segment in segments):
        check_encoder(
            "frame",
            window.encoder_id,
            window.encoder_revision,
            expected_id=config.frame_encoder_id,
            expected_revision=config.frame_encoder_revision,
        )


def _check_place(segment: Segment, oldest: Segment, position: int, segment_ms: int) -> None:
    expected = (oldest.index + position, oldest.start_ms + position * segment_ms)
    if (segment.index, segment.start_ms) != expected:
        found = f"index {segment.index} at {segment.start_ms} ms"
        raise ValueError(f"segments: found {found}, expected {expected[0]} at {expected[1]} ms")


def _check_numbers(segment: Segment, config: ContentCTRConfig) -> None:
    feature = segment.frame_feature
    if feature is not None and feature.shape != (config.frame_feature_size,):
        raise ValueError(
            f"segment {segment.index}: found frame feature of shape {feature.shape}, "
            f"expected ({config.frame_feature_size},)"
        )
    if not (math.isfinite(segment.comment_weight) and segment.comment_weight >= 0):
        found = segment.comment_weight
        raise ValueError(
            f"segment {segment.index}: found comment weight {found}, expected finite, >= 0"
        )


def _all_finite(segments: tuple[Segment, ...]) -> bool:
    features = [each.frame_feature for each in segments if each.frame_feature is not None]
    # All of them in one go: twenty small arrays would cost twenty times as much to ask.
    return not features or bool(np.isfinite(np.concatenate(features)).all())


def _check_finite(segment: Segment) -> None:
    feature = segment.frame_feature
    if feature is not None and not np.isfinite(feature).all():
        raise ValueError(
            f"segment {segment.index}: found a frame feature with NaN or infinity, "
            "expected finite numbers"
        )
