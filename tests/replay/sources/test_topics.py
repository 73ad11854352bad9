"""Topics played again: the same log gives the same windows, and what was late is late."""

import heapq
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.sources.topic_order import PartitionOrder, Placed
from limelight.replay.sources.topic_script import TopicScript
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.records import RoomEnd, Watermark, header_map
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.watermark import no_ack

BASE_MS = 1_700_000_000_000
LIMITS = AssemblerSettings(segment_ms=10_000, max_ahead_ms=60_000)
MARKED = ("frames", "asr", "comments")


def record(topic: str, offset: int, value: bytes = b"", headers=(), key: bytes | None = None):
    return ConsumerRecord(topic, 0, offset, 0, 0, key, value, None, 0, len(value), tuple(headers))


def data(topic: str, offset: int, time_ms: int, room: str = "r") -> ConsumerRecord:
    fields: dict[str, Any] = {"room_id": room, "room_started_ms": BASE_MS}
    if topic == "comments":
        fields |= {"event_time_ms": time_ms, "text": f"at {offset}", "comment_id": str(offset)}
        value = orjson.dumps([fields])
    else:
        fields |= {"start_ms": time_ms - 5, "end_ms": time_ms, "text": f"at {offset}"}
        value = orjson.dumps(fields)
    return record(topic, offset, value, key=room.encode())


def marking(topic: str, offset: int, time_ms: int) -> ConsumerRecord:
    return record(topic, offset, headers=Watermark(time_ms).encode())


def in_order(records: Iterable[ConsumerRecord]) -> list[Placed]:
    orders = {
        topic: PartitionOrder(topic, LIMITS.max_ahead_ms) for topic in (*MARKED, "engagement")
    }
    for each in records:
        orders[each.topic].take(each)
    for order in orders.values():
        order.finish()
    parts = [iter(order.next, None) for order in orders.values()]
    return list(heapq.merge(*parts, key=lambda placed: placed.at_ms))


async def scripted(placed: Iterable[Placed], **changes: Any) -> list[ScriptedMessage]:
    async def stream() -> AsyncGenerator[Placed, None]:
        for each in placed:
            yield each

    options = {
        "origin_prefix": "",
        "partitions": 1,
        "segment_ms": LIMITS.segment_ms,
        "closing_delay_ms": LIMITS.closing_delay_ms,
        "mark_interval_ms": 2_000,
    }
    script = TopicScript(**(options | changes))
    return [message async for message in script.messages(stream())]


def assemble(messages: Iterable[Any]) -> dict[str, list[Any]]:
    """Windows, late data with the mark that it was behind, and what could not be read."""
    assembly = PartitionAssembly(0, LIMITS, max_message_bytes=1_000_000, wall_ms=lambda: 0)
    found: dict[str, list[Any]] = {"windows": [], "late": [], "dlq": []}
    for offset, message in enumerate(messages):
        topic = "frame-features" if message.topic == "frames" else message.topic
        source = SourceMessage(topic, 0, offset, message.value, header_map(message.headers), no_ack)
        for emission in assembly.process(source):
            if emission.topic == "windows":
                found["windows"].append(emission.value)
            elif emission.topic == "late":
                letter = orjson.loads(emission.value)
                found["late"].append(
                    (
                        letter["watermark_ms"],
                        letter["segment_index"],
                        orjson.dumps(letter["record"]),
                    )
                )
            elif emission.topic == "dlq":
                found["dlq"].append(orjson.loads(emission.value)["value_base64"])
    return {topic: sorted(values) for topic, values in found.items()}


# What comes in a topic: how far its mark goes on, or a record's time from the mark, or rubbish.
steps = st.lists(
    st.tuples(
        st.sampled_from(MARKED),
        st.one_of(
            st.tuples(st.just("mark"), st.integers(1, 25_000)),
            st.tuples(st.just("data"), st.integers(-40_000, 30_000)),
            st.tuples(st.just("data"), st.integers(-15_000, -1)),
            st.tuples(st.just("data"), st.just(70_000)),
            st.tuples(st.just("rubbish"), st.just(0)),
        ),
        st.sampled_from(["r", "s"]),
    ),
    min_size=12,
    max_size=60,
)


