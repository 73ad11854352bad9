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
    batch = _Batch(cost, lengths, band_radius)
    if _checked_gamma(gamma):
        return _soft(batch, gamma, threads, with_alignment=False)[0]
    return _hard(batch, threads, with_path=False)[0]


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
    return _hard(_Batch(cost, lengths, band_radius), threads, with_path=True)


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
    if not _checked_gamma(gamma):
        raise ValueError("gamma: found 0, expected more; a hard alignment is dtw_path's")
    return _soft(_Batch(cost, lengths, band_radius), gamma, threads, with_alignment=True)


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
        _check_floats(name, series, dimensions=1)
        _check_finite(name, series)
    if x.dtype != y.dtype:
        raise ValueError(f"y: found {y.dtype}, expected {x.dtype} as in x")
    band = _checked_band(band_radius, np.array([[len(x), len(y)]]))
    contiguous = np.ascontiguousarray(x), np.ascontiguousarray(y)
    distance = dtw_long.series_distance(*contiguous, band)
    _check_distances(np.array([distance]), x.dtype)
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
    _check_floats("cost", cost, dimensions=2)
    batch = _Batch(cost[None], None, band_radius)
    distance, path = _long_path(batch, 0)
    return float(distance), path


class _Batch:
    """Checked arguments, as the compiled functions want them."""

    def __init__(self, cost: Floats, lengths: ArrayLike | None, band_radius: int | None) -> None:
        _check_floats("cost", cost, dimensions=3)
        self.cost = np.ascontiguousarray(cost)
        self.shape = self.cost.shape
        self.flat = self.cost.reshape(-1)
        self.lengths = _checked_lengths(lengths, self.shape)
        ends = self.lengths if len(self.lengths) else np.array([self.shape[1:]])
        self.band = _checked_band(band_radius, ends)
        self.width = LANE_BYTES // self.cost.itemsize
        self.blocks = -(-self.shape[0] // self.width)
        size = self.shape[1] * self.shape[2]
        self.is_few_and_large = self.shape[0] < _FEW and size >= _LARGE

    def matrix(self, pair: int) -> Floats:
        """Those rows and columns of a matrix that count."""
        rows, columns = self.lengths[pair] if len(self.lengths) else self.shape[1:]
        return self.cost[pair, :rows, :columns]

    def check(self, sums_are_finite: bool, distances: Floats) -> None:
        """Finds what is wrong when a kernel met a sum that is not finite.

        Raises:
            ValueError: a cost is not finite, or a distance does not fit the dtype.
        """
        if sums_are_finite:
            return
        for pair in range(self.shape[0]):
            for row, costs in enumerate(self.matrix(pair)):
                first = max(0, row - self.band)
                odd = ~np.isfinite(costs[first : row + self.band + 1])
                if odd.any():
                    column = first + int(np.argmax(odd))
                    raise ValueError(
                        f"cost[{pair}, {row}, {column}]: found {costs[column]}, expected a finite "
                        "number"
                    )
        _check_distances(distances, self.cost.dtype)


def _hard(batch: _Batch, threads: int, *, with_path: bool) -> tuple[Floats, NDArray[np.bool_]]:
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
            threads,
        ),
        distances,
    )
    return distances, mask


def _soft(
    batch: _Batch, gamma: float, threads: int, *, with_alignment: bool
) -> tuple[Floats, Floats]:
    distances = np.empty(batch.shape[0], batch.cost.dtype)
    alignment = np.empty(batch.shape if with_alignment else 0, batch.cost.dtype)
    if batch.is_few_and_large:
        alignment[...] = 0
        for pair in range(batch.shape[0]):
            matrix = batch.matrix(pair)
            rows, columns = matrix.shape
            target = alignment[pair, :rows, :columns] if with_alignment else np.empty((0, 0))
            distances[pair] = dtw_single.soft_distance(matrix, gamma, batch.band, target)
        batch.check(False, distances)
        return distances, alignment
    batch.check(
        run_in_threads(
            dtw_batch.soft_blocks,
            (batch.flat, *batch.shape, batch.lengths, batch.band, float(gamma)),
            batch.blocks,
            (distances, alignment.reshape(-1)),
            threads,
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
    return distance, path[:count][::-1]


def _long_distance(batch: _Batch, pair: int, directions: NDArray[Any]) -> float:
    matrix = np.ascontiguousarray(batch.matrix(pair))
    distance, is_finite = dtw_long.matrix_distance(
        matrix.reshape(-1), *matrix.shape, batch.band, directions
    )
    batch.check(is_finite, np.array([distance]))
    return float(distance)


def _check_floats(name: str, values: object, *, dimensions: int) -> None:
    if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64):
        found = getattr(values, "dtype", type(values).__name__)
        raise ValueError(f"{name}: found {found}, expected an array of float32 or float64")
    if values.ndim != dimensions:
        raise ValueError(f"{name}: found shape {values.shape}, expected {dimensions} dimensions")
    if not values.size:
        raise ValueError(f"{name}: found shape {values.shape}, expected no dimension of 0")


def _check_finite(name: str, series: Floats) -> None:
    usable = np.isfinite(series)
    if not usable.all():
        position = int(np.argmin(usable))
        raise ValueError(f"{name}[{position}]: found {series[position]}, expected a finite number")


def _checked_gamma(gamma: float) -> bool:
    """Whether the minimum is soft."""
    if not (np.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"gamma: found {gamma}, expected a finite number, 0 or more")
    return gamma > 0


def _checked_lengths(lengths: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.intp]:
    if lengths is None:
        return np.empty((0, 2), np.intp)
    found = np.asarray(lengths)
    if found.shape != (shape[0], 2) or found.dtype.kind not in "iu":
        raise ValueError(
            f"lengths: found {found.dtype} of shape {found.shape}, expected integers of shape "
            f"({shape[0]}, 2): rows and columns of each matrix"
        )
    usable = (found >= 1) & (found <= shape[1:])
    if not usable.all():
        pair, side = np.argwhere(~usable)[0]
        raise ValueError(
            f"lengths[{pair}, {side}]: found {found[pair, side]}, expected 1 to {shape[1 + side]}"
        )
    return np.ascontiguousarray(found, np.intp)


def _checked_band(band_radius: int | None, ends: NDArray[np.intp]) -> int:
    """The largest |i - j|; where there is no band, one that is wider than any matrix."""
    if band_radius is None:
        return int(ends.max(axis=0).sum())
    if not isinstance(band_radius, (int, np.integer)) or band_radius < 0:
        raise ValueError(f"band_radius: found {band_radius!r}, expected a whole number, 0 or more")
    apart = np.abs(ends[:, 0] - ends[:, 1])
    if apart.max() > band_radius:
        pair = int(np.argmax(apart > band_radius))
        rows, columns = ends[pair]
        raise ValueError(
            f"band_radius: found {band_radius}, expected at least {apart[pair]}, for no path leads "
            f"through {rows} x {columns} cells (matrix {pair})"
        )
    return int(min(band_radius, ends.max(axis=0).sum()))


def _check_distances(distances: Floats, dtype: Any) -> None:
    usable = np.isfinite(distances)
    if not usable.all():
        pair = int(np.argmin(usable))
        raise ValueError(
            f"cost[{pair}]: found costs whose sum is beyond {dtype}, expected smaller ones"
        )
