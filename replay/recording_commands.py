"""`limelight record`: make a recording out of loose files, and check one."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from limelight.replay.recording import Recording
    from limelight.replay.recording_check import PartCheck

record_app = typer.Typer(no_args_is_help=True, help="Make and check recordings.")


@record_app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="A video, comments, subtitles, engagement.")],
    out: Annotated[Path, typer.Option(help="The folder to make; it must not hold anything yet.")],
    room_id: Annotated[str, typer.Option(help="The room that was live.")],
    streamer_id: Annotated[str, typer.Option(help="Who was live in it.")],
    title: Annotated[str, typer.Option(help="What the stream was called.")] = "",
    started_at: Annotated[
        str, typer.Option(help="When it started, as 2026-05-01T20:00:00+08:00; now if not given.")
    ] = "",
    loop: Annotated[bool, typer.Option(help="Start the video again when it ends.")] = False,
) -> None:
    """Make a recording out of loose files, each recognised by its content."""
    from rich.console import Console

    from limelight.engine.errors import LimelightError
    from limelight.replay.recording_import import RecordingIdentity, import_recording

    started = _parsed_start(started_at)
    identity = RecordingIdentity(room_id, streamer_id, started, title)
    errors = Console(stderr=True)
    try:
        with errors.status("Copying and reading the files"):
            recording = import_recording(files, out, identity, loop=loop)
    except (LimelightError, ValueError, OSError) as error:
        _fail(str(error))
    parts = [
        part
        for part in (recording.video, recording.comments, recording.asr, recording.engagement)
        if part is not None
    ]
    files_text = ", ".join(part.path.name for part in parts)
    Console().print(f"{out}: {files_text}", markup=False, highlight=False, soft_wrap=True)


@record_app.command("check")
def check_command(
    folder: Annotated[Path, typer.Argument(help="A folder with a recording.toml.")],
) -> None:
    """Read every part of a recording through and say what is in it."""
    from rich.console import Console

    from limelight.engine.errors import LimelightError
    from limelight.replay.recording import load_recording

    try:
        recording = load_recording(folder)
        checks, lag_ms = _checks_with_progress(recording)
    except (LimelightError, OSError) as error:
        _fail(str(error))
    problems = [str(check.problem) for check in checks if check.problem is not None]
    console = Console()
    console.print(_table(recording, checks))
    if problems:
        _fail("\n".join(problems))
    seconds = recording.duration_ms / 1000
    text = f"{folder}: nothing wrong, {seconds:,.1f} s"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if lag_ms:
        text = (
            f"comments run about {lag_ms / 1000:g} s behind the picture: offset_ms lower by"
            f" {lag_ms} in [comments] would bring them together"
        )
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _parsed_start(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        started = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"found {text!r}, expected a date and time") from error
    if started.tzinfo is None:
        raise typer.BadParameter(f"found {text!r}, expected its offset too, such as +08:00")
    return started


def _checks_with_progress(recording: "Recording") -> "tuple[Sequence[PartCheck], int | None]":
    """What the parts hold, and the comments' lag in ms if all can be read and one shows."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from limelight.replay.recording_check import check_recording
    from limelight.replay.recording_lag import recording_lag_ms

    columns = (SpinnerColumn(), TextColumn("{task.completed:,} items read"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        advance = lambda count: progress.advance(task, count)  # noqa: E731
        checks = list(check_recording(recording, advance))
        broken = any(check.problem is not None for check in checks)
        return checks, None if broken else recording_lag_ms(recording, advance)


def _table(recording: "Recording", checks: "Sequence[PartCheck]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    title = f"{recording.room_id}: {recording.title}" if recording.title else recording.room_id
    table = Table(title=Text(title), title_justify="left", expand=False)
    for name in ("part", "format"):
        table.add_column(name, no_wrap=True)
    for name in ("count", "first", "last"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("remarks")
    for check in checks:
        table.add_row(
            check.part,
            check.format,
            f"{check.count:,}",
            _clock(check.first_ms),
            _clock(check.last_ms),
            Text("broken, see below", style="red") if check.problem else check.remark,
        )
    return table


def _clock(time_ms: int | None) -> str:
    if time_ms is None:
        return ""
    minutes, ms = divmod(time_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{ms // 1000:02}"


def _fail(message: str) -> NoReturn:
    from rich.console import Console

    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)
