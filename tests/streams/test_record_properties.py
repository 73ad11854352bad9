"""Records with one field gone wrong: refused by name, or fit for whatever comes next."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.engine.encoders import load_frame_encoder
from limelight.engine.score import Reasons, Rejected, Score
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.tiny_encoders import FRAME_WEIGHTS
from limelight.engine.weights import weights_revision
from limelight.engine.window import Segment
from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.records import MalformedRecord
from limelight.streams.score_records import decode_score, encode_score
from limelight.streams.settings import DetectorSettings
from limelight.streams.window_records import (
    _fast_decoder,
    _WindowFields,
    decode_window,
    encode_segment,
    encode_window,
)

STARTED_MS = 1_700_000_000_000
SEGMENT_MS = 30_000
MAX_BYTES = 1_000_000
FRAME_FEATURE_SIZE = 48

Path = tuple[str | int, ...]
# Numbers that JSON can write and Python's json module cannot.
OVERFLOWING = "@1e400"
LAST_MS = 7_258_118_399_999  # of the year 2199
GONE = "@gone"

WRONG_VALUES = (
    *(GONE, None, True, False, {}, [], "", "NaN", "0", "\x00", "AAAAAA==", "x" * 300, OVERFLOWING),
    *(
        -1,
        0,
        1,
        19,
        2**31,
        2**53,
        2**64,
        -(10**30),
        10**30,
        LAST_MS,
        -1.0,
        0.5,
        1.5,
        1e-320,
        1.7e308,
    ),
    *(float("nan"), float("inf"), [[[[]]]], [["a", "b"]], {"a": {"a": [1]}}),
)
wrong_values = st.one_of(
    st.text(max_size=5),
    st.integers(-(2**40), 2**40),
    st.floats(),
    st.lists(st.none() | st.integers() | st.text(max_size=3), max_size=3),
)


def window_record() -> bytes:
    segments = [
        Segment(
            index=index,
            start_ms=STARTED_MS + index * SEGMENT_MS,
            frame_feature=np.full(FRAME_FEATURE_SIZE, 0.5, np.float16) if index else None,
            frame_times_ms=(STARTED_MS + index * SEGMENT_MS + 5_000,) if index else (),
            speech="hello",
            comments=("a", "b"),
            comment_count=2,
            user_count=2,
            comment_weight=2.0,
        )
        for index in range(2)
    ]
    encoder = ("tiny", weights_revision([FRAME_WEIGHTS]))
    return encode_window(
        room_id="room",
        streamer_id="s",
        room_started_ms=STARTED_MS,
        segment_ms=SEGMENT_MS,
        segments=[
            encode_segment(segment, encoder if segment.has_picture else None, {})
            for segment in segments
        ],
        segment_index=1,
        start_ms=segments[-1].start_ms,
        final=False,
    )


def score_record() -> bytes:
    score = Score(
        room_id="room",
        streamer_id="s",
        room_started_ms=STARTED_MS,
        segment_index=6,
        start_ms=STARTED_MS + 6 * SEGMENT_MS,
        end_ms=STARTED_MS + 7 * SEGMENT_MS,
        ctr=0.5,
        energy=0.9,
        decided_by="energy",
        decision=0.9,
        model_version="energy",
        reasons=Reasons({"comments": 1.0}, ("wow",), STARTED_MS + 195_000, 7),
        final=False,
    )
    return encode_score(score, {"closed_at_ms": 1, "scored_at_ms": 2})


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """The place of everything in a JSON value, below its top."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for name, entry in entries:
        yield (*path, name)
        if isinstance(entry, dict | list):
            yield from paths(entry, (*path, name))


def changed(record: bytes, path: Path, value: Any) -> bytes:
    fields = json.loads(record)
    *way, last = path
    inner = fields
    for step in way:
        inner = inner[step]
    if value == GONE:
        del inner[last]
    else:
        inner[last] = value
    return json.dumps(fields).replace(f'"{OVERFLOWING}"', OVERFLOWING[1:]).encode()


WINDOW_PATHS = list(paths(json.loads(window_record())))
SCORE_PATHS = list(paths(json.loads(score_record())))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A network this small waits longer for its other threads than they save, on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def tiny_scorer() -> Scorer:
    return load_scorer(
        EngineSettings(cache_slots=4, device="cpu"), load_frame_encoder("tiny", device="cpu")
    )


