"""How many threads torch should use on this CPU, found out by trying.

Torch takes one for each physical core it sees. Where cores are shared, with other processes or as
two halves of one, more threads wait for each other more than they help.
"""

import os
import sys
from time import perf_counter

import torch
import torch.nn.functional as F

# The widest product of a decode step of 64 rooms, preset base.
_ROWS, _INPUTS, _OUTPUTS = 64, 512, 2_048
_PRODUCTS = 8
_TURNS = 7
# A thread more must be worth it: it is another process's otherwise.
_WORTH = 0.9


def fastest_threads() -> int:
    """The number of torch threads with which a decode step's products are fastest, within 10 %.

    Takes about a third of a second, and leaves torch's number as it was.
    """
    before = torch.get_num_threads()
    counts = [1]
    while counts[-1] * 2 <= usable_cores():
        counts.append(counts[-1] * 2)
    times_s = dict.fromkeys(counts, float("inf"))
    try:
        # Taking turns: what else the machine does meets all of them.
        for _ in range(_TURNS):
            for count in counts:
                torch.set_num_threads(count)
                times_s[count] = min(times_s[count], _timed_s())
    finally:
        torch.set_num_threads(before)
    best = counts[0]
    for count in counts[1:]:
        if times_s[count] < _WORTH * times_s[best]:
            best = count
    return best


def usable_cores() -> int:
    """How many cores this process may use; containers and `taskset` allow fewer than there are."""
    # Only Linux tells.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


@torch.inference_mode()
def _timed_s() -> float:
    x, weight = torch.ones(_ROWS, _INPUTS), torch.ones(_OUTPUTS, _INPUTS)
    F.linear(x, weight)
    start = perf_counter()
    for _ in range(_PRODUCTS):
        F.linear(x, weight)
    return perf_counter() - start
