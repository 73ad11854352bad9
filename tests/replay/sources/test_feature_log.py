"""A log played again: the windows that the worker had written, byte for byte."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiokafka import ConsumerRecord

from limelight.replay.feature_log.errors import EmptyInterval
from limelight.replay.feature_log.files import LogFiles
from limelight.replay.feature_log.rows import engagement_row
from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.sources.feature_log import LogScript, feature_log_source
from limelight.replay.store import Store
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import create_topics, make_producer
from limelight.streams.records import RoomEnd, Watermark, header_map
from limelight.streams.settings import AssemblerSettings, KafkaSettings, Settings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS, partition_of
from limelight.streams.watermark import no_ack
from limelight.streams.window_records import encode_feature
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import MAX_BYTES, engagement_record, record

SEGMENT_MS = 10_000
HOUR_MS = 3_600_000
# Two minutes before an hour's end.
BASE_MS = 1_699_999_200_000 + HOUR_MS - 120_000
LIMITS = AssemblerSettings(segment_ms=SEGMENT_MS, window_length=5, idle_segments=3)
EVER = (0, 1 << 42)


def served() -> list[bytes]:
    """Windows of three rooms over an hour's end, one of which goes off air and comes back."""
    assembly = PartitionAssembly(0, LIMITS, max_message_bytes=MAX_BYTES, wall_ms=lambda: 5)
    rng = np.random.default_rng(0)
    messages: list[tuple[str, bytes, Any]] = []

    def mark(time_ms: int) -> None:
        messages.extend((topic, b"", Watermark(time_ms).encode()) for topic in MODALITY_TOPICS)

    mark(BASE_MS)
    for second in range(0, 400, 4):
        now_ms = BASE_MS + second * 1_000
        for room, started_ms in (("a", BASE_MS), ("b", None), ("留", BASE_MS + 3_000)):
            who = {"room_id": room, "streamer_id": f"of {room}", "room_started_ms": started_ms}
            if room == "b" and 150 <= second < 260:
                continue  # idle until it is forgotten, and then a new life
            said = [
                {
                    **who,
                    "event_time_ms": now_ms + k,
                    "text": f"哈 {k}",
                    "comment_id": f"{second}.{k}",
                }
                for k in range(rng.integers(4))
            ]
            messages.append(("comments", orjson.dumps(said), ()))
            if second % 12 == 0:
                feature = encode_feature(rng.normal(size=6).astype(np.float16))
                frame = {
                    **who,
                    "event_time_ms": now_ms,
                    "encoder_id": "tiny",
                    "frame_offset": second,
                }
                frame |= {"encoder_revision": "r", "feature": feature}
                messages.append(("frame-features", orjson.dumps(frame), ()))
            if second % 20 == 0:
                line = {**who, "start_ms": now_ms - 900, "end_ms": now_ms, "text": f"at {second}"}
                messages.append(("asr", orjson.dumps(line), ()))
        if second == 100:  # off air, and on again in the very next segment
            over = RoomEnd("b", now_ms - 10_000, None)
            messages.append(("comments", b"", over.encode()))
        mark(now_ms)
    end = RoomEnd("a", BASE_MS + 400_000, BASE_MS)
    messages.append(("comments", b"", end.encode()))
    mark(BASE_MS + 500_000)
    windows = []
    for offset, (topic, value, headers) in enumerate(messages):
        source = SourceMessage(topic, 0, offset, value, header_map(headers), no_ack)
        for emission in assembly.process(source):
            if emission.topic == "windows":
                windows.append(emission.value)
    return windows


WINDOWS = served()
ENDS_MS = [orjson.loads(each)["segments"][-1]["start_ms"] + SEGMENT_MS for each in WINDOWS]


