"""The scores a caller hands to a benchmark's measure, checked."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", str, int)
Scores = NDArray[np.floating[Any]]


def check_complete(scores: Mapping[Key, Scores], keys: Collection[Key], kind: str) -> None:
    """Every one of `keys` has its scores, once, and nothing else has.

    Raises:
        ValueError: no keys, one of them twice, one without scores, or scores of something else.
    """
    if not keys:
        raise ValueError(f"found no {kind}, expected at least one")
    wanted = set(keys)
    if len(wanted) < len(keys):
        raise ValueError(f"found {len(keys) - len(wanted)} {kind} twice, expected each once")
    for key in keys:
        if key not in scores:
            raise ValueError(f"{kind} {key}: found no scores, expected some")
    for key in scores:
        if key not in wanted:
            raise ValueError(f"{kind} {key}: found scores, expected none: it is not in the data")


def one_row(scores: Scores, length: int | None, owner: str) -> NDArray[np.float64]:
    """(1, N) `scores`, as the kernels take them.

    Args:
        scores: (N,) finite, higher is better.
        length: N, or None where any will do.
        owner: who they belong to, as it stands in an error.

    Raises:
        ValueError: another shape or dtype, or a score that is not finite.
    """
    found = np.asarray(scores)
    if found.ndim != 1 or not len(found) or (length is not None and len(found) != length):
        expected = "any length" if length is None else str(length)
        raise ValueError(f"{owner}: found scores of shape {found.shape}, expected ({expected},)")
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise ValueError(f"{owner}: found scores that are not finite numbers, expected those")
    return found.astype(np.float64)[None]
