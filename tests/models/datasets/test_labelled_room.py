"""A labelled room refuses what could not be learned from, by name."""

import numpy as np
import pytest

from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom, RawRoom

NAN, INF = float("nan"), float("inf")


def room(**changes: object) -> LabelledRoom:
    fields = {
        "room_id": "7",
        "streamer_id": "a",
        "frame_features": np.ones((3, 4), np.float16),
        "text_features": np.ones((3, 2), np.float32),
        "present": np.array([[True, True], [True, False], [False, False]]),
        "ctr": np.array([0.0, NAN, 1.0], np.float32),
        "counts": np.zeros((3, len(COUNT_NAMES)), np.float32),
    }
    return LabelledRoom(**{**fields, **changes})


def changed(shape: tuple[int, ...], at: tuple[int, int], value: float) -> np.ndarray:
    array = np.ones(shape, np.float32)
    array[at] = value
    return array


def test_a_room_is_as_long_as_its_segments() -> None:
    assert len(room()) == 3


def raw_room(**changes: object) -> RawRoom:
    fields: dict[str, object] = {
        "room_id": "r",
        "streamer_id": "s",
        "pictures": np.zeros((2, 1, 4, 4, 3), np.uint8),
        "token_ids": np.array([[2, 3, 0], [0, 0, 0]], np.int32),
        "present": np.array([[True, True], [True, False]]),
        "ctr": np.array([0.1, NAN], np.float32),
        "counts": np.zeros((2, 8), np.float32),
    }
    return RawRoom(**{**fields, **changes})


def test_a_raw_room_is_as_long_as_its_segments() -> None:
    assert len(raw_room()) == 2


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"token_ids": np.ones((3, 3), np.int32)}, "token_ids: found 3 segments, expected 2"),
        ({"pictures": np.zeros((2, 4, 4, 3), np.uint8)}, r"pictures: found \(2, 4, 4, 3\)"),
        ({"pictures": np.zeros((2, 1, 4, 4, 3))}, "pictures: found float64, expected uint8"),
        ({"present": np.ones((2, 2), bool)}, "token_ids: found no token in segment 1"),
    ],
)
def test_a_raw_room_refuses_what_encoders_could_not_take(change, text) -> None:
    with pytest.raises(ValueError, match=text):
        raw_room(**change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ctr": np.zeros(0, np.float32)}, "found no segments, expected at least one"),
        (
            {"frame_features": np.ones((2, 4))},
            r"frame_features: found \(2, 4\), expected \(3, 'any'\)",
        ),
        ({"frame_features": np.ones(3)}, r"frame_features: found \(3,\), expected \(3, 'any'\)"),
        ({"text_features": np.ones((3, 2, 1))}, r"text_features: found \(3, 2, 1\), expected"),
        ({"present": np.ones((3, 3), np.bool_)}, r"present: found \(3, 3\), expected \(3, 2\)"),
        ({"ctr": np.zeros((3, 1), np.float32)}, r"ctr: found \(3, 1\), expected \(3,\)"),
        ({"counts": np.zeros((3, 7))}, r"counts: found \(3, 7\), expected \(3, 8\)"),
        ({"present": np.ones((3, 2), np.int64)}, "present: found int64, expected bool"),
        ({"ctr": np.array([0.5, 1.5, 0.5])}, "ctr: found 1.5, expected 0 to 1"),
        ({"ctr": np.array([0.5, NAN, -0.25])}, "ctr: found -0.25, expected 0 to 1"),
        ({"ctr": np.array([0.5, INF, 0.25])}, "ctr: found inf, expected 0 to 1"),
        ({"counts": changed((3, 8), (1, 2), -1)}, "counts: found a negative or infinite one"),
        ({"counts": changed((3, 8), (1, 2), NAN)}, "counts: found a negative or infinite one"),
        ({"counts": changed((3, 8), (1, 2), INF)}, "counts: found a negative or infinite one"),
        (
            {"frame_features": changed((3, 4), (1, 0), NAN)},
            "frame_features: found NaN or infinity in segment 1, expected finite numbers or a mask",
        ),
        (
            {"text_features": changed((3, 2), (0, 1), -INF)},
            "text_features: found NaN or infinity in segment 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_room_and_field(
    change: dict[str, object], text: str
) -> None:
    with pytest.raises(ValueError, match=f"^room 7: {text}"):
        room(**change)


def test_a_masked_feature_may_hold_anything() -> None:
    found = room(
        frame_features=changed((3, 4), (2, 0), NAN), text_features=changed((3, 2), (1, 1), INF)
    )
    assert len(found) == 3


def test_nothing_measured_is_for_the_training_to_refuse() -> None:
    assert np.isnan(room(ctr=np.full(3, NAN, np.float32)).ctr).all()
