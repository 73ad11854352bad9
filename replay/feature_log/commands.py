"""`limelight log write|inspect|compact|prune`: the feature log from the command line."""

import asyncio
import json
import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limelight.engine.errors import LimelightError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from limelight.replay.feature_log.inspection import Inspection
    from limelight.streams.settings import Settings

log_app = typer.Typer(
    help="The feature log: what was served, kept as Parquet to learn from.", no_args_is_help=True
)

logger = logging.getLogger(__name__)


class MalformedFiles(LimelightError):
    """A log has files that cannot be read."""


Root = Annotated[
    str, typer.Argument(help="A folder or an fsspec URL; else LIMELIGHT_FEATURELOG_ROOT.")
]


@log_app.command()
def write(
    root: Root = "",
    ready_file: Annotated[
        Path | None, typer.Option(help="Create this file once the process is at work.")
    ] = None,
) -> None:
    """Write windows, scores and engagement to the log, each exactly once."""
    from limelight.replay.feature_log.service import run_log_writer
    from limelight.streams import metrics

    current = _settings()
    logger.info("starting log writer", extra={"settings": current.masked()})
    metrics.serve(current.metrics)
    asyncio.run(run_log_writer(current, _root(root, current), ready_file))


@log_app.command()
def inspect(
    root: Root = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, as one JSON object.")
    ] = False,
) -> None:
    """Say what is in a log: times, rows, rooms, encoders, models, labels, gaps, what is broken."""
    from limelight.replay.feature_log.inspection import inspect as look
    from limelight.replay.feature_log.reading import FeatureLog

    current = _settings()
    options = current.featurelog
    log = FeatureLog(
        _root(root, current),
        min_viewers=options.min_viewers,
        label_delay_s=options.label_delay_s,
    )
    found = look(log)
    if as_json:
        typer.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        _print(found)
    if found.problems:
        raise MalformedFiles(
            f"{found.root}: found {len(found.problems)} files that cannot be read, expected none"
        )


@log_app.command()
def compact(
    root: Root = "",
    settle_hours: Annotated[
        int, typer.Option(min=0, help="The newest hour and so many before it are left alone.")
    ] = 1,
) -> None:
    """Join the small files of each closed hour into one. May be interrupted at any time."""
    from limelight.replay.feature_log.compaction import compact as join
    from limelight.replay.store import Store

    store = Store(_root(root, _settings()))
    with _progress("compacting") as show:
        done = join(store, settle_hours=settle_hours, on_progress=show)
    typer.echo(f"{done.hours} hours: {done.files_before} files are now {done.files_after}")


@log_app.command()
def prune(
    root: Root = "",
    days: Annotated[
        float | None,
        typer.Option(min=0.0, help="Keep so many; else LIMELIGHT_FEATURELOG_RETENTION_DAYS."),
    ] = None,
) -> None:
    """Delete hours whose events are older than so many days. May be interrupted at any time."""
    from limelight.replay.feature_log.compaction import DAY_MS
    from limelight.replay.feature_log.compaction import prune as forget
    from limelight.replay.store import Store

    current = _settings()
    kept = current.featurelog.retention_days if days is None else days
    if not kept:
        raise ValueError(
            "log prune: found no number of days, expected one (--days or"
            " LIMELIGHT_FEATURELOG_RETENTION_DAYS)"
        )
    store = Store(_root(root, current))
    with _progress("pruning") as show:
        done = forget(
            store, older_than_ms=int(time.time() * 1000 - kept * DAY_MS), on_progress=show
        )
    typer.echo(f"{done.hours} hours deleted, {done.files_before} files are now {done.files_after}")


@contextmanager
def _progress(what: str) -> "Iterator[Callable[[int, int], None]]":
    from rich.progress import Progress

    with Progress(transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print(found: "Inspection") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from limelight.streams.dead_letter_commands import printable

    table = Table("dataset", "from", "to", "hours", "rows", "files", "compacted", "MB", "versions")
    for name, each in found.datasets.items():
        cells = [name, each.first_hour, each.last_hour, f"{each.hours:,}", f"{each.rows:,}"]
        cells += [f"{each.files:,}", f"{each.compacted_files:,}", f"{each.size_bytes / 1e6:,.1f}"]
        table.add_row(*cells, " ".join(map(str, each.schema_versions)))
    console = Console()
    console.print(table)
    lines = [f"rooms: {found.rooms:,}"]
    for title, counts in (
        ("encoder", found.encoders),
        ("model", found.models),
        ("challenger", found.shadow_models),
    ):
        lines += [f"{title} {name}: {count:,} rows" for name, count in counts.items()]
    if found.labels:
        said = ", ".join(
            f"{name.replace('_', ' ')} {count:,}" for name, count in found.labels.items() if count
        )
        lines.append(f"labels: {said}")
    for name, each in found.datasets.items():
        for partition, holes in each.missing_offsets.items():
            shown = ", ".join(f"{first} to {end - 1}" for first, end in holes[:5])
            lines.append(f"gap: {name} partition {partition} lacks offsets {shown}")
        if each.far_hours:
            lines.append(f"far from the rest, a wrong clock? {name}: {', '.join(each.far_hours)}")
    lines += [f"unfinished, to be removed by the writer: {path}" for path in found.leftovers]
    lines += [f"cannot be read: {problem}" for problem in found.problems]
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)


def _root(given: str, settings: "Settings") -> str:
    root = given or settings.featurelog.root
    if not root:
        raise ValueError(
            "log: found no root, expected a folder or URL (ROOT or LIMELIGHT_FEATURELOG_ROOT)"
        )
    return root


def _settings() -> "Settings":
    from limelight.streams import logs
    from limelight.streams.settings import settings

    current = settings()
    logs.configure(current.log_level)
    return current
