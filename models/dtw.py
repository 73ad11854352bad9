"""DTW as a differentiable function of a cost tensor: what the alignment loss is made of."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from limelight.kernels.dtw import dtw_distance, dtw_path, soft_dtw_alignment


def dtw(
    cost: Tensor,
    *,
    gamma: float = 0.0,
    lengths: Tensor | None = None,
    band_radius: int | None = None,
    threads: int = 1,
) -> Tensor:
    """(B,) DTW distances of (B, N, M) costs, on the device and in the dtype of the costs.

    The gradient of the hard distance (gamma 0) is the mask of its path, that of the soft one the
    expected alignment (Cuturi and Blondel 2017). On a CPU the compiled kernels of
    `limelight.kernels.dtw` compute both, on a CUDA device Triton's. The gradient is a constant to
    autograd: there are no second derivatives, so no penalty on it can be learned from.

    Args:
        cost: (B, N, M), float32 or float64.
        gamma: 0 takes the hard minimum, more the soft one.
        lengths: (B, 2) integers, rows and columns of each matrix that count; None for all.
        band_radius: largest |i - j| of a path, or None for any.
        threads: of the CPU kernels.

    Raises:
        ValueError: as `limelight.kernels.dtw.dtw_distance`.
    """
    distances: Tensor = _Dtw.apply(cost, gamma, lengths, band_radius, threads)  # type: ignore[no-untyped-call]
    return distances


def check_cost(cost: Tensor) -> None:
    """The kernels' demands, for tensors.

    Raises:
        ValueError: of another dtype or rank, or empty.
    """
    if cost.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"cost: found {cost.dtype}, expected torch.float32 or torch.float64")
    if cost.ndim != 3 or not cost.numel():
        raise ValueError(
            f"cost: found shape {tuple(cost.shape)}, expected 3 dimensions, none of them 0"
        )


class _Dtw(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cost: Tensor,
        gamma: float,
        lengths: Tensor | None,
        band_radius: int | None,
        threads: int,
    ) -> Tensor:
        check_cost(cost)
        solve = _on_device if cost.is_cuda else _on_cpu
        distances, gradient = solve(
            cost, gamma, lengths, band_radius, threads, ctx.needs_input_grad[0]
        )
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_distances: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        grad = grad_distances[:, None, None]
        if gradient.dtype == torch.bool:
            # As bytes: torch multiplies these several times faster than it converts booleans.
            gradient = gradient.view(torch.uint8)
        return gradient * grad, None, None, None, None


def _on_cpu(
    cost: Tensor,
    gamma: float,
    lengths: Tensor | None,
    band_radius: int | None,
    threads: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    options: dict[str, Any] = {
        "lengths": None if lengths is None else np.asarray(lengths.cpu()),
        "band_radius": band_radius,
        "threads": threads,
    }
    values = cost.detach().numpy()
    if not with_gradient:
        return torch.from_numpy(dtw_distance(values, gamma=gamma, **options)), None
    gradient: np.ndarray[Any, Any]
    if gamma:
        distances, gradient = soft_dtw_alignment(values, gamma=gamma, **options)
    else:
        distances, gradient = dtw_path(values, **options)
    return torch.from_numpy(distances), torch.from_numpy(gradient)


def _on_device(
    cost: Tensor,
    gamma: float,
    lengths: Tensor | None,
    band_radius: int | None,
    threads: int,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    # Triton comes with torch's CUDA builds only.
    from limelight.models.dtw_device import solve

    return solve(cost, gamma, lengths, band_radius, with_gradient=with_gradient)
