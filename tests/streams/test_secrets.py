"""Secrets come from environment or file and are told to nobody."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from limelight.streams.settings import PushSettings, Settings, settings_environment

# Each secret: its variable, and how its section and field are called.
SECRETS = {
    "LIMELIGHT_PUSH_SECRET": ("push", "secret"),
    "LIMELIGHT_KAFKA_SASL_PASSWORD": ("kafka", "sasl_password"),
    "LIMELIGHT_PRIVACY_USER_KEY": ("privacy", "user_key"),
}


def plain(settings: Settings, section: str, field: str) -> str:
    value: str = getattr(getattr(settings, section), field).get_secret_value()
    return value


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_a_file_of_its_own(monkeypatch, tmp_path, variable, end) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f" spaces count, 房 too {end}".encode())
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    settings = Settings()
    assert plain(settings, *SECRETS[variable]) == " spaces count, 房 too "
    assert "spaces" not in f"{settings.masked()} {settings!r}"


def test_a_file_named_in_the_config_file_is_read_as_well(monkeypatch, tmp_path: Path) -> None:
    secret, config = tmp_path / "secret", tmp_path / "limelight.toml"
    secret.write_text("hidden")
    config.write_text(f'[push]\nsecret_file = "{secret}"\n')
    monkeypatch.setenv("LIMELIGHT_CONFIG", str(config))
    assert plain(Settings(), "push", "secret") == "hidden"


def test_a_secret_and_another_in_its_file_are_refused(monkeypatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hidden one")
    monkeypatch.setenv("LIMELIGHT_PUSH_SECRET_FILE", str(file))
    monkeypatch.setenv("LIMELIGHT_PUSH_SECRET", "hidden two")
    with pytest.raises(ValidationError, match="secret: found it beside secret_file") as caught:
        Settings()
    assert "hidden" not in str(caught.value)


def test_a_process_that_got_its_secret_from_a_file_hands_it_on(monkeypatch, tmp_path) -> None:
    file = tmp_path / "secret"
    file.write_text("hidden\n")
    settings = Settings(push=PushSettings(secret_file=str(file)))
    for name, value in settings_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 5_000])
def test_a_secret_file_that_holds_none_is_named(monkeypatch, tmp_path: Path, content) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("LIMELIGHT_PUSH_SECRET_FILE", str(file))
    with pytest.raises(ValidationError, match=r"secret_file: found no.*secret"):
        Settings()


@pytest.mark.parametrize("variable", SECRETS)
def test_no_error_about_other_settings_tells_a_secret(monkeypatch, variable: str) -> None:
    section, _ = SECRETS[variable]
    monkeypatch.setenv(variable, "hidden")
    monkeypatch.setenv(f"{variable}S", "hidden")  # a slip of the pen: no such setting
    monkeypatch.setenv("LIMELIGHT_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")  # and no user
    with pytest.raises(ValidationError, match=section) as caught:
        Settings()
    assert "hidden" not in f"{caught.value} {caught.value!r}"


def test_a_secret_of_another_form_ends_the_program_without_being_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "limelight.streams.cli", "listen", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"LIMELIGHT_PUSH_SECRET": "whsec_hidden, not base64", "LIMELIGHT_LOG_LEVEL": "DEBUG"},
    )
    assert done.returncode == 1
    assert "limelight: push.secret: found no base64 behind whsec_, expected it" in done.stderr
    assert "hidden" not in done.stdout + done.stderr
