"""What every training run is told, whatever it learns: a TOML file, checked first."""

import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SettingsT = TypeVar("SettingsT", bound="RunSettings")


class SettingsSection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunSettings(SettingsSection):
    """How the training loop goes; each network adds its data, sizes and losses.

    `epochs` ends earlier when the figure that the task watches has not risen for `patience` epochs.
    """

    out: Path = Path("trained")
    batch_size: int = Field(48, ge=1, description="of all processes together")
    epochs: int = Field(12, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(0.0, ge=0, description="L2 with adam, decoupled with adamw")
    schedule: Literal["constant", "cosine"] = "constant"
    clip_norm: float = Field(1.0, gt=0)
    patience: int | None = Field(None, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(0, ge=0)
    checkpoint_every_steps: int = Field(500, ge=1)

    def resolved(self: SettingsT, folder: Path) -> SettingsT:
        """With paths relative to the folder of the file that they stood in."""
        return self.model_copy(update={"out": folder / self.out})


def load_run_settings(path: Path, kind: type[SettingsT]) -> SettingsT:
    """The settings in a TOML file, its key `task` left to whoever chose `kind` by it.

    Raises:
        ValueError: no TOML, or a key or value that does not fit; it names file, key and found.
        OSError: the file cannot be read.
    """
    fields = read_toml(path)
    fields.pop("task", None)
    try:
        return kind.model_validate(fields).resolved(path.parent)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: found {problem.get('input')!r},"
            f" {problem['msg']}"
            for problem in error.errors(include_url=False)
        )
        raise ValueError(f"{path}: {problems}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables and keys.

    Raises:
        ValueError: it is no TOML.
        OSError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: found {error}, expected TOML") from error
