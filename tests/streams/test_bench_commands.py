"""`limelight bench engine` and `python -m limelight.engine.bench` take the same."""

from dataclasses import fields

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from limelight.engine.bench.__main__ import main
from limelight.engine.bench.options import Options
from limelight.streams.cli import app


def test_every_option_can_be_given() -> None:
    command = get_command(app).commands["bench"].commands["engine"]  # type: ignore[attr-defined]
    given = {parameter.name for parameter in command.params}
    assert given == {field.name for field in fields(Options)}


def test_a_part_that_is_not_there_is_refused_by_both(capsys: pytest.CaptureFixture[str]) -> None:
    expected = "only: found ['stepp'], expected some of"
    found = CliRunner().invoke(app, ["bench", "engine", "--only", "stepp"])
    assert isinstance(found.exception, ValueError)  # which the command line's `main` tells
    assert expected in str(found.exception)
    with pytest.raises(SystemExit) as stopped:
        main(["--only", "stepp"])
    assert stopped.value.code == 1
    assert expected in capsys.readouterr().err
