"""Before a message is sent again it is read by the very parsers of its topic."""

import json
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from aiokafka import TopicPartition
from PIL import Image

from limelight.streams.dead_letter_check import check_message
from limelight.streams.dead_letter_log import decode_dead_letter
from limelight.streams.dead_letters import Origin, encode_dead_letter
from limelight.streams.records import FrameHeaders, MalformedRecord, RoomEnd, Watermark, header_map
from limelight.streams.score_records import encode_score
from limelight.streams.settings import Settings

EVENT = json.loads((Path(__file__).parents[2] / "docs/push/highlight.schema.json").read_text())[
    "examples"
][0]
COMMENT = {"room_id": "r", "event_time_ms": 5, "text": "t"}


def check(topic: str, value: bytes, headers: dict[str, str] | None = None) -> None:
    letter = encode_dead_letter(Origin(topic, 0, 1), "why", value, headers or {})
    check_message(decode_dead_letter(letter, TopicPartition("dlq", 0), 1), Settings())


def picture() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    return buffer.getvalue()


FRAME_HEADERS = header_map(FrameHeaders("r", "s", 5, None).encode())


def test_what_its_reader_takes_passes(make_score) -> None:
    check("comments", orjson.dumps(COMMENT))
    check("comments", orjson.dumps([COMMENT, COMMENT]))
    check("comments", b"", header_map(RoomEnd("r", 5, None).encode()))
    check("asr", orjson.dumps({"room_id": "r", "start_ms": 1, "end_ms": 5, "text": "t"}))
    check("asr", b"", header_map(Watermark(5).encode()))
    check("frames", picture(), FRAME_HEADERS)
    check("scores", encode_score(make_score(1, 0.5), {}))
    check("highlights", orjson.dumps(EVENT))


@pytest.mark.parametrize(
    ("topic", "value", "headers", "expected"),
    [
        ("comments", b"{not json", {}, "expected JSON"),
        ("comments", orjson.dumps([COMMENT, COMMENT | {"text": 5}]), {}, "entry 1 of the list: te"),
        ("comments", orjson.dumps(COMMENT | {"text": "x" * 1_001}), {}, "expected at most 1000"),
        ("comments", orjson.dumps([COMMENT] * 1_001), {}, "found 1001 comments"),
        ("comments", orjson.dumps(COMMENT), {"kind": "odd"}, "header kind: found 'odd'"),
        ("asr", orjson.dumps([]), {}, "found a list"),
        ("asr", b"", header_map(RoomEnd("r", 5, None).encode()), "expected it on comments"),
        ("frame-features", b"{}", {}, "found no such field"),
        ("frames", b"no picture", FRAME_HEADERS, "expected one of JPEG"),
        ("frames", picture(), {}, "header room_id"),
        ("windows", b"{}", {}, "window: "),
        ("scores", b"{}", {}, "score: "),
        ("highlights", b"{}", {}, "expected a CloudEvent"),
        ("models", b"{}", {}, "topic: found 'models'"),
    ],
)
def test_what_would_only_be_rejected_again_is_refused(topic, value, headers, expected) -> None:
    with pytest.raises(MalformedRecord, match=expected):
        check(topic, value, headers)
