"""The paper's five measures of forecasts (section 3.1)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.ranking import ndcg_at_k, spearman

_BEST = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PopularityFigures:
    """How far forecasts are from the truth, on the scale ln(1 + score), and how well they order.

    `r2` and `srcc` are None where all truths are equal, `srcc` also where all forecasts are, and
    `ndcg_at_10` where every score is 0.
    """

    mae: float
    mse: float
    r2: float | None
    srcc: float | None
    ndcg_at_10: float | None
    videos: int


def popularity_figures(forecast: Floats, truth: Floats) -> PopularityFigures:
    """The measures of (n,) forecasts against (n,) truths, both ln(1 + score).

    The gain of NDCG@10 is the score itself, not its logarithm: the paper does not say which, but
    with logarithms no method would fall to the 0.1 of its table 2.

    Raises:
        ValueError: none, lengths that differ, or numbers that are not finite.
    """
    if forecast.shape != truth.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"forecast: found {forecast.shape}, expected {truth.shape}, above 0")
    for name, values in (("forecast", forecast), ("truth", truth)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: found NaN or infinity, expected finite numbers")
    error = forecast - truth
    spread = float(((truth - truth.mean()) ** 2).sum())
    is_constant = bool((truth == truth[0]).all())
    return PopularityFigures(
        mae=float(np.abs(error).mean()),
        mse=float((error**2).mean()),
        r2=None if is_constant else 1 - float((error**2).sum()) / spread,
        srcc=_defined(spearman(forecast[None], truth[None])),
        ndcg_at_10=_defined(ndcg_at_k(forecast[None], np.expm1(truth)[None], _BEST)),
        videos=len(truth),
    )


def _defined(values: Floats) -> float | None:
    return None if np.isnan(values[0]) else float(values[0])