# The last but one runs into the next hour, and beyond the last.
ENGAGEMENT = [
    *(engagement_record("a", 20 + k, k, paid={"coins": 5.0}) for k in range(100)),
    engagement_record("b", 119, 100, end_ms=BASE_MS + 120_000 + 600_000),
    engagement_record("b", 125, 101),
]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The windows in two partitions and many small files, one of them sent twice."""
    offsets = [0, 0]
    records: list[ConsumerRecord] = []
    for number, value in enumerate(WINDOWS):
        partition = partition_of(orjson.loads(value)["room_id"], 2)
        for _ in range(2 if number == 17 else 1):
            records.append(record("windows", partition, offsets[partition], value))
            offsets[partition] += 1
    records += ENGAGEMENT
    root = tmp_path_factory.mktemp("log")
    write(str(root), records, flush_every=7)
    return root


def play(log: Path, **changes: Any) -> list[ScriptedMessage]:
    options: dict[str, Any] = {"window_length": 5, "segment_ms": SEGMENT_MS, "partitions": 4}
    options |= {"start_ms": EVER[0], "end_ms": EVER[1]}
    return list(LogScript(LogFiles(Store(log)), **(options | changes)).messages())


def windows_in(messages: list[ScriptedMessage]) -> list[bytes]:
    return [each.value for each in messages if each.topic == "windows"]


def test_the_windows_are_those_of_the_worker_byte_for_byte(log: Path) -> None:
    assert len(WINDOWS) > 90
    assert sum(orjson.loads(each)["final"] for each in WINDOWS) >= 3
    messages = play(log)
    assert sorted(windows_in(messages)) == sorted(WINDOWS)
    assert [each.at_ms for each in messages] == sorted(each.at_ms for each in messages)
    assert sorted(each.at_ms for each in messages if each.topic == "windows") == sorted(ENDS_MS)
    for each in messages:
        room_id = orjson.loads(each.value)["room_id"]
        assert (each.key, each.partition) == (room_id.encode(), partition_of(room_id, 4))


def test_a_rooms_windows_keep_their_order(log: Path) -> None:
    for room in ("a", "b", "留"):
        found = [each for each in windows_in(play(log)) if orjson.loads(each)["room_id"] == room]
        assert found == [each for each in WINDOWS if orjson.loads(each)["room_id"] == room]


@pytest.mark.parametrize("start_s", [0, 55, 120, 121, 300])
def test_an_intervals_windows_are_whole_from_its_first_on(log: Path, start_s: int) -> None:
    start_ms, end_ms = BASE_MS + start_s * 1_000, BASE_MS + start_s * 1_000 + 60_000
    messages = play(log, start_ms=start_ms, end_ms=end_ms)
    expected = [
        value for value, at in zip(WINDOWS, ENDS_MS, strict=True) if start_ms <= at < end_ms
    ]
    assert expected
    assert sorted(windows_in(messages)) == sorted(expected)


def test_two_parts_send_what_the_whole_does(log: Path) -> None:
    whole = play(log)
    cut = whole[len(whole) // 2].at_ms
    assert play(log, end_ms=cut) + play(log, start_ms=cut) == whole


def test_rooms_can_be_chosen(log: Path) -> None:
    messages = play(log, room_ids=frozenset("b"))
    assert {each.key for each in messages} == {b"b"}
    assert sorted(windows_in(messages)) == sorted(
        each for each in WINDOWS if orjson.loads(each)["room_id"] == "b"
    )


def test_a_shift_moves_windows_as_if_the_room_had_been_later(log: Path) -> None:
    shift_ms = 42 * SEGMENT_MS
    for was, now in zip(play(log), play(log, shift_ms=shift_ms), strict=True):
        before, after = orjson.loads(was.value), orjson.loads(now.value)
        assert now.at_ms == was.at_ms + shift_ms
        assert after["room_id"] == before["room_id"]
        if was.topic != "windows":
            assert after["end_ms"] == before["end_ms"] + shift_ms
            continue
        assert after["segment_index"] == before["segment_index"] + 42
        newest, moved = before["segments"][-1], after["segments"][-1]
        assert moved["start_ms"] == newest["start_ms"] + shift_ms
        assert moved["index"] == newest["index"] + 42
        assert moved["comments"] == newest["comments"]
        assert str(moved["start_ms"]) in after["id"]
    with pytest.raises(ValueError, match="found a shift of 5 ms, expected a multiple of the seg"):
        play(log, shift_ms=5)


def test_engagement_says_what_it_said(log: Path) -> None:
    sent = [each for each in play(log) if each.topic == "engagement"]
    rows = [engagement_row(record("engagement", 0, 0, each.value), MAX_BYTES) for each in sent]
    logged = [engagement_row(each, MAX_BYTES) for each in ENGAGEMENT]
    # But for partition and offset.
    assert [each.values[2:] for each in rows[:100]] == [each.values[2:] for each in logged[:100]]
    assert [each.values[2:] for each in rows[100:]] == [each.values[2:] for each in logged[:99:-1]]


def test_an_interval_without_a_segment_is_refused(log: Path) -> None:
    options: dict[str, Any] = {"window_length": 5, "segment_ms": SEGMENT_MS, "partitions": 4}
    script = LogScript(LogFiles(Store(log)), start_ms=0, end_ms=60_000, **options)
    with pytest.raises(EmptyInterval, match="no segments that end from 1970-01-01T00:00"):
        script.interval()


@pytest.mark.broker
async def test_the_topic_that_a_log_was_written_from_is_refused(log: Path, tmp_path: Path) -> None:
    kafka = embedded_kafka(free_port()).model_copy(update={"partitions": 2})
    async with embedded_broker(kafka, tmp_path / "broker.log"):
        await create_topics(kafka)
        source = await feature_log_source(str(log), Settings(kafka=kafka, assembler=LIMITS))
        await source.messages.aclose()
        await _fill(kafka)
        with pytest.raises(ValueError, match="found a log of windows, and a windows at"):
            await feature_log_source(str(log), Settings(kafka=kafka, assembler=LIMITS))


async def _fill(kafka: KafkaSettings) -> None:
    producer = make_producer(kafka)
    await producer.start()
    try:
        for partition in range(2):
            for _ in range(len(WINDOWS) + 1):
                await producer.send("windows", b"w", partition=partition)
        await producer.flush()
    finally:
        await producer.stop()
