"""What Numba's compilation costs: the first call of each kernel in a fresh process."""

import os
import subprocess
import sys
from tempfile import TemporaryDirectory

from tests.bench.result import Result

CALLS = {
    "dtw_distance": "dtw.dtw_distance(cost)",
    "dtw_path": "dtw.dtw_path(cost)",
    "dtw_distance, gamma 0.1": "dtw.dtw_distance(cost, gamma=0.1)",
    "soft_dtw_alignment": "dtw.soft_dtw_alignment(cost, gamma=0.1)",
    "dtw_series_distance": "dtw.dtw_series_distance(cost[0, 0], cost[0, 1])",
    "dtw_long_path": "dtw.dtw_long_path(cost[0])",
    "kendall_tau": "ranking.kendall_tau(cost[0], cost[1])",
    "average_precision": "ranking.average_precision(cost[0], cost[1] > 0.5)",
    "comment_energy": "energy.comment_energy([0, 5, 9], [10])",
}
PROGRAM = """
import time
import numpy as np
from limelight.kernels import dtw, energy, ranking
cost = np.random.default_rng(0).random((4, 20, 20), dtype=np.float32)
began = time.perf_counter()
{call}
print(time.perf_counter() - began)
"""


def run() -> Result:
    rows: list[tuple[str | float, ...]] = []
    for name, call in CALLS.items():
        with TemporaryDirectory() as folder:
            cold_s, warm_s = (_first_call_s(call, folder) for _ in range(2))
        rows.append((name, round(cold_s, 2), round(warm_s, 3)))
    return Result(
        title="First call of a kernel in a process",
        columns=("function", "compiled, s", "from Numba's cache, s"),
        rows=tuple(rows),
        note="float32, one run each; the cache lies beside the code and is written by the first.",
    )


def _first_call_s(call: str, cache_folder: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call)],
        env=os.environ | {"NUMBA_CACHE_DIR": cache_folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
