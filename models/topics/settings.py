"""What a run of the topics' training is told: a TOML file."""

from inspect import signature
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from limelight.models.topics.config import TopicsConfig, paper, tiny
from limelight.models.training.run_settings import RunSettings, SettingsSection, load_run_settings

_PRESETS = {"paper": paper, "tiny": tiny}
# What the data says.
_GIVEN = ("image_feature_size", "text_feature_size", "num_primary", "num_secondary", "num_tags")


class TopicsData(SettingsSection):
    """Files of labelled videos or clips; without `validation` a share of `train` is held out."""

    train: Path
    validation: Path | None = None
    validation_share: float = Field(0.1, gt=0, lt=1)
    most_tags: int = Field(12_000, ge=1, description="the most frequent tags are kept")


class TopicsSettings(RunSettings):
    """One run. Adam, 1e-3 and batches of 300 are the paper's (section IV-A).

    The paper trains for 200 iterations, of what it does not say; `epochs` is how often the videos
    are gone over. `network` changes single fields of the preset's `TopicsConfig`.
    """

    data: TopicsData | None = None
    preset: Literal["paper", "tiny"] = "paper"
    network: dict[str, Any] = Field(default_factory=dict)

    batch_size: int = Field(300, ge=1, description="of all processes together")
    epochs: int = Field(20, ge=1)
    learning_rate: float = Field(1e-3, gt=0)

    def resolved(self, folder: Path) -> "TopicsSettings":
        changes: dict[str, Any] = {"out": folder / self.out}
        if self.data is not None:
            validation = self.data.validation
            paths = {
                "train": folder / self.data.train,
                "validation": None if validation is None else folder / validation,
            }
            changes["data"] = self.data.model_copy(update=paths)
        return self.model_copy(update=changes)

    def network_config(self, **changes: Any) -> TopicsConfig:
        """The preset with `network`'s changes, and then these, which the data gives.

        Raises:
            ValueError: a field that the network does not have, that the data gives, or a value it
                cannot have.
        """
        config = _PRESETS[self.preset]()
        parameters = signature(TopicsConfig).parameters.values()
        known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        free = [name for name in known if name not in _GIVEN]
        for name, value in self.network.items():
            if name not in free:
                raise ValueError(f"network.{name}: found {value!r}, expected one of {free}")
        fields = {name: getattr(config, name) for name in known} | self.network | changes
        try:
            return TopicsConfig(**fields)
        except ValueError as error:
            raise ValueError(f"network.{error}") from error


def load_topics_settings(path: Path) -> TopicsSettings:
    """The settings in a TOML file; paths in it are relative to its folder.

    Raises:
        ValueError: no TOML, a key or value that does not fit, or no data.
        OSError: the file cannot be read.
    """
    settings = load_run_settings(path, TopicsSettings)
    if settings.data is None:
        raise ValueError(f"{path}: data: found none, expected train = a file of labelled videos")
    try:
        settings.network_config()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return settings
