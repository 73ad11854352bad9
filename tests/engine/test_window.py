"""A window is placed by its newest segment, and blanks are no text."""

from collections.abc import Callable

from limelight.engine.window import Segment, Window


def test_a_window_lies_where_its_newest_segment_lies(make_window: Callable[..., Window]) -> None:
    window = make_window(21)
    assert len(window.segments) == 20
    assert window.segment_index == 21
    assert (window.start_ms, window.end_ms) == (630_000, 660_000)


def test_blanks_are_no_text(make_segment: Callable[..., Segment]) -> None:
    assert not make_segment(0, speech=" ", comments=("", "  ")).has_text
    assert make_segment(0, speech="", comments=("", "hi")).has_text
    assert make_segment(0, speech="hi", comments=()).has_text


def test_no_feature_is_no_picture(make_segment: Callable[..., Segment]) -> None:
    assert make_segment(0).has_picture
    assert not make_segment(0, frame_feature=None).has_picture
