"""Training on labelled videos: the network first, then tag embeddings, centres and names."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from limelight.models.datasets.labelled_video import LabelledVideos
from limelight.models.topics.assigner import joint_features
from limelight.models.topics.config import TopicsConfig
from limelight.models.topics.model import TopicLosses, TopicModel, topic_losses
from limelight.models.topics.tag_graph import (
    TagGraph,
    mean_tag_embedding,
    tag_embeddings,
    tag_graph,
)
from limelight.models.topics.topics import Floats, Topics, fit_centres, represent, topic_names, unit

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labels:
    """The names that the columns of each task's labels stand for."""

    primary: list[str]
    secondary: list[str]
    tags: list[str]

    @property
    def sizes(self) -> dict[str, int]:
        return {
            "num_primary": len(self.primary),
            "num_secondary": len(self.secondary),
            "num_tags": len(self.tags),
        }


@dataclass(frozen=True, slots=True)
class TopicBatch:
    """B videos: features (B, F) and (B, T), presence (B,), labels (B, M) of each task."""

    image_features: Tensor
    text_features: Tensor
    image_present: Tensor
    text_present: Tensor
    labels: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class TopicFigures:
    """Of held-out videos: eq. 2, and how often the likeliest class is one that the video has.

    An accuracy is over the videos with such a label that training knows, NaN where there is none.
    """

    loss: float
    primary_accuracy: float
    secondary_accuracy: float
    tag_accuracy: float


class TopicNetwork(nn.Module):
    """From a batch to its losses, in one `forward`, as parallel training wants it."""

    def __init__(self, topics: TopicModel) -> None:
        super().__init__()
        self.topics = topics

    def forward(self, batch: TopicBatch) -> TopicLosses:
        return topic_losses(self.logits(batch), batch.labels)

    def logits(self, batch: TopicBatch) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = self.topics(
            batch.image_features, batch.text_features, batch.image_present, batch.text_present
        )
        return found


class VideoTable:
    """Videos as tensors, their labels by number; labels that training has not seen are dropped."""

    def __init__(self, videos: LabelledVideos, labels: Labels) -> None:
        self._features = [
            torch.from_numpy(np.ascontiguousarray(each, np.float32))
            for each in (videos.image_features, videos.text_features)
        ]
        self._present = [
            torch.from_numpy(each) for each in (videos.image_present, videos.text_present)
        ]
        self._sizes = list(labels.sizes.values())
        columns = (videos.primary, videos.secondary, videos.tags)
        names = (labels.primary, labels.secondary, labels.tags)
        self._labels = [
            _numbered(column, known) for column, known in zip(columns, names, strict=True)
        ]

    def __len__(self) -> int:
        return len(self._features[0])

    def batch(self, rows: Tensor) -> TopicBatch:
        labels = []
        for numbers, size in zip(self._labels, self._sizes, strict=True):
            matrix = torch.zeros(len(rows), size)
            for place, row in enumerate(rows.tolist()):
                matrix[place, numbers[row]] = 1
            labels.append(matrix)
        image, text = (each[rows] for each in self._features)
        image_present, text_present = (each[rows] for each in self._present)
        return TopicBatch(
            image, text, image_present, text_present, (labels[0], labels[1], labels[2])
        )

    def fingerprint(self) -> str:
        """A hash of all features and labels."""
        digest = blake2b(digest_size=16)
        for tensor in (*self._features, *self._present):
            digest.update(tensor.numpy().tobytes())
        digest.update(repr(self._labels).encode())
        return digest.hexdigest()


