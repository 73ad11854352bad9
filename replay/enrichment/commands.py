"""`limelight enrich` and `limelight enricher`: options in, one call out."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer


def enrich(
    events: Annotated[
        Path, typer.Argument(help="Highlight events, one a line: the demo's highlights.jsonl.")
    ],
    recording: Annotated[
        list[Path] | None, typer.Option(help="A room's recording, again for each.")
    ] = None,
    sources: Annotated[
        Path | None, typer.Option(help="A TOML file of videos instead; docs/enrichment.md.")
    ] = None,
    start_at: Annotated[
        str, typer.Option(help="Event time at which the recordings were played; else their own.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Gets clips, covers, enriched.jsonl and a page.")] = (
        Path("limelight-enriched")
    ),
) -> None:
    """Give closed highlights a clip, covers, a title, topics and forecasts."""
    import os

    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from limelight.replay.enrichment.clip_models import load_clip_models
    from limelight.replay.enrichment.enrich import Enricher
    from limelight.replay.enrichment.offline import (
        ENRICHED_NAME,
        REPORT_NAME,
        enrich_file,
        with_words,
        write_enriched_report,
    )
    from limelight.replay.enrichment.sources import load_sources, sources_of
    from limelight.replay.event_time import parse_event_time
    from limelight.replay.recording import Recording, load_recording
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure("ERROR" if current.log_level == "INFO" else current.log_level)
    own = current.enrichment
    played: dict[str, Recording] = {}
    base_ms: int | None = None
    if bool(recording) == (sources is not None):
        raise ValueError("enrich: expected either --recording or --sources")
    if sources is not None:
        known = load_sources(sources, timeout_s=own.open_timeout_s)
    else:
        base_ms = parse_event_time(start_at) if start_at else None
        for each in recording or ():
            loaded = load_recording(each)
            played[loaded.room_id] = loaded
        known = sources_of(played.values(), base_ms)

    def worded(event: dict[str, Any]) -> dict[str, Any]:
        one = played.get(event["data"]["room_id"])
        if one is None:
            return event
        return with_words(event, one, one.started_ms if base_ms is None else base_ms)

    own = own.model_copy(update={"out": str(out), "base_url": ""})
    console = Console()
    enricher = Enricher(own, known, load_clip_models(own, current.engine))
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("enriching", total=None)
        made = enrich_file(
            events,
            enricher,
            out,
            worded=worded,
            on_highlight=lambda done, of: progress.update(task, completed=done, total=of),
        )
    missing: dict[str, int] = {}
    for event in made:
        for part, reason in event["data"]["enrichment"]["missing"].items():
            missing[f"{part}: {reason}"] = missing.get(f"{part}: {reason}", 0) + 1
    write_enriched_report(made, out, out / REPORT_NAME)
    console.print(f"{len(made)} highlights enriched", highlight=False)
    for told, count in sorted(missing.items()):
        console.print(f"  {count} without {told}", style="yellow", highlight=False)
    for name in (ENRICHED_NAME, REPORT_NAME):
        console.print(f"written: {out / name}", highlight=False, soft_wrap=True)


def enricher(
    ready_file: Annotated[
        Path | None, typer.Option(help="Create this file once the process is at work.")
    ] = None,
) -> None:
    """Enrich each highlight that closes and publish it once more: a process of its own."""
    import logging
    import os

    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from limelight.replay.enrichment.service import run_enricher
    from limelight.streams import logs, metrics
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    logging.getLogger(__name__).info("starting enricher", extra={"settings": current.masked()})
    metrics.serve(current.metrics)
    asyncio.run(run_enricher(current, ready_file))
