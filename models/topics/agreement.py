"""How well clusters of representations agree with the videos' classes: the paper's Table I."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.labelled_video import LabelledVideos
from limelight.models.topics.model import TopicModel
from limelight.models.topics.topics import Floats, Topics, fit_centres, unit
from limelight.models.topics.training import joint_of

REPRESENTATIONS = ("image", "text", "mmoe", "mmoe_tag")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Adjusted Rand index in [-1, 1] and normalised mutual information in [0, 1]."""

    ari: float
    nmi: float


def representations_of(
    model: TopicModel, topics: Topics, videos: LabelledVideos
) -> dict[str, Floats]:
    """(n, C) of what Table I compares: image, text, z, and z with the tags; rows of length 1.

    A modality that no video has is left out.
    """
    joint = joint_of(model, videos)
    found: dict[str, Floats] = {}
    for name, features, present in (
        ("image", videos.image_features, videos.image_present),
        ("text", videos.text_features, videos.text_present),
    ):
        if features.shape[1] and present.any():
            masked = np.where(present[:, None], features.astype(np.float32), 0)
            mean = masked[present].mean(axis=0)
            found[name] = _unit(np.where(present[:, None], masked - mean, 0))
    no_tags: list[list[str]] = [[] for _ in range(len(videos))]
    found["mmoe"] = topics.representations(joint, no_tags)
    found["mmoe_tag"] = topics.representations(joint, videos.tags)
    return found


def agreement(
    representations: Floats, classes: Sequence[Sequence[str]], *, seed: int = 0
) -> Agreement | None:
    """Of K-means' clusters, as many as there are classes, with the first class of each video.

    Videos without a class or of which the representation knows nothing are left out. None where
    fewer than two classes are left, or fewer different videos than classes.

    Raises:
        ImportError: faiss or scikit-learn is not installed.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    rows = [at for at, some in enumerate(classes) if some and bool(representations[at].any())]
    named = [classes[at][0] for at in rows]
    kept = representations[rows]
    num_classes = len(set(named))
    if num_classes < 2 or len(np.unique(kept, axis=0)) < num_classes:
        return None
    centres = fit_centres(kept, num_classes, seed=seed)
    clusters = _nearest(kept, centres)
    return Agreement(
        float(adjusted_rand_score(named, clusters)),
        float(normalized_mutual_info_score(named, clusters)),
    )


def _nearest(rows: Floats, centres: Floats) -> NDArray[np.int64]:
    # |r - c|^2 without |r|^2, which is the same for all centres.
    distances = (centres**2).sum(axis=1) - 2 * rows @ centres.T
    return np.asarray(distances.argmin(axis=1))


def _unit(rows: NDArray[np.floating[Any]]) -> Floats:
    return unit(rows).astype(np.float32)
