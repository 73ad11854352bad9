"""How well predicted numbers order things: rank correlation, precision, gain, of many rows at once.

Rank correlation compares two sets of numbers (ContentCTR: predicted and true CTR of a window's
20 segments); precision and gain look at what the highest scores found. Ties are exact everywhere:
a result never depends on the order in which equal numbers stand, unless the docstring says so.

Numbers are float32 or float64; integers are taken where float64 holds them exactly. Work grows
with the square of N: for windows and videos, not for a million scores in one row.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.kernels import ranking_batch
from limelight.kernels.lanes import LANE_BYTES
from limelight.kernels.threads import run_in_threads

Numbers = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]
Relevance = NDArray[np.bool_] | NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

# Above so many items the pairs of a window, the opposite ones counted twice, no longer fit the
# 32-bit counts of float32 lanes.
_MOST_IN_FLOAT32 = 46_341
_MOST_EXACT = 2**53
# "Very Good" on the scale 0 (Very Bad) to 4.
_VERY_GOOD = 4


def kendall_tau(predicted: Numbers, actual: Numbers, *, threads: int = 1) -> Floats:
    """(B,) Kendall's tau-b of windows, in [-1, 1]; NaN where it is undefined.

        tau = (P - Q) / sqrt((P + Q + T) * (P + Q + U))

    over pairs of a window: P in the same order in both, Q in opposite order, T tied in `predicted`
    only, U tied in `actual` only; a pair tied in both counts nowhere. Undefined where all of
    `predicted` or all of `actual` is equal, and where N < 2; `mean_where_defined` counts these.

    Args:
        predicted: (B, N) predicted CTR.
        actual: (B, N) true CTR.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: something is empty, not finite, of another shape or dtype.

    Source: ContentCTR, equation 15.
    """
    return _of_windows(ranking_batch.kendall_blocks, predicted, actual, threads)


def spearman(predicted: Numbers, actual: Numbers, *, threads: int = 1) -> Floats:
    """(B,) Spearman's rho of windows, in [-1, 1]: Pearson's correlation of mean ranks.

    Args, errors and where it is undefined (NaN) as in `kendall_tau`.
    """
    return _of_windows(ranking_batch.spearman_blocks, predicted, actual, threads)


def mean_where_defined(values: Floats) -> tuple[float, int]:
    """The mean of what is not NaN, and how many are NaN; the mean of nothing is NaN.

    [0.5, NaN, 1.0] -> (0.75, 1). Report the number along with the mean: windows in which nothing
    differs say nothing about an order, and a model that predicts a constant has only those.
    """
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if defined.size else float("nan")
    return mean, values.size - defined.size


def average_precision(scores: Numbers, relevant: Relevance, *, threads: int = 1) -> Floats:
    """(B,) average precision, in (0, 1]: the mean precision at the scores of relevant items.

    Precision at a score is the share of relevant ones among all items that score as much or more,
    as in scikit-learn's `average_precision_score`. NaN where nothing is relevant. mAP is the mean
    over rows (`mean_where_defined`), a row being a video or, in ContentCTR's evaluation on PHD
    (section 4.2), a target video of one user.

    Worked example: scores 4 3 2 1 with the 4 and the 2 relevant: (1/1 + 2/3) / 2 = 0.83.

    Args:
        scores: (B, N), higher is better.
        relevant: (B, N), booleans or integers 0 and 1.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: something is empty, not finite, of another shape or dtype.
    """
    return _of_precision(scores, relevant, threads, is_interpolated=False)


def interpolated_average_precision(
    scores: Numbers, relevant: Relevance, *, threads: int = 1
) -> Floats:
    """(B,) average precision as QVHighlights counts it: interpolated, in (0, 1].

    The precision at a score is replaced by the best one at that score or below, and averaged over
    the distinct scores of relevant items: two relevant items of one score count once. NaN where
    nothing is relevant (QVHighlights: 0, see `qvhighlights`).

    Worked example: scores 4 3 2 1, all relevant but the 4: precisions 1/2, 2/3, 3/4, each replaced
    by 3/4.

    Args and errors as in `average_precision`.

    Source: `get_ap` in standalone_eval of github.com/jayleicn/moment_detr, which took it from
        github.com/gyglim/video2gif_dataset.
    """
    return _of_precision(scores, relevant, threads, is_interpolated=True)


def trapezoid_average_precision(
    scores: Numbers, relevant: Relevance, *, k: int | None = None, threads: int = 1
) -> Floats:
    """(B,) average precision among the best k as TVSum and YouTube Highlights count it, in [0, 1].

    The area under precision over recall by trapezoids, starting from precision 1, with recall
    counted among the k; 0 where none of them is relevant. Among equal scores the first goes first.
    TVSum's top-5 mAP takes k = 5 and, for each of its 20 annotators, what he rated above his
    median as relevant, then means over videos and annotators; YouTube Highlights takes all clips,
    relevant where `match` > 0.

    Worked example: scores 4 3 2 1 with the 4 and the 2 relevant: recall goes to 1/2 under
    precision 1, stays while precision falls to 1/2, and goes to 1 under (1/2 + 2/3) / 2:
    0.5 * 1 + 0.5 * 0.583 = 0.79.

    Args and errors as in `average_precision`; k is 1 or more, None takes all.

    Source: `evaluate` in datasets/tvsum.py and datasets/youtube.py of github.com/TencentARC/UMT
        (Liu et al. 2022), which later papers follow.
    """
    found, wanted = _checked_precision(scores, relevant)
    k = found.shape[1] if k is None else min(_checked_k(k), found.shape[1])
    return _of_rows(ranking_batch.trapezoid_rows, found, wanted, (k,), threads)


def hit_at_1(scores: Numbers, relevant: Relevance) -> Floats:
    """(B,) 1 where the item of the highest score is relevant, else 0; HIT@1 is the mean.

    Among equal scores the first item is taken, and where nothing is relevant it is 0: both as in
    QVHighlights (Lei et al. 2021, `compute_hl_hit1` in standalone_eval).

    Args and errors as in `average_precision`.
    """
    found, wanted = _checked_precision(scores, relevant)
    _check_finite("scores", found)
    highest = found.argmax(axis=1)
    return np.asarray(wanted[np.arange(len(found)), highest], np.float64)


def qvhighlights(
    scores: Numbers,
    saliency: NDArray[np.integer[Any]],
    *,
    lowest: int = _VERY_GOOD,
    threads: int = 1,
) -> tuple[Floats, Floats]:
    """(B,) average precisions and (B,) hits of queries; their means are QVHighlights' mAP, HIT@1.

    A clip is relevant to an annotator who rated it `lowest` or more: 4 is Very Good, the figure
    that papers report, 3 Good and 2 Fair. The three annotators are never merged beforehand:
    average precision is interpolated, taken for each and averaged, 0 for one who found nothing
    relevant; the highest clip is a hit when any of them finds it relevant. The original rounds the
    means to 0.01 %.

    Videos of another number of clips need a call of their own (2 s a clip, most have 75); a clip
    outside of `relevant_clip_ids` has saliency 0.

    Args:
        scores: (B, N) predicted saliency.
        saliency: (B, N, A) integers 0 to 4 by A annotators.
        lowest: the lowest saliency of a relevant clip.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: as in `average_precision`.

    Source: Lei et al. 2021, QVHighlights; `eval_highlight` in standalone_eval/eval.py of
        github.com/jayleicn/moment_detr.
    """
    found = _checked_numbers("scores", scores)
    if not isinstance(saliency, np.ndarray) or saliency.dtype.kind not in "iu":
        raise ValueError(f"saliency: found {_kind(saliency)}, expected an array of integers")
    if saliency.ndim != 3 or saliency.shape[:2] != found.shape or not saliency.shape[2]:
        raise ValueError(
            f"saliency: found shape {saliency.shape}, expected {found.shape} as in scores, and "
            "annotators"
        )
    relevant = saliency >= lowest
    precisions = [
        np.nan_to_num(interpolated_average_precision(found, own, threads=threads))
        for own in np.moveaxis(relevant, 2, 0)
    ]
    return np.mean(precisions, axis=0), hit_at_1(found, np.asarray(relevant.any(axis=2)))


def ndcg_at_k(scores: Numbers, gains: Numbers, k: int, *, threads: int = 1) -> Floats:
    """(B,) normalised discounted cumulative gain of the best k, in [0, 1].

    NaN where all gains are 0.

    The gain of place p = 1, 2, ... counts 1 / log2(p + 1); gains are taken as they are, not as
    powers of two. Items of equal score share the mean gain of their places (McSherry and Najork
    2008), as in scikit-learn's `ndcg_score`, which says 0 where this says NaN.

    Args:
        scores: (B, N), higher is better.
        gains: (B, N), 0 or more.
        k: how many places count, 1 or more; more than N counts all.
        threads: how many to use; the GIL is not held.

    Raises:
        ValueError: something is empty, not finite, of another shape or dtype, or a gain below 0.
    """
    found, wanted = _checked_numbers("scores", scores), _checked_numbers("gains", gains)
    _check_shape("gains", wanted, "scores", found)
    _check_finite("gains", wanted)
    if wanted.min() < 0:
        row, item = np.argwhere(wanted < 0)[0]
        raise ValueError(f"gains[{row}, {item}]: found {wanted[row, item]}, expected 0 or more")
    wanted = wanted.astype(np.float64)
    k = min(_checked_k(k), found.shape[1])
    return _of_rows(ranking_batch.ndcg_rows, found, wanted, (k,), threads)


def _of_windows(
    kernel: Callable[..., bool], predicted: Numbers, actual: Numbers, threads: int
) -> Floats:
    ours, theirs = _checked_numbers("predicted", predicted), _checked_numbers("actual", actual)
    _check_shape("actual", theirs, "predicted", ours)
    batch, length = ours.shape
    dtype = np.result_type(ours, theirs) if length <= _MOST_IN_FLOAT32 else np.dtype(np.float64)
    flat = ours.astype(dtype, copy=False).reshape(-1), theirs.astype(dtype, copy=False).reshape(-1)
    answers = np.empty(batch)
    width = LANE_BYTES // dtype.itemsize
    inputs = (*flat, batch, length)
    if not run_in_threads(kernel, inputs, -(-batch // width), (answers,), threads):
        _check_finite("predicted", ours)
        _check_finite("actual", theirs)
    return answers


def _of_precision(
    scores: Numbers, relevant: Relevance, threads: int, *, is_interpolated: bool
) -> Floats:
    found, wanted = _checked_precision(scores, relevant)
    return _of_rows(ranking_batch.precision_rows, found, wanted, (is_interpolated,), threads)


def _of_rows(
    kernel: Callable[..., bool],
    scores: NDArray[Any],
    wanted: NDArray[Any],
    options: tuple[int, ...],
    threads: int,
) -> Floats:
    answers = np.empty(len(scores))
    inputs = (scores.reshape(-1), wanted.reshape(-1), scores.shape[1], *options)
    if not run_in_threads(kernel, inputs, len(scores), (answers,), threads):
        _check_finite("scores", scores)
    return answers


def _checked_precision(
    scores: Numbers, relevant: Relevance
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    found = _checked_numbers("scores", scores)
    if not isinstance(relevant, np.ndarray) or relevant.dtype.kind not in "biu":
        raise ValueError(
            f"relevant: found {_kind(relevant)}, expected an array of booleans or integers 0 and 1"
        )
    _check_shape("relevant", relevant, "scores", found)
    if relevant.dtype.kind != "b":
        odd = (relevant != 0) & (relevant != 1)
        if odd.any():
            row, item = np.argwhere(odd)[0]
            raise ValueError(
                f"relevant[{row}, {item}]: found {relevant[row, item]}, expected 0 or 1"
            )
    return found, np.ascontiguousarray(relevant, np.uint8)


def _checked_numbers(name: str, values: Numbers) -> NDArray[Any]:
    """Contiguous float32 or float64; integers become float64."""
    is_whole = isinstance(values, np.ndarray) and values.dtype.kind in "iu"
    if not is_whole and (
        not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64)
    ):
        raise ValueError(
            f"{name}: found {_kind(values)}, expected an array of float32, float64 or integers"
        )
    if values.ndim != 2:
        raise ValueError(f"{name}: found shape {values.shape}, expected 2 dimensions")
    if not values.size:
        raise ValueError(f"{name}: found shape {values.shape}, expected no dimension of 0")
    if not is_whole:
        return np.ascontiguousarray(values)
    too_large = (values > _MOST_EXACT) | (values < -_MOST_EXACT)
    if values.dtype.itemsize == 8 and too_large.any():
        row, item = np.argwhere(too_large)[0]
        raise ValueError(
            f"{name}[{row}, {item}]: found {values[row, item]}, expected an integer that float64 "
            "holds, within 2**53"
        )
    return np.ascontiguousarray(values, np.float64)


def _kind(values: object) -> object:
    return getattr(values, "dtype", type(values).__name__)


def _check_shape(name: str, values: NDArray[Any], other: str, others: NDArray[Any]) -> None:
    if values.shape != others.shape:
        raise ValueError(
            f"{name}: found shape {values.shape}, expected {others.shape} as in {other}"
        )


def _check_finite(name: str, values: NDArray[Any]) -> None:
    usable = np.isfinite(values)
    if not usable.all():
        row, item = np.argwhere(~usable)[0]
        raise ValueError(
            f"{name}[{row}, {item}]: found {values[row, item]}, expected a finite number"
        )


def _checked_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"k: found {k!r}, expected a whole number, 1 or more")
    return int(k)
