"""The models for what viewers get of a highlight, by the name a training file gives them.

Each is a package of its own: its `commands` module trains one from a TOML file and judges a trained
one on data, whatever the model is.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

if TYPE_CHECKING:
    # Of an extra, which who only asks a model need not have.
    from limelight.models.training.trainer import StepSeen

CONTENT_TASKS = ("ad_ctr", "cover_title", "topics", "popularity")
CONTENTCTR_TASK = "contentctr"
MODEL = "model"
_MODEL_TYPE_PREFIX = "limelight-"

Figures = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What `report.json` says of a run; `validation` are the best epoch's figures."""

    settings: dict[str, Any]
    best_epoch: int
    epochs: int
    steps: int
    validation: Figures


class ContentModel(Protocol):
    """A package's `commands` module."""

    def train_model(
        self, config: Path, *, resume: bool, on_step: "Callable[[StepSeen], None]"
    ) -> TrainingReport:
        """Train by a file's settings; the model lies in `settings.out / MODEL` afterwards.

        Raises:
            ValueError, OSError: settings or data that do not fit; each says what and where.
        """

    def evaluate_model(self, folder: Path, data: Path) -> Figures:
        """The figures of a trained model on data of a kind that it was trained on.

        Raises:
            ValueError, OSError: a model or data that cannot be read, or that do not fit.
        """


def content_model(task: str) -> ContentModel:
    """The commands of one of `CONTENT_TASKS`.

    Raises:
        ValueError: another name.
    """
    if task not in CONTENT_TASKS:
        expected = ", ".join((CONTENTCTR_TASK, *CONTENT_TASKS))
        raise ValueError(f"task: found {task!r}, expected one of {expected}")
    return cast(ContentModel, import_module(f"limelight.models.{task}.commands"))


def save_model(model: PreTrainedModel, folder: Path, version: str) -> None:
    """`save_pretrained`, with a model version that ends with the start of the weights' hash."""
    disable_progress_bar()  # of one file of a few MB
    model.save_pretrained(folder)
    digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    model.config.model_version = f"{version}-{digest[:8]}"
    model.config.save_pretrained(folder)


def content_task_of(folder: Path) -> str | None:
    """The task of the content model in a folder, None where there is none, or ContentCTR."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or not kind.startswith(_MODEL_TYPE_PREFIX):
        return None
    task = kind.removeprefix(_MODEL_TYPE_PREFIX).replace("-", "_")
    return task if task in CONTENT_TASKS else None
