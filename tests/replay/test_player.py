"""The player: what a thread reads ahead, and what of it reaches a broker."""

import asyncio
import itertools
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import orjson
import pytest

from limelight.replay.demo import bundled_recordings
from limelight.replay.marks import mark_interval_ms
from limelight.replay.pace import Pace
from limelight.replay.player import play
from limelight.replay.recording import MalformedRecording, load_recording
from limelight.replay.scripted_message import ScriptedMessage
from limelight.replay.sources.recordings import recordings_source
from limelight.replay.sources.source import read_ahead
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import make_consumer
from limelight.streams.settings import Settings

BASE_MS = 1_700_000_000_000


def make_message(number: int) -> ScriptedMessage:
    return ScriptedMessage(number, "comments", 0, b"room", b"%d" % number, [])


def is_reading() -> bool:
    return any(thread.name == "read-ahead" for thread in threading.enumerate())


async def test_messages_come_in_their_order_and_the_thread_ends_with_them() -> None:
    messages = [make_message(number) for number in range(1_000)]
    async with aclosing(read_ahead(iter(messages))) as ahead:
        assert [message async for message in ahead] == messages
    assert not is_reading()


async def test_an_error_while_reading_comes_after_what_was_read_before_it() -> None:
    def broken() -> Iterator[ScriptedMessage]:
        yield from map(make_message, range(3))
        raise MalformedRecording(Path("c.csv"), "line 5", "'oops'", "a time")

    given = []
    with pytest.raises(MalformedRecording, match=r"^c.csv, line 5: found 'oops'"):
        async with aclosing(read_ahead(broken())) as ahead:
            async for message in ahead:
                given.append(message.at_ms)
    assert given == [0, 1, 2]
    assert not is_reading()


async def test_a_cancelled_reader_leaves_no_thread_and_has_not_read_far_ahead() -> None:
    read: list[int] = []
    taken = asyncio.Event()

    def endless() -> Iterator[ScriptedMessage]:
        for number in itertools.count():
            read.append(number)
            yield make_message(number)

    async def take_some() -> None:
        async with aclosing(read_ahead(endless())) as ahead:
            async for message in ahead:
                if message.at_ms == 9:
                    taken.set()
                    await asyncio.Event().wait()

    task = asyncio.create_task(take_some())
    await taken.wait()
    async with asyncio.timeout(5):
        while len(read) < 10 + 256:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_reading()
    assert len(read) <= 10 + 256 + 1


@pytest.mark.parametrize(
    ("speed", "expected_ms"), [(1, 2_000), (20, 4_000), (60, 12_000), (600, 120_000), (0, 12_000)]
)
def test_about_five_marks_a_second_of_real_time_on_the_comments_grid(speed, expected_ms) -> None:
    assert mark_interval_ms(speed) == expected_ms


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Settings]:
    kafka = embedded_kafka(free_port())
    async with embedded_broker(kafka, folder / "broker.log"):
        yield Settings(kafka=kafka)


@pytest.mark.broker
async def test_what_is_counted_as_sent_is_on_the_topics(tmp_path: Path) -> None:
    (recording,) = [
        recording for recording in map(load_recording, bundled_recordings()) if not recording.video
    ]
    comments = sorted(line.text for line in recording.read_comments())
    speech = sorted(line.text for line in recording.read_speech())
    told: list[int] = []
    found: dict[str, list[str]] = {"comments": [], "asr": []}
    records: Counter[str] = Counter()
    async with broker(tmp_path) as settings:
        source = recordings_source([recording], settings, base_ms=BASE_MS, speed=0)
        played = await play(source, settings, Pace(0), on_progress=told.append)
        consumer = make_consumer(settings.kafka, *found, group_id=None)
        await consumer.start()
        try:
            async with asyncio.timeout(20):
                while sum(map(len, found.values())) < len(comments) + len(speech):
                    record = await consumer.getone()
                    if record.value:
                        value = orjson.loads(record.value)
                        entries = value if isinstance(value, list) else [value]
                        found[record.topic] += [entry["text"] for entry in entries]
                        records[record.topic] += 1
        finally:
            await consumer.stop()
    assert {topic: sorted(texts) for topic, texts in found.items()} == {
        "comments": comments,
        "asr": speech,
    }
    assert played.sent == records
    assert played.stopped_ms is None
    assert told == sorted(told)
    assert told[-1] == played.at_ms == BASE_MS + recording.duration_ms


@pytest.mark.broker
async def test_a_recording_that_breaks_off_ends_the_replay(
    make_recording: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_recording(
        'duration_ms = 9_000\n[comments]\nfile="c.csv"\n',
        c_csv="time_ms,user,text\n1000,u,a\noops,u,b\n",
    )
    async with broker(tmp_path) as settings:
        with pytest.raises(MalformedRecording, match=r"^c.csv, line 3: found 'oops'"):
            source = recordings_source([load_recording(folder)], settings, base_ms=BASE_MS, speed=0)
            await play(source, settings, Pace(0))
    assert not is_reading()


@pytest.mark.broker
async def test_a_replay_that_is_cancelled_leaves_no_thread(tmp_path: Path) -> None:
    recordings = [load_recording(folder) for folder in bundled_recordings()]
    under_way = asyncio.Event()
    async with broker(tmp_path) as settings:
        source = recordings_source(recordings, settings, base_ms=BASE_MS, speed=1)
        playing = asyncio.create_task(
            play(source, settings, Pace(1), on_progress=lambda at_ms: under_way.set())
        )
        async with asyncio.timeout(20):
            await under_way.wait()
        assert is_reading()
        playing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await playing
    assert not is_reading()
