import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.engine.recent_features import RecentFeatures


class Encoder:
    """Encodes a text as its bytes' sum, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[sum(text.encode())] for text in texts])


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6), max_size=8), st.integers(0, 4))
def test_what_is_found_is_what_encoding_all_anew_gives(calls: list[list[str]], capacity: int):
    recent, encoder = RecentFeatures(capacity), Encoder()
    for texts in calls:
        found = recent.encode(texts, [text.encode() for text in texts], encoder)
        assert [int(each[0]) for each in found] == [ord(text) for text in texts]
    assert recent.encoded == len(encoder.asked)
    assert recent.encoded + recent.reused == sum(map(len, calls))


def test_the_same_is_encoded_once_while_it_is_remembered() -> None:
    recent, encoder = RecentFeatures(2), Encoder()
    for texts in (["a", "a", "b"], ["b", "a"], ["c"], ["b"], ["a"]):
        recent.encode(texts, [text.encode() for text in texts], encoder)
    # c pushed out b, which was used before a; b then pushed out a.
    assert encoder.asked == ["a", "b", "c", "b", "a"]


def test_a_failure_leaves_nothing_behind() -> None:
    recent = RecentFeatures(2)

    def fail(texts: list[str]) -> np.ndarray:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        recent.encode(["a"], [b"a"], fail)
    assert recent.encode(["a"], [b"a"], Encoder())[0][0] == ord("a")


def test_a_negative_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity: found -1"):
        RecentFeatures(-1)
