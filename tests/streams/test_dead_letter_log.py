"""Dead letters read back, without a broker."""

import orjson
import pytest
from aiokafka import TopicPartition

from limelight.streams.dead_letter_commands import Repair, Wanted, printable, summary
from limelight.streams.dead_letter_log import decode_dead_letter, room_of
from limelight.streams.dead_letters import MAX_CARRIED_BYTES, Origin, encode_dead_letter

PLACE = TopicPartition("dlq", 3)


def letter_of(value: bytes | None, *, element: int | None = None, **headers: str):
    origin = Origin("comments", 3, 1_700, element)
    return decode_dead_letter(encode_dead_letter(origin, "why", value, headers), PLACE, 9)


@pytest.mark.parametrize("element", [None, 0, 2])
def test_a_letter_comes_back_as_it_was_written(element: int | None) -> None:
    letter = letter_of(b'{"room_id": "r"}', element=element, kind="odd")
    assert letter.id == ("comments/3@1700" if element is None else f"comments/3@1700#{element}")
    assert (letter.value, letter.headers) == (b'{"room_id": "r"}', {"kind": "odd"})
    assert (letter.place, letter.offset) == (PLACE, 9)
    assert letter.is_whole
    assert summary(letter)["room_id"] == "r"


def test_a_message_that_is_longer_than_what_is_carried_is_not_whole() -> None:
    assert letter_of(b"x" * MAX_CARRIED_BYTES).is_whole
    assert not letter_of(b"x" * (MAX_CARRIED_BYTES + 1)).is_whole
    assert letter_of(None).is_whole


@pytest.mark.parametrize(
    ("value", "headers", "room_id"),
    [
        (b"\xff\xd8", {"room_id": "from the headers"}, "from the headers"),
        ('{"room_id": "房"}'.encode(), {}, "房"),
        (b'[{"room_id": "first"}, {"room_id": "second"}]', {}, "first"),
        (b'{"specversion": "1.0", "data": {"room_id": "of a highlight"}}', {}, "of a highlight"),
        (b'{"room_id": 5}', {}, None),
        (b'{"data": 5}', {}, None),
        (b"[]", {}, None),
        (b"[5]", {}, None),
        (b"null", {}, None),
        (b'{"room_id": "cut of', {}, None),
        (b"", {}, None),
    ],
)
def test_the_room_is_read_where_it_can_be(value, headers, room_id) -> None:
    assert room_of(value, headers) == room_id


@pytest.mark.parametrize(
    "change",
    [
        {"id": "comments/3@1701"},
        {"topic": None},
        {"headers": 5},
        {"value_base64": "not base64"},
        {"value_bytes": "many"},
        {"reason": None, "id": None},
    ],
)
def test_what_is_no_letter_is_refused(change: dict[str, object]) -> None:
    whole = orjson.loads(encode_dead_letter(Origin("comments", 3, 1_700), "why", b"v", {}))
    with pytest.raises(ValueError, match=r"found|expected|invalid|Invalid|base64|padding"):
        decode_dead_letter(orjson.dumps(whole | change), PLACE, 9)
    with pytest.raises(ValueError, match=r".+"):
        decode_dead_letter(b"", PLACE, 9)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), True),
        (Wanted(topic="comments", reason="WH", room="r"), True),
        (Wanted(topic="asr"), False),
        (Wanted(reason="because"), False),
        (Wanted(room="another"), False),
    ],
)
def test_letters_are_chosen_by_topic_reason_and_room(wanted: Wanted, found: bool) -> None:
    assert wanted(letter_of(b'{"room_id": "r"}')) == found


def test_what_would_control_the_terminal_is_spelled_out() -> None:
    assert printable("a\x1b[2Jb\r房\n\t\x07") == "a\\x1b[2Jb\\r房\n\t\\x07"


def test_a_repair_changes_what_it_names_and_keeps_the_rest() -> None:
    letter = letter_of(b"broken", room_id="r", event_time_ms="soon")
    repaired = Repair(None, {"event_time_ms": "5"}).applied_to(letter)
    assert repaired.headers == {"room_id": "r", "event_time_ms": "5"}
    assert (repaired.value, repaired.id) == (b"broken", letter.id)
    assert Repair(b"whole", {}).applied_to(letter).value == b"whole"