class TopicTask:
    """Videos to learn from, judged by the loss of held-out ones."""

    watches = "minus validation loss"

    def __init__(self, network: TopicNetwork, training: VideoTable, validation: VideoTable) -> None:
        self.network = network
        self._training = training
        self._validation = validation

    def cuts(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(len(self._training), generator=generator)

    def batch(self, cuts: Tensor, generator: torch.Generator, device: torch.device) -> TopicBatch:
        batch = self._training.batch(cuts)
        return TopicBatch(
            batch.image_features.to(device),
            batch.text_features.to(device),
            batch.image_present.to(device),
            batch.text_present.to(device),
            tuple(each.to(device) for each in batch.labels),  # type: ignore[arg-type]
        )

    def evaluate(self) -> TopicFigures:
        return evaluate_network(self.network, self._validation)

    def about(self) -> str:
        return self._training.fingerprint()

    def watched(self, found: TopicFigures) -> float:
        return -found.loss


def labels_of(videos: LabelledVideos, most_tags: int | None = None) -> tuple[Labels, TagGraph]:
    """The classes in the alphabet's order and the tags by frequency, with their graph."""
    graph = tag_graph(videos.tags, most_tags)
    primary, secondary = (
        sorted({name for some in column for name in some})
        for column in (videos.primary, videos.secondary)
    )
    return Labels(primary, secondary, graph.tags), graph


def split_rows(count: int, share: float, seed: int) -> tuple[Indices, Indices]:
    """The rows to train on and those held out, at least one of each.

    Raises:
        ValueError: fewer than two videos.
    """
    if count < 2:
        raise ValueError(f"videos: found {count}, expected at least 2, one of them held out")
    order = np.random.default_rng(seed).permutation(count)
    held_out = min(max(1, round(count * share)), count - 1)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


@torch.no_grad()
def evaluate_network(network: TopicNetwork, table: VideoTable, at_once: int = 1024) -> TopicFigures:
    """The figures of held-out videos.

    Raises:
        ValueError: no videos.
    """
    if not len(table):
        raise ValueError("validation: found no videos, expected at least one")
    was_training, device = network.training, next(network.parameters()).device
    network.eval()
    loss, hits, counted = 0.0, np.zeros(3), np.zeros(3)
    for at in range(0, len(table), at_once):
        rows = torch.arange(at, min(at + at_once, len(table)))
        batch = TopicTask(network, table, table).batch(rows, torch.Generator(), device)
        logits = network.logits(batch)
        loss += float(topic_losses(logits, batch.labels).total) * len(rows)
        for task, (logit, label) in enumerate(zip(logits, batch.labels, strict=True)):
            has_label = label.any(1)
            if has_label.any():
                likeliest = logit[has_label].argmax(1, keepdim=True)
                hits[task] += float(label[has_label].gather(1, likeliest).sum())
                counted[task] += int(has_label.sum())
    network.train(was_training)
    shares = [
        float(hit / count) if count else float("nan")
        for hit, count in zip(hits, counted, strict=True)
    ]
    return TopicFigures(loss / len(table), *shares)


def fit_topics(
    joint: Floats, videos: LabelledVideos, graph: TagGraph, config: TopicsConfig, *, seed: int = 0
) -> Topics:
    """Topics of videos with joint representations z (n, Z); Z is 0 where tags alone are clustered.

    Raises:
        ValueError: more topics than different videos.
        ImportError: gensim or faiss is not installed.
    """
    embeddings = tag_embeddings(graph, config, seed=seed)
    numbers = {tag: at for at, tag in enumerate(graph.tags)}
    embedded = mean_tag_embedding(videos.tags, numbers, embeddings)
    tag_mean, joint_mean = (_known_mean(part, config.centred) for part in (embedded, joint))
    representations = represent(embedded, joint, tag_mean, joint_mean)
    centres = fit_centres(representations, config.num_topics, seed=seed)
    nearest = (representations @ unit(centres).T).argmax(axis=1)
    nearest[~representations.any(axis=1)] = -1
    classes = [[*some, *more] for some, more in zip(videos.secondary, videos.primary, strict=True)]
    names = topic_names(nearest.tolist(), config.num_topics, videos.tags, classes)
    threshold = float(config.similarity_threshold)
    return Topics(centres, embeddings, joint_mean, tag_mean, threshold, graph.tags, names)


def joint_of(model: TopicModel, videos: LabelledVideos) -> Floats:
    """(n, Z) float32: z of all videos."""
    image, text = (
        np.ascontiguousarray(each, np.float32)
        for each in (videos.image_features, videos.text_features)
    )
    return joint_features(model, (image, videos.image_present), (text, videos.text_present))


def _known_mean(part: Floats, centred: bool) -> Floats:
    """The mean of the rows that are not all 0; zeros where nothing is to be taken away."""
    known = part[part.any(axis=1)]
    if not centred or not len(known):
        return np.zeros(part.shape[1], np.float32)
    mean: Floats = known.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _numbered(column: Sequence[Sequence[str]], known: Sequence[str]) -> list[list[int]]:
    numbers = {name: at for at, name in enumerate(known)}
    return [[numbers[name] for name in dict.fromkeys(some) if name in numbers] for some in column]
