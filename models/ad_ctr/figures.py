"""How well rates are predicted: the paper's measures (section 5.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class AdFigures:
    """Of a regression `mse`, `mae` and `mar`, of classes `accuracy`; NaN for the other's.

    `mar` is the mean absolute error as a share of the mean true rate, NaN where that is 0.
    """

    clips: int
    mse: float = np.nan
    mae: float = np.nan
    mar: float = np.nan
    accuracy: float = np.nan


def regression_figures(predicted: Floats, rates: Floats) -> AdFigures:
    """MSE, MAE and MAR of (n,) predictions, n at least 1."""
    errors = predicted.astype(np.float64) - rates.astype(np.float64)
    mae, mean = float(np.abs(errors).mean()), float(rates.mean(dtype=np.float64))
    mar = mae / mean if mean > 0 else np.nan
    return AdFigures(len(rates), mse=float((errors**2).mean()), mae=mae, mar=mar)


def class_figures(predicted: NDArray[np.integer], true: NDArray[np.integer]) -> AdFigures:
    """The share of n classes that are predicted exactly."""
    return AdFigures(len(true), accuracy=float((predicted == true).mean()))


def equal_count_edges(rates: Floats, classes: int) -> list[float]:
    """The rates between so many classes of about equal counts.

    Raises:
        ValueError: rates that are too much alike to part.
    """
    edges = np.quantile(rates.astype(np.float64), np.arange(1, classes) / classes)
    if len(np.unique(edges)) < classes - 1:
        raise ValueError(
            f"rates: found edges {edges.tolist()} between {classes} classes, expected them to"
            " differ: there are too few different rates"
        )
    return [float(edge) for edge in edges]


def classes_of(rates: Floats, edges: list[float]) -> NDArray[np.int64]:
    """(n,) the class of each rate; one that lies on an edge is of the class above."""
    return np.searchsorted(np.array(edges), rates.astype(np.float64), side="right")