@given(steps=steps, mark_interval_ms=st.sampled_from([2_000, 12_000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
async def test_a_replay_of_a_log_gives_its_windows_and_what_was_late_is_late(
    steps, mark_interval_ms
) -> None:
    at_ms = dict.fromkeys(MARKED, BASE_MS)
    log = [marking(topic, number, BASE_MS) for number, topic in enumerate(MARKED)]
    newest_ms = BASE_MS
    for topic, (kind, ms), room in steps:
        offset = len(log)
        if kind == "mark":
            at_ms[topic] += ms
            log.append(marking(topic, offset, at_ms[topic]))
            newest_ms = max(newest_ms, at_ms[topic])
        elif topic != "frames" and kind == "rubbish":
            log.append(record(topic, offset, b"oops %d" % offset, key=room.encode()))
        elif topic != "frames":
            log.append(data(topic, offset, at_ms[topic] + ms, room))
            newest_ms = max(newest_ms, at_ms[topic] + min(ms, 60_000))
    for room in ("r", "s"):
        end = RoomEnd(room, newest_ms + 1, BASE_MS)
        at_ms["comments"] = newest_ms - 1  # so that the end is not too far ahead
        log.append(marking("comments", len(log), at_ms["comments"]))
        log.append(record("comments", len(log), headers=end.encode(), key=room.encode()))
    closing_ms = newest_ms + LIMITS.segment_ms + LIMITS.closing_delay_ms
    closing = [marking(topic, len(log) + 1, closing_ms) for topic in MARKED]
    # Far ahead, a mark is believed when a second one says the same.
    lived = assemble([*log, *closing, *closing])
    messages = await scripted(in_order(log), mark_interval_ms=mark_interval_ms)
    replayed = assemble([*messages, *closing])
    assert replayed == lived


def test_records_are_placed_at_their_time_or_at_the_mark_that_they_came_behind() -> None:
    # The example of the module's docstring.
    log = [
        marking("asr", 0, BASE_MS + 100),
        data("asr", 1, BASE_MS + 130),
        data("asr", 2, BASE_MS + 110),
        marking("asr", 3, BASE_MS + 120),
        data("asr", 4, BASE_MS + 115),
        data("asr", 5, BASE_MS + 125),
    ]
    placed = in_order(log)
    assert [(each.offset, each.at_ms - BASE_MS) for each in placed] == [
        (2, 110),
        (4, 120),
        (5, 125),
        (1, 130),
    ]
    assert [each.late_mark_ms for each in placed] == [None, BASE_MS + 120, None, None]


def test_nothing_is_given_before_what_may_still_come_in_front_of_it() -> None:
    order = PartitionOrder("asr", LIMITS.max_ahead_ms)
    order.take(marking("asr", 0, BASE_MS))
    order.take(data("asr", 1, BASE_MS + 5_000))
    assert order.next() is None
    order.take(data("asr", 2, BASE_MS + 4_000))
    order.take(marking("asr", 3, BASE_MS + 4_500))
    assert order.next().offset == 2
    assert order.next() is None
    order.finish()
    assert order.next().offset == 1


def test_a_partition_without_marks_is_held_back_only_so_far() -> None:
    order = PartitionOrder("frames", LIMITS.max_ahead_ms)
    given = 0
    for offset in range(100):
        headers = [("event_time_ms", b"%d" % (BASE_MS + offset))]
        order.take(record("frames", offset, bytes(1_000_000), headers))
        while order.next() is not None:
            given += 1
    assert given == 100 - 7


def test_engagement_is_in_its_own_order_and_one_wrong_clock_does_not_move_it() -> None:
    times_ms = [10, 20, 15, 5_000_000_000_000, 30, 40]
    values = [
        orjson.dumps({"room_id": "r", "start_ms": 1, "end_ms": BASE_MS + ms}) for ms in times_ms
    ]
    placed = in_order(
        record("engagement", offset, value, key=b"r") for offset, value in enumerate(values)
    )
    assert [each.offset for each in placed] == list(range(6))
    assert [each.at_ms - BASE_MS for each in placed] == [10, 20, 20, 20, 30, 40]
    assert all(each.late_mark_ms is None for each in placed)


async def test_an_interval_is_what_has_its_place_in_it_and_ends_before_its_end() -> None:
    log = [marking("asr", 0, BASE_MS)]
    log += [data("asr", 1 + k, BASE_MS + 1_000 * k, "rs"[k % 2]) for k in range(10)]
    options = {"from_ms": BASE_MS + 2_000, "to_ms": BASE_MS + 7_000}
    messages = await scripted(in_order(log), **options)
    sent = [orjson.loads(each.value)["end_ms"] - BASE_MS for each in messages if each.value]
    assert sent == [2_000, 3_000, 4_000, 5_000, 6_000]
    messages = await scripted(in_order(log), room_ids=frozenset("r"), **options)
    assert [each.key for each in messages if each.value] == [b"r"] * 3


async def test_a_shift_moves_every_time_and_leaves_rubbish_alone() -> None:
    frame_headers = [
        ("room_id", b"r"),
        ("event_time_ms", b"%d" % BASE_MS),
        ("room_started_ms", b"%d" % (BASE_MS - 7)),
    ]
    log = [
        *(marking(topic, 0, BASE_MS) for topic in MARKED),
        data("comments", 1, BASE_MS),
        data("asr", 1, BASE_MS),
        record("frames", 1, b"jpeg", frame_headers, b"r"),
        record("comments", 2, b"oops", key=b"r"),
    ]
    messages = await scripted(in_order(log), shift_ms=1_000)
    sent = {(each.topic, each.value[:1]): each for each in messages if each.value}
    comment = orjson.loads(sent["comments", b"["].value)[0]
    assert (comment["event_time_ms"], comment["room_started_ms"]) == (BASE_MS + 1_000,) * 2
    speech = orjson.loads(sent["asr", b"{"].value)
    assert (speech["start_ms"], speech["end_ms"]) == (BASE_MS + 995, BASE_MS + 1_000)
    assert header_map(sent["frames", b"j"].headers) == {
        "room_id": "r",
        "event_time_ms": str(BASE_MS + 1_000),
        "room_started_ms": str(BASE_MS + 993),
    }
    assert sent["comments", b"o"].value == b"oops"
    assert {each.at_ms for each in messages if each.value} == {BASE_MS + 1_000}


@pytest.mark.parametrize("partitions", [1, 4, 16])
async def test_rooms_go_where_the_target_has_them(partitions: int) -> None:
    from aiokafka.partitioner import DefaultPartitioner

    log = [marking("asr", 0, BASE_MS)]
    log += [data("asr", 1 + k, BASE_MS + k, f"room-{k}") for k in range(30)]
    messages = await scripted(in_order(log), partitions=partitions)
    every = list(range(partitions))
    for each in messages:
        if each.value:
            assert each.partition == DefaultPartitioner()(each.key, every, every)
    marks = {(each.topic, each.partition) for each in messages if not each.value}
    assert marks == {(topic, partition) for topic in MARKED for partition in every}
