"""Topics: the centres of clustered videos, and which of them a video belongs to.

A video is `a = unit([unit(e), unit(z)])`: the mean embedding of its tags and the joint
representation of its image and text, each of length 1, so that both count the same.

Source: Pu et al., section III-A3.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from limelight.models.topics.tag_graph import mean_tag_embedding

TOPICS = "topics.safetensors"
WORDS = "tags.json"
NAME_TAGS = 3
_ARRAYS = ("centres", "tag_embeddings", "joint_mean", "tag_mean")
# Videos whose cosines are taken together: 6000 topics of them are 50 MB.
_TOGETHER = 2048
_ITERATIONS = 25
# K-means keeps the best of so many random starts.
_STARTS = 5

Floats = NDArray[np.float32]
Assigned = list[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Topics:
    """K topics.

    Args:
        centres: (K, E + Z) float32, as K-means left them.
        tag_embeddings: (T, E) float32.
        joint_mean: (Z,) float32, taken from z before it is normalised; zeros for nothing.
        tag_mean: (E,) float32, the same for e.
        threshold: the least cosine of a video with its topics.
        tags: T tags.
        names: for people, the strongest tags of each topic, or a class where no video has tags.

    Raises:
        ValueError: sizes that do not fit.
    """

    centres: Floats
    tag_embeddings: Floats
    joint_mean: Floats
    tag_mean: Floats
    threshold: float
    tags: list[str]
    names: list[list[str]]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = len(self.tag_mean) + len(self.joint_mean)
        for name, found, expected in (
            ("tag_embeddings", self.tag_embeddings.shape, (len(self.tags), len(self.tag_mean))),
            ("centres", self.centres.shape, (len(self.names), size)),
        ):
            if found != expected:
                raise ValueError(f"{name}: found shape {found}, expected {expected}")
        object.__setattr__(self, "_numbers", {tag: at for at, tag in enumerate(self.tags)})

    def __len__(self) -> int:
        return len(self.centres)

    def representations(
        self, joint: NDArray[np.floating[Any]], tags: Sequence[Sequence[str]]
    ) -> Floats:
        """(n, E + Z) of z (n, Z) and the tags of n videos, each of length 1.

        A part of zeros (no known tag, neither image nor text) stays zeros and leaves the length to
        the other; with neither the whole is zeros.
        """
        if joint.shape != (len(tags), len(self.joint_mean)):
            expected = (len(tags), len(self.joint_mean))
            raise ValueError(f"joint: found shape {joint.shape}, expected {expected}")
        embedded = mean_tag_embedding(tags, self._numbers, self.tag_embeddings)
        return represent(embedded, joint, self.tag_mean, self.joint_mean)

    def assign(self, representations: Floats) -> list[Assigned]:
        """For each of n videos its topics with their cosines, the closest first.

        All topics with a cosine of `threshold` or more; the closest alone where none has, so that
        its cosine says how far it lies; none for a video of which nothing is known.
        """
        found: list[Assigned] = []
        centres = unit(self.centres)
        for at in range(0, len(representations), _TOGETHER):
            some = representations[at : at + _TOGETHER]
            cosines = some @ centres.T  # (videos, K)
            nearest = cosines.argmax(axis=1)
            known = np.asarray(some.any(axis=1))
            for row, closest, is_known in zip(cosines, nearest, known, strict=True):
                topics = np.flatnonzero(row >= self.threshold)
                if not is_known:
                    topics = topics[:0]
                elif not len(topics):
                    topics = np.array([closest])
                order = topics[np.argsort(-row[topics], kind="stable")]
                found.append([(int(topic), float(row[topic])) for topic in order])
        return found

    def save(self, folder: Path) -> None:
        """Write `topics.safetensors` and `tags.json` beside a model's weights."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        save_file(arrays, folder / TOPICS)
        words = {"threshold": self.threshold, "tags": self.tags, "topics": self.names}
        text = json.dumps(words, ensure_ascii=False, indent=1)
        (folder / WORDS).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Topics":
        """The topics that `save` wrote.

        Raises:
            ValueError: files of another kind, or that do not fit each other.
            OSError: one cannot be read.
        """
        try:
            arrays = load_file(folder / TOPICS)
            words = json.loads((folder / WORDS).read_text(encoding="utf-8"))
            return cls(
                **{name: arrays[name] for name in _ARRAYS},
                threshold=float(words["threshold"]),
                tags=list(words["tags"]),
                names=[list(some) for some in words["topics"]],
            )
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}: found {error}, expected {TOPICS} and {WORDS}") from error


