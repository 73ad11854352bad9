"""Dynamic time warping of many small matrices or of one long pair, hard and soft.

Monotone paths run from cell (0, 0) to the last cell by steps (1, 0), (0, 1) and (1, 1). The hard
distance is the smallest sum of costs along a path; the soft one replaces the minimum by
`-gamma * log(sum(exp(-x / gamma)))` (Cuturi and Blondel 2017), which has a gradient everywhere.

Ties: the path is followed back from its last cell, and among predecessors of equal distance the
one across (-1, -1) goes before the one above (-1, 0), and that before the one to the left (0, -1).

`band_radius` allows cells with |i - j| <= band_radius only (Sakoe and Chiba 1978). `lengths` says
how much of each matrix counts: row b is (n, m), and what lies beyond is never looked at. Nor are
cells outside the band.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from limelight.kernels import dtw_batch, dtw_long, dtw_single
from limelight.kernels.dtw_arguments import (
    check_costs,
    check_distances,
    check_finite,
    check_floats,
    checked_band,
    checked_gamma,
    checked_lengths,
)
from limelight.kernels.lanes import LANE_BYTES
from limelight.kernels.threads import run_in_threads

Floats = NDArray[np.floating[Any]]

# Below so many matrices, and from so many cells on, lanes would mostly stand idle.
_FEW = 4
_LARGE = 4_096


def dtw_distance(
    cost: Floats,
    *,
    gamma: float = 0.0,
    lengths: ArrayLike | None = None,
    band_radius: int | None = None,
    threads: int = 1,
) -> Floats:
    """(B,) distances of B matrices, in the dtype of `cost`.

    Args:
        cost: (B, N, M), float32 or float64.
        gamma: 0 takes the hard minimum, more the soft one.
        lengths: (B, 2) numbers of rows and columns that count, or None for all.
        band_radius: largest |i - j| of a path, or None for any.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: something is empty, not finite, of another shape or dtype; no path in the band;
            a distance too large for the dtype.
    """
    batch = _Batch(cost, lengths, band_radius, threads)
    if checked_gamma(gamma):
        return _soft(batch, gamma, with_alignment=False)[0]
    return _hard(batch, with_path=False)[0]


def dtw_path(
    cost: Floats,
    *,
    lengths: ArrayLike | None = None,
    band_radius: int | None = None,
    threads: int = 1,
) -> tuple[Floats, NDArray[np.bool_]]:
    """(B,) hard distances and the (B, N, M) masks of their paths.

    The mask is the gradient of the distance by the cost, wherever the best path is the only one.

    Args and errors as in `dtw_distance`.
    """
    return _hard(_Batch(cost, lengths, band_radius, threads), with_path=True)


def soft_dtw_alignment(
    cost: Floats,
    *,
    gamma: float,
    lengths: ArrayLike | None = None,
    band_radius: int | None = None,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """(B,) soft distances and (B, N, M) expected alignments, the gradients by the cost.

    Under the Gibbs distribution over paths, weights exp(-sum of costs / gamma), an entry is the
    chance that a path goes through the cell.

    Args and errors as in `dtw_distance`; `gamma` is more than 0.
    """
    if not checked_gamma(gamma):
        raise ValueError("gamma: found 0, expected more; a hard alignment is dtw_path's")
    return _soft(_Batch(cost, lengths, band_radius, threads), gamma, with_alignment=True)


def dtw_series_distance(x: Floats, y: Floats, *, band_radius: int | None = None) -> float:
    """Hard distance of two series by squared differences; their matrix is never stored.

    Args:
        x: (N,), float32 or float64.
        y: (M,), of the same dtype.
        band_radius: largest |i - j| of a path, or None for any.

    Raises:
        ValueError: as in `dtw_distance`.
    """
    for name, series in (("x", x), ("y", y)):
        check_floats(name, series, dimensions=1)
        check_finite(name, series)
    if x.dtype != y.dtype:
        raise ValueError(f"y: found {y.dtype}, expected {x.dtype} as in x")
    band = len(x) + len(y)
    if band_radius is not None:
        band = checked_band(band_radius, np.array([[len(x), len(y)]]))
    contiguous = np.ascontiguousarray(x), np.ascontiguousarray(y)
    distance = dtw_long.series_distance(*contiguous, band)
    check_distances(np.array([distance]), x.dtype)
    return float(distance)


def dtw_long_path(
    cost: Floats, *, band_radius: int | None = None
) -> tuple[float, NDArray[np.intp]]:
    """Hard distance of one matrix and its path, as (L, 2) cells from (0, 0) to the last.

    For long pairs: beyond the cost matrix it takes two bits a cell.

    Args:
        cost: (N, M), float32 or float64.
        band_radius: largest |i - j| of a path, or None for any.

    Raises:
        ValueError: as in `dtw_distance`.
    """
    check_floats("cost", cost, dimensions=2)
    batch = _Batch(cost[None], None, band_radius)
    distance, path = _long_path(batch, 0)
    return float(distance), path


class _Batch:
    """Checked arguments, as the compiled functions want them."""

    def __init__(
        self,
        cost: Floats,
        lengths: ArrayLike | None,
        band_radius: int | None,
        threads: int = 1,
    ) -> None:
        check_floats("cost", cost, dimensions=3)
        self.cost = np.ascontiguousarray(cost)
        self.shape = self.cost.shape
        self.flat = self.cost.reshape(-1)
        self.lengths = checked_lengths(lengths, self.shape)
        if threads < 1:
            raise ValueError(f"threads: found {threads}, expected at least 1")
        self.threads = threads
        self.band = self.shape[1] + self.shape[2]
        if band_radius is not None:
            ends = self.lengths if len(self.lengths) else np.array([self.shape[1:]])
            self.band = checked_band(band_radius, ends)
        self.width = LANE_BYTES // self.cost.itemsize
        self.blocks = -(-self.shape[0] // self.width)
        size = self.shape[1] * self.shape[2]
        self.is_few_and_large = self.shape[0] < _FEW and size >= _LARGE

    def matrix(self, pair: int) -> Floats:
        """Those rows and columns of a matrix that count."""
        rows, columns = self.lengths[pair] if len(self.lengths) else self.shape[1:]
        return self.cost[pair, :rows, :columns]

    def check(self, sums_are_finite: bool, distances: Floats, first: int = 0) -> None:
        """Finds what is wrong when a kernel met a sum that is not finite; from matrix `first` on.

        Raises:
            ValueError: a cost is not finite, or a distance does not fit the dtype.
        """
        if sums_are_finite:
            return
        for pair in range(first, first + len(distances)):
            check_costs(pair, self.matrix(pair), self.band)
        check_distances(distances, self.cost.dtype, first)


def _hard(batch: _Batch, *, with_path: bool) -> tuple[Floats, NDArray[np.bool_]]:
    distances = np.empty(batch.shape[0], batch.cost.dtype)
    mask = np.zeros(batch.shape if with_path else 0, np.bool_)
    if batch.is_few_and_large:
        for pair in range(batch.shape[0]):
            if with_path:
                distances[pair], path = _long_path(batch, pair)
                mask[pair][tuple(path.T)] = True
            else:
                distances[pair] = _long_distance(batch, pair, np.empty(0, np.uint16))
        return distances, mask
    batch.check(
        run_in_threads(
            dtw_batch.hard_blocks,
            (batch.flat, *batch.shape, batch.lengths, batch.band),
            batch.blocks,
            (distances, mask.reshape(-1)),
            batch.threads,
        ),
        distances,
    )
    return distances, mask


def _soft(batch: _Batch, gamma: float, *, with_alignment: bool) -> tuple[Floats, Floats]:
    distances = np.empty(batch.shape[0], batch.cost.dtype)
    alignment = np.empty(batch.shape if with_alignment else 0, batch.cost.dtype)
    if batch.is_few_and_large:
        alignment[...] = 0
        for pair in range(batch.shape[0]):
            matrix = batch.matrix(pair)
            rows, columns = matrix.shape
            target = alignment[pair, :rows, :columns] if with_alignment else np.empty((0, 0))
            distance = dtw_single.soft_distance(matrix, float(gamma), batch.band, target)
            with np.errstate(over="ignore"):
                distances[pair] = distance
        batch.check(False, distances)
        return distances, alignment
    batch.check(
        run_in_threads(
            dtw_batch.soft_blocks,
            (batch.flat, *batch.shape, batch.lengths, batch.band, float(gamma)),
            batch.blocks,
            (distances, alignment.reshape(-1)),
            batch.threads,
        ),
        distances,
    )
    return distances, alignment


def _long_path(batch: _Batch, pair: int) -> tuple[float, NDArray[np.intp]]:
    rows, columns = batch.matrix(pair).shape
    strips = -(-rows // batch.width)
    kind = np.uint32 if batch.width == 16 else np.uint16
    directions = np.empty(strips * (columns + batch.width - 1), kind)
    distance = _long_distance(batch, pair, directions)
    path = np.empty((rows + columns - 1, 2), np.intp)
    count = dtw_long.walk_back(directions, rows, columns, batch.width, path)
    return distance, path[:count][::-1].copy()


def _long_distance(batch: _Batch, pair: int, directions: NDArray[Any]) -> float:
    matrix = np.ascontiguousarray(batch.matrix(pair))
    distance, is_finite = dtw_long.matrix_distance(
        matrix.reshape(-1), *matrix.shape, batch.band, directions
    )
    batch.check(is_finite, np.array([distance]), pair)
    return float(distance)
