"""`limelight evaluate`: models judged on recordings, room files and feature logs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from limelight.replay.evaluation.data import DataRoom
    from limelight.replay.evaluation.encoders import DataEncoders
    from limelight.replay.evaluation.models import Model
    from limelight.replay.evaluation.result import EvaluationResult
    from limelight.replay.evaluation.rooms import JudgedRoom
    from limelight.streams.settings import Settings

_LIVE, _PARALLEL = "Recordings through a live system", "A log in parallel"


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
            help="tiny, a folder, energy, before, id:FILE, id:NETWORK:FILE, or champion and"
            " challenger of a live system, each with NAME= before it if wanted; again for each."
            " The first is compared with the others.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Gets evaluation.json, highlights.jsonl and report.html.")
    ] = Path("limelight-evaluation"),
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
    engines: Annotated[
        int,
        typer.Option(
            min=0,
            help="Start a broker, a worker and so many engines, and have them score.",
            rich_help_panel=_LIVE,
        ),
    ] = 0,
    prefix: Annotated[
        str,
        typer.Option(
            help="Have those score that serve the topics with this prefix, kept for evaluations.",
            rich_help_panel=_LIVE,
        ),
    ] = "",
    kafka: Annotated[
        str,
        typer.Option(
            help="Bootstrap servers of --prefix; without it those of the settings.",
            rich_help_panel=_LIVE,
        ),
    ] = "",
    start_at: Annotated[
        str,
        typer.Option(
            help="Event time at which the recordings start there; without it their own. It must lie"
            " behind all that these topics have seen.",
            rich_help_panel=_LIVE,
        ),
    ] = "",
    ray: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Judge one log by Ray's workers: local starts them here, auto finds a running Ray,"
            " host:port joins a cluster.",
            rich_help_panel=_PARALLEL,
        ),
    ] = "",
) -> None:
    """Judge models on rooms nobody learned from, with intervals, tests and a report."""
    import os
    import time

    from rich.console import Console
    from rich.progress import Progress
    from transformers.utils.logging import disable_progress_bar

    from limelight.replay.evaluation.categories import read_categories
    from limelight.replay.evaluation.content import content_models, evaluate_content
    from limelight.replay.evaluation.data import with_categories
    from limelight.replay.evaluation.encoders import DataEncoders
    from limelight.replay.evaluation.evaluate import evaluate_rooms
    from limelight.replay.evaluation.models import judged_rooms, load_models
    from limelight.replay.evaluation.options import SLICES, EvaluationOptions
    from limelight.replay.evaluation.report import write_report
    from limelight.replay.evaluation.written import write_highlights, write_json
    from limelight.streams import logs
    from limelight.streams.settings import settings

    # A model is a file of a few MB: its own progress bar would only be in the way.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    disable_progress_bar()
    current = settings()
    logs.configure(current.log_level)
    console = Console()
    if content := content_models(model):
        evaluate_content(content, data, out, console)
        return
    encoders = DataEncoders(current.engine)
    models = load_models(model, encoders)
    ways = {"--engines": engines, "--prefix": prefix, "--ray": ray}
    given = [name for name, value in ways.items() if value]
    if len(given) > 1:
        raise ValueError(f"evaluate: found {' and '.join(given)}, expected one of them")
    if kafka and not prefix:
        raise ValueError("--kafka: found it without --prefix, expected topics of their own")
    if prefix:
        target = current.kafka.model_copy(update={"topic_prefix": prefix})
        if kafka:
            target = target.model_copy(update={"bootstrap_servers": kafka})
        current = current.model_copy(update={"kafka": target})
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
        judged = None
        interval = _ms("from", from_), _ms("to", to)
        if ray:
            rooms, judged = _in_parallel(data, model, current, progress, ray, *interval)
        elif engines or prefix:
            base_ms = _ms("start-at", start_at)
            rooms = _scored(data, models, current, encoders, progress, engines, out, base_ms)
        else:
            rooms = _read(data, current, encoders, progress, *interval)
        if categories is not None:
            rooms = with_categories(rooms, read_categories(categories))
        if judged is None:
            predicting = progress.add_task("predicting", total=len(rooms) * len(models))
            judged = judged_rooms(rooms, models, lambda count: progress.advance(predicting, count))
        else:
            judged = [
                replace(one, category=each.category)
                for one, each in zip(judged, rooms, strict=True)
            ]
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
    write_highlights(judged, models[0].name, options, out / "highlights.jsonl")
    write_report(result, rooms, judged, models, options, out / "report.html", most=rooms_shown)
    _print(result, console)
    console.print(
        f"{result.whole.rooms} rooms, {result.windows} windows judged in {judged_s:.1f} s",
        style="dim",
    )
    for name in ("evaluation.json", "highlights.jsonl", "report.html"):
        console.print(f"written: {out / name}", highlight=False, soft_wrap=True)


def _read(
    data: Sequence[str],
    settings: "Settings",
    encoders: "DataEncoders",
    progress: "Progress",
    from_ms: int | None,
    to_ms: int | None,
) -> "list[DataRoom]":
    from limelight.replay.evaluation.data import load_data

    reading = progress.add_task("reading", total=None)
    rooms = load_data(
        data,
        settings,
        encoders,
        from_ms=from_ms,
        to_ms=to_ms,
        on_room=lambda told: progress.update(reading, advance=1, description=f"reading {told}"),
    )
    progress.update(reading, total=len(rooms), description="reading")
    return rooms


def _scored(
    data: Sequence[str],
    models: "Sequence[Model]",
    settings: "Settings",
    encoders: "DataEncoders",
    progress: "Progress",
    engines: int,
    out: Path,
    base_ms: int | None,
) -> "list[DataRoom]":
    """The recordings, scored by engines of our own or by those of `settings.kafka`."""
    from limelight.replay.evaluation import live
    from limelight.replay.evaluation.data import check_labels, recording_folders
    from limelight.replay.recording import load_recording

    recordings = []
    for path in data:
        folders = recording_folders(Path(path))
        if not folders:
            raise ValueError(f"{path}: found no recording, expected them with --engines, --prefix")
        recordings += [load_recording(folder) for folder in folders]
    segment_ms = settings.assembler.segment_ms
    total = sum(-(-each.duration_ms // segment_ms) for each in recordings)
    scoring = progress.add_task("scoring", total=total)

    def on_scores(count: int) -> None:
        progress.update(scoring, completed=count)

    base_ms = live.common_start_ms(recordings) if base_ms is None else base_ms
    if engines:
        run = live.score_with_own_engines(
            recordings,
            settings,
            engines=engines,
            base_ms=base_ms,
            logs=out / "logs",
            on_scores=on_scores,
        )
    else:
        run = live.score_with(recordings, settings, base_ms=base_ms, on_scores=on_scores)
    seen = asyncio.run(run)
    rooms = live.data_rooms(
        recordings,
        seen,
        settings,
        encoders,
        base_ms=base_ms,
        with_texts=any(each.network is not None for each in models),
    )
    check_labels(rooms, data)
    return rooms


def _in_parallel(
    data: Sequence[str],
    specs: Sequence[str],
    settings: "Settings",
    progress: "Progress",
    address: str,
    from_ms: int | None,
    to_ms: int | None,
) -> "tuple[list[DataRoom], list[JudgedRoom]]":
    """The rooms of a log and what Ray's workers predict for them."""
    from limelight.replay.evaluation.data import check_labels
    from limelight.replay.evaluation.ray_data import judge_log  # of an extra

    if len(data) != 1:
        raise ValueError(f"--ray: found {len(data)} sources of data, expected one feature log")
    working = progress.add_task("judging in parallel", total=None)
    rooms, judged, workers = judge_log(
        data[0], specs, settings, address=address, from_ms=from_ms, to_ms=to_ms
    )
    told = f"judged by {workers} workers"
    progress.update(working, total=len(rooms), completed=len(rooms), description=told)
    check_labels(rooms, data)
    return rooms, judged


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
