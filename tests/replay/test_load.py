"""The load generator: what it sends is fit to be assembled, at the rates it promises."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from limelight.replay.load import SLICE_MS, LoadOptions, LoadRooms, load_slices
from limelight.replay.load_sender import send_load
from limelight.replay.script import ScriptedMessage
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.cli import app
from limelight.streams.kafka import make_consumer
from limelight.streams.records import Watermark, header_map
from limelight.streams.settings import AssemblerSettings, Settings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.watermark import no_ack

BASE_MS = 1_700_000_000_000
SEGMENT_MS = 10_000
PARTITIONS = 3


def make_options(**changes) -> LoadOptions:
    fields = {"rooms": 30, "seconds": 50, "base_ms": BASE_MS, "feature_size": 4, "seed": 1}
    return LoadOptions(**fields | changes)


def make_load(**changes) -> list[ScriptedMessage]:
    slices = load_slices(make_options(**changes), segment_ms=SEGMENT_MS, partitions=PARTITIONS)
    return list(chain.from_iterable(slices))


def times_of(message: ScriptedMessage) -> list[int]:
    """The event times within a message; a line of speech counts at its end."""
    value = orjson.loads(message.value)
    entries = value if isinstance(value, list) else [value]
    return [entry.get("event_time_ms", entry.get("end_ms")) for entry in entries]


def comments_in(messages: list[ScriptedMessage]) -> int:
    return sum(len(times_of(m)) for m in messages if m.topic == "comments" and m.value)


@pytest.mark.parametrize("comments", ["batched", "single"])
def test_an_assembler_accepts_everything_and_counts_as_much_as_was_sent(comments) -> None:
    messages = make_load(comments=comments)
    settings = AssemblerSettings(segment_ms=SEGMENT_MS, window_length=2)
    assemblies = [
        PartitionAssembly(partition, settings, max_message_bytes=1_000_000, wall_ms=lambda: 0)
        for partition in range(PARTITIONS)
    ]
    # The load leaves the last segments open; a mark far enough ahead closes them.
    last = [
        ScriptedMessage(0, topic, partition, None, b"", Watermark(BASE_MS + 70_000).encode())
        for topic in MODALITY_TOPICS
        for partition in range(PARTITIONS)
    ]
    emissions = []
    for offset, message in enumerate(messages + last):
        emissions += assemblies[message.partition].process(
            SourceMessage(
                message.topic,
                message.partition,
                offset,
                message.value,
                header_map(message.headers),
                no_ack,
            )
        )
    assert {emission.topic for emission in emissions} == {"windows"}
    newest = [orjson.loads(emission.value)["segments"][-1] for emission in emissions]
    assert sum(segment["comment_count"] for segment in newest) == comments_in(messages) > 1_000
    assert sum(len(segment["frame_times_ms"]) for segment in newest) == 30 * 50 * 3 / 10
    said = sum(1 for message in messages if message.topic == "asr" and message.value)
    assert sum(len(segment["speech"]) for segment in newest) >= 10 * said
    whole = [s for s in newest if BASE_MS <= s["start_ms"] <= BASE_MS + 50_000 - SEGMENT_MS]
    assert {len(segment["frame_times_ms"]) for segment in whole} == {3}
    assert all(segment["missing"] in ([], ["comments"]) for segment in whole)


def test_batched_and_single_comments_are_the_same_comments() -> None:
    def texts(comments: str) -> Counter[bytes]:
        found: Counter[bytes] = Counter()
        for message in make_load(comments=comments, seconds=20):
            if message.topic == "comments" and message.value:
                value = orjson.loads(message.value)
                for entry in value if isinstance(value, list) else [value]:
                    if entry["event_time_ms"] < BASE_MS + 14_000:
                        found[orjson.dumps(entry)] += 1
        return found

    assert texts("batched") == texts("single")


def test_one_seed_gives_the_same_bytes_and_another_others() -> None:
    assert make_load() == make_load()
    assert make_load() != make_load(seed=2)


def test_a_room_is_the_same_in_a_larger_load() -> None:
    def schedule(rooms: int, wanted: set[bytes]) -> list[tuple]:
        found = []
        for message in make_load(rooms=rooms, comments_a_second=20.0, seconds=20):
            if message.key in wanted:
                value = orjson.loads(message.value)
                started = (value[0] if message.topic == "comments" else value)["room_started_ms"]
                found.append((message.topic, message.key, message.at_ms, started))
        return sorted(found)

    small = LoadRooms(make_options(rooms=5), segment_ms=SEGMENT_MS, partitions=PARTITIONS)
    large = LoadRooms(make_options(rooms=50), segment_ms=SEGMENT_MS, partitions=PARTITIONS)
    assert small.comment_rate.tolist() == large.comment_rate[:5].tolist()
    # Of comments only the times of their lists are a room's own, where it is never silent.
    busy = {key for key, rate in zip(small.keys, small.comment_rate, strict=True) if rate > 0.9}
    assert busy
    assert schedule(5, busy) == schedule(50, busy)


@pytest.mark.parametrize("comments", ["batched", "single"])
def test_nothing_older_follows_a_mark_and_marks_come_every_second(comments) -> None:
    messages = make_load(comments=comments)
    marks: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for message in messages:
        place = (message.topic, message.partition)
        if message.key is None:
            marks[place].append(int(header_map(message.headers)["event_time_ms"]))
        else:
            assert min(times_of(message)) >= marks[place][-1]
            assert max(times_of(message)) <= message.at_ms
    assert marks.keys() == {(t, p) for t in MODALITY_TOPICS for p in range(PARTITIONS)}
    for found in marks.values():
        assert len(found) == 51
        assert {later - earlier for earlier, later in pairwise(found)} == {1_000}


def test_messages_come_in_event_time_order() -> None:
    times = [message.at_ms for message in make_load()]
    assert times == sorted(times)
    assert times[-1] == BASE_MS + 50_000


def test_a_room_sends_its_comments_in_lists_every_two_to_five_seconds() -> None:
    sent_ms = defaultdict(list)
    for message in make_load(comments_a_second=20.0):
        if message.topic == "comments" and message.value:
            rooms = {entry["room_id"] for entry in orjson.loads(message.value)}
            assert rooms == {message.key.decode()}
            sent_ms[message.key].append(message.at_ms)
    every = [min(b - a for a, b in pairwise(times)) for times in sent_ms.values()]
    assert set(every) == {2_000, 3_000, 4_000, 5_000}
    for times, every_ms in zip(sent_ms.values(), every, strict=True):
        assert all((later - earlier) % every_ms == 0 for earlier, later in pairwise(times))


def test_rates_are_those_that_the_module_names() -> None:
    rooms = LoadRooms(make_options(rooms=20_000), segment_ms=SEGMENT_MS, partitions=PARTITIONS)
    # The mean of 20,000 lognormal factors of sigma 1.5 has a standard error of 2 per cent.
    assert rooms.comment_rate.mean() == pytest.approx(1.63, rel=0.08)
    assert np.median(rooms.comment_rate) == pytest.approx(1.63 * np.exp(-(1.5**2) / 2), rel=0.05)
    counts = Counter(m.topic for m in make_load(rooms=100, seconds=30) if m.value)
    assert counts["frame-features"] == 100 * 30 * 3 / 10
    assert 100 * 30 / 6.5 - 100 < counts["asr"] < 100 * 30 / 3.5 + 100


def test_rooms_end_their_segments_at_all_times() -> None:
    rooms = LoadRooms(make_options(rooms=3_000), segment_ms=30_000, partitions=PARTITIONS)
    per_second = np.bincount(rooms.started_ms % 30_000 // 1_000, minlength=30)
    # 100 on average with a standard deviation of 10.
    assert per_second.min() > 60 and per_second.max() < 140
    assert (rooms.started_ms < BASE_MS).all()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rooms": 0}, "rooms: found 0"),
        ({"base_ms": BASE_MS + 1}, "base_ms: found 1700000000001, expected a whole second"),
        ({"comments_a_second": -1.0}, "comments_a_second: found -1.0"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(changes, reason) -> None:
    with pytest.raises(ValueError, match=f"^{reason}"):
        make_options(**changes)


async def test_a_negative_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="speed: found -1"):
        await send_load([], Settings().kafka, base_ms=BASE_MS, slice_ms=SLICE_MS, speed=-1)


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Settings]:
    kafka = embedded_kafka(free_port(), PARTITIONS)
    async with embedded_broker(kafka, folder / "broker.log"):
        yield Settings(kafka=kafka)


async def read_topics(settings: Settings, count: int) -> list[tuple[str, int, bytes | None, bytes]]:
    """`count` records of the modality topics, in the order of each topic-partition."""
    consumer = make_consumer(settings.kafka, *MODALITY_TOPICS, group_id=None)
    await consumer.start()
    found = []
    try:
        while len(found) < count:
            record = await consumer.getone()
            found.append((record.topic, record.partition, record.key, record.value))
    finally:
        await consumer.stop()
    return found


def by_place(records) -> dict[tuple[str, int], list[tuple[bytes | None, bytes]]]:
    places = defaultdict(list)
    for topic, partition, key, value in records:
        places[topic, partition].append((key, value))
    return places


@pytest.mark.broker
async def test_what_is_made_is_what_lies_on_the_topics(tmp_path: Path) -> None:
    messages = make_load(rooms=300, seconds=5)
    slices = load_slices(
        make_options(rooms=300, seconds=5), segment_ms=SEGMENT_MS, partitions=PARTITIONS
    )
    told: list[int] = []
    async with broker(tmp_path) as settings:
        sent = await send_load(
            slices,
            settings.kafka,
            base_ms=BASE_MS,
            slice_ms=SLICE_MS,
            speed=10,
            on_sending=told.append,
        )
        found = await read_topics(settings, len(messages))
    expected = [(m.topic, m.partition, m.key, m.value) for m in messages]
    assert by_place(found) == by_place(expected)
    assert sent.messages == Counter(m.topic for m in messages if m.value)
    assert sent.value_bytes == sum(len(m.value) for m in messages)
    assert sent.seconds > 0.45  # five seconds at ten times the speed
    assert told == sorted(told)
    assert told[-1] == BASE_MS + 5_000 + SLICE_MS


@pytest.mark.broker
async def test_the_command_says_what_it_sent_and_where_time_has_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with broker(tmp_path) as settings:
        options = ["--rooms", "20", "--seconds", "4", "--speed", "0", "--feature-size", "8"]
        options += ["--kafka", settings.kafka.bootstrap_servers, "--start-at", "2027-01-01"]
        monkeypatch.setenv("LIMELIGHT_KAFKA_PARTITIONS", str(PARTITIONS))
        done = await asyncio.to_thread(CliRunner().invoke, app, ["load", *options])
    assert done.exit_code == 0, done.output
    assert "event time has come to 2027-01-01T00:00:04 UTC" in done.output
    assert "frame-features sent" in done.output
