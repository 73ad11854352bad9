"""`limelight evaluate`: models judged on recordings, room files and feature logs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from limelight.replay.evaluation.result import EvaluationResult


def evaluate(
    data: Annotated[
        list[str],
        typer.Argument(
            help="Recordings, folders of them, .safetensors of rooms, feature logs.",
            show_default=False,
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            help="tiny, a folder, energy, before, id:FILE or id:NETWORK:FILE, each with NAME="
            " before it if wanted; again for each. The first is compared with the others.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Gets evaluation.json and report.html.")] = Path(
        "limelight-evaluation"
    ),
    from_: Annotated[
        str, typer.Option("--from", help="Of logs: first time, ISO 8601, UTC unless it says.")
    ] = "",
    to: Annotated[str, typer.Option(help="Of logs: the time to end before.")] = "",
    categories: Annotated[
        Path | None,
        typer.Option(help="CSV with columns id and category; ids of rooms or streamers."),
    ] = None,
    resamples: Annotated[int, typer.Option(min=1, help="Draws of rooms, swaps of models.")] = 1_000,
    confidence: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    top_share: Annotated[float, typer.Option(help="Of a room's segments that are its best.")] = 0.2,
    tolerance: Annotated[
        int, typer.Option(min=0, help="Segments by which a highlight may miss an interval.")
    ] = 1,
    slices: Annotated[bool, typer.Option(help="Judge the parts of the data as well.")] = True,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    rooms_shown: Annotated[int, typer.Option(min=0, help="Rooms with curves in the report.")] = 6,
) -> None:
    """Judge models on rooms nobody learned from, with intervals, tests and a report."""
    import os
    import time

    from rich.console import Console
    from rich.progress import Progress
    from transformers.utils.logging import disable_progress_bar

    from limelight.replay.evaluation.categories import read_categories
    from limelight.replay.evaluation.data import load_data, with_categories
    from limelight.replay.evaluation.encoders import DataEncoders
    from limelight.replay.evaluation.evaluate import evaluate_rooms
    from limelight.replay.evaluation.models import judged_rooms, load_models
    from limelight.replay.evaluation.options import SLICES, EvaluationOptions
    from limelight.replay.evaluation.report import write_report
    from limelight.replay.evaluation.written import write_json
    from limelight.streams import logs
    from limelight.streams.settings import settings

    # A model is a file of a few MB: its own progress bar would only be in the way.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    disable_progress_bar()
    current = settings()
    logs.configure(current.log_level)
    console = Console()
    encoders = DataEncoders(current.engine)
    models = load_models(model, encoders)
    options = EvaluationOptions(
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        top_share=top_share,
        tolerance=tolerance,
        detector=current.detector,
        energies=frozenset(each.name for each in models if each.is_energy),
        slices=SLICES if slices else (),
    )
    with Progress(console=console, transient=True) as progress:
        reading = progress.add_task("reading", total=None)
        rooms = load_data(
            data,
            current,
            encoders,
            from_ms=_ms("from", from_),
            to_ms=_ms("to", to),
            on_room=lambda told: progress.update(reading, advance=1, description=f"reading {told}"),
        )
        progress.update(reading, total=len(rooms), description="reading")
        if categories is not None:
            rooms = with_categories(rooms, read_categories(categories))
        predicting = progress.add_task("predicting", total=len(rooms) * len(models))
        judged = judged_rooms(rooms, models, lambda count: progress.advance(predicting, count))
        judging = progress.add_task("judging", total=1)
        started_s = time.perf_counter()
        result = evaluate_rooms(judged, options=options)
        judged_s = time.perf_counter() - started_s
        progress.update(judging, completed=1)
    out.mkdir(parents=True, exist_ok=True)
    about = {
        "data": [str(each) for each in data],
        "models": list(model),
        "from": from_ or None,
        "to": to or None,
        "top_share": top_share,
        "tolerance_segments": tolerance,
        "window_length": options.window_length,
        "detector": current.detector.model_dump(mode="json"),
    }
    write_json(result, about, out / "evaluation.json")
    write_report(result, rooms, judged, models, options, out / "report.html", most=rooms_shown)
    _print(result, console)
    console.print(
        f"{result.whole.rooms} rooms, {result.windows} windows judged in {judged_s:.1f} s",
        style="dim",
    )
    for name in ("evaluation.json", "report.html"):
        console.print(f"written: {out / name}", highlight=False)


def _ms(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"{name}: found {text!r}, expected a time such as 2026-10-01T12:00"
        ) from error
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _print(result: "EvaluationResult", console: "Console") -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from limelight.replay.evaluation import shown
    from limelight.replay.evaluation.result import MEASURES

    whole = result.whole
    table = Table("measure", *(Column(Text(name)) for name in result.models))
    for measure in MEASURES:
        found = [whole.models[name].measures[measure] for name in result.models]
        table.add_row(measure, *(shown.number(measure, each.value) for each in found))
    console.print(table)
    if not whole.differences:
        return
    names = [f"{each.of} - {each.minus}" for each in whole.differences]
    table = Table("difference", *(Column(Text(name), no_wrap=True) for name in names))
    for measure in MEASURES:
        cells = []
        for each in whole.differences:
            value = shown.number(measure, each.measures[measure].value, signed=True)
            mark = "[bold]" if shown.is_clear(each, measure) else ""
            cells.append(f"{mark}{value}  p {shown.p_value(each.p_value[measure])}")
        table.add_row(measure, *cells)
    console.print(table)
