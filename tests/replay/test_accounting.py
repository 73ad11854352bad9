"""The books: what balances, what does not, and what must not be counted."""

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from limelight.replay.accounting import Accounts, Line
from limelight.streams.dead_letters import Origin, encode_dead_letter, encode_late
from limelight.streams.records import FrameHeaders, Watermark


def record(value: Any, offset: int = 0, headers: list[tuple[str, bytes]] | None = None):
    value = value if isinstance(value, bytes) else orjson.dumps(value)
    return SimpleNamespace(partition=0, offset=offset, value=value, headers=headers or [])


def window(start_ms: int, **entries: int) -> dict[str, Any]:
    segment = {"start_ms": start_ms, "entries": {"comments": 0} | entries}
    return {"id": f"r/{start_ms}/window", "room_id": "r", "segments": [segment]}


def comment(at_ms: int, **more: Any) -> dict[str, Any]:
    return {"room_id": "r", "event_time_ms": at_ms, "text": "t"} | more


def late_letter(offset: int, fields: dict[str, Any]) -> bytes:
    origin = Origin("comments", 0, offset)
    return encode_late(
        origin, room_id="r", segment_index=0, event_time_ms=0, watermark_ms=0, record=fields
    )


def test_what_went_in_is_in_windows_late_or_in_dlq() -> None:
    accounts = Accounts()
    accounts.see("comments", record([comment(1), comment(2), {"broken": True}], 0))
    accounts.see("comments", record(comment(3), 1))
    accounts.see("comments", record(b"{no json", 2))
    assert accounts.lines()["comments"] == Line(entered=5)
    assert not accounts.is_balanced
    assert "NOT accounted for" in accounts.told() and "'comments': 5" in accounts.told()
    accounts.see("windows", record(window(0, comments=2)))
    accounts.see("scores", record({"room_id": "r", "start_ms": 0}))
    accounts.see("late", record(late_letter(1, comment(3))))
    for origin in (Origin("comments", 0, 0, 2), Origin("comments", 0, 2)):
        accounts.see("dlq", record(encode_dead_letter(origin, "why", b"", {})))
    assert accounts.lines()["comments"] == Line(entered=5, passed_on=2, late=1, dead=2)
    assert accounts.is_balanced
    assert accounts.told() == "all accounted for: 5 entries = 2 in windows + 1 late + 2 in dlq"


def test_what_is_sent_or_delivered_twice_counts_once() -> None:
    accounts = Accounts()
    for offset in (0, 1):
        accounts.see("comments", record(comment(1, comment_id="c"), offset))
        accounts.see(
            "asr", record({"room_id": "r", "start_ms": 0, "end_ms": 1, "text": "t"}, offset)
        )
        accounts.see("frames", record(b"...", offset, FrameHeaders("r", "", 5, 0).encode()))
        feature = {"room_id": "r", "event_time_ms": 5, "room_started_ms": 0}
        accounts.see("frame-features", record(feature, offset))
        entries = {"comments": 1, "asr": 1, "frame-features": 1}
        accounts.see("windows", record(window(0, **entries), offset))
        accounts.see("scores", record({"room_id": "r", "start_ms": 0}))
    for topic, line in accounts.lines().items():
        assert line == Line(entered=1, passed_on=1, repeated=1), topic
    # Without anything to tell them apart they are two.
    for offset in (5, 6):
        accounts.see("comments", record(comment(9), offset))
    assert accounts.lines()["comments"].missing == 2


def test_what_is_sent_again_and_then_late_or_unreadable_is_an_entry_of_its_own() -> None:
    accounts = Accounts()
    for offset in (0, 1, 2):
        accounts.see("comments", record(comment(1, comment_id="c"), offset))
    accounts.see("windows", record(window(0, comments=1)))
    accounts.see("scores", record({"room_id": "r", "start_ms": 0}))
    assert accounts.lines()["comments"] == Line(entered=1, passed_on=1, repeated=2)
    accounts.see("late", record(late_letter(1, comment(1, comment_id="c"))))
    accounts.see("dlq", record(encode_dead_letter(Origin("comments", 0, 2), "why", b"", {})))
    assert accounts.lines()["comments"] == Line(entered=3, passed_on=1, late=1, dead=1)


def test_a_list_that_is_rejected_as_a_whole_is_one_entry() -> None:
    accounts = Accounts()
    accounts.see("comments", record([comment(1), comment(2)], 4))
    accounts.see("dlq", record(encode_dead_letter(Origin("comments", 0, 4), "why", b"", {})))
    assert accounts.lines()["comments"] == Line(entered=1, dead=1)


@pytest.mark.parametrize("field", ["room_id", "comment_id", "user", "event_time_ms"])
def test_a_source_record_of_any_shape_is_counted(field: str) -> None:
    accounts = Accounts()
    accounts.see("comments", record(comment(1, user="u") | {field: [{}]}, 4))
    assert accounts.lines()["comments"].entered == 1


def test_more_coming_out_than_went_in_is_seen() -> None:
    accounts = Accounts()
    accounts.see("windows", record(window(0, comments=1)))
    assert accounts.lines()["comments"].missing == -1
    assert accounts.lines()["windows"].missing == 1


def test_marks_are_no_entries_even_when_they_are_rejected() -> None:
    accounts = Accounts()
    accounts.see("comments", record(b"", 0, Watermark(1).encode()))
    letter = encode_dead_letter(Origin("comments", 0, 0), "why", b"", {"kind": "watermark"})
    accounts.see("dlq", record(letter))
    accounts.see("dlq", record(b"", headers=[("kind", b"replayed")]))
    accounts.see("late", record(late_letter(1, {"kind": "room-end"})))
    assert accounts.lines()["comments"] == Line()


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff"])
def test_a_window_that_is_none_is_counted_by_its_place(value: bytes) -> None:
    accounts = Accounts()
    accounts.see("windows", record(value, 7))
    assert accounts.lines()["windows"].missing == 1
    accounts.see("dlq", record(encode_dead_letter(Origin("windows", 0, 7), "why", value, {})))
    assert accounts.is_balanced
