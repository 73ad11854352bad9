"""Making predictions as frequent as they say: Platt's scaling of the logits.

Temperature alone cannot move the mean, and a ranking loss moves it; so the logits are both
stretched and shifted. The order of predictions, and with it tau, stays as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MOST_STEPS = 100
_SMALLEST_SCALE = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """A calibrated logit is `scale * logit + shift`."""

    scale: float
    shift: float


def fit_calibration(logits: NDArray[np.float64], ctr: NDArray[np.float64]) -> Calibration:
    """The scale and shift of least log loss over (n,) logits and measured CTRs, NaN left out.

    Raises:
        ValueError: lengths that differ, fewer than two measured CTRs, logits that are not finite,
            or CTRs that are all 0 or all 1, which no finite shift can reach.
    """
    if logits.shape != ctr.shape:
        raise ValueError(f"logits: found shape {logits.shape}, expected {ctr.shape} as in ctr")
    known = ~np.isnan(ctr)
    if known.sum() < 2:
        raise ValueError(f"ctr: found {int(known.sum())} measured, expected at least 2")
    if not np.isfinite(logits[known]).all():
        raise ValueError("logits: found NaN or infinity, expected finite numbers")
    target = torch.from_numpy(np.asarray(ctr[known], np.float64))
    if target.max() == 0 or target.min() == 1:
        raise ValueError(f"ctr: found only {float(target[0]):g}, expected others too")
    x = torch.from_numpy(np.asarray(logits[known], np.float64))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    _minimise(lambda: _log_loss(scale * x + shift, target), [scale, shift])
    if scale < _SMALLEST_SCALE:
        # A network that predicts the wrong way round is not mended by turning it round in secret.
        with torch.no_grad():
            scale.fill_(_SMALLEST_SCALE)
        _minimise(lambda: _log_loss(scale * x + shift, target), [shift])
    return Calibration(scale.item(), shift.item())


_log_loss = torch.nn.functional.binary_cross_entropy_with_logits


def _minimise(loss: Callable[[], Tensor], parameters: list[Tensor]) -> None:
    optimizer = torch.optim.LBFGS(
        parameters,
        max_iter=_MOST_STEPS,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-10,
        tolerance_change=1e-14,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
