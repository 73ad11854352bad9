"""`limelight train`: from data on disk to a model, whichever the file's `task` names.

Without one it is ContentCTR: from labelled rooms to a calibrated network that the engine loads.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn
from transformers.utils.logging import disable_progress_bar

from limelight.engine.weights import weights_revision
from limelight.models.content import CONTENTCTR_TASK, MODEL, TrainingReport, content_model
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.datasets.room_files import load_rooms
from limelight.models.training.calibration import fit_calibration
from limelight.models.training.evaluation import evaluate, measured_ctrs, predict
from limelight.models.training.metrics_log import defined
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.run_settings import RunSettings, read_toml
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import (
    DataSettings,
    TrainingSettings,
    load_training_settings,
)
from limelight.models.training.trainer import CHECKPOINT, StepSeen, is_main_process, train


def run_training(config: Path, *, resume: bool) -> None:
    """Train by the settings in a file, and write `model/` and `report.json` beside its metrics.

    Raises:
        ValueError, OSError: settings or data that do not fit; each says what and where.
        FileExistsError: an earlier run lies in the output folder, and `resume` was not asked for.
    """
    fields = read_toml(config)
    task = fields.get("task", CONTENTCTR_TASK)
    out = config.parent / str(fields.get("out", RunSettings().out))
    if not resume and (out / CHECKPOINT).exists():
        raise FileExistsError(
            f"{out}: found an earlier run, expected a new folder, or --resume to go on"
        )
    if task == CONTENTCTR_TASK:
        _train_contentctr(config, resume=resume)
        return
    try:
        model = content_model(task)
    except ValueError as error:
        raise ValueError(f"{config}: {error}") from error
    disable_progress_bar()  # of files of a few MB
    console, is_main = Console(), is_main_process()
    with _progress(console, is_main) as (progress, show):
        report = model.train_model(config, resume=resume, on_step=show)
        progress.update(progress.task_ids[0], completed=1, total=1, description="trained")
    if is_main:
        _write_report(out, report)
        for name, value in report.validation.items():
            console.print(f"{name}: {'none' if value is None else f'{value:.4g}'}", highlight=False)
        console.print(f"written: {out / MODEL}", highlight=False)


def _train_contentctr(config: Path, *, resume: bool) -> None:
    settings = load_training_settings(config)
    if settings.data is None:
        raise ValueError(f"{config}: data: found nothing, expected train and validation")
    console, is_main = Console(), is_main_process()
    training, validation = load_rooms(settings.data.train), load_rooms(settings.data.validation)
    _check_rooms(settings.data, training, validation)
    network = _network(settings, training[0])
    buckets = int(network.contentctr.config.num_streamers)
    if is_main:
        console.print(
            f"{len(training)} rooms to learn from, {len(validation)} to validate on,"
            f" {sum(each.numel() for each in network.parameters()):,} parameters",
            highlight=False,
        )
    with _progress(console, is_main) as (_, show):
        learned, held_out = Sequences(training, buckets), Sequences(validation, buckets)
        trained = train(network, learned, held_out, settings, on_step=show, resume=resume)
    if is_main:
        found = save_calibrated(
            network, learned, held_out, settings.out / MODEL, _version(settings)
        )
        report = TrainingReport(
            settings=settings.model_dump(mode="json"),
            best_epoch=trained.best_epoch,
            epochs=trained.epochs,
            steps=trained.total_steps,
            validation=defined(found),
        )
        _write_report(settings.out, report)
        if not found["windows"]:
            console.print(
                "no validation window has a tau, so every epoch counted as the best:"
                " longer rooms, or rooms whose CTR changes, would tell",
                style="yellow",
            )
        console.print(
            f"validation: tau {found['tau']:.4f} over {found['windows']} windows, log loss"
            f" {found['log_loss']:.4f}, s/y {found['ratio_of_means']:.3f};"
            f" written: {settings.out / MODEL}",
            highlight=False,
        )


@contextmanager
def _progress(
    console: Console, is_main: bool
) -> Iterator[tuple[Progress, Callable[[StepSeen], None]]]:
    """A bar on the main process, and what tells it of each step."""
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not is_main) as progress:
        task = progress.add_task("training", total=None)

        def show(seen: StepSeen) -> None:
            watched = "" if seen.watched is None else f", {seen.watches} {seen.watched:.4f}"
            progress.update(
                task,
                total=seen.epochs * seen.steps_an_epoch,
                completed=seen.epoch * seen.steps_an_epoch + seen.step,
                description=f"epoch {seen.epoch + 1}, loss {seen.loss:.4f}{watched}",
            )

        yield progress, show


def _write_report(out: Path, report: TrainingReport) -> None:
    (out / "report.json").write_text(json.dumps(asdict(report), indent=2) + "\n")


def save_calibrated(
    network: TrainedNetwork, training: Sequences, validation: Sequences, folder: Path, version: str
) -> dict[str, float]:
    """Fit the calibration, save the network, and give its measures on the validation rooms.

    The version that is saved ends with the start of the weights' hash, so that the ids of scores
    and highlights, which carry it, never mean two networks.
    """
    contentctr = network.contentctr
    contentctr.leave_unmet_unknown(training.streamer_ids)
    config = contentctr.config
    measured = measured_ctrs(validation)
    ctrs = np.concatenate(predict(network, validation)).clip(1e-7, 1 - 1e-7)
    fitted = fit_calibration(np.log(ctrs / (1 - ctrs)), np.concatenate(measured))
    # What was calibrated before is calibrated again, on top.
    config.calibration_shift = fitted.scale * config.calibration_shift + fitted.shift
    config.calibration_scale = fitted.scale * config.calibration_scale
    config.trained = True
    save_versioned(contentctr, folder, version)
    return asdict(evaluate(predict(network, validation), measured, config.window_length))


def save_versioned(contentctr: ContentCTR, folder: Path, version: str) -> None:
    """`save_pretrained` with a model version that ends with the start of the weights' hash."""
    disable_progress_bar()  # of one file of a few MB
    contentctr.save_pretrained(folder)
    revision = weights_revision([folder / "model.safetensors"])
    contentctr.config.model_version = f"{version}-{revision[:8]}"
    contentctr.config.save_pretrained(folder)


