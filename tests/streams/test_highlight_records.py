import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from limelight.streams.detection import HighlightDetector, RoomTrend
from limelight.streams.highlight_records import decode_highlight, encode_highlight
from limelight.streams.records import MalformedRecord
from limelight.streams.settings import DetectorSettings


def make_event(make_score, room_id: str = "room"):
    detector, trend = HighlightDetector(DetectorSettings()), RoomTrend()
    for index in range(10):
        detector.update(trend, make_score(index, 0.5, room_id=room_id))
    (event,) = detector.update(trend, make_score(10, 0.8, room_id=room_id))
    return event


def test_another_library_reads_it_as_a_cloudevent(make_score) -> None:
    value = encode_highlight(make_event(make_score), {"closed_at_ms": 1})
    headers = {"content-type": "application/cloudevents+json"}
    event = from_http_event(HTTPMessage(headers=headers, body=value))
    assert event.get_type() == "live.limelight.highlight.opened"
    assert event.get_id() == "room/1700000300000/opened/energy"
    assert event.get_subject() == "room/1700000300000/energy"
    assert event.get_data()["rise"] == 0.3
    assert event.get_time().isoformat() == "2023-11-14T22:18:50+00:00"


def test_ids_are_ascii_whatever_the_room_is_called(make_score) -> None:
    event = make_event(make_score, room_id="直播间/1\n")
    assert event.event_id.isascii()
    assert "\n" not in event.event_id
    assert orjson.loads(encode_highlight(event, {}))["data"]["room_id"] == "直播间/1\n"


def test_the_reason_says_what_rose_how_far_and_what_was_said(make_score) -> None:
    event = decode_highlight(encode_highlight(make_event(make_score), {}), max_bytes=10_000)
    assert event["data"]["reason"] == (
        "comment energy rose to 0.80 from the room's usual 0.50 (7 comments in the segment);"
        " most said: wow"
    )


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"specversion":"0.3","id":"a"}'])
def test_what_is_no_cloudevent_is_refused(value: bytes | None) -> None:
    with pytest.raises(MalformedRecord, match="highlight: found"):
        decode_highlight(value, max_bytes=1_000)