def score_what_is_read(value: bytes) -> bytes | None:
    """The `scores` record that follows, None for a window that is refused or rejected."""
    try:
        window = decode_window(value, max_bytes=MAX_BYTES)
    except MalformedRecord as error:
        assert str(error).startswith(("window: ", "feature: "))
        return None
    # As a room's last window, after which the scorer forgets the room: no example knows another.
    (result,) = tiny_scorer().score([replace(window, final=True)])
    if isinstance(result, Rejected):
        assert "found" in result.reason
        return None
    return encode_score(result, {"closed_at_ms": 1, "scored_at_ms": 2})


def detect_what_is_read(value: bytes) -> list[dict[str, Any]] | None:
    """The events that follow in a room that was quiet before, None for a score that is refused."""
    try:
        score, timings = decode_score(value, max_bytes=MAX_BYTES)
    except MalformedRecord as error:
        assert str(error).startswith("score: ")
        return None
    quiet = RoomTrend(STARTED_MS, last_index=5, seen=6, mean=0.5, variance=1e-4, previous=0.5)
    detector = HighlightDetector(DetectorSettings())
    events = detector.update(quiet, score)
    # What the agent does next: into the table and back, and onto `highlights`, where it is read.
    assert RoomTrend.from_json(orjson.loads(orjson.dumps(quiet.to_json()))) == quiet
    return [
        decode_highlight(encode_highlight(event, timings), max_bytes=MAX_BYTES) for event in events
    ]


def test_unchanged_records_are_scored_and_become_a_highlight() -> None:
    record = score_what_is_read(window_record())
    assert record is not None
    assert decode_score(record, max_bytes=MAX_BYTES)[0].segment_index == 1
    events = detect_what_is_read(score_record())
    assert [event["data"]["kind"] for event in events or []] == ["opened"]


def check_window(path: Path, value: Any) -> None:
    record = score_what_is_read(changed(window_record(), path, value))
    if record is not None:
        try:
            decode_score(record, max_bytes=MAX_BYTES)
        except MalformedRecord:
            # Next to the year 2200 a segment's end is refused where its start was not.
            assert value == LAST_MS


@pytest.mark.parametrize("value", WRONG_VALUES, ids=repr)
def test_a_window_with_one_wrong_field_is_refused_or_scored(value: Any) -> None:
    for path in WINDOW_PATHS:
        check_window(path, value)


@pytest.mark.parametrize("value", WRONG_VALUES, ids=repr)
def test_a_score_with_one_wrong_field_is_refused_or_detected(value: Any) -> None:
    for path in SCORE_PATHS:
        detect_what_is_read(changed(score_record(), path, value))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(WINDOW_PATHS), wrong_values)
def test_a_window_with_any_value_in_one_field_is_refused_or_scored(path, value) -> None:
    check_window(path, value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SCORE_PATHS), wrong_values)
def test_a_score_with_any_value_in_one_field_is_refused_or_detected(path, value) -> None:
    detect_what_is_read(changed(score_record(), path, value))


@pytest.mark.parametrize(
    "name", sorted(json.loads(window_record()).keys() - {"id", "segment_index"})
)
def test_a_window_without_one_of_its_fields_is_refused_by_name(name: str) -> None:
    with pytest.raises(MalformedRecord, match=f"^window: {name}: found no such field"):
        decode_window(changed(window_record(), (name,), GONE), max_bytes=MAX_BYTES)


@pytest.mark.parametrize(
    "name", sorted(json.loads(score_record()).keys() - {"id", "comment_lag_ms", "shadow"})
)
def test_a_score_without_one_of_its_fields_is_refused_by_name(name: str) -> None:
    with pytest.raises(MalformedRecord, match=f"^score: {name}: found no such field"):
        decode_score(changed(score_record(), (name,), GONE), max_bytes=MAX_BYTES)


def test_both_readers_of_windows_agree_on_what_is_one() -> None:
    # The quick reader may be stricter, for then the other one is asked, but never laxer.
    record = window_record()
    for path in WINDOW_PATHS:
        for value in (None, -1, 1.5, 2**60, "", "x" * 30_000, [], {}, [1, 2, 3], True):
            text = changed(record, path, value)
            try:
                quick = _fast_decoder.decode(text)
            except msgspec.ValidationError:
                continue
            slow = _WindowFields.model_validate_json(text)
            assert quick.room_id == slow.room_id
            assert [entry.comments for entry in quick.segments] == [
                entry.comments for entry in slow.segments
            ]
