import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from limelight.engine.window import Segment
from limelight.streams.records import (
    Comment,
    FrameHeaders,
    MalformedRecord,
    RoomEnd,
    Watermark,
    header_map,
    parse_frame_headers,
    parse_mark,
    parse_record,
    to_json,
)
from limelight.streams.score_records import decode_score, encode_score
from limelight.streams.topics import partition_of
from limelight.streams.window_records import (
    decode_feature,
    decode_window,
    encode_feature,
    encode_segment,
    encode_window,
)

times = st.integers(0, 7_000_000_000_000)
names = st.text(min_size=1, max_size=40).filter(lambda text: "\x00" not in text)


@given(names, st.text(max_size=40), times, st.none() | times)
def test_frame_headers_survive_the_way(room_id, streamer_id, time_ms, started_ms) -> None:
    headers = FrameHeaders(room_id, streamer_id, time_ms, started_ms)
    assert parse_frame_headers(header_map(headers.encode())) == headers


@given(names, times, st.none() | times)
def test_marks_survive_the_way(room_id, time_ms, started_ms) -> None:
    for mark in (Watermark(time_ms), RoomEnd(room_id, time_ms, started_ms)):
        assert parse_mark(header_map(mark.encode())) == mark


@given(names, times, st.text())
def test_comments_survive_the_way(room_id, time_ms, text) -> None:
    comment = Comment(room_id=room_id, event_time_ms=time_ms, text=text)
    assert parse_record(Comment, orjson.loads(to_json(comment))) == comment


@pytest.mark.parametrize(
    "change",
    [
        {"room_id": ""},
        {"room_id": 5},
        {"event_time_ms": "1700000000000"},
        {"event_time_ms": 1.5},
        {"event_time_ms": 1_700_000_000_000_000},  # microseconds
        {"text": None},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(change) -> None:
    fields = {"room_id": "r", "event_time_ms": 1, "text": "t"} | change
    (name,) = change
    with pytest.raises(MalformedRecord, match=f"^{name}: found .*expected"):
        parse_record(Comment, fields)


@given(
    hnp.arrays(
        np.float16,
        st.integers(1, 64),
        elements=st.floats(-1000, 1000, width=16),
    )
)
def test_features_survive_the_way(feature) -> None:
    assert np.array_equal(decode_feature(encode_feature(feature)), feature)


def make_segment(index: int, feature: list[float] | None) -> Segment:
    return Segment(
        index=index,
        start_ms=index * 30_000,
        frame_feature=None if feature is None else np.array(feature, np.float16),
        frame_times_ms=(index * 30_000 + 5,),
        speech="hello",
        comments=("a", "b"),
        comment_count=2,
        user_count=1,
        comment_weight=1.5,
    )


def encode(segments: list[tuple[Segment, tuple[str, str] | None]]) -> bytes:
    return encode_window(
        room_id="r",
        streamer_id="s",
        room_started_ms=None,
        segment_ms=30_000,
        segments=[encode_segment(segment, encoder, {}) for segment, encoder in segments],
        segment_index=segments[-1][0].index,
        start_ms=segments[-1][0].start_ms,
        final=False,
    )


def test_a_window_survives_the_way() -> None:
    segments = [make_segment(7, [1.0, 2.0]), make_segment(8, None)]
    value = encode([(segments[0], ("tiny", "r1")), (segments[1], None)])
    window = decode_window(value, max_bytes=10_000)
    assert (window.encoder_id, window.encoder_revision) == ("tiny", "r1")
    assert window.segment_index == 8
    assert window.segments[1] == segments[1]
    assert np.array_equal(window.segments[0].frame_feature, segments[0].frame_feature)


def test_features_of_an_older_encoder_are_left_out() -> None:
    old, new = make_segment(7, [1.0]), make_segment(8, [2.0])
    window = decode_window(encode([(old, ("tiny", "r1")), (new, ("tiny", "r2"))]), max_bytes=10_000)
    assert [segment.has_picture for segment in window.segments] == [False, True]
    assert window.encoder_revision == "r2"


def test_a_window_with_a_gap_is_refused() -> None:
    value = encode([(make_segment(7, None), None), (make_segment(9, None), None)])
    with pytest.raises(MalformedRecord, match="found a gap among segments from 7 on"):
        decode_window(value, max_bytes=10_000)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_only_malformed_record_is_raised(value: bytes) -> None:
    for decode in (decode_window, decode_score):
        with pytest.raises(MalformedRecord):
            decode(value, max_bytes=1_000)


def test_a_score_survives_the_way(make_score) -> None:
    score = make_score(3, 0.25)
    timings = {"closed_at_ms": 1, "scored_at_ms": 2}
    assert decode_score(encode_score(score, timings), max_bytes=10_000) == (score, timings)


def test_rooms_are_spread_as_kafkas_own_default_spreads_them() -> None:
    from aiokafka.partitioner import DefaultPartitioner

    partitions = list(range(64))
    for room_id in ("21", "foobar", "房间", "a-little-bit-long-string"):
        expected = DefaultPartitioner()(room_id.encode(), partitions, partitions)
        assert partition_of(room_id, 64) == expected
