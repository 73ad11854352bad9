"""What is written about a message that could not be used: bounded, and still traceable."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from limelight.streams.dead_letters import (
    MAX_CARRIED_BYTES,
    MAX_HEADER_CHARS,
    MAX_HEADERS,
    MAX_REASON_CHARS,
    Origin,
    encode_dead_letter,
    encode_late,
)
from limelight.streams.records import header_map
from limelight.streams.settings import KafkaSettings

ORIGIN = Origin("comments", 3, 41)
MAX_MESSAGE_BYTES = KafkaSettings().max_message_bytes


def letter(reason: str = "why", value: bytes | None = b"v", headers=None, origin=ORIGIN):
    return orjson.loads(encode_dead_letter(origin, reason, value, headers or {}))


@pytest.mark.parametrize(
    ("origin", "expected_id"),
    [
        (Origin("comments", 3, 41), "comments/3@41"),
        (Origin("comments", 3, 41, 0), "comments/3@41#0"),
        (Origin("frames", 0, 2**53, 999), "frames/0@9007199254740992#999"),
    ],
)
def test_a_letter_says_where_its_message_stands(origin: Origin, expected_id: str) -> None:
    found = letter(origin=origin)
    assert found["id"] == expected_id
    assert [found[name] for name in ("topic", "partition", "offset", "element")] == [
        origin.topic,
        origin.partition,
        origin.offset,
        origin.element,
    ]


@pytest.mark.parametrize("value", [None, b"", b"\x00\xff", "弹幕".encode()])
def test_a_value_is_carried_as_it_was(value: bytes | None) -> None:
    found = letter(value=value, headers={"kind": "房"})
    assert base64.b64decode(found["value_base64"], validate=True) == (value or b"")
    assert found["value_bytes"] == len(value or b"")
    assert (found["reason"], found["headers"]) == ("why", {"kind": "房"})


def test_of_a_huge_value_the_beginning_is_carried_and_its_size_told() -> None:
    value = b"begin" + bytes(2 * MAX_CARRIED_BYTES)
    found = letter(value=value)
    carried = base64.b64decode(found["value_base64"])
    assert carried == value[:MAX_CARRIED_BYTES]
    assert found["value_bytes"] == 5 + 2 * MAX_CARRIED_BYTES


# What takes the most bytes when it is written as JSON, and what a reader may stumble over.
odd_text = st.sampled_from(["\x00", "\x1f", '"', "\\", "弹", "🎉", "\u2028", "x"])


@given(
    odd_text,
    st.integers(0, 3_000),
    st.integers(0, 40),
    st.binary(max_size=20),
    st.integers(0, 100_000),
)
def test_a_letter_fits_into_a_message_and_is_read_whatever_it_is_made_of(
    character, length, header_count, value, repeats
) -> None:
    headers = {
        f"{number}{character * length}": character * length for number in range(header_count)
    }
    encoded = encode_dead_letter(ORIGIN, character * length, value * repeats, headers)
    assert len(encoded) < MAX_MESSAGE_BYTES
    found = orjson.loads(encoded)
    assert found["id"] == "comments/3@41"
    assert found["reason"] == (character * length)[:MAX_REASON_CHARS]
    assert list(found["headers"].items()) == [
        (name[:MAX_HEADER_CHARS], text[:MAX_HEADER_CHARS])
        for name, text in list(headers.items())[:MAX_HEADERS]
    ]


@given(st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=20)), max_size=20))
def test_headers_of_any_bytes_can_be_carried(headers) -> None:
    encoded = [(name.encode(errors="replace").decode(), value) for name, value in headers]
    found = letter(headers=header_map(encoded))
    assert set(found["headers"]) <= {name for name, _ in encoded}
    assert len(found["headers"]) == min(MAX_HEADERS, len(dict(encoded)))


def test_a_late_record_says_what_it_was_and_how_late() -> None:
    encoded = encode_late(
        Origin("comments", 3, 41, 7),
        room_id="room",
        segment_index=5,
        event_time_ms=1_000,
        watermark_ms=9_000,
        record={"text": "late"},
    )
    found = orjson.loads(encoded)
    assert found["id"] == "comments/3@41#7"
    assert found["reason"] == "event time 1000 is behind the watermark 9000"
    assert (found["topic"], found["partition"], found["offset"], found["element"]) == (
        "comments",
        3,
        41,
        7,
    )
    assert (found["room_id"], found["segment_index"]) == ("room", 5)
    assert found["record"] == {"text": "late"}


def test_a_limit_that_a_dead_letter_may_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="max_message_bytes"):
        KafkaSettings(max_message_bytes=900_000)