def _check_rooms(
    data: DataSettings, training: list[LabelledRoom], validation: list[LabelledRoom]
) -> None:
    """Raise ValueError now for what would otherwise come out after hours of training."""
    for name in ("frame_features", "text_features"):
        expected = getattr(training[0], name).shape[1]
        found = getattr(validation[0], name).shape[1]
        if found != expected:
            raise ValueError(
                f"{data.validation}: {name}: found {found} numbers a segment, expected {expected}"
                f" as in {data.train}"
            )
    ctr = np.concatenate([room.ctr for room in validation])
    known = ctr[~np.isnan(ctr)]
    if len(known) < 2 or known.max() == 0 or known.min() == 1:
        raise ValueError(
            f"{data.validation}: ctr: found {len(known)} measured segments between"
            f" {known.min(initial=1):g} and {known.max(initial=0):g}, expected at least two, some"
            " of them above 0 and some below 1, to calibrate on"
        )


def _network(settings: TrainingSettings, room: LabelledRoom) -> TrainedNetwork:
    """A network of the features' sizes, its weights drawn by the settings' seed."""
    config = settings.network_config(
        frame_feature_size=room.frame_features.shape[1],
        text_feature_size=room.text_features.shape[1],
    )
    torch.manual_seed(settings.seed)
    return TrainedNetwork(ContentCTR(config), settings.loss)


def _version(settings: TrainingSettings) -> str:
    return f"{settings.preset}-{settings.out.name}-seed{settings.seed}"