def represent(
    embedded: NDArray[np.floating[Any]],
    joint: NDArray[np.floating[Any]],
    tag_mean: Floats,
    joint_mean: Floats,
) -> Floats:
    """(n, E + Z) float32 of e (n, E) and z (n, Z), each without its mean and of length 1, as is
    the whole; zeros stay zeros.
    """
    parts = (_centred(embedded, tag_mean), _centred(joint, joint_mean))
    return unit(np.concatenate([unit(part) for part in parts], axis=1)).astype(np.float32)


def fit_centres(representations: Floats, num_topics: int, *, seed: int = 0) -> Floats:
    """(K, C) float32 centres of K-means (faiss) over representations (n, C); all-zero rows are
    left out.

    Raises:
        ValueError: fewer different videos than topics.
        ImportError: faiss is not installed.
    """
    known = np.ascontiguousarray(representations[representations.any(axis=1)], np.float32)
    different = len(np.unique(known, axis=0))
    if different < num_topics:
        raise ValueError(
            f"num_topics: found {num_topics} for {different} different videos of"
            f" {len(representations)}, expected at most as many topics as different videos"
        )
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ImportError(
            "faiss: found no such package, expected the extra of topics:"
            " pip install 'limelight[topics]'"
        ) from error
    # The library would sample 256 videos a topic, and warn below 39.
    means = faiss.Kmeans(
        known.shape[1],
        num_topics,
        niter=_ITERATIONS,
        nredo=_STARTS,
        seed=seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=max(256, len(known)),
    )
    means.train(known)
    return np.asarray(means.centroids, np.float32).reshape(num_topics, -1)


def topic_names(
    nearest: Sequence[int],
    num_topics: int,
    tags: Sequence[Sequence[str]],
    classes: Sequence[Sequence[str]],
) -> list[list[str]]:
    """The strongest tags of each topic, at most three; its most frequent class where it has none.

    A tag is strong where it is frequent among the topic's videos and rare among others: the number
    of its videos in the topic times the log of how much more frequent it is there than everywhere.

    Args:
        nearest: the closest topic of each video, -1 for none.
        tags, classes: of each video.
    """
    everywhere = Counter(tag for some in tags for tag in set(some))
    by_topic: list[Counter[str]] = [Counter() for _ in range(num_topics)]
    classes_of: list[Counter[str]] = [Counter() for _ in range(num_topics)]
    sizes = [0] * num_topics
    for topic, some, named in zip(nearest, tags, classes, strict=True):
        if topic >= 0:
            by_topic[topic].update(set(some))
            classes_of[topic].update(named)
            sizes[topic] += 1
    videos = max(1, sum(sizes))
    names = []
    for topic, counts in enumerate(by_topic):
        strengths = {
            tag: count * log(count * videos / (sizes[topic] * everywhere[tag]) + 1e-12)
            for tag, count in counts.items()
        }
        strongest = sorted(strengths, key=lambda tag: (-strengths[tag], tag))[:NAME_TAGS]
        names.append(strongest or [name for name, _ in classes_of[topic].most_common(1)])
    return names


def unit(rows: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Rows of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def _centred(rows: NDArray[np.floating[Any]], mean: Floats) -> NDArray[np.floating[Any]]:
    # What is missing is no point in space, so its zeros stay.
    return np.asarray(np.where(rows.any(axis=1, keepdims=True), rows - mean, 0))
