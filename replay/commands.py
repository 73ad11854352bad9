"""`limelight demo` and `limelight replay`: options in, one call out."""

import asyncio
from datetime import datetime
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
) -> None:
    """Play recordings as live rooms through the whole system, and report what it found."""
    from rich.console import Console

    from limelight.replay.demo import DemoOptions, bundled_recordings, run_demo
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure("WARNING" if current.log_level == "INFO" else current.log_level)
    console = Console()
    folders = recording or bundled_recordings()
    options = DemoOptions(folders, out, speed, keep)
    asyncio.run(run_demo(options, current, console))


def replay(
    recordings: Annotated[list[Path], typer.Argument(help="Folders with a recording.toml.")],
    speed: Speed = 60.0,
    kafka: Annotated[
        str, typer.Option(help="Bootstrap servers; without it those of the settings.")
    ] = "",
    start_at: Annotated[
        datetime | None,
        typer.Option(
            help="Event time (UTC) at which all recordings start; without it the earliest"
            " recording's own. A topic's time only goes forward: a second replay into the same"
            " topics must start where the first one says that it ended."
        ),
    ] = None,
) -> None:
    """Play recordings into Kafka, as if their rooms were on air."""
    from limelight.replay.replay import run_replay
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    if kafka:
        options = current.kafka.model_copy(update={"bootstrap_servers": kafka})
        current = current.model_copy(update={"kafka": options})
    asyncio.run(run_replay(recordings, current, speed=speed, start_at=start_at))


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
