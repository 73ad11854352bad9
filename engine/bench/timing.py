"""Minimum and median of functions that take turns."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from statistics import median
from time import perf_counter

import torch


@dataclass(frozen=True, slots=True)
class Timing:
    min_ms: float
    median_ms: float


def nothing() -> None:
    """Is done between turns where there is nothing to do."""


def interleaved(
    peers: dict[str, Callable[[], object]],
    *,
    repeats: int,
    before_turn: Callable[[], object] = nothing,
) -> dict[str, Timing]:
    """Minimum and median time of each peer, after one warm-up, taking turns in one process.

    Taking turns spreads what else the machine does evenly over the peers. `before_turn` is not
    timed. A peer is done when the GPU is.
    """
    times_ms: dict[str, list[float]] = {name: [] for name in peers}
    for turn in range(repeats + 1):
        before_turn()
        for name, run in peers.items():
            wait_for_device()
            start = perf_counter()
            run()
            wait_for_device()
            if turn:
                times_ms[name].append((perf_counter() - start) * 1000)
    return {name: Timing(min(times), median(times)) for name, times in times_ms.items()}


def wait_for_device() -> None:
    """Returns when the GPU, if there is one, has done what it was given."""
    if _has_gpu():
        torch.cuda.synchronize()


# Asked anew it may take longer than what is timed.
_has_gpu = cache(torch.cuda.is_available)
