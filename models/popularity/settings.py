"""What a run of MTAF is told."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from limelight.models.datasets.popularity_videos import PopularityVideos
from limelight.models.popularity.attributes import Attributes
from limelight.models.popularity.config import MODALITIES, PopularityConfig, paper, tiny
from limelight.models.popularity.score import PAPER_WEIGHTS
from limelight.models.training.run_settings import RunSettings, SettingsSection

_PRESETS = {"paper": paper, "tiny": tiny}
_FROM_DATA = (
    "text_size",
    "audio_size",
    "vision_size",
    "num_numbers",
    "category_sizes",
    "trend_size",
)


class TableSettings(SettingsSection):
    """How a table of days becomes an early trend and a target; the neutral file has both.

    `trend_days` None takes two days of a trending table, and all but the last of clips.
    """

    trend_days: int | None = Field(None, ge=0)
    min_days: int = Field(3, ge=2, description="of a trending table's videos")
    year: int = Field(2017, ge=2005, description="of a trending table, which does not say")


class DataSettings(SettingsSection):
    """Where the videos are, and which are held back; the paper tests on 30 %.

    `validation_share` of the rest decides which epoch is best.
    """

    path: Path
    test_share: float = Field(0.3, gt=0, lt=1)
    validation_share: float = Field(0.1, gt=0, lt=1)
    split_seed: int = Field(0, ge=0)


class PopularitySettings(RunSettings):
    """One run. The paper gives Adam and an L2 term, and none of these numbers.

    `network` changes single fields of the preset. `weights` are those of eq. 1, by the names of
    what the data counts. While learning, some videos lose all of a modality, their trend or a
    category, so that the model can do without.
    """

    data: DataSettings
    table: TableSettings = TableSettings()
    preset: Literal["paper", "tiny"] = "paper"
    network: dict[str, Any] = Field(default_factory=dict)
    weights: dict[str, float] = Field(default_factory=lambda: dict(PAPER_WEIGHTS))

    batch_size: int = Field(64, ge=1, description="of all processes together")
    epochs: int = Field(100, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0, description="L2 with adam, decoupled with adamw")
    patience: int | None = Field(20, ge=1)
    min_category_count: int = Field(3, ge=1)
    missing_modality_rate: float = Field(0.0, ge=0, lt=1)
    missing_trend_rate: float = Field(0.0, ge=0, lt=1)
    unknown_category_rate: float = Field(0.05, ge=0, lt=1)

    def resolved(self, folder: Path) -> "PopularitySettings":
        data = self.data.model_copy(update={"path": folder / self.data.path})
        return self.model_copy(update={"out": folder / self.out, "data": data})

    def network_config(self, videos: PopularityVideos, attributes: Attributes) -> PopularityConfig:
        """The preset for these training videos, with `network`'s changes.

        A modality that none of them has is left out of `modalities`: it could not be learned.

        Raises:
            ValueError: a field that the network does not have or that the data decides, or no
                modality of those asked for.
        """
        for name in self.network:
            if name in _FROM_DATA:
                raise ValueError(f"network.{name}: found a size, expected none: the data says it")
        sizes: dict[str, Any] = {
            "text_size": _size(videos, 0),
            "audio_size": _size(videos, 1),
            "vision_size": _size(videos, 2),
            "num_numbers": len(attributes.number_names),
            "category_sizes": [len(each) + 1 for each in attributes.vocabularies],
            "trend_size": len(attributes.trend_names) if videos.trend_present.any() else 0,
        }
        present = {
            "N": sizes["num_numbers"] + len(sizes["category_sizes"]),
            "T": sizes["text_size"],
            "A": sizes["audio_size"],
            "V": sizes["vision_size"],
            "S": sizes["trend_size"],
        }
        fields = {**_PRESETS[self.preset](), **self.network}
        wanted = fields.pop("modalities", MODALITIES)
        _check_fields(fields)
        if not isinstance(wanted, list | tuple) or any(each not in MODALITIES for each in wanted):
            raise ValueError(f"network.modalities: found {wanted!r}, expected some of {MODALITIES}")
        listed = [each for each in MODALITIES if each in wanted and present[each]]
        if not listed:
            raise ValueError(
                f"network.modalities: found {list(wanted)}, expected one of which there is data:"
                f" {[each for each in MODALITIES if present[each]]}"
            )
        return PopularityConfig(**sizes, **fields, modalities=listed)


def _size(videos: PopularityVideos, column: int) -> int:
    features = (videos.text, videos.audio, videos.vision)[column]
    return int(features.shape[1]) if videos.present[:, column].any() else 0


def _check_fields(fields: dict[str, Any]) -> None:
    known = {*paper(), "recurrent", "attention"}
    unknown = sorted(fields.keys() - known)
    if unknown:
        expected = sorted({*known, "modalities"})
        raise ValueError(f"network.{unknown[0]}: found {fields[unknown[0]]!r}, expected {expected}")
