"""All settings of Limelight: one frozen tree, built once from environment and file.

`LIMELIGHT_KAFKA_BOOTSTRAP_SERVERS=...` sets `kafka.bootstrap_servers`, and so on: the prefix, the
section, the name. A TOML file with the same sections can be given by `LIMELIGHT_CONFIG`; the
environment wins over it. A secret can also lie in a file of its own, as Docker and Kubernetes mount
them: `LIMELIGHT_PUSH_SECRET_FILE=/run/secrets/push`.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from limelight.engine.settings import EngineSettings

MAX_SECRET_FILE_BYTES = 4_096
MIN_USER_KEY_BYTES = 16


class _Section(BaseModel):
    # What was found may be a secret, or a section that holds one: errors say only what is expected.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, fields: Any) -> Any:
        """Each secret whose `..._file` is named, from that file, its line end removed."""
        if not isinstance(fields, dict):
            return fields
        secrets = {}
        for name, field in cls.model_fields.items():
            file = fields.get(f"{name}_file") if field.annotation is SecretStr else None
            if not file:
                continue
            given = fields.get(name)
            if isinstance(given, SecretStr):
                given = given.get_secret_value()
            text = _secret_in(file, f"{name}_file")
            if given and given != text:
                raise ValueError(f"{name}: found it beside {name}_file, expected one of them")
            secrets[name] = text
        return {**fields, **secrets}


def _secret_in(file: str, name: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{name}: found no readable file {file} ({error.strerror})") from error
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        text = ""
    if not text or len(data) > MAX_SECRET_FILE_BYTES:
        raise ValueError(
            f"{name}: found nothing usable in {file}, expected text of 1 to"
            f" {MAX_SECRET_FILE_BYTES} bytes"
        )
    return text


class KafkaSettings(_Section):
    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    partitions: int = Field(64, ge=1)
    replication_factor: int = Field(1, ge=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    sasl_password_file: str = ""
    ssl_ca_file: str = ""
    ssl_cert_file: str = ""
    ssl_key_file: str = ""
    session_timeout_s: float = Field(15.0, gt=0)
    fetch_max_wait_ms: int = Field(500, ge=1)
    # A window of the largest features and a dead letter must fit into what is set here.
    max_message_bytes: int = Field(1_000_000, ge=1_000_000)
    connect_timeout_s: float = Field(15.0, gt=0)

    @model_validator(mode="after")
    def _sasl_needs_a_user(self) -> "KafkaSettings":
        if self.security_protocol.startswith("SASL") and not self.sasl_username:
            raise ValueError(f"kafka.sasl_username: found '', needed by {self.security_protocol}")
        return self


class AssemblerSettings(_Section):
    segment_ms: int = Field(30_000, ge=100)
    window_length: int = Field(20, ge=1)
    allowed_lateness_ms: int = Field(2_000, ge=0)
    # A comment counts this much earlier than its time: who writes it saw an older picture.
    comment_offset_ms: int = Field(0, ge=0, le=60_000)
    # A source whose newest mark is older than this by the wall clock no longer holds segments up.
    silent_source_deadline_s: float = Field(30.0, gt=0)
    # The ticker sends marks by the wall clock, for a platform whose gateway sends none.
    ticker: bool = False
    ticker_delay_ms: int = Field(3_000, ge=0)
    idle_segments: int = Field(20, ge=1)
    max_ahead_ms: int = Field(3_600_000, ge=1_000)
    max_comment_chars: int = Field(1_000, ge=1)
    max_speech_chars: int = Field(10_000, ge=1)
    max_comments_kept: int = Field(50, ge=1)
    # Of a segment of one room, and of one of its users; what comes beyond is counted, not kept.
    max_comments_a_segment: int = Field(5_000, ge=1)
    max_comments_a_user: int = Field(20, ge=1)
    # On air or remembered; what comes from further ones goes to `dlq`.
    max_rooms_a_partition: int = Field(10_000, ge=1)

    @property
    def closing_delay_ms(self) -> int:
        """How far every source's mark must be past a segment's end before it closes."""
        return self.allowed_lateness_ms + self.comment_offset_ms


class DetectorSettings(_Section):
    """`spread_factor` and the rest apply to the number a score was decided on.

    `floor` is for comment energy (0.5 = no livelier than usual), `ctr_floor` for a network's CTR;
    the latter wants a value from the platform's own distribution.
    """

    floor: float = Field(0.58, ge=0, le=1)
    ctr_floor: float = Field(0.15, ge=0, le=1)
    spread_factor: float = Field(1.5, ge=0)
    close_spread_factor: float = Field(0.5, ge=0)
    baseline_half_life_segments: float = Field(10.0, gt=0)
    min_spread: float = Field(0.02, gt=0)
    warm_up_segments: int = Field(4, ge=0)
    cool_down_segments: int = Field(2, ge=0)
    max_highlight_segments: int = Field(10, ge=1)
    hourly_budget: int = Field(6, ge=1)


class PushSettings(_Section):
    endpoint: str = ""
    secret: SecretStr = SecretStr("")
    secret_file: str = ""
    allow_private_addresses: bool = False
    timeout_s: float = Field(10.0, gt=0)
    max_attempts: int = Field(8, ge=1)
    first_backoff_s: float = Field(0.5, gt=0)
    max_backoff_s: float = Field(60.0, gt=0)
    max_rooms_in_flight: int = Field(256, ge=1)
    # With so many events waiting or being tried, no further one is read.
    max_events_in_flight: int = Field(1_000, ge=1)


class PrivacySettings(_Section):
    """Who writes user ids into the topics, the player or a gateway, hashes them with this key."""

    user_key: SecretStr = SecretStr("")
    user_key_file: str = ""

    @model_validator(mode="after")
    def _key_cannot_be_guessed(self) -> "PrivacySettings":
        found = len(self.user_key.get_secret_value().encode())
        if 0 < found < MIN_USER_KEY_BYTES:
            raise ValueError(
                f"user_key: found {found} bytes, expected at least {MIN_USER_KEY_BYTES}"
            )
        return self


class FeaturelogSettings(_Section):
    """One word, and not `log`: `LIMELIGHT_LOG_LEVEL` would be a setting of that section."""

    root: str = ""
    # A partition is written with so many rows or so long after its first; with so many bytes in all
    # of them, all are.
    flush_rows: int = Field(5_000, ge=1)
    flush_bytes: int = Field(128_000_000, ge=1)
    flush_s: float = Field(300.0, gt=0)
    retention_days: float = Field(0.0, ge=0, description="0 keeps everything")
    min_viewers: int = Field(30, ge=1)
    label_delay_s: float = Field(120.0, ge=0)


class RegistrySettings(_Section):
    root: str = Field("", description="a folder or fsspec URL that commands and engines can read")


class RetrainingSettings(_Section):
    """What `limelight retrain` learns from, and what it asks of a candidate."""

    work: str = Field("limelight-retraining", description="a folder of this machine for its runs")
    config: str = Field("", description="a TOML file of training settings; empty has its own")
    hours: float = Field(168.0, gt=0, description="how much of the log a run looks at")
    test_share: float = Field(0.2, gt=0, lt=1, description="the newest part, to judge on")
    validation_share: float = Field(0.15, gt=0, lt=1, description="of what is left, the newest")
    processes: int = Field(1, ge=1, description="torchrun starts so many to train")
    # A champion whose tau is below the best that one was registered with by less is left alone.
    when_worse_by: float = Field(0.0, ge=0)
    # The gate: Kendall's tau, and mean predicted over mean measured CTR.
    margin: float = Field(0.005, ge=0)
    calibration_low: float = Field(0.9, gt=0)
    calibration_high: float = Field(1.1, gt=0)
    slice_bound: float = Field(0.05, ge=0)
    min_slice_rooms: int = Field(20, ge=1)
    min_windows: int = Field(50, ge=1)
    # The challenger on live rooms.
    shadow_s: float = Field(3_600.0, ge=0, description="0 promotes without a shadow")
    shadow_limit_s: float = Field(21_600.0, gt=0)
    shadow_bound: float = Field(0.01, ge=0)
    min_shadow_windows: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "RetrainingSettings":
        if self.calibration_low >= self.calibration_high:
            raise ValueError("calibration_low: expected less than calibration_high")
        if self.shadow_limit_s < self.shadow_s:
            raise ValueError("shadow_limit_s: expected at least shadow_s")
        return self


class EnrichmentSettings(_Section):
    """What `limelight enricher` adds to a closed highlight, and from where.

    A model is `tiny` for the bundled one, a folder that `limelight train` wrote, or empty for none.
    """

    sources: str = Field("", description="a TOML file: where the video of each room is")
    out: str = Field("limelight-clips", description="a folder or fsspec URL for clips and covers")
    base_url: str = Field("", description="where viewers find `out`; empty gives paths in it")
    play_rate_model: str = "tiny"
    ctr_model: str = "tiny"
    cover_title_model: str = "tiny"
    topics_model: str = "tiny"
    popularity_model: str = "tiny"
    sound_encoder: str = Field(
        "log-mel-statistics", description="or a safetensors file of VGGish's weights"
    )
    max_clip_s: float = Field(300.0, gt=0)
    max_starts: int = Field(10, ge=1)
    max_covers: int = Field(8, ge=1)
    # A highlight closes a moment before the recorder has written its end.
    recording_delay_s: float = Field(0.0, ge=0)
    open_timeout_s: float = Field(20.0, gt=0)
    highlight_timeout_s: float = Field(120.0, gt=0)


class MetricsSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535, description="0 switches the metrics server off")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="LIMELIGHT_",
        env_nested_delimiter="_",
        # Section names are single words, so the first underscore after the prefix ends them.
        env_nested_max_split=1,
        frozen=True,
        # A section that does not exist is a slip of the pen, in the environment or the file.
        extra="forbid",
        hide_input_in_errors=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    assembler: AssemblerSettings = AssemblerSettings()
    engine: EngineSettings = EngineSettings()
    detector: DetectorSettings = DetectorSettings()
    push: PushSettings = PushSettings()
    privacy: PrivacySettings = PrivacySettings()
    featurelog: FeaturelogSettings = FeaturelogSettings()
    registry: RegistrySettings = RegistrySettings()
    retraining: RetrainingSettings = RetrainingSettings()
    enrichment: EnrichmentSettings = EnrichmentSettings()
    metrics: MetricsSettings = MetricsSettings()
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if config_file := os.environ.get("LIMELIGHT_CONFIG"):
            if not Path(config_file).is_file():
                raise ValueError(
                    f"LIMELIGHT_CONFIG: found no file {config_file}, expected a TOML file"
                )
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=config_file))
        return tuple(sources)

    def masked(self) -> dict[str, Any]:
        """The tree as plain JSON types, every secret as asterisks: what may be logged."""
        return self.model_dump(mode="json")


def settings_environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process has these very settings, secrets included."""
    environment: dict[str, str] = {"LIMELIGHT_LOG_LEVEL": settings.log_level}
    for section, fields in settings.model_dump(exclude={"log_level"}).items():
        for name, value in fields.items():
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            text = str(plain).lower() if isinstance(plain, bool) else str(plain)
            environment[f"LIMELIGHT_{section}_{name}".upper()] = text
    return environment


@cache
def settings() -> Settings:
    """The process's settings. Only the command line calls this; the rest gets them passed."""
    return Settings()
