"""What DTW may be asked: checks whose errors name the argument, what was found and expected."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def check_floats(name: str, values: object, *, dimensions: int) -> None:
    if isinstance(values, np.ma.MaskedArray):
        raise ValueError(f"{name}: found a masked array, expected a plain one")
    if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64):
        found = getattr(values, "dtype", type(values).__name__)
        raise ValueError(f"{name}: found {found}, expected an array of float32 or float64")
    if values.ndim != dimensions:
        raise ValueError(f"{name}: found shape {values.shape}, expected {dimensions} dimensions")
    if not values.size:
        raise ValueError(f"{name}: found shape {values.shape}, expected no dimension of 0")


def check_finite(name: str, series: Floats) -> None:
    usable = np.isfinite(series)
    if not usable.all():
        position = int(np.argmin(usable))
        raise ValueError(f"{name}[{position}]: found {series[position]}, expected a finite number")


def checked_gamma(gamma: float) -> bool:
    """Whether the minimum is soft.

    Raises:
        ValueError: `gamma` is below 0 or not finite.
    """
    if not (np.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"gamma: found {gamma}, expected a finite number, 0 or more")
    return gamma > 0


def checked_lengths(lengths: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """(B, 2) rows and columns that count, (0, 2) where all do; `shape` is (B, N, M).

    Raises:
        ValueError: another shape or dtype, or lengths beyond the matrix.
    """
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
    # A copy: the caller may change its own while the kernels run.
    return np.array(found, np.intp, order="C")


def checked_band(band_radius: int, ends: NDArray[np.intp]) -> int:
    """The largest |i - j| of (B, 2) matrices, no more than the matrices have.

    Raises:
        ValueError: no whole number of 0 or more, or no path of a matrix fits.
    """
    is_whole = isinstance(band_radius, (int, np.integer)) and not isinstance(band_radius, bool)
    if not is_whole or band_radius < 0:
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


def check_distances(distances: Floats, dtype: Any, first: int = 0) -> None:
    usable = np.isfinite(distances)
    if not usable.all():
        pair = int(np.argmin(usable))
        raise ValueError(
            f"cost[{first + pair}]: found costs whose sum is beyond {dtype} (or is so after the "
            "division by gamma), expected smaller ones"
        )


def check_costs(pair: int, matrix: Floats, band: int) -> None:
    """The cells of one matrix within the band are finite.

    Raises:
        ValueError: one is not; it is named by `pair`, row and column.
    """
    for row, costs in enumerate(matrix):
        first = max(0, row - band)
        odd = ~np.isfinite(costs[first : row + band + 1])
        if odd.any():
            column = first + int(np.argmax(odd))
            raise ValueError(
                f"cost[{pair}, {row}, {column}]: found {costs[column]}, expected a finite number"
            )
