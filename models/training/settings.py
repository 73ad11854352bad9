"""What a run of ContentCTR is told."""

from inspect import signature
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from limelight.models.contentctr.config import ContentCTRConfig, base, tiny
from limelight.models.contentctr.losses import LITERAL_READING, RELEASE_READING, AlignmentReading
from limelight.models.training.run_settings import (
    RunSettings,
    SettingsSection,
    load_run_settings,
)

_PRESETS = {"base": base, "tiny": tiny}
_READINGS = {"release": RELEASE_READING, "literal": LITERAL_READING}


class LossSettings(SettingsSection):
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


class DataSettings(SettingsSection):
    """Files of labelled rooms, as `limelight simulate rooms` and `save_rooms` write them."""

    train: Path
    validation: Path


class TrainingSettings(RunSettings):
    """One run. The defaults are the paper's (section 4.3.2).

    `network` changes single fields of the preset's `ContentCTRConfig`. Sequences longer than the
    network's window are trained with the banded mask it also serves with. What the epochs watch
    is the validation's tau.
    """

    data: DataSettings | None = None
    preset: Literal["base", "tiny"] = "base"
    network: dict[str, Any] = Field(default_factory=dict)
    loss: LossSettings = LossSettings()

    sequence_length: int = Field(20, ge=2)
    unknown_streamer_rate: float = Field(0.05, ge=0, lt=1)
    missing_modality_rate: float = Field(0.0, ge=0, lt=1)
    fine_tune_encoders: bool = True

    def resolved(self, folder: Path) -> "TrainingSettings":
        changes: dict[str, Any] = {"out": folder / self.out}
        if self.data is not None:
            changes["data"] = DataSettings(
                train=folder / self.data.train, validation=folder / self.data.validation
            )
        return self.model_copy(update=changes)

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
    settings = load_run_settings(path, TrainingSettings)
    try:
        settings.network_config()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return settings
