"""Comment energy: is a room livelier now than it was a moment ago?

The baseline of every evaluation, and what decides while no network has been trained. It looks at
nothing but when comments came and how much each counts.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

SEGMENT_MS = 30_000
WINDOW_SEGMENTS = 20
SHORT_MS = SEGMENT_MS
LONG_MS = (WINDOW_SEGMENTS - 1) * SEGMENT_MS
# As if so many comments had come in the short span and were expected there: two people in an empty
# room are not a burst. In a busy room it hardly counts.
PRIOR = 3.0
NEUTRAL_ENERGY = 0.5


def comment_energy(
    times_ms: ArrayLike,
    at_ms: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    short_ms: int = SHORT_MS,
    long_ms: int = LONG_MS,
    first_ms: int | None = None,
    prior: float = PRIOR,
) -> NDArray[np.float64]:
    """(Q,) energies in (0, 1); 0.5 means the same rate as the room's own recent past.

    With n the weight of the comments in (at - short, at], and e the weight in
    (at - short - long, at - short] scaled down to a span of `short_ms`,
        energy = (n + prior) / (n + e + 2 * prior).
    While less than `short_ms` of past is known the energy is 0.5: a rate taken from a few
    milliseconds would say anything.

    Worked example: 6 comments in the last 30 s; 19 in the 570 s before, so 1 expected.
    With prior 1: (6 + 1) / (6 + 1 + 2) = 0.78.

    Args:
        times_ms: (M,) event times of the comments, ascending.
        at_ms: (Q,) ends of the spans asked about, ascending.
        weights: (M,) what each comment counts, >= 0; None counts each as 1.
        short_ms: length of the span asked about.
        long_ms: length of the past that it is compared with.
        first_ms: when the room's past begins; None takes the first comment's time. A past shorter
            than `long_ms` is scaled by its own length.
        prior: comments added to both sides, > 0.

    Raises:
        ValueError: times out of order, numbers out of range or not finite, lengths that differ.
    """
    times = _ascending_times("times_ms", times_ms)
    at = _ascending_times("at_ms", at_ms)
    _check_spans(short_ms, long_ms, first_ms, prior)
    cumulative = np.arange(len(times) + 1, dtype=np.float64)
    if weights is not None:
        np.cumsum(_checked_weights(weights, len(times)), out=cumulative[1:])
    if not len(times):
        return np.full(len(at), NEUTRAL_ENERGY)
    if first_ms is None:
        first_ms = int(times[0])
    elif first_ms > times[0]:
        raise ValueError(f"first_ms: found {first_ms}, expected at most the first time {times[0]}")
    return np.asarray(
        _energies(times, at, cumulative, int(short_ms), int(long_ms), first_ms, float(prior))
    )


class IncrementalEnergy:
    """The energies of `comment_energy`, of a room whose comments come one at a time.

    Comments and questions share one clock that never goes back: an answer counts the comments
    added so far, and a comment from before the last question or comment is refused. Each comment
    is looked at three times in all, and kept for `short_ms + long_ms` of the clock.

    Answers are bit-identical to `comment_energy` of all comments added so far: both take
    differences of the same running sum of weights, added up in the same order, also where the
    earlier comments have been forgotten.

    Worked example, short 10 ms and long 20 ms, comments at 0, 5, 12 and 30: at 30 the past (0, 20]
    holds 5 and 12 and so expects 1, (20, 30] holds 30, and 0 is forgotten. With prior 1:
    (1 + 1) / (1 + 1 + 2) = 0.5.
    """

    def __init__(
        self,
        *,
        short_ms: int = SHORT_MS,
        long_ms: int = LONG_MS,
        first_ms: int | None = None,
        prior: float = PRIOR,
    ) -> None:
        """Of a room in which nothing was said yet.

        Args and errors as in `comment_energy`.
        """
        _check_spans(short_ms, long_ms, first_ms, prior)
        self._short_ms, self._long_ms, self._prior = int(short_ms), int(long_ms), float(prior)
        self._given_first_ms = first_ms
        self._first_ms: int | None = None
        self._clock_ms: int | None = None
        # Time and weight of all comments up to and with this one, of the two spans.
        self._past: deque[tuple[int, float]] = deque()
        self._current: deque[tuple[int, float]] = deque()
        # Weight of all comments: that were forgotten, that left the short span, that came.
        self._old = self._split = self._new = 0.0

    def __len__(self) -> int:
        """How many comments are kept."""
        return len(self._past) + len(self._current)

    def add(self, time_ms: int, weight: float = 1.0) -> None:
        """Takes the next comment.

        Raises:
            ValueError: a time before the clock or `first_ms`, or a weight that is negative or not
                finite.
        """
        if not 0 <= weight < float("inf"):
            raise ValueError(f"weight: found {weight}, expected finite, >= 0")
        first_ms = time_ms if self._given_first_ms is None else self._given_first_ms
        if time_ms < first_ms:
            raise ValueError(f"time_ms: found {time_ms}, expected at least first_ms, {first_ms}")
        time_ms = self._advance("time_ms", time_ms)
        if self._first_ms is None:
            self._first_ms = int(first_ms)
        self._new += float(weight)
        self._current.append((time_ms, self._new))

    def energy(self, at_ms: int) -> float:
        """Energy in (0, 1) of the span that ends at `at_ms`; 0.5 while too little is known.

        Raises:
            ValueError: a time before the clock.
        """
        at_ms = self._advance("at_ms", at_ms)
        if self._first_ms is None:
            return NEUTRAL_ENERGY
        known_ms = min(self._long_ms, at_ms - self._short_ms - self._first_ms)
        if known_ms < self._short_ms:
            return NEUTRAL_ENERGY
        current = self._new - self._split
        expected = (self._split - self._old) * self._short_ms / known_ms
        return (current + self._prior) / (current + expected + 2 * self._prior)

    def _advance(self, name: str, clock_ms: int) -> int:
        if not isinstance(clock_ms, (int, np.integer)):
            raise ValueError(f"{name}: found {clock_ms!r}, expected whole ms")
        if self._clock_ms is not None and clock_ms < self._clock_ms:
            raise ValueError(
                f"{name}: found {clock_ms} after {self._clock_ms}, expected ascending order"
            )
        self._clock_ms = clock_ms = int(clock_ms)
        split_ms = clock_ms - self._short_ms
        while self._current and self._current[0][0] <= split_ms:
            self._past.append(self._current.popleft())
            self._split = self._past[-1][1]
        old_ms = split_ms - self._long_ms
        while self._past and self._past[0][0] <= old_ms:
            self._old = self._past.popleft()[1]
        return clock_ms


def user_weights(times_ms: ArrayLike, user_ids: Sequence[str | None]) -> NDArray[np.float64]:
    """(M,) weights: a user's k-th comment counts 1/k, so that one user cannot make a burst.

    A comment whose user is unknown (None or empty) counts 1.

    Raises:
        ValueError: times out of order, or not one user id for each of them.
    """
    times = _ascending_times("times_ms", times_ms)
    if len(user_ids) != len(times):
        raise ValueError(f"user_ids: found {len(user_ids)}, expected {len(times)}, one for a time")
    weights = np.ones(len(times))
    said: dict[str, int] = {}
    for position, user_id in enumerate(user_ids):
        if user_id:
            said[user_id] = said.get(user_id, 0) + 1
            weights[position] = 1 / said[user_id]
    return weights


def _check_spans(short_ms: int, long_ms: int, first_ms: int | None, prior: float) -> None:
    for name, span in (("short_ms", short_ms), ("long_ms", long_ms)):
        if not isinstance(span, (int, np.integer)) or span <= 0:
            raise ValueError(f"{name}: found {span!r}, expected whole ms, more than 0")
    if first_ms is not None and not isinstance(first_ms, (int, np.integer)):
        raise ValueError(f"first_ms: found {first_ms!r}, expected whole ms")
    if not (np.isfinite(prior) and prior > 0):
        raise ValueError(f"prior: found {prior}, expected a finite number above 0")


def _ascending_times(name: str, times_ms: ArrayLike) -> NDArray[np.int64]:
    times = np.asarray(times_ms)
    if times.ndim != 1:
        raise ValueError(f"{name}: found {times.ndim} dimensions, expected 1")
    if times.size == 0:
        return np.zeros(0, np.int64)
    if times.dtype.kind not in "iuf":
        raise ValueError(f"{name}: found dtype {times.dtype}, expected numbers")
    if times.dtype.kind == "f" and not np.isfinite(times).all():
        position = int(np.argmin(np.isfinite(times)))
        raise ValueError(f"{name}[{position}]: found {times[position]}, expected a finite number")
    whole = np.ascontiguousarray(times, np.int64)
    if whole is not times and (whole != times).any():
        position = int(np.argmax(whole != times))
        raise ValueError(f"{name}[{position}]: found {times[position]}, expected whole ms")
    is_late = whole[1:] < whole[:-1]
    if is_late.any():
        late = int(np.argmax(is_late)) + 1
        raise ValueError(
            f"{name}[{late}]: found {whole[late]} after {whole[late - 1]}, expected ascending order"
        )
    return whole


def _checked_weights(weights: ArrayLike, count: int) -> NDArray[np.float64]:
    checked = np.ascontiguousarray(weights, np.float64)
    if checked.shape != (count,):
        raise ValueError(f"weights: found shape {checked.shape}, expected ({count},)")
    usable = np.isfinite(checked) & (checked >= 0)
    if not usable.all():
        position = int(np.argmin(usable))
        raise ValueError(f"weights[{position}]: found {checked[position]}, expected finite, >= 0")
    return checked


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _energies(
    times: NDArray[np.int64],
    at: NDArray[np.int64],
    cumulative: NDArray[np.float64],
    short_ms: int,
    long_ms: int,
    first_ms: int,
    prior: float,
) -> NDArray[np.float64]:
    # old, split and new are how many times lie at or before the three span borders. The queries
    # ascend, so none of them ever goes back. cumulative never falls (rounding keeps x + w >= x for
    # w >= 0), so both differences are >= 0.
    energies = np.empty(len(at))
    old = split = new = 0
    for query in range(len(at)):
        split_ms = at[query] - short_ms
        while new < len(times) and times[new] <= at[query]:
            new += 1
        while split < new and times[split] <= split_ms:
            split += 1
        while old < split and times[old] <= split_ms - long_ms:
            old += 1
        known_ms = min(long_ms, split_ms - first_ms)
        if known_ms < short_ms:
            energies[query] = 0.5
            continue
        current = cumulative[new] - cumulative[split]
        expected = (cumulative[split] - cumulative[old]) * short_ms / known_ms
        energies[query] = (current + prior) / (current + expected + 2 * prior)
    return energies
