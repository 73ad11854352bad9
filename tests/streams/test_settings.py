import pytest
from pydantic import ValidationError

from limelight.streams.settings import Settings, settings_environment


def test_the_environment_sets_each_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092")
    monkeypatch.setenv("LIMELIGHT_ENGINE_CACHE_SLOTS", "7")
    monkeypatch.setenv("LIMELIGHT_ASSEMBLER_TICKER", "true")
    settings = Settings()
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.engine.cache_slots == 7
    assert settings.assembler.ticker is True


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path) -> None:
    file = tmp_path / "limelight.toml"
    file.write_text('[kafka]\nbootstrap_servers = "file:1"\npartitions = 8\n')
    monkeypatch.setenv("LIMELIGHT_CONFIG", str(file))
    monkeypatch.setenv("LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS", "environment:2")
    kafka = Settings().kafka
    assert (kafka.bootstrap_servers, kafka.partitions) == ("environment:2", 8)


def test_secrets_are_masked_wherever_settings_are_shown(monkeypatch) -> None:
    monkeypatch.setenv("LIMELIGHT_PUSH_SECRET", "whsec_hidden")
    monkeypatch.setenv("LIMELIGHT_KAFKA_SASL_PASSWORD", "hidden too")
    settings = Settings()
    assert "hidden" not in f"{settings.masked()} {settings!r} {settings}"
    assert settings.push.secret.get_secret_value() == "whsec_hidden"


def test_another_process_can_be_given_the_same_settings(monkeypatch) -> None:
    changed = Settings(
        kafka={"topic_prefix": "x-"}, push={"secret": "whsec_s"}, engine={"cache_slots": 7}
    )
    for name, value in settings_environment(changed).items():
        monkeypatch.setenv(name, value)
    assert Settings() == changed


def test_a_config_file_that_is_not_there_is_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("LIMELIGHT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="found no file"):
        Settings()


def test_an_unknown_section_in_the_file_is_refused(monkeypatch, tmp_path) -> None:
    file = tmp_path / "limelight.toml"
    file.write_text('[kafak]\nbootstrap_servers = "file:1"\n')
    monkeypatch.setenv("LIMELIGHT_CONFIG", str(file))
    with pytest.raises(ValidationError, match="kafak"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIMELIGHT_KAFKA_PARTITIONS", "0"),
        ("LIMELIGHT_DETECTOR_FLOOR", "2"),
        ("LIMELIGHT_ENGINE_SEMANTICS", "guess"),
        ("LIMELIGHT_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),  # without a user
        ("LIMELIGHT_KAFKA_PARTITION", "4"),  # no such setting
    ],
)
def test_a_setting_that_cannot_be_is_refused(monkeypatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()
