"""Blocks of a batch shared out to threads.

Numba's own threading layers are not used: its portable one must not be entered by two Python
threads at a time, and OpenMP's does not survive a fork. The kernels release the GIL instead, and
Python's threads, of which a fork takes none along, call them side by side.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
    with ThreadPoolExecutor(parts - 1, "limelight-kernel") as pool:
        others = [
            pool.submit(kernel, *inputs, first, last, *outputs)
            for first, last in pairwise(borders[1:])
        ]
        mine = bool(kernel(*inputs, 0, borders[1], *outputs))
        return all([mine, *(bool(other.result()) for other in others)])
