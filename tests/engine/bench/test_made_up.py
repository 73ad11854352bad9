"""Made-up rooms are such as a scorer takes, and the same from the same seed."""

from itertools import islice

import numpy as np

from limelight.engine.bench.made_up import MadeUpRooms, drawn_pictures, drawn_texts
from limelight.engine.window_check import check_window
from limelight.models.contentctr.config import tiny


def rooms(count: int) -> MadeUpRooms:
    features = np.random.default_rng(0).normal(size=(9, 48)).astype(np.float16)
    return MadeUpRooms(count, window_length=20, features=features, texts=drawn_texts(0))


def test_windows_grow_to_their_length_and_then_move() -> None:
    made_up = rooms(2)
    lengths = []
    for newest in range(23):
        for window in made_up.advance():
            check_window(window, tiny())
            assert window.segment_index == newest
        lengths.append(len(window.segments))
    assert lengths == [*range(1, 21), 20, 20, 20]
    assert [window.room_id for window in made_up.windows()] == ["room-0", "room-1"]


def test_texts_are_as_many_and_as_long_as_they_say() -> None:
    texts = list(islice(drawn_texts(0), 2_000))
    counts = np.array([len(comments) for _, comments in texts])
    characters = np.array([len(comment) for _, comments in texts for comment in comments])
    spoken = np.array([len(speech) for speech, _ in texts])
    assert 4.7 < counts.mean() < 5.3
    assert np.median(characters) == 6
    assert 0.36 < (spoken > 0).mean() < 0.44
    assert 27 < np.median(spoken[spoken > 0]) < 33
    assert len(set(texts)) == len(texts)
    assert texts[:50] == list(islice(drawn_texts(0), 50))


def test_pictures_fit_any_size_and_differ() -> None:
    found = drawn_pictures(3, 10, 14)
    assert {(picture.shape, str(picture.dtype)) for picture in found} == {((10, 14, 3), "uint8")}
    assert len({picture.tobytes() for picture in found}) == 3
