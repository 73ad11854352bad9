"""What a run of the cover and title network is told."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from limelight.models.cover_title.config import (
    LANGUAGES,
    VISIONS,
    CoverTitleConfig,
    paper,
    tiny,
)
from limelight.models.cover_title.label import PAPER_THRESHOLDS, PAPER_WEIGHTS, LabelScale
from limelight.models.training.run_settings import RunSettings, SettingsSection

_PRESETS = {"paper": paper, "tiny": tiny}
_ENCODERS = ("cover_encoder", "title_encoder")
_FROM_DATA = ("label", "model_version")
_FIELDS = frozenset(CoverTitleConfig.__init__.__annotations__) - {"kwargs", "return"}


class DataSettings(SettingsSection):
    """Where the videos are, and which are held back; the paper trains on ten parts of eleven."""

    train: Path
    validation: Path | None = None
    validation_share: float = Field(1 / 11, gt=0, lt=1)
    split_seed: int = Field(0, ge=0)
    year: int = Field(2017, ge=2005, description="of a trending table, which does not say")


class LabelSettings(SettingsSection):
    """Section 2.1.3: weights by count, thresholds between the classes."""

    weights: dict[str, float] = Field(default_factory=lambda: dict(PAPER_WEIGHTS))
    thresholds: tuple[float, ...] | Literal["equal-count"] = PAPER_THRESHOLDS


class CoverTitleSettings(RunSettings):
    """One run. Optimizer, learning rate and epochs are the paper's (section 2.2.2, table 1).

    The paper gives no batch size (32 is ours). `network` changes single fields of the preset,
    single fields of its encoders too. While learning, `missing_modality_rate` of the videos lose
    their cover and as many others their title, so that the network can do without; the paper has
    no such thing. With `pipeline_stages` above 1 as many processes share the network's layers, and
    each batch is worked on in `micro_batches` parts.
    """

    data: DataSettings
    label: LabelSettings = LabelSettings()
    preset: Literal["paper", "tiny"] = "paper"
    network: dict[str, Any] = Field(default_factory=dict)

    batch_size: int = Field(32, ge=1, description="of all processes together")
    epochs: int = Field(5, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    optimizer: Literal["adam", "adamw"] = "adamw"
    missing_modality_rate: float = Field(0.05, ge=0, lt=0.5)
    pipeline_stages: int = Field(1, ge=1)
    micro_batches: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _micro_batches_are_of_one_size(self) -> "CoverTitleSettings":
        if self.pipeline_stages > 1 and self.batch_size % self.micro_batches:
            raise ValueError(
                f"batch_size: found {self.batch_size}, expected a multiple of micro_batches,"
                f" {self.micro_batches}"
            )
        if self.pipeline_stages > 1 and self.precision == "bfloat16":
            raise ValueError("precision: found 'bfloat16', expected float32 with pipeline_stages")
        return self

    def resolved(self, folder: Path) -> "CoverTitleSettings":
        validation = self.data.validation
        data = self.data.model_copy(
            update={
                "train": folder / self.data.train,
                "validation": None if validation is None else folder / validation,
            }
        )
        changes: dict[str, Any] = {"out": folder / self.out, "data": data}
        if weights := self.network.get("vgg_weights"):
            changes["network"] = {**self.network, "vgg_weights": str(folder / weights)}
        return self.model_copy(update=changes)

    def network_config(self, label: LabelScale, vocab_size: int) -> CoverTitleConfig:
        """The preset with `network`'s changes, for a scale of popularity and a tokenizer.

        Raises:
            ValueError: a field that the network does not have or that the data decides.
        """
        for name, value in self.network.items():
            if name not in _FIELDS or name in _FROM_DATA:
                expected = sorted(_FIELDS - set(_FROM_DATA))
                raise ValueError(f"network.{name}: found {value!r}, expected one of {expected}")
        fields = self._preset()
        for name, value in self.network.items():
            if name in _ENCODERS:
                if not isinstance(value, dict):
                    raise ValueError(f"network.{name}: found {value!r}, expected a table")
                fields[name] = {**fields[name], **value}
            else:
                fields[name] = value
        fields["title_encoder"] = {**fields["title_encoder"], "vocab_size": vocab_size}
        scale = {name: getattr(label, name) for name in LabelScale.__dataclass_fields__}
        try:
            return CoverTitleConfig(**fields, label=scale)
        except ValueError as error:
            raise ValueError(f"network.{error}") from error

    def tokenizer_name(self) -> str:
        return str(self.network.get("tokenizer_name", self._preset().get("tokenizer_name", "")))

    def _preset(self) -> dict[str, Any]:
        kinds = {"vision": "vit", "language": "bert"}
        for name, expected in (("vision", VISIONS), ("language", LANGUAGES)):
            kinds[name] = self.network.get(name, kinds[name])
            if kinds[name] not in expected:
                found = kinds[name]
                raise ValueError(f"network.{name}: found {found!r}, expected one of {expected}")
        return _PRESETS[self.preset](**kinds)
