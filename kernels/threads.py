"""Blocks of a batch shared out to threads.

Numba's own threading layers are not used: its portable one must not be entered by two Python
threads at a time, and OpenMP's does not survive a fork. The kernels release the GIL instead, and
Python's threads call them side by side.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any


def run_in_threads(
    kernel: Callable[..., bool],
    inputs: tuple[Any, ...],
    blocks: int,
    outputs: tuple[Any, ...],
    threads: int,
) -> bool:
    """Calls `kernel(*inputs, first_block, last_block, *outputs)`; whether all answered True.

    Raises:
        ValueError: `threads` is less than 1.
    """
    if threads < 1:
        raise ValueError(f"threads: found {threads}, expected at least 1")
    parts = min(threads, blocks)
    if parts == 1:
        return bool(kernel(*inputs, 0, blocks, *outputs))
    borders = [blocks * part // parts for part in range(parts + 1)]
    others = [
        _pool().submit(kernel, *inputs, first, last, *outputs)
        for first, last in pairwise(borders[1:])
    ]
    mine = bool(kernel(*inputs, 0, borders[1], *outputs))
    return all([mine, *(bool(other.result()) for other in others)])


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, "limelight-kernel")


# A fork takes none of the pool's threads along.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
