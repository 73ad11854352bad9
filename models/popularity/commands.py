"""`limelight train` and `limelight evaluate` for popularity."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limelight.models.content import MODEL, Figures, TrainingReport
from limelight.models.datasets.bilibili_weekly import read_bilibili_weekly
from limelight.models.datasets.clip_files import is_clip_file, load_clips
from limelight.models.datasets.malformed import MalformedDataset
from limelight.models.datasets.popularity_clips import from_clips
from limelight.models.datasets.popularity_tables import YOUTUBE_DAYS, from_weekly, from_youtube
from limelight.models.datasets.popularity_videos import PopularityVideos, load_popularity_videos
from limelight.models.datasets.split import id_marks, split_by_video
from limelight.models.datasets.youtube_trending import read_youtube_trending
from limelight.models.popularity.attributes import save_attributes
from limelight.models.popularity.figures import popularity_figures
from limelight.models.popularity.forecaster import load_popularity
from limelight.models.popularity.score import log_scores
from limelight.models.popularity.settings import PopularitySettings, TableSettings
from limelight.models.popularity.training import train_popularity
from limelight.models.training.run_settings import load_run_settings
from limelight.models.training.trainer import StepSeen, is_main_process

TABLE = "table.json"
TRAINED_ON = "trained_on.safetensors"

_log = logging.getLogger(__name__)


def train_model(
    config: Path, *, resume: bool, on_step: Callable[[StepSeen], None]
) -> TrainingReport:
    """Train by a file's settings; the model lies in `settings.out / MODEL` afterwards.

    The test part is not looked at: `evaluate_model` on the same data is about it alone.

    Raises:
        ValueError, OSError: settings or data that do not fit; each says what and where.
    """
    settings = load_run_settings(config, PopularitySettings)
    data = settings.data
    videos = load_videos(data.path, settings.table)
    rest, _ = split_by_video(videos, data.test_share, data.split_seed)
    training, validation = split_by_video(rest, data.validation_share, data.split_seed + 1)
    forecaster, trained = train_popularity(
        training, validation, settings, on_step=on_step, resume=resume
    )
    if is_main_process():
        folder = settings.out / MODEL
        forecaster.model.save_pretrained(folder)
        save_attributes(folder, forecaster.attributes)
        save_file({"marks": id_marks(rest)}, folder / TRAINED_ON)
        (folder / TABLE).write_text(settings.table.model_dump_json(indent=2), encoding="utf-8")
    return TrainingReport(
        settings=settings.model_dump(mode="json"),
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        steps=trained.total_steps,
        validation=asdict(trained.best),
    )


def evaluate_model(folder: Path, data: Path) -> Figures:
    """The measures on the data's videos that the model has not learned from.

    Raises:
        ValueError, OSError: a model or data that cannot be read, that do not fit, or of which the
            model has learned from every video.
    """
    forecaster = load_popularity(folder)
    table = TableSettings.model_validate(json.loads((folder / TABLE).read_text(encoding="utf-8")))
    videos = load_videos(data, table)
    try:
        marks = load_file(folder / TRAINED_ON)["marks"]
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"{folder / TRAINED_ON}: found {error}, expected marks") from error
    is_new = ~np.isin(id_marks(videos), marks)
    if not is_new.any():
        raise ValueError(f"{data}: found only videos that it was trained on, expected others too")
    new = videos.take(is_new)
    truth = log_scores(new, forecaster.attributes.weights)
    return asdict(popularity_figures(forecaster.log_forecast(new), truth))


def load_videos(path: Path, table: TableSettings) -> PopularityVideos:
    """The videos of a neutral file or clips (.safetensors), trending (.csv) or weekly table (.tsv).

    Rows of the trending table that cannot be read are left out, and logged.

    Raises:
        ValueError, OSError: another kind of file, or one that its reader refuses.
    """
    if path.suffix == ".csv":
        malformed: list[MalformedDataset] = []
        videos = read_youtube_trending(path, year=table.year, on_malformed=malformed.append)
        if malformed:
            _log.warning("%d rows left out, the first: %s", len(malformed), malformed[0])
        days = YOUTUBE_DAYS if table.trend_days is None else table.trend_days
        return from_youtube(videos, trend_days=days, min_days=table.min_days)
    if path.suffix == ".tsv":
        return from_weekly(read_bilibili_weekly(path))
    if is_clip_file(path):
        return from_clips(load_clips(path), trend_days=table.trend_days)
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: found {path.suffix!r}, expected .safetensors, .csv or .tsv")
    return load_popularity_videos(path)
