import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from limelight.replay.recording_commands import record_app


def make_comments(folder: Path, *lines: str) -> Path:
    file = folder / "chat [1].csv"
    file.write_text("\n".join(["time_ms,text", *lines]) + "\n")
    return file


def import_args(source: Path, out: Path, *more: str) -> list[str]:
    identity = ["--room-id", "room-1", "--streamer-id", "anna", *more]
    return ["import", str(source), "--out", str(out), *identity]


def test_what_was_imported_passes_its_check(tmp_path: Path) -> None:
    source = make_comments(tmp_path, "61000,hi", "5,there")
    out = tmp_path / "out"
    start = ["--started-at", "2026-05-01T20:00:00+08:00", "--title", "[bold]A night"]
    imported = CliRunner().invoke(record_app, import_args(source, out, *start))
    assert (imported.exit_code, imported.stderr) == (0, "")
    assert "comments.csv" in imported.stdout
    checked = CliRunner().invoke(record_app, ["check", str(out)])
    assert checked.exit_code == 0
    for text in ("room-1: [bold]A night", "comments-csv", "0:01:01", "1 not in", "nothing wrong"):
        assert text in checked.stdout
    assert "61.0 s" in checked.stdout


def test_a_check_that_finds_a_problem_ends_with_one_and_says_where(
    make_recording: Callable[..., Path],
) -> None:
    broken = "time_ms,text\n5,a\n-1,b\n"
    folder = make_recording('[comments]\nfile="c.csv"\n', c_csv=broken)
    checked = CliRunner().invoke(record_app, ["check", str(folder)])
    assert checked.exit_code == 1
    assert "broken, see below" in checked.stdout
    assert "c.csv, line 3: found '-1', expected a time that is not negative" in checked.stderr


def test_a_folder_without_manifest_ends_with_one(tmp_path: Path) -> None:
    checked = CliRunner().invoke(record_app, ["check", str(tmp_path)])
    assert checked.exit_code == 1
    assert "recording.toml: found no such file" in checked.stderr


def test_an_import_that_fails_ends_with_one_and_leaves_nothing(tmp_path: Path) -> None:
    source = make_comments(tmp_path, "oops,hi")
    out = tmp_path / "out"
    imported = CliRunner().invoke(record_app, import_args(source, out))
    assert imported.exit_code == 1
    assert "comments.csv, line 2: found 'oops'" in imported.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_a_start_without_its_offset_is_refused(tmp_path: Path) -> None:
    source = make_comments(tmp_path, "1,hi")
    for text in ("yesterday", "2026-05-01T20:00:00"):
        args = import_args(source, tmp_path / "out", "--started-at", text)
        assert CliRunner().invoke(record_app, args).exit_code == 2


def test_heavy_libraries_wait_until_a_command_runs() -> None:
    code = (
        "import sys, limelight.replay.recording_commands\n"
        "heavy = {'av', 'PIL', 'numpy', 'torch', 'rich.table'} & set(sys.modules)\n"
        "sys.stdout.write(' '.join(sorted(heavy)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
