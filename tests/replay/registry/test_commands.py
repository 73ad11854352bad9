"""`limelight models` says what is in the registry, and names what is wrong."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from limelight.replay.registry.commands import models_app
from limelight.replay.registry.records import Lineage
from limelight.replay.registry.registry import Registry
from limelight.streams.settings import settings
from tests.replay.registry.networks import network_files

HOUR_MS = 3_600_000


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry(tmp_path / "registry", now_ms=lambda: 0)
    for number, (name, tau) in enumerate((("v1", 0.5), ("v2", 0.25))):
        lineage = Lineage(
            source="log",
            start_ms=number * HOUR_MS,
            end_ms=(number + 1) * HOUR_MS,
            parent=f"v{number}" if number else None,
        )
        files = network_files(tmp_path / name, name.encode())
        found.register(files, name, metrics={"tau": tau, "log_loss": 0.7}, lineage=lineage)
    found.change(lambda now: now.promoted("v1", "first"))
    found.change(lambda now: now.challenged("v2", "better"))
    monkeypatch.setenv("LIMELIGHT_REGISTRY_ROOT", str(tmp_path / "registry"))
    settings.cache_clear()
    yield found
    settings.cache_clear()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(models_app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_shows_roles_figures_and_data(registry: Registry) -> None:
    assert run("list").splitlines() == [
        "v1  1970-01-01T00:00Z  tau 0.500  data 1970-01-01T00:00Z to 1970-01-01T01:00Z  champion",
        "v2  1970-01-01T00:00Z  tau 0.250  data 1970-01-01T01:00Z to 1970-01-01T02:00Z  from v1"
        "  challenger",
    ]
    found = json.loads(run("list", "--json"))
    assert found["pointers"]["challenger"] == "v2"
    assert [each["metrics"]["tau"] for each in found["versions"]] == [0.5, 0.25]


def test_a_version_is_shown_with_its_origin(registry: Registry) -> None:
    found = json.loads(run("show", "v2"))
    assert (found["data"]["parent"], found["metrics"]["tau"]) == ("v1", 0.25)
    assert set(found["files"]) == {"config.json", "model.safetensors", "metrics.json", "data.json"}


def test_two_versions_are_compared_figure_by_figure(registry: Registry) -> None:
    lines = run("compare", "v1", "v2").splitlines()
    assert lines[1].split() == ["tau", "0.5", "0.25", "-0.25"]
    assert lines[2].split() == ["log_loss", "0.7", "0.7", "+0"]
    assert "parent: None / v1" in lines


def test_the_history_tells_why(registry: Registry) -> None:
    assert run("history").splitlines() == [
        "1  1970-01-01T00:00Z  promote: champion v1, challenger none  first",
        "2  1970-01-01T00:00Z  challenge: champion v1, challenger v2  better",
    ]


def test_without_a_registry_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIMELIGHT_REGISTRY_ROOT", raising=False)
    settings.cache_clear()
    with pytest.raises(ValueError, match="expected LIMELIGHT_REGISTRY_ROOT"):
        run("list")
    with pytest.raises(ValueError, match="found no folder v9, expected one"):
        run("promote", "v9")
