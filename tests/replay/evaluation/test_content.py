"""`limelight evaluate` tells content models from others, and judges each on each of the data."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from limelight.models.ad_ctr.commands import evaluate_model
from limelight.replay.enrichment.clip_models import BUNDLED
from limelight.replay.evaluation.content import content_models, evaluate_content
from limelight.streams.cli import app


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clips.safetensors"
    done = CliRunner().invoke(app, ["simulate", "clips", str(path), "--count", "24"])
    assert done.exit_code == 0, done.output
    return path


def test_folders_of_content_models_are_known_by_name_and_task() -> None:
    found = content_models([f"mine={BUNDLED / 'ctr'}", str(BUNDLED / "play_rate")])
    assert [(each.name, each.task) for each in found] == [
        ("mine", "ad_ctr"),
        (str(BUNDLED / "play_rate"), "ad_ctr"),
    ]


def test_other_models_are_left_to_the_rooms() -> None:
    assert content_models(["tiny", "energy", "id:rooms.safetensors"]) == []


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("energy", "--model: found energy beside ad_ctr, expected one kind"),
        (str(BUNDLED / "topics"), "--model: found ad_ctr and topics, expected models of one task"),
    ],
)
def test_models_of_several_kinds_are_refused(second: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        content_models([str(BUNDLED / "ctr"), second])


def test_the_figures_are_the_models_own(clips: Path, tmp_path: Path) -> None:
    models = content_models([f"ours={BUNDLED / 'ctr'}"])
    console = Console(width=200, record=True)
    evaluate_content(models, [str(clips)], tmp_path, console)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    expected = evaluate_model(BUNDLED / "ctr", clips)
    assert written == {"task": "ad_ctr", "data": {str(clips): {"ours": expected}}}
    text = console.export_text()
    assert "mar" in text and f"{expected['mar']:.4g}" in text


@pytest.mark.parametrize("part", ["play_rate", "cover_title", "topics", "popularity"])
def test_every_bundled_model_is_judged_by_command(part: str, clips: Path, tmp_path: Path) -> None:
    model = str(BUNDLED / part)
    done = CliRunner().invoke(
        app, ["evaluate", str(clips), "--model", model, "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    (figures,) = json.loads((tmp_path / "evaluation.json").read_text())["data"][str(clips)].values()
    assert figures
