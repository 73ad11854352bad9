"""`limelight replay`: play recordings into a Kafka that is already there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from limelight.replay.player import play
from limelight.replay.recording import load_recording
from limelight.replay.script import closing_mark_ms
from limelight.streams.kafka import create_topics
from limelight.streams.settings import Settings


async def run_replay(
    folders: Sequence[Path], settings: Settings, *, speed: float, start_at: datetime | None
) -> None:
    """Play with a progress bar, and say what was sent.

    Raises:
        BrokerUnavailable, MalformedRecording, ValueError.
    """
    recordings = [load_recording(folder) for folder in folders]
    await create_topics(settings.kafka)
    if start_at is None:
        base_ms = min(recording.started_ms for recording in recordings)
    else:
        base_ms = int(start_at.replace(tzinfo=start_at.tzinfo or UTC).timestamp() * 1000)
    total_ms = max(recording.duration_ms for recording in recordings)
    console = Console()
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("replay", total=total_ms)
        sent = await play(
            recordings,
            settings,
            base_ms=base_ms,
            speed=speed,
            on_progress=lambda offset_ms: bar.update(task, completed=offset_ms),
        )
    end_ms = closing_mark_ms(
        base_ms + total_ms, settings.assembler.segment_ms, settings.assembler.closing_delay_ms
    )
    end = datetime.fromtimestamp(-(-end_ms // 1000), UTC)
    console.print(", ".join(f"{count} {topic}" for topic, count in sorted(sent.items())) + " sent")
    console.print(f"event time has come to {end:%Y-%m-%dT%H:%M:%S} UTC", highlight=False)
