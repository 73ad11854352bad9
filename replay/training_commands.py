"""`limelight train`, `simulate` and `tables`: options in, one call out."""

from pathlib import Path
from typing import Annotated

import typer


def tables(
    out: Annotated[Path, typer.Option(help="Markdown with the tables' two markers.")] = Path(
        "docs/results.md"
    ),
    work: Annotated[Path, typer.Option(help="Where each run is stored as it ends.")] = Path(
        "tables-work"
    ),
    seeds: Annotated[int, typer.Option(min=2)] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Runs at once, one thread each.")] = 2,
    training_rooms: Annotated[int, typer.Option(min=10)] = 800,
    test_rooms: Annotated[int, typer.Option(min=10)] = 300,
    epochs: Annotated[int, typer.Option(min=1)] = 8,
) -> None:
    """Train and judge the paper's methods, modalities and losses on simulated platforms."""
    from rich.console import Console

    from limelight.replay.tables.experiment_run import RunSize
    from limelight.replay.tables.tables import TableOptions, make_tables

    size = RunSize(training_rooms, max(10, training_rooms // 8), test_rooms, epochs)
    make_tables(TableOptions(work, out, seeds, processes, size), Console())
