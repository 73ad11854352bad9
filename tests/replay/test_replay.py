"""`limelight replay` against a broker: stopped and gone on with, and topics played into others."""

import asyncio
import io
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from limelight.replay.event_time import parse_event_time
from limelight.replay.replay import ReplayOptions, open_source, run_replay
from limelight.streams.broker import embedded_broker, embedded_kafka, free_port
from limelight.streams.kafka import create_topics, make_consumer
from limelight.streams.settings import KafkaSettings, PrivacySettings, Settings

BASE_MS = 1_777_636_800_000  # the recording's own start


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReplayOptions(), "found nothing to play, expected one of recordings, --log, --topics"),
        (ReplayOptions([Path("r")], topics_prefix=""), "found recordings and --topics"),
        (ReplayOptions([Path("r")], room_ids=frozenset("r")), "--room: found it beside recordings"),
        (ReplayOptions(topics_prefix="a.", start_at_ms=5), "--start-at: found it without --from"),
        (
            ReplayOptions([Path("r")], from_ms=60_000, to_ms=60_000),
            "found --to 1970-01-01T00:01:00.000Z, expected a time behind --from",
        ),
    ],
)
async def test_options_that_do_not_go_together_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        await open_source(options, Settings())


def with_prefix(settings: Settings, prefix: str) -> Settings:
    kafka = settings.kafka.model_copy(update={"topic_prefix": prefix})
    return settings.model_copy(update={"kafka": kafka})


async def data_in(kafka: KafkaSettings, count: int) -> list[tuple[str, bytes, bytes]]:
    """So many records of the source topics, marks left out, in no particular order."""
    names = [f"{kafka.topic_prefix}{topic}" for topic in ("frames", "asr", "comments")]
    consumer = make_consumer(kafka, *names, group_id=None)
    await consumer.start()
    found: list[tuple[str, bytes, bytes]] = []
    try:
        async with asyncio.timeout(20):
            while len(found) < count:
                record = await consumer.getone()
                if record.key is not None:
                    topic = record.topic.removeprefix(kafka.topic_prefix)
                    found.append((topic, record.key, record.value))
    finally:
        await consumer.stop()
    return sorted(found)


async def something_in(kafka: KafkaSettings) -> None:
    await create_topics(kafka)
    await data_in(kafka, 1)


@pytest.mark.broker
async def test_a_stopped_replay_goes_on_and_topics_can_be_played_into_others(
    make_recording: Callable[..., Path], tmp_path: Path
) -> None:
    lines = [f"{k * 40},u{k},text {k}" for k in range(600)]
    folder = make_recording(
        '[comments]\nfile="c.csv"\n', c_csv="\n".join(["time_ms,user,text", *lines]) + "\n"
    )
    kafka = embedded_kafka(free_port())
    privacy = PrivacySettings(user_key="a key of 16 bytes or more")  # type: ignore[arg-type]
    console = Console(file=io.StringIO(), width=200)
    async with embedded_broker(kafka, tmp_path / "broker.log"):
        settings = Settings(kafka=kafka, privacy=privacy)
        first = with_prefix(settings, "a.")
        options = ReplayOptions([folder], speed=10)
        running = asyncio.create_task(run_replay(options, first, console))
        await something_in(first.kafka)
        os.kill(os.getpid(), signal.SIGINT)
        stopped = await running
        assert stopped.stopped_ms is not None and 0 < stopped.sent["comments"] < 12
        said = console.file.getvalue().split()  # type: ignore[attr-defined]
        go_on_ms = parse_event_time(said[said.index("--from") + 1])
        assert go_on_ms == stopped.stopped_ms
        rest = await run_replay(ReplayOptions([folder], speed=0, from_ms=go_on_ms), first, console)
        # 24 s of comments in lists of two seconds, and the room's end.
        assert stopped.sent["comments"] + rest.sent["comments"] == 12
        origin = await data_in(first.kafka, 13)

        again = ReplayOptions(topics_prefix="a.", source_kafka=first.kafka, speed=0)
        with pytest.raises(ValueError, match=r"found a\.frames .* as source and as target"):
            await open_source(again, first)
        second = with_prefix(settings, "b.")
        played = await run_replay(again, second, console)
        assert played.sent == {"comments": 12}
        assert await data_in(second.kafka, 13) == origin

        nowhere = replace(again, source_kafka=with_prefix(settings, "none.").kafka)
        with pytest.raises(ValueError, match=r"found none of the topics none\.frames"):
            await open_source(nowhere, second)
