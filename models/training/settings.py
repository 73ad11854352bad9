"""What a training run is told: a TOML file, checked before anything is loaded."""

import tomllib
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from limelight.models.contentctr.config import ContentCTRConfig, base, tiny
from limelight.models.contentctr.losses import LITERAL_READING, RELEASE_READING, AlignmentReading

_PRESETS = {"base": base, "tiny": tiny}
_READINGS = {"release": RELEASE_READING, "literal": LITERAL_READING}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LossSettings(_Section):
    """Weights of eq. 14, and how its parts are read; a part of weight 0 is not computed."""

    point: float = Field(0.65, ge=0)
    align: float = Field(0.15, ge=0)
    pair: float = Field(0.20, ge=0)
    boundary: Literal["none", "below-actual", "wrong-order", "between"] = "below-actual"
    sigma: float = Field(10.0, gt=0)
    alignment: Literal["release", "literal"] = "release"

    @property
    def reading(self) -> AlignmentReading:
        return _READINGS[self.alignment]

    @model_validator(mode="after")
    def _learns_something(self) -> "LossSettings":
        if self.point + self.align + self.pair == 0:
            raise ValueError("found only weights of 0, expected at least one above")
        return self


class DataSettings(_Section):
    """Files of labelled rooms, as `limelight simulate rooms` and `save_rooms` write them."""

    train: Path
    validation: Path


class TrainingSettings(_Section):
    """One run. The defaults are the paper's (section 4.3.2).

    `network` changes single fields of the preset's `ContentCTRConfig`. Sequences longer than the
    network's window are trained with the banded mask it also serves with. `epochs` ends earlier
    when the validation's tau has not risen for `patience` epochs.
    """

    data: DataSettings | None = None
    out: Path = Path("trained")
    preset: Literal["base", "tiny"] = "base"
    network: dict[str, Any] = Field(default_factory=dict)
    loss: LossSettings = LossSettings()

    sequence_length: int = Field(20, ge=2)
    batch_size: int = Field(48, ge=1, description="of all processes together")
    epochs: int = Field(12, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1)

    unknown_streamer_rate: float = Field(0.05, ge=0, lt=1)
    missing_modality_rate: float = Field(0.0, ge=0, lt=1)
    fine_tune_encoders: bool = True
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(0, ge=0)
    checkpoint_every_steps: int = Field(500, ge=1)

    def network_config(self, **changes: Any) -> ContentCTRConfig:
        """The preset with `network`'s changes, and then these.

        Raises:
            ValueError: a field that the network does not have, or a size it cannot have.
        """
        config = _PRESETS[self.preset]()
        # transformers gives a config dozens of fields more, which the network never looks at.
        parameters = signature(ContentCTRConfig).parameters.values()
        known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        for name, value in self.network.items():
            if name not in known:
                raise ValueError(f"network.{name}: found {value!r}, expected one of {known}")
        fields = {name: getattr(config, name) for name in known} | self.network | changes
        try:
            return ContentCTRConfig(**fields)
        except ValueError as error:
            raise ValueError(f"network.{error}") from error


def load_training_settings(path: Path) -> TrainingSettings:
    """The settings in a TOML file; paths in it are relative to its folder.

    Raises:
        ValueError: no TOML, or a key or value that does not fit; it names file, key and found.
        OSError: the file cannot be read.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: found {error}, expected TOML") from error
    try:
        settings = TrainingSettings.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: found {problem.get('input')!r},"
            f" {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ValueError(f"{path}: {problems}") from error
    try:
        settings.network_config()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _resolved(settings, path.parent)


def _resolved(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    changes: dict[str, Any] = {"out": folder / settings.out}
    if settings.data is not None:
        changes["data"] = DataSettings(
            train=folder / settings.data.train, validation=folder / settings.data.validation
        )
    return settings.model_copy(update=changes)
