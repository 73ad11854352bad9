"""A list of comments says what its comments say one by one."""

from collections import Counter

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limelight.streams.assembly import Emission, PartitionAssembly
from limelight.streams.records import Comment, MalformedRecord, Watermark, header_map
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import SourceMessage, read_records
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import no_ack

STARTED_MS = 1_700_000_000_000
SETTINGS = AssemblerSettings(
    segment_ms=10_000, max_comment_chars=8, max_ahead_ms=60_000, max_rooms_a_partition=2
)
MARK_MS = STARTED_MS + 12_000

comments = st.fixed_dictionaries(
    {
        "room_id": st.sampled_from(["a", "b", "c", ""]),
        "room_started_ms": st.sampled_from([STARTED_MS, STARTED_MS + 3_000]),
        # Late, in time in five segments, too far ahead, and no time at all.
        "event_time_ms": st.integers(STARTED_MS - 20_000, STARTED_MS + 80_000) | st.just(-1),
        "text": st.sampled_from(["hi", "there", "far too long"]),
    },
    optional={"user": st.sampled_from(["u", "v"]), "streamer_id": st.sampled_from(["s", "t"])},
)
entries = comments | st.sampled_from([None, 7, "text", {}, [[]]])


def make_assembly() -> PartitionAssembly:
    assembly = PartitionAssembly(0, SETTINGS, max_message_bytes=100_000, wall_ms=lambda: 0)
    headers = header_map(Watermark(MARK_MS).encode())
    assembly.process(SourceMessage("comments", 0, 0, b"", headers, no_ack))
    return assembly


def finish(assembly: PartitionAssembly) -> list[Emission]:
    found = []
    for step in range(2):  # a mark far ahead is believed when the next one is as far
        for topic in MODALITY_TOPICS:
            headers = header_map(Watermark(STARTED_MS + 200_000 + step).encode())
            found += assembly.process(SourceMessage(topic, 0, 10_000 + step, b"", headers, no_ack))
    return found


def letters(emissions: list[Emission]) -> list[tuple]:
    found = []
    for emission in emissions:
        fields = orjson.loads(emission.value)
        found.append(
            (emission.topic, fields["reason"], fields.get("record"), fields.get("value_base64"))
        )
    return found


def comment(**changes) -> dict:
    fields = {"room_id": "a", "room_started_ms": STARTED_MS, "event_time_ms": STARTED_MS + 25_000}
    return {**fields, "text": "hi", **changes}


@settings(deadline=None)
@given(st.lists(entries, max_size=12))
@example([comment(), comment(room_started_ms=STARTED_MS + 3_000), comment(room_id="b")])
@example([comment(), comment(event_time_ms=STARTED_MS + 30_000), comment(user="u"), comment()])
def test_a_list_is_taken_as_its_comments_one_by_one(values) -> None:
    at_once, one_by_one = make_assembly(), make_assembly()
    acked: Counter[int] = Counter()
    value = orjson.dumps(values)
    message = SourceMessage("comments", 0, 1, value, {}, lambda: acked.update([1]))
    found = at_once.process(message)
    expected = []
    for number, each in enumerate(values):
        # A list of one, for a value that is no object cannot be sent by itself.
        single = SourceMessage("comments", 0, 1 + number, orjson.dumps([each]), {}, no_ack)
        expected += one_by_one.process(single)
    assert letters(found) == letters(expected)
    assert at_once.open_entries == one_by_one.open_entries
    windows, expected_windows = finish(at_once), finish(one_by_one)
    assert [each.value for each in windows] == [each.value for each in expected_windows]
    # Acknowledged once, when all that came of it has been delivered.
    left = [each for each in found + windows if each.holds]
    for emission in left:
        assert not acked
        emission.settle()
    assert acked == {1: 1}


@given(st.lists(comments, min_size=1, max_size=5))
def test_read_at_once_or_one_by_one_records_are_the_same(values) -> None:
    message = SourceMessage("comments", 0, 1, orjson.dumps(values), {}, no_ack)
    read = read_records(message, 100_000, SETTINGS)
    assert (read.is_list, read.values) == (True, values)
    for record, value in zip(read.records, values, strict=True):
        try:
            expected = Comment.model_validate(value)
        except ValueError:
            assert isinstance(record, MalformedRecord)
        else:
            long = len(value["text"]) > SETTINGS.max_comment_chars
            assert isinstance(record, MalformedRecord) if long else record == expected


def test_one_object_is_no_list_and_an_empty_list_says_nothing() -> None:
    value = {"room_id": "a", "event_time_ms": STARTED_MS, "text": "hi"}
    one = read_records(
        SourceMessage("comments", 0, 1, orjson.dumps(value), {}, no_ack), 1_000, SETTINGS
    )
    assert (one.is_list, len(one.records)) == (False, 1)
    none = read_records(SourceMessage("comments", 0, 1, b"[]", {}, no_ack), 1_000, SETTINGS)
    assert (none.is_list, list(none.records)) == (True, [])
    with pytest.raises(MalformedRecord, match="found a list, expected one JSON object"):
        read_records(SourceMessage("asr", 0, 1, b"[]", {}, no_ack), 1_000, SETTINGS)
