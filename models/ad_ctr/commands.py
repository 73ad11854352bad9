"""`limelight train` and `limelight evaluate` of ad networks."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from limelight.models.ad_ctr.clips import ad_clips
from limelight.models.ad_ctr.prediction import judge
from limelight.models.ad_ctr.predictor import load_ad_ctr
from limelight.models.ad_ctr.training import AdSettings, train_ad
from limelight.models.content import MODEL, Figures, TrainingReport, save_model
from limelight.models.datasets.clip_files import load_clips
from limelight.models.training.metrics_log import defined
from limelight.models.training.run_settings import load_run_settings
from limelight.models.training.trainer import StepSeen


def train_model(
    config: Path, *, resume: bool, on_step: Callable[[StepSeen], None]
) -> TrainingReport:
    """Train by a file's settings; see `limelight.models.content`."""
    settings = load_run_settings(config, AdSettings)
    training = load_clips(settings.data.train)
    validation = settings.data.validation
    trained = train_ad(
        training,
        None if validation is None else load_clips(validation),
        settings,
        on_step=on_step,
        resume=resume,
    )
    save_model(trained.model, settings.out / MODEL, f"{settings.target}-{settings.fusion}")
    last = trained.rounds[-1]
    return TrainingReport(
        settings=settings.model_dump(mode="json"),
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        steps=trained.steps,
        validation=_shown(asdict(last.validation), last.parameters),
    )


def evaluate_model(folder: Path, data: Path) -> Figures:
    """The figures of a trained network on a file of labelled clips."""
    model = load_ad_ctr(folder).model
    clips = ad_clips(load_clips(data), model.config.target, model.config.categories)
    return _shown(asdict(judge(model, clips)), int(model.config.fusion_parameters))


def _shown(figures: dict[str, float], parameters: int) -> Figures:
    """What applies: of a regression no accuracy, of classes nothing else."""
    known = {name: value for name, value in defined(figures).items() if value is not None}
    return {**known, "fusion_parameters": parameters}
