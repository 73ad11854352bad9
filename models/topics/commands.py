"""Trains and judges topics for `limelight train` and `limelight evaluate`."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from limelight.models.content import MODEL, Figures, TrainingReport
from limelight.models.datasets.labelled_video import LabelledVideos, load_videos
from limelight.models.topics.agreement import agreement, representations_of
from limelight.models.topics.assigner import load_topics
from limelight.models.topics.model import TopicModel
from limelight.models.topics.settings import TopicsData, TopicsSettings, load_topics_settings
from limelight.models.topics.training import (
    TopicFigures,
    TopicNetwork,
    TopicTask,
    VideoTable,
    fit_topics,
    joint_of,
    labels_of,
    split_rows,
)
from limelight.models.training.trainer import StepSeen, Trained, is_main_process, train_on


def train_model(
    config: Path, *, resume: bool, on_step: Callable[[StepSeen], None]
) -> TrainingReport:
    """Train by a file's settings; network, topics and names lie in `settings.out / MODEL`.

    Raises:
        ValueError: settings or videos that do not fit.
        OSError: a file cannot be read.
        ImportError: gensim or faiss is not installed.
    """
    settings = load_topics_settings(config)
    assert settings.data is not None
    training, validation = _videos(settings.data, settings.seed)
    trained = train_topics(
        training,
        validation,
        settings,
        most_tags=settings.data.most_tags,
        resume=resume,
        on_step=on_step,
    )
    return TrainingReport(
        settings=settings.model_dump(mode="json"),
        best_epoch=trained.best_epoch,
        epochs=trained.epochs,
        steps=trained.total_steps,
        validation={
            name: value if math.isfinite(value) else None
            for name, value in asdict(trained.best).items()
        },
    )


def train_topics(
    training: LabelledVideos,
    validation: LabelledVideos,
    settings: TopicsSettings,
    *,
    most_tags: int | None = None,
    resume: bool = False,
    on_step: Callable[[StepSeen], None] = lambda seen: None,
) -> Trained[TopicNetwork, TopicFigures]:
    """Train network and topics on videos in memory; files as `train_model`.

    Raises:
        ValueError, ImportError: as `train_model`.
    """
    labels, graph = labels_of(training, most_tags)
    topics_config = settings.network_config(
        image_feature_size=_size(training, "image"),
        text_feature_size=_size(training, "text"),
        **labels.sizes,
    )
    _check_topics(training, int(topics_config.num_topics))
    torch.manual_seed(settings.seed)
    network = TopicNetwork(TopicModel(topics_config))
    task = TopicTask(network, VideoTable(training, labels), VideoTable(validation, labels))
    trained = train_on(task, settings, on_step=on_step, resume=resume)
    if is_main_process():
        folder = settings.out / MODEL
        model = trained.network.topics
        topics = fit_topics(
            joint_of(model, training), training, graph, topics_config, seed=settings.seed
        )
        model.config.trained = True
        model.save_pretrained(folder)
        topics.save(folder)
    return trained


def evaluate_model(folder: Path, data: Path) -> Figures:
    """Of a file of labelled videos or clips: ARI and NMI as in the paper's Table I, how many topics
    a video has, the share of videos within the threshold, and the mean cosine of the closest.

    Raises:
        ValueError: a model or videos that cannot be read, or that do not fit.
        OSError: a file cannot be read.
        ImportError: faiss or scikit-learn is not installed.
    """
    assigner = load_topics(folder)
    videos = load_videos(data)
    if not len(videos):
        raise ValueError(f"{data}: found no videos, expected at least one")
    videos = fitted(videos, assigner.image_feature_size, assigner.text_feature_size)
    figures: Figures = {"videos": len(videos)}
    found = representations_of(assigner.model, assigner.topics, videos)
    for task in ("primary", "secondary"):
        for name, representations in found.items():
            measured = agreement(representations, getattr(videos, task))
            figures[f"ari_{task}_{name}"] = None if measured is None else measured.ari
            figures[f"nmi_{task}_{name}"] = None if measured is None else measured.nmi
    assigned = assigner.topics.assign(found["mmoe_tag"])
    closest = [some[0][1] for some in assigned if some]
    threshold = assigner.topics.threshold
    figures["topics_a_video"] = float(np.mean([len(some) for some in assigned]))
    figures["closest_cosine"] = float(np.mean(closest)) if closest else None
    figures["within_threshold"] = sum(cosine >= threshold for cosine in closest) / len(videos)
    return figures


def fitted(videos: LabelledVideos, image_size: int, text_size: int) -> LabelledVideos:
    """The videos for a network of those sizes; a modality that nobody has fits any.

    Raises:
        ValueError: features of another size.
    """
    columns = {name: getattr(videos, name) for name in videos.__slots__}
    for name, size in (("image", image_size), ("text", text_size)):
        features, present = columns[f"{name}_features"], columns[f"{name}_present"]
        if features.shape[1] != size:
            if size and present.any():
                found = features.shape[1]
                raise ValueError(f"{name}_features: found {found} numbers, expected {size}")
            columns[f"{name}_features"] = np.zeros((len(videos), size), np.float32)
            columns[f"{name}_present"] = np.zeros(len(videos), np.bool_)
    return LabelledVideos(**columns)


def _videos(data: TopicsData, seed: int) -> tuple[LabelledVideos, LabelledVideos]:
    videos = load_videos(data.train)
    if data.validation is None:
        rows, held_out = split_rows(len(videos), data.validation_share, seed)
        return videos.select(rows), videos.select(held_out)
    sizes = videos.image_features.shape[1], videos.text_features.shape[1]
    return videos, fitted(load_videos(data.validation), *sizes)


def _size(videos: LabelledVideos, name: str) -> int:
    """The width of a modality's features, 0 where no video has it."""
    present = getattr(videos, f"{name}_present")
    return int(getattr(videos, f"{name}_features").shape[1]) if present.any() else 0


def _check_topics(videos: LabelledVideos, num_topics: int) -> None:
    # Said before the network is trained; how many differ is known after it only.
    if len(videos) < num_topics:
        raise ValueError(
            f"network.num_topics: found {num_topics} for {len(videos)} videos to train on,"
            " expected at most as many topics as videos"
        )
