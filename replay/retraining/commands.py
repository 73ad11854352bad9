"""`limelight retrain`: one run, or one every so often."""

import re
from datetime import datetime
from typing import Annotated

import typer


def retrain(
    log: Annotated[
        str, typer.Option(help="The feature log; without it LIMELIGHT_FEATURELOG_ROOT.")
    ] = "",
    until: Annotated[
        datetime | None, typer.Option(help="Look at nothing later (UTC); without it, at all.")
    ] = None,
    every: Annotated[str, typer.Option(help="Stay, and run so often: 6h, 90m or 3600s.")] = "",
    abandon: Annotated[
        bool, typer.Option("--abandon", help="End the run that was interrupted.")
    ] = False,
) -> None:
    """Train a candidate on the log, and promote it if it proves better than the champion.

    A run that was interrupted goes on where it stood. LIMELIGHT_RETRAINING_* say what is learned
    from and what is asked of a candidate.
    """
    from datetime import UTC

    from rich.console import Console
    from rich.progress import Progress
    from transformers.utils.logging import disable_progress_bar

    from limelight.models.training.trainer import StepSeen
    from limelight.replay.retraining.service import Retraining
    from limelight.streams import logs, metrics
    from limelight.streams.settings import settings

    disable_progress_bar()  # of loading a few MB
    current = settings()
    logs.configure(current.log_level if every else "WARNING")
    for name, value in (
        ("LIMELIGHT_REGISTRY_ROOT", current.registry.root),
        ("LIMELIGHT_FEATURELOG_ROOT (or --log)", log or current.featurelog.root),
    ):
        if not value:
            raise ValueError(f"{name}: found nothing, expected a folder or an fsspec URL")
    console = Console()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("training", total=None, visible=False)

        def show(seen: StepSeen) -> None:
            progress.update(
                task,
                visible=True,
                total=seen.steps_an_epoch,
                completed=seen.step,
                description=f"epoch {seen.epoch + 1}, loss {seen.loss:.4f}",
            )

        retraining = Retraining(
            settings=current,
            log_root=log or current.featurelog.root,
            registry_root=current.registry.root,
            tell=lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True),
            on_step=show,
        )
        if abandon:
            if retraining.abandon() is None:
                console.print("no run was interrupted")
        elif every:
            metrics.serve(current.metrics)
            retraining.serve(_seconds(every))
        else:
            end = None if until is None else int(until.replace(tzinfo=UTC).timestamp() * 1000)
            retraining.run(end)


def _seconds(every: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", every)
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"every: found {every!r}, expected a time such as 6h, 90m or 3600s")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[found[2]]
