"""Rows hold what was served."""

import numpy as np
import orjson
import pytest
from aiokafka import ConsumerRecord

from limelight.models.datasets.labelled_room import COUNT_NAMES
from limelight.replay.feature_log.rows import READERS, table_of
from limelight.streams.records import MalformedRecord
from tests.replay.feature_log.records import (
    MAX_BYTES,
    START_MS,
    engagement_record,
    feature_of,
    record,
    score_record,
    window_record,
)


def row_of(dataset: str, found: ConsumerRecord) -> dict[str, object]:
    return table_of(dataset, [READERS[dataset](found, MAX_BYTES)]).to_pylist()[0]


@pytest.mark.parametrize(("index", "picture"), [(0, True), (5, True), (7, False)])
def test_a_window_gives_its_newest_segment_as_it_was_sent(index: int, picture: bool) -> None:
    sent = window_record("room", index, 41, partition=3, picture=picture)
    row = row_of("segments", sent)
    window = orjson.loads(sent.value)
    segment = window["segments"][-1]
    for name in ("room_id", "streamer_id", "room_started_ms", "segment_ms", "final"):
        assert row.pop(name) == window[name]
    assert row.pop("segment_index") == segment["index"] == index
    feature = row.pop("frame_feature")
    assert (feature is not None) == picture
    if picture:
        assert np.array_equal(np.frombuffer(feature, "<f2"), feature_of("room", index))
    encoder = row.pop("encoder_id"), row.pop("encoder_revision")
    assert encoder == (tuple(segment["encoder"]) if picture else (None, None))
    assert dict(row.pop("entries")) == segment["entries"]
    assert (row.pop("partition"), row.pop("offset")) == (3, 41)
    assert row.pop("closed_at_ms") == 1_700_000_000_123
    del segment["index"], segment["encoder"], segment["feature"], segment["entries"]
    assert row == segment


@pytest.mark.parametrize("index", [0, 1])
def test_a_score_is_kept_with_reasons_timings_and_challenger(index: int) -> None:
    sent = score_record("room", index, 5, partition=1)
    row, score = row_of("scores", sent), orjson.loads(sent.value)
    shadow = score.pop("shadow")
    assert row.pop("shadow_ctr") == (shadow["ctr"] if index else None)
    assert row.pop("shadow_model_version") == (shadow["model_version"] if index else None)
    assert dict(row.pop("timings")) == score.pop("timings")
    reasons = score.pop("reasons")
    del reasons["speech"]  # the window's row has it
    assert dict(row.pop("modality_shares")) == reasons.pop("modality_shares")
    del score["id"]
    assert row == score | reasons | {"partition": 1, "offset": 5}


def test_engagement_keeps_what_was_not_counted_apart_from_zero() -> None:
    row = row_of("engagement", engagement_record("room", 2, 9, likes=0.0, paid={"gift": 1.5}))
    assert (row["impressions"], row["clicks"], row["likes"]) == (100.0, 2.0, 0.0)
    assert [row[name] for name in COUNT_NAMES if row[name] is None] == [None] * 5
    assert dict(row["paid"]) == {"gift": 1.5}
    assert (row["start_ms"], row["end_ms"]) == (START_MS + 60_000, START_MS + 90_000)


def window_with(**segment: object) -> bytes:
    fields = orjson.loads(window_record("room", 1, 0).value)
    fields["segments"][-1] |= segment
    return orjson.dumps(fields)


@pytest.mark.parametrize(
    ("dataset", "value", "problem"),
    [
        ("segments", b"", "window: "),
        ("segments", b"{", "window: "),
        ("segments", b'{"schema": 1}', "window: room_id"),
        ("segments", window_with(start_ms="soon"), "start_ms: found 'soon'"),
        ("segments", window_with(feature="AAA"), "feature: found 'AAA', expected base64"),
        ("segments", window_with(comment_count=2**60), "comment_count"),
        ("segments", window_with(entries={"asr": 2**60}), "cannot be read"),
        ("segments", window_with(feature="AH4="), "feature: found NaN"),
        ("segments", window_with(start_ms=10**15), "start_ms"),
        ("segments", window_with(comments=[5]), "comments"),
        ("scores", b"{}", "score: "),
        ("engagement", b"[]", "found"),
        ("engagement", engagement_record("r", 0, 0, end_ms=START_MS).value, "end_ms: found"),
        ("engagement", engagement_record("r", 0, 0, clicks=-1.0).value, "clicks: found -1"),
        ("engagement", engagement_record("", 0, 0).value, "room_id"),
        ("engagement", b"x" * (MAX_BYTES + 1), "found 1000001 bytes"),
    ],
)
def test_what_is_not_a_record_is_refused(dataset: str, value: bytes, problem: str) -> None:
    with pytest.raises(MalformedRecord, match=problem):
        READERS[dataset](record("any", 0, 0, value), MAX_BYTES)
