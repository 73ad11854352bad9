"""`limelight highlights export`: highlights for tables and video editors."""

from pathlib import Path
from typing import Annotated

import typer

highlights_app = typer.Typer(help="Highlights that were found.", no_args_is_help=True)


@highlights_app.callback()
def _group() -> None:
    """Keeps `export` a command of its own: Typer runs an only command without its name."""


@highlights_app.command()
def export(
    events: Annotated[
        Path, typer.Argument(help="Highlight events, one a line: the demo's highlights.jsonl.")
    ],
    csv: Annotated[Path | None, typer.Option(help="Write a table of all highlights.")] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Their room's recording, which EDL and clips are of.")
    ] = None,
    edl: Annotated[Path | None, typer.Option(help="Write an edit list (CMX 3600).")] = None,
    clips: Annotated[Path | None, typer.Option(help="Write clips into this folder.")] = None,
    exact: Annotated[
        bool, typer.Option(help="Encode clips anew, cut at the very picture; else on key frames.")
    ] = False,
    start_at: Annotated[
        str, typer.Option(help="Event time at which the recording was played; else its own start.")
    ] = "",
) -> None:
    """Export highlights as CSV, as an edit list and as clips."""
    from limelight.replay.event_time import parse_event_time
    from limelight.replay.exports.export import export_recording
    from limelight.replay.exports.highlights import read_highlights, write_csv

    if not (csv or edl or clips):
        raise ValueError(
            "highlights export: found nothing to write, expected --csv, --edl or --clips"
        )
    if (edl or clips) and recording is None:
        raise ValueError("export: found no --recording, expected one for --edl, --clips")
    if csv:
        found = read_highlights(events)
        write_csv(found, csv)
        typer.echo(f"{len(found)} highlights written: {csv}")
    if recording is not None and (edl or clips):
        base_ms = parse_event_time(start_at) if start_at else None
        for path in export_recording(
            events, recording, edl_path=edl, clips_folder=clips, exact=exact, base_ms=base_ms
        ):
            typer.echo(f"written: {path}")
