"""Reasons name what a person would find in the room."""

from collections.abc import Callable

import pytest

from limelight.engine.reasons import key_frame_ms, modality_shares, strongest_comments
from limelight.engine.window import Segment


def test_the_most_repeated_comment_comes_first_and_equals_by_time() -> None:
    comments = ["first", "Goal!", "second", "goal!", " GOAL! ", "third", "second"]
    assert strongest_comments(comments) == ("Goal!", "second", "first")


@pytest.mark.parametrize(
    "comments",
    [
        ("666", "６６６６６", "66666666"),
        ("哈哈", "哈哈哈哈哈"),
        ("so  good", "So Good"),
        ("ｷﾀ", "キタ"),
    ],
)
def test_the_same_shout_written_differently_counts_as_one(comments: tuple[str, ...]) -> None:
    assert strongest_comments(["other", *comments]) == (comments[0], "other")


def test_blank_comments_are_no_comments() -> None:
    assert strongest_comments(["", "  ", "　"]) == ()


def test_the_key_frame_is_the_middle_one(make_segment: Callable[..., Segment]) -> None:
    assert key_frame_ms(make_segment(0, frame_times_ms=(1, 2, 3))) == 2
    assert key_frame_ms(make_segment(0, frame_times_ms=(1, 2))) == 2
    assert key_frame_ms(make_segment(0, frame_times_ms=(7,))) == 7
    assert key_frame_ms(make_segment(0, frame_times_ms=())) is None


def test_shares_divide_what_masking_loses() -> None:
    found = modality_shares(0.8, ctr_without_picture=0.5, ctr_without_text=0.7)
    assert found == pytest.approx({"picture": 0.75, "text": 0.25})


def test_a_modality_that_only_hurts_has_no_share() -> None:
    assert modality_shares(0.8, 0.9, 0.7) == {"picture": 0.0, "text": 1.0}
    assert modality_shares(0.8, 0.9, 0.8) == {"picture": 0.0, "text": 0.0}
