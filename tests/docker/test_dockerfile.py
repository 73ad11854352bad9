"""The image, read from its Dockerfile: there may be no Docker where the tests run."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
Instruction = tuple[str, str]


def read_instructions(text: str) -> list[Instruction]:
    """(name, arguments) of each instruction, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(None, 1) for line in joined.splitlines() if line.strip())
    return [(name.upper(), arguments) for name, arguments in pairs]


@pytest.fixture
def instructions() -> list[Instruction]:
    return read_instructions((ROOT / "docker/Dockerfile").read_text())


@pytest.fixture
def final_stage(instructions: list[Instruction]) -> list[Instruction]:
    last = max(place for place, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


def arguments_of(name: str, stage: list[Instruction]) -> list[str]:
    return [arguments for found, arguments in stage if found == name]


def test_the_image_does_not_run_as_root(final_stage: list[Instruction]) -> None:
    uid, _, gid = arguments_of("USER", final_stage)[-1].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0


def test_nothing_is_run_after_the_user_is_set(
    final_stage: list[Instruction],
) -> None:
    names = [name for name, _ in final_stage]
    assert "RUN" not in names[names.index("USER") :]


def test_the_final_stage_takes_only_the_virtual_environment(
    final_stage: list[Instruction],
) -> None:
    assert not arguments_of("ADD", final_stage)
    assert arguments_of("COPY", final_stage) == ["--from=builder /opt/limelight /opt/limelight"]


def test_the_health_check_asks_where_the_metrics_are(final_stage: list[Instruction]) -> None:
    (check,) = arguments_of("HEALTHCHECK", final_stage)
    (port,) = re.findall(
        r"LIMELIGHT_METRICS_PORT=(\d+)", " ".join(arguments_of("ENV", final_stage))
    )
    assert f"http://127.0.0.1:{port}/metrics" in check
    assert "curl" not in check  # the slim image has none


def test_the_data_directory_is_a_volume_of_its_user(final_stage: list[Instruction]) -> None:
    (volume,) = arguments_of("VOLUME", final_stage)
    uid, _, gid = arguments_of("USER", final_stage)[-1].partition(":")
    assert f"install -d -o {uid} -g {gid} {volume}" in " ".join(arguments_of("RUN", final_stage))


def test_dependencies_are_installed_before_the_sources_are_copied(
    instructions: list[Instruction],
) -> None:
    dependencies = next(
        place
        for place, (name, arguments) in enumerate(instructions)
        if name == "RUN" and "--requirement requirements.txt" in arguments
    )
    sources = next(
        place
        for place, (name, arguments) in enumerate(instructions)
        if name == "COPY" and arguments.startswith(". ")
    )
    assert dependencies < sources


def test_the_build_context_holds_all_that_the_build_needs_and_no_secret() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_in = {line.removeprefix("!") for line in rules if line.startswith("!")}
    assert rules[0] == "*"
    assert let_in >= {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE"}
    assert let_in >= {"kernels", "models", "engine", "streams", "replay"}
    assert not any(name.startswith(("docker", ".env", "tests")) for name in let_in)
