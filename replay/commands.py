"""`limelight demo` and `limelight replay`: options in, one call out."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

Speed = Annotated[
    float, typer.Option(min=0, help="Event time over real time; 0 is as fast as possible.")
]


def demo(
    recording: Annotated[
        list[Path] | None,
        typer.Option(help="A recording's folder, again for each; without it the bundled ones."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where summary, report and logs go.")] = Path(
        "demo-out"
    ),
    speed: Speed = 60.0,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running.")] = False,
    learn: Annotated[
        bool,
        typer.Option(
            "--learn",
            help="Simulated rooms instead, whose audience comes to like other things: a network is"
            " trained on the log, shadows, is promoted, and finds the moments again.",
        ),
    ] = False,
) -> None:
    """Play recordings as live rooms through the whole system, and report what it found."""
    from rich.console import Console

    from limelight.replay.demo import DemoOptions, bundled_recordings, run_demo
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure("WARNING" if current.log_level == "INFO" else current.log_level)
    console = Console()
    if learn:
        from limelight.replay.learning.loop import LearningOptions, run_learning

        if recording or keep:
            raise ValueError("demo --learn: found --recording or --keep, expected neither")
        asyncio.run(run_learning(LearningOptions(out), current, console))
        return
    folders = recording or bundled_recordings()
    options = DemoOptions(folders, out, speed, keep)
    asyncio.run(run_demo(options, current, console))


def _event_time(text: str) -> int:
    from limelight.replay.event_time import parse_event_time

    try:
        return parse_event_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def replay(
    recordings: Annotated[
        list[Path] | None, typer.Argument(help="Folders with a recording.toml.")
    ] = None,
    log: Annotated[
        str | None, typer.Option(help="A feature log instead: its windows and engagement.")
    ] = None,
    topics: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help='The source topics with this prefix instead ("" for none): frames, asr, comments'
            " and engagement.",
        ),
    ] = None,
    source_kafka: Annotated[
        str, typer.Option(help="Bootstrap servers of --topics; without it those of the target.")
    ] = "",
    from_: Annotated[
        int | None,
        typer.Option(
            "--from", parser=_event_time, metavar="TIME", help="Begin at this event time (UTC)."
        ),
    ] = None,
    to: Annotated[
        int | None,
        typer.Option(parser=_event_time, metavar="TIME", help="End before this event time (UTC)."),
    ] = None,
    room: Annotated[
        list[str] | None, typer.Option(help="Of a log or topics only this room, again for each.")
    ] = None,
    speed: Speed = 60.0,
    kafka: Annotated[
        str, typer.Option(help="Bootstrap servers; without it those of the settings.")
    ] = "",
    prefix: Annotated[
        str | None, typer.Option(help="Prefix of the topics sent to; else that of the settings.")
    ] = None,
    start_at: Annotated[
        int | None,
        typer.Option(
            parser=_event_time,
            metavar="TIME",
            help="Event time (UTC) at which the replay starts; without it the source's own. A"
            " topic's time only goes forward: a second replay into the same topics must start"
            " where the first one says that it ended.",
        ),
    ] = None,
) -> None:
    """Play recordings, a feature log or Kafka's topics into Kafka, as if their rooms were on air.

    Space or p pauses and goes on, so does SIGUSR1; Ctrl-C ends and says how to go on.
    """
    from rich.console import Console

    from limelight.replay.replay import ReplayOptions, run_replay
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    target = current.kafka
    if kafka:
        target = target.model_copy(update={"bootstrap_servers": kafka})
    source = target.model_copy(update={"topic_prefix": topics or ""})
    if source_kafka:
        source = source.model_copy(update={"bootstrap_servers": source_kafka})
    if prefix is not None:
        target = target.model_copy(update={"topic_prefix": prefix})
    options = ReplayOptions(
        recordings=recordings or (),
        log_root=log,
        topics_prefix=topics,
        source_kafka=source,
        room_ids=frozenset(room or ()),
        from_ms=from_,
        to_ms=to,
        start_at_ms=start_at,
        speed=speed,
    )
    current = current.model_copy(update={"kafka": target})
    played = asyncio.run(run_replay(options, current, Console()))
    if played.stopped_ms is not None:
        raise typer.Exit(130)


def verify(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders with a recording.toml; without them the bundled ones."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Three runs as fast as possible instead of six.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the logs of the processes go.")] = Path(
        "verify-out"
    ),
) -> None:
    """Prove on recordings that speed, partitions, workers and restarts change no result."""
    from rich.console import Console

    from limelight.replay.demo import bundled_recordings
    from limelight.replay.verify import PLANS, QUICK_PLANS, run_verify
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure("WARNING" if current.log_level == "INFO" else current.log_level)
    plans = QUICK_PLANS if quick else PLANS
    folders = recordings or bundled_recordings()
    asyncio.run(run_verify(folders, current, out, Console(width=140), plans))
