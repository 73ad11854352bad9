"""How far a room's comments run behind its picture.

Viewers see a picture seconds after it was taken and need a moment to write, so a comment belongs
to an earlier picture than its time says. Where changes of the picture are followed by comments, the
lag at which the two go together best shows how much earlier:

    changes[k]  = 1 - cosine of two pictures that follow each other, taken at a and b
    rate[k, L]  = comments in (a + L, b + L] over b - a
    lag         = the L with the highest correlation of changes[k] and log(1 + rate[k, L])
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from limelight.engine.window import COMMENT_BINS, Window

STEP_MS = 2_000
MAX_LAG_MS = 30_000
MIN_PAIRS = 16
# Correlations of n unrelated pairs spread by 1 / sqrt(n); the highest of 16 lags seldom exceeds
# this many spreads.
SPREADS = 3.2
# A lag changes slowly, and it costs; a room is asked once in so many segments.
EVERY_SEGMENTS = 10


def comment_lags(windows: Sequence[Window]) -> list[int | None]:
    """The lag of each window's room in ms; None where it does not show or was not asked for."""
    return [
        comment_lag_ms(window) if window.segment_index % EVERY_SEGMENTS == 0 else None
        for window in windows
    ]


def comment_lag_ms(window: Window) -> int | None:
    """The lag that the window's segments show, a multiple of `STEP_MS`; None if they show none."""
    start_ms = window.segments[0].start_ms
    pairs = [
        (*times, change)
        for segment in window.segments
        for *times, change in zip(
            segment.frame_times_ms,
            segment.frame_times_ms[1:],
            segment.picture_changes,
            strict=False,
        )
    ]
    if not pairs:
        return None
    bins = [segment.comment_bins for segment in window.segments]
    no_bins = (0,) * COMMENT_BINS
    counts = [count for each in bins for count in (each if len(each) == COMMENT_BINS else no_bins)]
    before_ms, after_ms, changes = np.array(pairs, np.float64).T
    bin_ms = window.segment_ms / COMMENT_BINS
    return lag_of(before_ms - start_ms, after_ms - start_ms, changes, np.array(counts), bin_ms)


def lag_of(
    before_ms: NDArray[np.float64],
    after_ms: NDArray[np.float64],
    changes: NDArray[np.float64],
    counts: NDArray[np.int64],
    bin_ms: float,
) -> int | None:
    """The lag in ms of comments behind changes, or None.

    Args:
        before_ms, after_ms: (K,) when the two pictures of each pair were taken, from the start of
            the first bin, after above before.
        changes: (K,) how much the picture changed.
        counts: (T,) comments in bins of `bin_ms`.
    """
    known = (after_ms + MAX_LAG_MS <= len(counts) * bin_ms) & (after_ms > before_ms)
    if known.sum() < MIN_PAIRS:
        return None
    before_ms, after_ms, changes = before_ms[known], after_ms[known], changes[known]
    lags_ms = np.arange(0, MAX_LAG_MS + 1, STEP_MS)
    edges_ms = np.arange(len(counts) + 1) * bin_ms
    so_far = np.concatenate([[0], np.cumsum(counts)])
    after = np.interp(after_ms[:, None] + lags_ms, edges_ms, so_far)
    before = np.interp(before_ms[:, None] + lags_ms, edges_ms, so_far)
    rates = np.log1p((after - before) / (after_ms - before_ms)[:, None] * 1_000)
    changes = changes - changes.mean()
    rates = rates - rates.mean(axis=0)
    spread = np.sqrt((changes**2).sum() * (rates**2).sum(axis=0))
    correlations = np.divide(changes @ rates, spread, out=np.zeros(len(lags_ms)), where=spread > 0)
    best = int(correlations.argmax())
    if correlations[best] < SPREADS / np.sqrt(len(changes)):
        return None
    return int(lags_ms[best])
