"""Texts are encoded once, and no room ever gets another's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from limelight.engine.text_cache import TextFeatureCache
from limelight.engine.window import Segment

MakeSegment = Callable[..., Segment]


@dataclass
class CountingEncoder:
    """Encodes a text to the number in it, and notes what it was asked."""

    feature_size: int = 1
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.float32]:
        self.asked.extend(speech for speech, _ in texts)
        return np.array([[float(speech)] for speech, _ in texts], np.float32)


def numbered(make_segment: MakeSegment, *indices: int, offset: int = 0) -> list[Segment]:
    return [make_segment(index, speech=str(index + offset), comments=()) for index in indices]


def test_only_unseen_segments_are_encoded(make_segment: MakeSegment) -> None:
    encoder = CountingEncoder()
    cache = TextFeatureCache(encoder, capacity=2, window_length=3)  # type: ignore[arg-type]
    cache.features([1], [numbered(make_segment, 4, 5, 6)])
    (found,) = cache.features([1], [numbered(make_segment, 5, 6, 7)])
    assert encoder.asked == ["4", "5", "6", "7"]
    assert found.tolist() == [[5], [6], [7]]


def test_slots_are_apart_and_a_cleared_one_knows_nothing(make_segment: MakeSegment) -> None:
    encoder = CountingEncoder()
    cache = TextFeatureCache(encoder, capacity=2, window_length=3)  # type: ignore[arg-type]
    first, second = numbered(make_segment, 1, 2), numbered(make_segment, 1, 2, offset=100)
    found = cache.features([0, 1], [first, second])
    assert [each.tolist() for each in found] == [[[1], [2]], [[101], [102]]]
    cache.clear(0)
    (again,) = cache.features([0], [second])
    assert again.tolist() == [[101], [102]]


def test_a_segment_without_text_is_zero_and_not_encoded(make_segment: MakeSegment) -> None:
    encoder = CountingEncoder()
    cache = TextFeatureCache(encoder, capacity=1, window_length=2)  # type: ignore[arg-type]
    cache.features([0], [numbered(make_segment, 1, 2)])
    silent = make_segment(3, speech="", comments=())
    (found,) = cache.features([0], [[*numbered(make_segment, 2), silent]])
    assert found.tolist() == [[2], [0]]
    assert encoder.asked == ["1", "2"]
