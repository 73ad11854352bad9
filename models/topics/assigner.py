"""Which topics videos belong to, from a saved model: needs numpy and torch, no faiss nor gensim."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.models.topics.model import TopicModel
from limelight.models.topics.topics import Assigned, Floats, Topics

_TOGETHER = 4096


class TopicAssigner:
    """A trained network and its topics.

    `image_feature_size` and `text_feature_size` tell what it takes; 0 is a modality that it never
    looks at.
    """

    def __init__(self, model: TopicModel, topics: Topics) -> None:
        self.model = model.eval()
        self.topics = topics
        self.image_feature_size = int(model.config.image_feature_size)
        self.text_feature_size = int(model.config.text_feature_size)

    def assign(
        self,
        image_features: NDArray[np.floating[Any]] | None,
        text_features: NDArray[np.floating[Any]] | None,
        tags: Sequence[Sequence[str]],
        *,
        image_present: NDArray[np.bool_] | None = None,
        text_present: NDArray[np.bool_] | None = None,
    ) -> list[Assigned]:
        """For each of n videos its topics and their cosines, the closest first.

        All topics whose cosine reaches the threshold (0.6 in the paper); where none does the
        closest alone, its lower cosine being the sign; an empty list where nothing is known: no
        image, no text and no tag that training has seen.

        Args:
            image_features, text_features: (n, F) and (n, T); None where no video has one.
            tags: n, each of any number; unseen ones are ignored.
            image_present, text_present: (n,) bool; None for all.

        Raises:
            ValueError: shapes that do not fit, or features that are not finite where present.
        """
        return self.topics.assign(
            self.representations(
                image_features,
                text_features,
                tags,
                image_present=image_present,
                text_present=text_present,
            )
        )

    def name(self, topic: int) -> list[str]:
        """The strongest tags of a topic, for people; the strongest first, at most three.

        Raises:
            ValueError: no such topic.
        """
        if not 0 <= topic < len(self.topics):
            raise ValueError(f"topic: found {topic}, expected 0 to {len(self.topics) - 1}")
        return list(self.topics.names[topic])

    def representations(
        self,
        image_features: NDArray[np.floating[Any]] | None,
        text_features: NDArray[np.floating[Any]] | None,
        tags: Sequence[Sequence[str]],
        *,
        image_present: NDArray[np.bool_] | None = None,
        text_present: NDArray[np.bool_] | None = None,
    ) -> Floats:
        """(n, E + Z) float32 of what `assign` compares with the topics, of length 1 or 0."""
        joint = joint_features(
            self.model,
            _given("image", image_features, image_present, len(tags), self.image_feature_size),
            _given("text", text_features, text_present, len(tags), self.text_feature_size),
        )
        return self.topics.representations(joint, tags)


def load_topics(folder: Path) -> TopicAssigner:
    """The trained network and topics of a model's folder, on the CPU.

    Raises:
        ValueError: another model's folder, or parts that do not fit each other.
        OSError: it cannot be read.
    """
    model = TopicModel.from_pretrained(folder, use_safetensors=True)
    topics = Topics.load(folder)
    if len(topics.joint_mean) != model.config.joint_size:
        raise ValueError(
            f"{folder}: found topics of a joint representation of {len(topics.joint_mean)},"
            f" expected {model.config.joint_size} as in config.json"
        )
    return TopicAssigner(model, topics)


def _given(
    name: str,
    features: NDArray[np.floating[Any]] | None,
    present: NDArray[np.bool_] | None,
    count: int,
    size: int,
) -> tuple[Floats, NDArray[np.bool_]]:
    if features is None:
        return np.zeros((count, size), np.float32), np.zeros(count, np.bool_)
    if not size:
        # The model never looks at it.
        return np.zeros((count, 0), np.float32), np.zeros(count, np.bool_)
    if features.shape != (count, size):
        raise ValueError(f"{name}_features: found {features.shape}, expected ({count}, {size})")
    known = np.ones(count, np.bool_) if present is None else np.asarray(present, np.bool_)
    if known.shape != (count,):
        raise ValueError(f"{name}_present: found {known.shape}, expected ({count},)")
    broken = known & ~np.isfinite(features).all(axis=1)
    if broken.any():
        raise ValueError(
            f"{name}_features: found NaN or infinity in video {int(broken.argmax())},"
            " expected finite numbers, or that it is absent"
        )
    return np.ascontiguousarray(features, np.float32), known


def joint_features(
    model: TopicModel,
    image: tuple[Floats, NDArray[np.bool_]],
    text: tuple[Floats, NDArray[np.bool_]],
) -> Floats:
    """(n, Z) float32: z of features, (n, F) and (n, T), and where they are present, (n,) each."""
    found = np.zeros((len(image[0]), model.config.joint_size), np.float32)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for at in range(0, len(found), _TOGETHER):
            part = slice(at, at + _TOGETHER)
            features = [torch.from_numpy(each[part]).to(model.device) for each, _ in (image, text)]
            present = [torch.from_numpy(each[part]).to(model.device) for _, each in (image, text)]
            found[part] = model.joint(*features, *present).float().cpu().numpy()
    model.train(was_training)
    return found
