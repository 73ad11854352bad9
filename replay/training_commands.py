"""`limelight train`, `simulate` and `tables`: options in, one call out."""

from pathlib import Path
from typing import Annotated

import typer

simulate_app = typer.Typer(
    name="simulate", help="Make rooms whose truth is known.", no_args_is_help=True
)


@simulate_app.command()
def recordings(
    out: Annotated[Path, typer.Argument(help="A folder; each room gets one of its own in it.")],
    room: Annotated[list[int] | None, typer.Option(help="A room's number, again for each.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which simulated platform.")] = 0,
    segments: Annotated[int, typer.Option(min=1, help="Length in segments of 30 s.")] = 40,
) -> None:
    """Write recordings: video, speech, comments, engagement and the truth beside them."""
    from rich.progress import Progress

    from limelight.replay.bundled_model import TEST_ROOMS, bundled_world
    from limelight.replay.simulator.recordings import SimulatedRecording, write_recording

    world, numbers = bundled_world(seed), room or [TEST_ROOMS]
    with Progress() as progress:
        task = progress.add_task("drawing", total=len(numbers) * segments)
        for number in numbers:
            folder = out / f"simulated-{number}"
            wanted = SimulatedRecording(number, segments)
            write_recording(world, wanted, folder, on_segment=lambda: progress.advance(task))
            progress.console.print(f"written: {folder}", highlight=False)


@simulate_app.command()
def rooms(
    out: Annotated[Path, typer.Argument(help="A file of labelled rooms (.safetensors).")],
    count: Annotated[int, typer.Option(min=1)] = 800,
    first: Annotated[int, typer.Option(min=0, help="The first room's number.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Which simulated platform.")] = 0,
    encoded: Annotated[
        bool,
        typer.Option(
            "--encoded",
            help="Draw and speak them, with features of the bundled encoders: slower, and what the"
            " bundled model reads.",
        ),
    ] = False,
) -> None:
    """Write rooms as features and measured CTRs: what `limelight train` reads."""
    from rich.console import Console

    from limelight.models.datasets.room_files import save_rooms
    from limelight.replay.bundled_model import bundled_world
    from limelight.replay.bundled_model import encoded as encode
    from limelight.replay.simulator.features import labelled_rooms

    # The platform that `recordings` records: a number is the same room in both.
    world, numbers = bundled_world(seed), range(first, first + count)
    made = encode(world, numbers, Console()) if encoded else labelled_rooms(world, numbers)
    save_rooms(out, made, note=f"simulated, seed {seed}, rooms {first} to {first + count - 1}")
    typer.echo(f"written: {out}, {count} rooms")


@simulate_app.command()
def clips(
    out: Annotated[Path, typer.Argument(help="A file of labelled clips (.safetensors).")],
    count: Annotated[int, typer.Option(min=1)] = 2_000,
    first: Annotated[int, typer.Option(min=0, help="The first clip's number.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Which simulated platform.")] = 0,
) -> None:
    """Write clips with features and what viewers did: what the content models train on."""
    import torch
    from rich.progress import Progress

    from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
    from limelight.models.datasets.clip_files import save_clips
    from limelight.replay.bundled_model import bundled_world
    from limelight.replay.simulator.clip_table import simulated_clips

    numbers, cpu = range(first, first + count), torch.device("cpu")
    frames, texts = tiny_frame_encoder(device=cpu), tiny_text_encoder(device=cpu)
    with Progress() as progress:
        task = progress.add_task("drawing and encoding", total=count)
        made = simulated_clips(
            bundled_world(seed), numbers, frames, texts, on_clip=lambda: progress.advance(task)
        )
    save_clips(out, made, note=f"simulated, seed {seed}, clips {first} to {first + count - 1}")
    typer.echo(f"written: {out}, {count} clips")


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file; docs/training.md has its keys.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
) -> None:
    """Train the model that the file's task names, ContentCTR without one; under torchrun, too."""
    from limelight.replay.train import run_training

    run_training(config, resume=resume)


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
