"""The compose files: what Compose itself says of them, and what must agree with the program."""

import os
import re
import shutil
import subprocess
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from limelight.streams.cli import app
from limelight.streams.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE_FILES = ("docker/compose.yaml", "docker/compose.gpu.yaml")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def setting_names() -> set[str]:
    """Every environment variable that sets something."""
    names = {"LIMELIGHT_CONFIG"}
    for section, field in Settings.model_fields.items():
        default = field.default
        if is_dataclass(default):
            inner = [entry.name for entry in fields(default)]
        else:
            inner = list(getattr(type(default), "model_fields", ()))
        names |= {f"LIMELIGHT_{section}_{name}".upper() for name in inner}
        if not inner:
            names.add(f"LIMELIGHT_{section}".upper())
    return names


def services(file: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / file).read_text())["services"]
    return found


def environments(file: str) -> dict[str, dict[str, str]]:
    return {name: service.get("environment", {}) for name, service in services(file).items()}


def compose_command() -> list[str]:
    """Compose v2 where Docker has it, else the older program; skips where there is neither."""
    docker = shutil.which("docker")
    if docker:
        asked = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
        if asked.returncode == 0:
            return [docker, "compose"]
    old = shutil.which("docker-compose")
    if old is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    return [old]


def run_config(
    files: tuple[str, ...], tmp_path: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`config` with these variables alone, not those of a developer's own docker/.env."""
    empty = tmp_path / "empty.env"
    empty.touch()
    given = {name: value for name, value in os.environ.items() if "LIMELIGHT" not in name}
    command = [*compose_command(), "--env-file", str(empty)]
    for file in files:
        command += ["-f", str(ROOT / file)]
    return subprocess.run(
        [*command, "config"],
        capture_output=True,
        text=True,
        env=given | variables,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("files", [COMPOSE_FILES[:1], COMPOSE_FILES], ids=["cpu", "gpu"])
def test_compose_accepts_the_files(files: tuple[str, ...], tmp_path: Path) -> None:
    answer = run_config(files, tmp_path, LIMELIGHT_PUSH_SECRET="whsec_dGVzdA==")
    assert answer.returncode == 0, answer.stderr
    resolved = yaml.safe_load(answer.stdout)["services"]
    assert set(resolved) >= {"kafka", "worker", "engine", "receiver", "prometheus"}
    assert resolved["worker"]["environment"]["LIMELIGHT_PUSH_SECRET"] == "whsec_dGVzdA=="


def test_compose_refuses_to_start_without_a_secret(tmp_path: Path) -> None:
    answer = run_config(COMPOSE_FILES[:1], tmp_path)
    assert answer.returncode != 0
    assert "LIMELIGHT_PUSH_SECRET" in answer.stderr


@pytest.mark.parametrize("file", COMPOSE_FILES)
def test_every_variable_of_ours_is_a_real_setting(file: str) -> None:
    used = {name for environment in environments(file).values() for name in environment}
    ours = {name for name in used if name.startswith("LIMELIGHT_")}
    assert ours
    assert ours <= setting_names()


def test_every_variable_of_the_example_is_one_that_compose_reads() -> None:
    text = (ROOT / "docker/.env.example").read_text()
    named = set(re.findall(r"^#?([A-Z][A-Z_]+)=", text, re.MULTILINE))
    read = set()
    for file in COMPOSE_FILES:
        read |= {found[0] for found in VARIABLE.findall((ROOT / file).read_text())}
    assert "LIMELIGHT_PUSH_SECRET" in named
    assert named <= read | {"COMPOSE_PROJECT_NAME"}


def test_the_settings_of_compose_are_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment in environments("docker/compose.yaml").values():
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                if name.startswith("LIMELIGHT_"):
                    patch.setenv(name, VARIABLE.sub(lambda found: found[3] or "", value))
            Settings()


def test_all_processes_are_told_the_same_broker_and_partitions() -> None:
    told = [
        (
            environment["LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS"],
            environment["LIMELIGHT_KAFKA_PARTITIONS"],
        )
        for name, environment in environments("docker/compose.yaml").items()
        if name in ("worker", "engine", "player", "log-writer", "retrain")
    ]
    assert len(told) == 5
    assert len(set(told)) == 1
    listeners = environments("docker/compose.yaml")["kafka"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{told[0][0]}" in listeners.split(",")


def test_every_command_is_one_of_the_program() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = {}
    for name, service in services("docker/compose.yaml").items():
        if service["image"].startswith("limelight"):
            command, *arguments = service["command"]
            found = commands[command]
            if (inner := getattr(found, "commands", None)) is not None:
                found = inner[arguments[0]]
            # Parses the options too, without running anything.
            known = {option for parameter in found.params for option in parameter.opts}
            assert {word for word in arguments if word.startswith("--")} <= known
            used[name] = command
    assert used == {
        "worker": "worker",
        "engine": "engine",
        "receiver": "listen",
        "player": "replay",
        "log-writer": "log",
        "retrain": "retrain",
        "enricher": "enricher",
    }


def test_what_the_player_plays_is_bundled() -> None:
    command = services("docker/compose.yaml")["player"]["command"]
    folders = [Path(word).name for word in command if word.startswith("/opt/limelight/recordings/")]
    bundled = {path.parent.name for path in ROOT.glob("replay/recordings/*/recording.toml")}
    assert folders
    assert set(folders) == bundled


def test_prometheus_asks_where_the_metrics_are() -> None:
    jobs = yaml.safe_load((ROOT / "docker/prometheus.yml").read_text())["scrape_configs"]
    asked = {
        (name, str(place["port"]))
        for job in jobs
        for place in job["dns_sd_configs"]
        for name in place["names"]
    }
    serving = {
        (name, environment["LIMELIGHT_METRICS_PORT"])
        for name, environment in environments("docker/compose.yaml").items()
        if environment.get("LIMELIGHT_METRICS_HOST") == "0.0.0.0"
    }
    assert asked == serving
    assert {name for name, _ in asked} == {
        "worker",
        "engine",
        "log-writer",
        "retrain",
        "enricher",
    }


def test_engine_log_and_retraining_share_one_folder() -> None:
    found = services("docker/compose.yaml")
    mounted = {
        name: volume.removesuffix(":ro").partition(":")[2]
        for name in ("engine", "log-writer", "retrain")
        for volume in found[name]["volumes"]
        if volume.startswith("learning-data:")
    }
    assert mounted == dict.fromkeys(mounted, "/var/lib/limelight/learning")
    assert len(mounted) == 3
    for name in ("log-writer", "retrain"):
        environment = found[name]["environment"]
        for setting in ("FEATURELOG_ROOT", "REGISTRY_ROOT", "RETRAINING_WORK"):
            assert environment[f"LIMELIGHT_{setting}"].startswith(mounted[name] + "/")


def test_the_schedules_run_a_command_of_the_program() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    job = yaml.safe_load((ROOT / "docker/retrain-cronjob.yaml").read_text())
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["retrain"] and "retrain" in commands
    assert {each["name"] for each in container["env"]} <= setting_names()
    assert {each["name"] for each in container["volumeMounts"]} == {
        each["name"] for each in spec["volumes"]
    }
    unit = (ROOT / "docker/retrain.service").read_text()
    assert "ExecStart=/opt/limelight/bin/limelight retrain\n" in unit
    assert set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE)) <= setting_names()


def test_no_secret_has_a_value() -> None:
    secrets = []
    for file in COMPOSE_FILES:
        for environment in environments(file).values():
            secrets += [
                value for name, value in environment.items() if re.search("SECRET|PASSWORD", name)
            ]
    assert secrets
    # `?` ends with an error where the variable is missing; `-` would be a default.
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]*\}", value) for value in secrets)
    example = (ROOT / "docker/.env.example").read_text()
    assert re.findall(r"^LIMELIGHT_PUSH_SECRET=(.*)$", example, re.MULTILINE) == [""]
    assert ".env" in (ROOT / "docker/.gitignore").read_text().splitlines()


def test_images_are_pinned_and_ports_open_only_to_this_machine() -> None:
    for service in services("docker/compose.yaml").values():
        _, colon, tag = service["image"].rpartition(":")
        assert colon
        assert tag != "latest"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_our_containers_can_write_only_where_they_must() -> None:
    for name, service in services("docker/compose.yaml").items():
        assert service["cap_drop"] == ["ALL"], name
        assert "mem_limit" in service, name
        if service["image"].startswith("limelight"):
            assert service["read_only"] is True, name
            mounts = " ".join([*service["tmpfs"], *service.get("volumes", ())])
            assert "/tmp" in mounts, name
            assert "/var/lib/limelight" in mounts, name


def test_whom_a_service_waits_for_has_a_health_check() -> None:
    found = services("docker/compose.yaml")
    for service in found.values():
        for other, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == "service_healthy"
            assert "test" in found[other]["healthcheck"]
