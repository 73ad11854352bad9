"""`limelight clips`: options in, one call out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from limelight.replay.readers.malformed import MalformedRecording

clips_app = typer.Typer(
    name="clips", help="Make tables of clips that the content models learn from.",
    no_args_is_help=True,
)  # fmt: skip


@clips_app.callback()
def clips() -> None:
    """Make tables of clips that the content models learn from."""


@clips_app.command()
def encode(
    manifest: Annotated[Path, typer.Argument(help="A CSV, a row a video; docs/ad-ctr.md.")],
    out: Annotated[Path, typer.Argument(help="A file of labelled clips (.safetensors).")],
    frame_encoder: Annotated[
        str, typer.Option(help="tiny, a folder, or a name on the Hugging Face hub.")
    ] = "tiny",
    text_encoder: Annotated[str, typer.Option(help="As the frame encoder.")] = "tiny",
    sound_encoder: Annotated[
        str, typer.Option(help="log-mel-statistics, or VGGish's weights (.safetensors).")
    ] = "log-mel-statistics",
    min_impressions: Annotated[
        int, typer.Option(min=1, help="A clip with fewer has no rates.")
    ] = 1,
    max_sound_s: Annotated[int, typer.Option(min=3, help="How much of a clip is heard.")] = 60,
    cover_pixels: Annotated[int, typer.Option(min=1, help="Side of the covers kept.")] = 64,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out what cannot be read, and say so.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where the encoders compute: cpu or cuda.")] = "cpu",
    work: Annotated[
        Path | None, typer.Option(help="Features of single videos; OUT.work if not given.")
    ] = None,
) -> None:
    """Look at and listen to a platform's own videos: the table that `simulate clips` writes, too.

    An interrupted run goes on where it was.
    """
    import torch
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from limelight.engine.encoders import load_frame_encoder, load_text_encoder
    from limelight.engine.weights import weights_revision
    from limelight.models.audio.sound_encoder import load_sound_encoder
    from limelight.models.audio.sound_statistics import SOUND_STATISTICS
    from limelight.models.datasets.clip_files import save_clips
    from limelight.replay.clip_encoding import ClipEncoders, EncodingOptions, encode_clips
    from limelight.replay.clip_manifest import read_manifest

    if out.suffix != ".safetensors":
        raise ValueError(f"OUT: found {out.name}, expected a name that ends in .safetensors")
    rows = read_manifest(manifest)
    options = EncodingOptions(min_impressions, max_sound_s, cover_pixels, skip_broken)
    on = torch.device(device)
    encoders = ClipEncoders(
        load_frame_encoder(frame_encoder, device=on),
        load_text_encoder(text_encoder, device=on),
        load_sound_encoder(sound_encoder),
        "" if sound_encoder == SOUND_STATISTICS else weights_revision([Path(sound_encoder)]),
    )
    skipped = 0
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("encoding", total=len(rows))

        def say(error: "MalformedRecording") -> None:
            nonlocal skipped
            skipped += 1
            progress.console.print(f"skipped: {error}", markup=False, highlight=False)

        made = encode_clips(
            rows, work or out.with_name(f"{out.name}.work"), encoders, options,
            on_row=lambda: progress.advance(task), on_broken=say,
        )  # fmt: skip
    note = (
        f"from {manifest.name}, {skipped} skipped; frames {encoders.frames.encoder_id}"
        f" {encoders.frames.revision}, texts {encoders.texts.encoder_id}"
        f" {encoders.texts.revision}, sound {encoders.sounds.encoder_id} {encoders.sound_revision}"
    ).strip()
    save_clips(out, made, note)
    typer.echo(f"written: {out}, {len(made)} clips{f', {skipped} skipped' if skipped else ''}")
