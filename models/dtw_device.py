"""DTW of CUDA tensors, by Triton; `limelight.kernels.dtw` is the reference.

One thread has one matrix, as a lane has on the CPU, and the costs are brought into that order
first, so that neighbouring threads read neighbouring numbers.
"""

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from limelight.kernels.dtw_arguments import (
    check_costs,
    checked_band,
    checked_gamma,
    checked_lengths,
)

_BLOCK = 32


def solve(
    cost: Tensor,
    gamma: float,
    lengths: Tensor | None,
    band_radius: int | None,
    *,
    with_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """(B,) distances and, if wanted, their (B, N, M) gradients: a boolean path mask for gamma 0.

    Args and errors as in `limelight.models.dtw.dtw`.
    """
    checked_gamma(gamma)
    given = checked_lengths(None if lengths is None else np.asarray(lengths.cpu()), cost.shape)
    batch, rows, columns = cost.shape
    ends = torch.from_numpy(given) if len(given) else torch.tensor([[rows, columns]] * batch)
    band = rows + columns
    if band_radius is not None:
        band = checked_band(band_radius, ends.numpy())
    row, column = torch.arange(rows), torch.arange(columns)
    counts = (row[:, None] < ends[:, :1, None]) & (column < ends[:, 1:, None])
    counts = (counts & ((row[:, None] - column).abs() <= band)).to(cost.device)
    costs = torch.where(counts, cost.detach(), cost.new_zeros(()))
    if not bool(torch.isfinite(costs).all()):
        for pair, matrix in enumerate(costs.cpu().numpy()):
            check_costs(pair, matrix, band)
    costs = costs.permute(1, 2, 0).contiguous()
    ends = ends.to(cost.device, torch.int32)
    above = torch.full((columns, batch), torch.inf, dtype=cost.dtype, device=cost.device)
    distances = torch.empty(batch, dtype=cost.dtype, device=cost.device)
    grid = (triton.cdiv(batch, _BLOCK),)
    sizes = (batch, rows, columns, band)
    if gamma:
        # As a number Triton would take it in single precision, whatever the costs have.
        softness = costs.new_tensor([gamma])
        chances = costs.new_zeros((3, *costs.shape) if with_gradient else (0,))
        _soft_distances[grid](
            costs, ends, above, chances, distances, softness, *sizes, with_gradient, _BLOCK
        )
        gradient = torch.zeros_like(costs) if with_gradient else None
        if gradient is not None:
            arriving = torch.zeros_like(above)
            _expected_alignments[grid](chances, ends, arriving, gradient, *sizes, _BLOCK)
    else:
        shape = costs.shape if with_gradient else (0,)
        steps = torch.zeros(shape, dtype=torch.uint8, device=cost.device)
        _hard_distances[grid](costs, ends, above, steps, distances, *sizes, with_gradient, _BLOCK)
        gradient = torch.zeros_like(steps) if with_gradient else None
        if gradient is not None:
            _paths[grid](steps, ends, gradient, batch, rows, columns, _BLOCK)
            gradient = gradient.bool()
    if not bool(torch.isfinite(distances).all()):
        raise ValueError(f"cost: found costs whose sum is beyond {cost.dtype}, expected smaller")
    return distances, None if gradient is None else gradient.permute(2, 0, 1).contiguous()


@triton.jit  # type: ignore[untyped-decorator]
def _hard_distances(
    costs: "Any",
    ends: "Any",
    above: "Any",
    steps: "Any",
    distances: "Any",
    batch: "Any",
    rows: "Any",
    columns: "Any",
    band: "Any",
    with_path: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """`above` is (M, B), infinite; bits 0 and 1 of a step: from the row above, from the left."""
    pair = tl.program_id(0) * block + tl.arange(0, block)
    inside = pair < batch
    last_row = tl.load(ends + 2 * pair, inside, 1) - 1
    last_column = tl.load(ends + 2 * pair + 1, inside, 1) - 1
    nothing = tl.zeros([block], above.dtype.element_ty)
    infinite = nothing + float("inf")
    found = nothing
    for row in range(rows):
        first = tl.minimum(columns, tl.maximum(0, row - band))
        left = infinite
        diagonal = infinite
        if row == 0:
            diagonal = nothing
        if first > 0:
            diagonal = tl.load(above + (first - 1) * batch + pair, inside, 0.0)
        for column in range(first, tl.minimum(columns, row + band + 1)):
            own = tl.load(costs + (row * columns + column) * batch + pair, inside, 0.0)
            up = tl.load(above + column * batch + pair, inside, 0.0)
            straight = tl.minimum(up, left)
            if with_path:
                across = diagonal <= straight
                upward = up <= left
                step = (across | upward).to(tl.uint8) + 2 * (across | ~upward).to(tl.uint8)
                tl.store(steps + (row * columns + column) * batch + pair, step, inside)
            left = own + tl.minimum(diagonal, straight)
            tl.store(above + column * batch + pair, left, inside)
            diagonal = up
            found = tl.where((row == last_row) & (column == last_column), left, found)
    tl.store(distances + pair, found, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _paths(
    steps: "Any",
    ends: "Any",
    mask: "Any",
    batch: "Any",
    rows: "Any",
    columns: "Any",
    block: tl.constexpr,
) -> None:
    """Walks back from the last cells; a path has at most N + M - 1 cells."""
    pair = tl.program_id(0) * block + tl.arange(0, block)
    inside = pair < batch
    place = (tl.load(ends + 2 * pair, inside, 1) - 1) * columns
    place += tl.load(ends + 2 * pair + 1, inside, 1) - 1
    for _ in range(rows + columns - 1):
        tl.store(mask + place * batch + pair, 1, inside)
        step = tl.load(steps + place * batch + pair, inside, 0).to(tl.int32)
        back = (step & 1) * columns + (step >> 1)
        place = tl.where(place > back, place - back, 0)


@triton.jit  # type: ignore[untyped-decorator]
def _soft_distances(
    costs: "Any",
    ends: "Any",
    above: "Any",
    chances: "Any",
    distances: "Any",
    softness: "Any",
    batch: "Any",
    rows: "Any",
    columns: "Any",
    band: "Any",
    with_chances: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """`chances` is (3, N, M, B): of the steps from across, from above, from the left."""
    gamma = tl.load(softness)
    pair = tl.program_id(0) * block + tl.arange(0, block)
    inside = pair < batch
    last_row = tl.load(ends + 2 * pair, inside, 1) - 1
    last_column = tl.load(ends + 2 * pair + 1, inside, 1) - 1
    nothing = tl.zeros([block], above.dtype.element_ty)
    infinite = nothing + float("inf")
    found = nothing
    size = rows * columns * batch
    for row in range(rows):
        first = tl.minimum(columns, tl.maximum(0, row - band))
        left = infinite
        diagonal = infinite
        if row == 0:
            diagonal = nothing
        if first > 0:
            diagonal = tl.load(above + (first - 1) * batch + pair, inside, 0.0)
        for column in range(first, tl.minimum(columns, row + band + 1)):
            place = (row * columns + column) * batch + pair
            own = tl.load(costs + place, inside, 0.0)
            up = tl.load(above + column * batch + pair, inside, 0.0)
            lowest = tl.minimum(diagonal, tl.minimum(up, left))
            from_diagonal = tl.exp((lowest - diagonal) / gamma)
            from_up = tl.exp((lowest - up) / gamma)
            from_left = tl.exp((lowest - left) / gamma)
            gathered = from_diagonal + (from_up + from_left)
            if with_chances:
                tl.store(chances + place, from_diagonal / gathered, inside)
                tl.store(chances + size + place, from_up / gathered, inside)
                tl.store(chances + 2 * size + place, from_left / gathered, inside)
            left = own + lowest - gamma * tl.log(gathered)
            tl.store(above + column * batch + pair, left, inside)
            diagonal = up
            found = tl.where((row == last_row) & (column == last_column), left, found)
    tl.store(distances + pair, found, inside)


@triton.jit  # type: ignore[untyped-decorator]
def _expected_alignments(
    chances: "Any",
    ends: "Any",
    arriving: "Any",
    alignment: "Any",
    batch: "Any",
    rows: "Any",
    columns: "Any",
    band: "Any",
    block: tl.constexpr,
) -> None:
    """`arriving` is (M, B) zeros: what comes into a row's columns from the row below."""
    pair = tl.program_id(0) * block + tl.arange(0, block)
    inside = pair < batch
    last_row = tl.load(ends + 2 * pair, inside, 1) - 1
    last_column = tl.load(ends + 2 * pair + 1, inside, 1) - 1
    size = rows * columns * batch
    nothing = tl.zeros([block], arriving.dtype.element_ty)
    for row_after in range(rows):
        row = rows - 1 - row_after
        first = tl.minimum(columns, tl.maximum(0, row - band))
        end = tl.minimum(columns, row + band + 1)
        from_right = nothing
        from_corner = nothing
        for column_after in range(end - first):
            column = end - 1 - column_after
            place = (row * columns + column) * batch + pair
            is_last = (row == last_row) & (column == last_column)
            expected = tl.load(arriving + column * batch + pair, inside, 0.0) + from_right
            expected = tl.where(is_last, expected + 1.0, expected)
            tl.store(alignment + place, expected, inside)
            from_up = expected * tl.load(chances + size + place, inside, 0.0)
            tl.store(arriving + column * batch + pair, from_up + from_corner, inside)
            from_corner = expected * tl.load(chances + place, inside, 0.0)
            from_right = expected * tl.load(chances + 2 * size + place, inside, 0.0)
        if first > 0:
            tl.store(arriving + (first - 1) * batch + pair, from_corner, inside)
