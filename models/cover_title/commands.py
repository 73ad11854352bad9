"""`limelight train` and `limelight evaluate` of the cover and title network."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limelight.models.content import MODEL, Figures, TrainingReport, save_model
from limelight.models.cover_title.ranker import load_cover_title, save_tokenizer
from limelight.models.cover_title.settings import CoverTitleSettings
from limelight.models.cover_title.training import (
    CoverTitleFigures,
    VideoTensors,
    judge,
    train_cover_title,
)
from limelight.models.cover_title.videos import load_videos
from limelight.models.datasets.split import id_marks, split_by_video
from limelight.models.training.metrics_log import defined
from limelight.models.training.run_settings import load_run_settings
from limelight.models.training.trainer import StepSeen, is_main_process

TRAINED_ON = "trained_on.safetensors"


def train_model(
    config: Path, *, resume: bool, on_step: Callable[[StepSeen], None]
) -> TrainingReport:
    """Train by a file's settings; see `limelight.models.content`."""
    settings = load_run_settings(config, CoverTitleSettings)
    data = settings.data
    training = load_videos(data.train, year=data.year)
    if data.validation is None:
        training, validation = split_by_video(training, data.validation_share, data.split_seed)
    else:
        validation = load_videos(data.validation, year=data.year)
    trained = train_cover_title(training, validation, settings, on_step=on_step, resume=resume)
    if is_main_process():
        folder = settings.out / MODEL
        network = trained.model.config
        version = f"{network.vision}-{network.language}-{network.cover_weight:g}"
        save_model(trained.model, folder, version)
        save_tokenizer(trained.tokenizer, folder)
        save_file({"marks": id_marks(training)}, folder / TRAINED_ON)
    return TrainingReport(
        settings=settings.model_dump(mode="json"),
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        steps=trained.steps,
        validation=_shown(trained.best),
    )


def evaluate_model(folder: Path, data: Path) -> Figures:
    """The measures on the data's videos that the model has not learned from.

    Raises:
        ValueError, OSError: a model or data that cannot be read, that do not fit, or of which the
            model has learned from every video.
    """
    ranker = load_cover_title(folder)
    videos = load_videos(data)
    try:
        marks = load_file(folder / TRAINED_ON)["marks"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{folder / TRAINED_ON}: found {error}, expected marks") from error
    is_new = ~np.isin(id_marks(videos), marks)
    if not is_new.any():
        raise ValueError(f"{data}: found only videos that it was trained on, expected others too")
    tensors = VideoTensors(videos.take(is_new), ranker.model.config, ranker.tokenizer)
    return _shown(judge(ranker.model, tensors))


def _shown(figures: CoverTitleFigures) -> Figures:
    return defined(asdict(figures))
