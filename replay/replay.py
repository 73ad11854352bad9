"""`limelight replay`: play what was recorded into a Kafka that is already there."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from limelight.replay.controls import controlled
from limelight.replay.event_time import shown_event_time
from limelight.replay.live_run import running_task
from limelight.replay.marks import closing_mark_ms
from limelight.replay.pace import Pace
from limelight.replay.player import Played, play
from limelight.replay.recording import load_recording
from limelight.replay.sources.recordings import recordings_source
from limelight.replay.sources.source import Source
from limelight.replay.sources.topics import topics_source
from limelight.streams.kafka import create_topics
from limelight.streams.settings import KafkaSettings, Settings

_REDRAW_S = 0.25


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay and how; exactly one of `recordings`, `log_root` and `topics_prefix`.

    Args:
        source_kafka: where the topics of `topics_prefix` are.
        from_ms, to_ms: event times of the source; None where it begins and ends.
        start_at_ms: the event time that is sent for the first; None keeps the source's.
    """

    recordings: Sequence[Path] = ()
    log_root: str | None = None
    topics_prefix: str | None = None
    source_kafka: KafkaSettings | None = None
    room_ids: frozenset[str] = frozenset()
    from_ms: int | None = None
    to_ms: int | None = None
    start_at_ms: int | None = None
    speed: float = 60.0


async def run_replay(options: ReplayOptions, settings: Settings, console: Console) -> Played:
    """Replay with a progress line, and say what was sent and how to go on.

    Raises:
        BrokerUnavailable, MalformedRecording, MalformedLog, ValueError.
    """
    pace = Pace(options.speed)
    source = await open_source(options, settings)
    await create_topics(settings.kafka)
    played = Played()
    with controlled(pace) as has_keys, _progress(console) as progress:
        async with running_task(_show(progress, source, pace, played, has_keys)):
            await play(source, settings, pace, played=played)
    for line in told(played, source, settings):
        console.print(line, highlight=False, soft_wrap=True)
    return played


async def open_source(options: ReplayOptions, settings: Settings) -> Source:
    """The source that the options name.

    Raises:
        ValueError: none or several of them, or options that do not go together.
    """
    kinds = {
        "recordings": bool(options.recordings),
        "--log": options.log_root is not None,
        "--topics": options.topics_prefix is not None,
    }
    given = [name for name, is_given in kinds.items() if is_given]
    if len(given) != 1:
        raise ValueError(
            f"replay: found {' and '.join(given) or 'nothing'} to play, expected one of"
            f" {', '.join(kinds)}"
        )
    if None not in (options.from_ms, options.to_ms) and options.from_ms >= options.to_ms:  # type: ignore[operator]
        raise ValueError(
            f"replay: found --to {shown_event_time(options.to_ms or 0)}, expected a time behind"
            f" --from {shown_event_time(options.from_ms or 0)}"
        )
    if options.recordings:
        return _from_recordings(options, settings)
    if options.start_at_ms is not None and options.from_ms is None:
        raise ValueError(
            "--start-at: found it without --from, expected the time that is to be sent as it"
        )
    shift_ms = 0
    if options.start_at_ms is not None and options.from_ms is not None:
        shift_ms = options.start_at_ms - options.from_ms
    if options.log_root is not None:
        from limelight.replay.sources.feature_log import feature_log_source  # of an extra

        return await feature_log_source(
            options.log_root,
            settings,
            room_ids=options.room_ids,
            from_ms=options.from_ms,
            to_ms=options.to_ms,
            shift_ms=shift_ms,
        )
    if options.source_kafka is None:
        raise ValueError("replay: found no Kafka to read from, expected one for --topics")
    return await topics_source(
        options.source_kafka,
        settings,
        speed=options.speed,
        room_ids=options.room_ids,
        from_ms=options.from_ms,
        to_ms=options.to_ms,
        shift_ms=shift_ms,
    )


def _from_recordings(options: ReplayOptions, settings: Settings) -> Source:
    if options.room_ids:
        raise ValueError("--room: found it beside recordings, expected their folders alone")
    recordings = [load_recording(folder) for folder in options.recordings]
    own_ms = min(recording.started_ms for recording in recordings)
    from_ms = own_ms if options.from_ms is None else max(own_ms, options.from_ms)
    shift_ms = 0 if options.start_at_ms is None else options.start_at_ms - from_ms
    return recordings_source(
        recordings,
        settings,
        base_ms=own_ms + shift_ms,
        speed=options.speed,
        from_ms=from_ms + shift_ms,
        to_ms=None if options.to_ms is None else options.to_ms + shift_ms,
        shift_ms=shift_ms,
    )


def told(played: Played, source: Source, settings: Settings) -> list[str]:
    """What was sent, and from where to go on after an interruption or with another replay."""
    sent = ", ".join(f"{count} {topic}" for topic, count in sorted(played.sent.items()))
    lines = [f"{sent or 'nothing'} sent"]
    if played.stopped_ms is not None:
        own_ms = played.stopped_ms - source.shift_ms
        options = f"--from {shown_event_time(own_ms)}"
        if source.shift_ms:
            options += f" --start-at {shown_event_time(played.stopped_ms)}"
        lines.append(
            f"stopped at {shown_event_time(played.stopped_ms)}: everything before it was sent,"
            f" nothing from there on; {options} goes on there"
        )
    elif played.at_ms is not None:
        end_ms = closing_mark_ms(
            played.at_ms, settings.assembler.segment_ms, settings.assembler.closing_delay_ms
        )
        # Rounded up: nothing may start before it.
        lines.append(f"event time has come to {shown_event_time(-(-end_ms // 1000) * 1000)}")
    return lines


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.fields[state]:>9}"),
        BarColumn(),
        TextColumn("{task.fields[at]}  {task.fields[reached]}  {task.fields[sent]:,} records"),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[keys]}"),
        console=console,
    )


async def _show(
    progress: Progress, source: Source, pace: Pace, played: Played, has_keys: bool
) -> None:
    """Redraw until cancelled."""
    task = progress.add_task("replay", total=None, **state_fields(pace, played))
    keys = "space pauses, Ctrl-C ends" if has_keys else ""
    try:
        while True:
            await asyncio.sleep(_REDRAW_S)
            _redraw(progress, task, source, pace, played, keys)
    finally:
        _redraw(progress, task, source, pace, played, "")


def _redraw(
    progress: Progress, task: TaskID, source: Source, pace: Pace, played: Played, keys: str
) -> None:
    fields = state_fields(pace, played) | {"keys": keys}
    total = done = None
    if source.start_ms is not None and source.end_ms is not None:
        total = max(1, source.end_ms - source.start_ms)
        done = max(0, (played.at_ms or source.start_ms) - source.start_ms)
    progress.update(task, total=total, completed=done, **fields)


def state_fields(pace: Pace, played: Played) -> dict[str, Any]:
    """What the progress line says: state, event time, speed reached without pauses, records."""
    state = "paused" if pace.is_paused else "playing"
    if pace.is_stopped or played.is_over:
        state = "stopped" if pace.is_stopped else "played"
    reached = "-"
    if played.at_ms is not None and played.first_ms is not None and pace.running_s > 0:
        reached = f"{(played.at_ms - played.first_ms) / 1000 / pace.running_s:,.1f}x"
    at = "-" if played.at_ms is None else shown_event_time(played.at_ms)
    return {
        "state": state,
        "at": at,
        "reached": reached,
        "sent": played.sent.total(),
        "keys": "",
    }
