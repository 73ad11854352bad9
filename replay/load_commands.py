"""`limelight load`: options in, one call out."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer


def load(
    rooms: Annotated[int, typer.Option(min=1, help="Live rooms at once.")] = 1_000,
    seconds: Annotated[int, typer.Option(min=1, help="Event time to send.")] = 60,
    speed: Annotated[
        float, typer.Option(min=0, help="Event time over real time; 0 is as fast as possible.")
    ] = 1.0,
    comments: Annotated[
        Literal["batched", "single"],
        typer.Option(help="A room's last 2 to 5 s as one list, or each comment by itself."),
    ] = "batched",
    comments_a_second: Annotated[
        float, typer.Option(min=0, help="Of a room, on average; rooms differ widely.")
    ] = 1.63,
    feature_size: Annotated[int, typer.Option(min=1, help="Numbers in a picture feature.")] = 1_024,
    encoder_id: Annotated[
        str, typer.Option(help="Encoder that features are said to come from.")
    ] = "limelight-load",
    encoder_revision: Annotated[str, typer.Option(help="Its revision.")] = "0",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    kafka: Annotated[
        str, typer.Option(help="Bootstrap servers; without it those of the settings.")
    ] = "",
    start_at: Annotated[
        datetime | None,
        typer.Option(
            help="Event time (UTC) of the beginning; without it now. A topic's time only goes"
            " forward: a second load into the same topics must start after the first one's end."
        ),
    ] = None,
) -> None:
    """Send picture features, speech and comments of many rooms, at a live platform's rates."""
    from rich.console import Console
    from rich.progress import Progress, TimeElapsedColumn

    from limelight.replay.load import SLICE_MS, LoadOptions, load_slices
    from limelight.replay.load_sender import send_load
    from limelight.streams import logs
    from limelight.streams.kafka import create_topics
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    target = current.kafka
    if kafka:
        target = target.model_copy(update={"bootstrap_servers": kafka})
    start = start_at.replace(tzinfo=start_at.tzinfo or UTC) if start_at else datetime.now(UTC)
    start_s = int(start.timestamp())
    options = LoadOptions(
        rooms=rooms,
        seconds=seconds,
        base_ms=start_s * 1_000,
        comments=comments,
        comments_a_second=comments_a_second,
        feature_size=feature_size,
        encoder_id=encoder_id,
        encoder_revision=encoder_revision,
        seed=seed,
    )
    slices = load_slices(
        options, segment_ms=current.assembler.segment_ms, partitions=target.partitions
    )
    console = Console()
    asyncio.run(create_topics(target))
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("load", total=seconds * 1_000)
        sent = asyncio.run(
            send_load(
                slices,
                target,
                base_ms=options.base_ms,
                slice_ms=SLICE_MS,
                speed=speed,
                on_sending=lambda until_ms: bar.update(task, completed=until_ms - options.base_ms),
            )
        )
    counts = ", ".join(f"{count} {topic}" for topic, count in sorted(sent.messages.items()))
    rate = sent.messages.total() / sent.seconds
    console.print(
        f"{counts} sent: {sent.value_bytes / 1e6:.1f} MB in {sent.seconds:.1f} s,"
        f" {rate:,.0f} messages/s",
        highlight=False,
    )
    if sent.most_behind_s > 1:
        console.print(
            f"up to {sent.most_behind_s:.1f} s behind its time: this machine or Kafka is too slow"
            " for that speed",
            highlight=False,
        )
    end = datetime.fromtimestamp(start_s + seconds, UTC)
    console.print(f"event time has come to {end:%Y-%m-%dT%H:%M:%S} UTC", highlight=False)
