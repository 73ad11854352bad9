"""Texts are encoded once, and no room ever gets another's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from limelight.engine.room_encodings import EMPTY, RoomEncodings
from limelight.engine.window import Window
from limelight.models.contentctr.model import streamer_bucket

MakeWindow = Callable[..., Window]


@dataclass
class CountingEncoder:
    """Encodes a text to the number in it, and notes what it was asked."""

    feature_size: int = 1
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[tuple[str, Sequence[str]]]) -> NDArray[np.float32]:
        self.asked.extend(speech for speech, _ in texts)
        return np.array([[float(speech)] for speech, _ in texts], np.float32)


def numbered(make_window: MakeWindow, newest: int, offset: int = 0, **changes: object) -> Window:
    """A window of three segments that say their number, their picture says the same."""
    said = {
        index: {
            "speech": str(index + offset),
            "comments": (),
            "frame_feature": np.array([index + offset], np.float16),
            **changes,
        }
        for index in range(newest + 1)
    }
    return make_window(newest, length=3, segment_changes=said)


def encodings(encoder: CountingEncoder, capacity: int = 2) -> RoomEncodings:
    return RoomEncodings(
        encoder,  # type: ignore[arg-type]
        capacity=capacity,
        window_length=3,
        frame_feature_size=1,
    )


def texts(found: RoomEncodings, *slots: int) -> list[list[float]]:
    return found.whole_input(np.array(slots), 8).text_features[..., 0].tolist()


def test_only_unseen_segments_are_encoded(make_window: MakeWindow) -> None:
    encoder = CountingEncoder()
    found = encodings(encoder)
    found.store([1], [numbered(make_window, 6)])
    found.store([1], [numbered(make_window, 7)])
    assert encoder.asked == ["4", "5", "6", "7"]
    assert texts(found, 1) == [[5, 6, 7]]
    found.store([1], [numbered(make_window, 9)])  # a gap: 8 was never sent
    assert encoder.asked[4:] == ["8", "9"]
    assert texts(found, 1) == [[7, 8, 9]]
    found.store([1], [numbered(make_window, 40)])
    assert texts(found, 1) == [[38, 39, 40]]


def test_pictures_texts_and_streamers_stand_oldest_first_and_padded(
    make_window: MakeWindow,
) -> None:
    found = encodings(CountingEncoder())
    old, young = numbered(make_window, 4), numbered(make_window, 1, offset=100)
    found.store([0, 1], [old, young])
    whole = found.whole_input(np.array([0, 1]), 8)
    assert whole.frame_features[0, :, 0].tolist() == [2, 3, 4]
    assert whole.frame_features[1, :2, 0].tolist() == [100, 101]
    assert whole.present[0].all() and whole.present[1, :2].all()
    assert whole.streamer_ids.tolist() == [streamer_bucket("streamer of room", 8)] * 2
    newest = found.newest_input(np.array([1, 0]), 8)
    assert newest.text_features.tolist() == [[[101]], [[4]]]


def test_slots_are_apart_and_a_cleared_one_knows_nothing(make_window: MakeWindow) -> None:
    found = encodings(CountingEncoder())
    first, second = numbered(make_window, 2), numbered(make_window, 2, offset=100)
    found.store([0, 1], [first, second])
    assert texts(found, 0, 1) == [[0, 1, 2], [100, 101, 102]]
    found.clear(0)
    assert found.newest.tolist() == [EMPTY, 2]
    found.store([0], [second])
    assert texts(found, 0) == [[100, 101, 102]]


def test_a_room_that_grows_is_known_from_its_first_segment_on(make_window: MakeWindow) -> None:
    found = encodings(CountingEncoder())
    for newest in range(5):
        found.store([0], [numbered(make_window, newest)])
        assert found.lengths[0] == min(newest + 1, 3)
        assert texts(found, 0) == [list(range(max(0, newest - 2), newest + 1))]


@pytest.mark.parametrize("missing", ["text", "picture"])
def test_what_a_segment_lacks_is_zero_absent_and_not_encoded(
    missing: str, make_window: MakeWindow
) -> None:
    encoder = CountingEncoder()
    found = encodings(encoder)
    found.store([0], [numbered(make_window, 5)])
    lacking: dict[str, object] = {"text": {"speech": ""}, "picture": {"frame_feature": None}}
    window = numbered(make_window, 6, **lacking[missing])  # type: ignore[arg-type]
    found.store([0], [window])
    newest = found.newest_input(np.array([0]), 8)
    is_there = [missing != "picture", missing != "text"]
    assert newest.present.tolist() == [[is_there]]
    assert newest.frame_features.item() == (6 if missing == "text" else 0)
    assert newest.text_features.item() == (6 if missing == "picture" else 0)
    assert encoder.asked == ["3", "4", "5", "6"][: 4 if missing == "picture" else 3]


def test_a_segment_whose_encoding_failed_is_asked_for_again(make_window: MakeWindow) -> None:
    encoder = CountingEncoder()
    found = encodings(encoder)
    broken = numbered(make_window, 0, speech="no number")
    with pytest.raises(ValueError, match="no number"):
        found.store([0], [broken])
    found.clear(0)
    found.store([0], [numbered(make_window, 0)])
    assert texts(found, 0) == [[0]]
