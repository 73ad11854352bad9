"""How popular a video is, as one of five classes, and how near a predicted class comes.

Source: Qin, Wang and Zhu, section 2.1.3 (score and thresholds) and section 3 (accuracy).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PAPER_WEIGHTS = {"views": 0.75, "likes": 0.1, "coins": 0.1, "favorites": 0.05, "shares": 0.0}
PAPER_THRESHOLDS = (0.00025, 0.0015, 0.005, 0.02)
NUM_CLASSES = 5

Thresholds = Literal["fixed", "equal-count"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LabelScale:
    """A score's parts and the thresholds between classes, as fitted to training videos.

    Args:
        weights: by count.
        means, spans: of each count over the training videos; a span is highest less lowest.
        thresholds: ascending; a score on one belongs to the class above.
        kind: how the thresholds were chosen.
    """

    weights: dict[str, float]
    means: dict[str, float]
    spans: dict[str, float]
    thresholds: list[float] = field(default_factory=lambda: list(PAPER_THRESHOLDS))
    kind: Thresholds = "fixed"

    def scores(self, counts: Mapping[str, NDArray[np.floating]]) -> Floats:
        """(n,) weighted sums of (count - mean) / (max - min).

        Raises:
            ValueError: a count is missing that the scale was fitted to.
        """
        missing = sorted(self.weights.keys() - counts.keys())
        if missing:
            raise ValueError(f"counts: found {sorted(counts)}, expected {', '.join(missing)} too")
        parts = [
            weight * (np.asarray(counts[name], np.float64) - self.means[name]) / self.spans[name]
            for name, weight in self.weights.items()
        ]
        scores: Floats = np.sum(parts, axis=0)
        return scores

    def classes(self, counts: Mapping[str, NDArray[np.floating]]) -> NDArray[np.int64]:
        """(n,) from 0, the least popular."""
        return np.searchsorted(np.array(self.thresholds), self.scores(counts), side="right")


def fit_label_scale(
    counts: Mapping[str, NDArray[np.floating]],
    weights: Mapping[str, float] = PAPER_WEIGHTS,
    thresholds: Sequence[float] | Literal["equal-count"] = PAPER_THRESHOLDS,
) -> LabelScale:
    """The scale of some training videos.

    A count that the data lacks (YouTube has no coins) adds nothing: the other weights stay as they
    are. `equal-count` puts the thresholds where the training videos part into five equal groups,
    since the paper's fit no other data than its own.

    Args:
        counts: (n,) each, by name.
        weights: by name; those of 0 are left out.

    Raises:
        ValueError: no weighted count, one that is the same for all videos, one below 0 or not
            finite, thresholds that do not ascend, or scores too much alike to part.
    """
    if any(not np.isfinite(weight) or weight < 0 for weight in weights.values()):
        raise ValueError(f"weights: found {dict(weights)}, expected numbers of 0 or more")
    used = {name: float(weight) for name, weight in weights.items() if weight and name in counts}
    if not used:
        raise ValueError(
            f"weights: found none above 0 for {sorted(counts)}, expected at least one: {weights}"
        )
    means, spans = {}, {}
    for name in used:
        column = np.asarray(counts[name], np.float64)
        if not len(column):
            raise ValueError(f"{name}: found no video, expected some")
        if not np.isfinite(column).all() or column.min() < 0:
            raise ValueError(f"{name}: found counts below 0 or not finite, expected 0 or more")
        means[name], spans[name] = float(column.mean()), float(column.max() - column.min())
        if spans[name] == 0:
            raise ValueError(
                f"{name}: found {column[0]:g} for each of the {len(column)} training videos,"
                " expected different counts: the score divides by highest less lowest"
            )
    if thresholds != "equal-count":
        edges = [float(each) for each in thresholds]
        _check(edges)
        return LabelScale(used, means, spans, edges, "fixed")
    scores = LabelScale(used, means, spans).scores(counts)
    edges = [float(each) for each in np.quantile(scores, np.arange(1, NUM_CLASSES) / NUM_CLASSES)]
    if len(set(edges)) < len(edges):
        raise ValueError(
            f"thresholds: found {edges} between equal groups, expected them to differ: there are"
            " too few different scores"
        )
    return LabelScale(used, means, spans, edges, "equal-count")


def ordinal_accuracy(predicted: NDArray[np.integer], true: NDArray[np.integer]) -> float:
    """1 for each right class, 0.5 for a neighbour of it, 0 else; the mean, NaN of none."""
    if not len(true):
        return float("nan")
    apart = np.abs(predicted.astype(np.int64) - true.astype(np.int64))
    return float(np.where(apart == 0, 1.0, np.where(apart == 1, 0.5, 0.0)).mean())


def _check(edges: list[float]) -> None:
    if not edges or not np.isfinite(edges).all() or sorted(set(edges)) != edges:
        raise ValueError(f"thresholds: found {edges}, expected finite numbers that ascend")
