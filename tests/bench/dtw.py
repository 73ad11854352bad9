"""DTW against the libraries that people use for it, and against the same written plainly.

Libraries that are not installed are left out and named in the note; `make bench` installs them.
"""

import math
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit, set_num_threads
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from limelight.kernels.dtw import dtw_long_path, dtw_path, dtw_series_distance
from limelight.models.dtw import dtw
from tests.bench.result import Result, interleaved

# One alignment loss of the paper: 48 windows, each in its own and 8 shuffled orders.
WINDOWS, ORDERS, LENGTH = 48, 9, 20
BATCH = WINDOWS * ORDERS
# What the authors' own loop computes: one positive and 7 shuffled orders, gamma 0.1.
AUTHORS_ORDERS, AUTHORS_GAMMA = 8, 0.1
HIDDEN = 512
SHORT_PAIR, LONG_PAIR = 2_000, 10_000
PEERS = ("tslearn", "ddtw", "pysdtw", "dtaidistance", "aeon")

Call = Callable[[], Any]
Row = tuple[str | float, ...]


class Peer(NamedTuple):
    name: str
    run: Call
    target: str


def run() -> Result:
    torch.set_num_threads(1)
    # Some of the others share their work out to Numba's threads.
    set_num_threads(1)
    costs = torch.rand(
        (BATCH, LENGTH, LENGTH), generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    rows = [
        *_path_of_a_batch(costs),
        *_hard_gradient(costs),
        *_soft_gradient(costs),
        *_authors_recursion(),
        *_loss_step(),
        *_one_short_pair(),
    ]
    long_rows, beyond_mb = _one_long_pair()
    missing = [name for name in PEERS if not find_spec(name)]
    installed = ", ".join(f"{name} {version(name)}" for name in PEERS if find_spec(name))
    note = (
        "One process, taking turns, ratios by minimum, torch and the others on one thread; a "
        "target of at most 1.4x says how much longer the step may take with DTW than without. "
        f"Beyond the matrix of 10,000 x 10,000 the path took {beyond_mb:.0f} MB. "
        f"torch {torch.__version__}, numba {version('numba')}, numpy {np.__version__}, {installed}."
    )
    if missing:
        note += f" Not installed and left out: {', '.join(missing)}."
    return Result(
        title="Dynamic time warping",
        columns=(
            "work",
            "threads",
            "ours min ms",
            "ours median ms",
            "peer",
            "peer min ms",
            "peer median ms",
            "ratio",
            "target",
        ),
        rows=(*rows, *long_rows),
        note=note,
    )


def _compared(
    work: str, ours: dict[int, Call], peers: list[Peer], *, repeats: int, ours_each: int = 1
) -> list[Row]:
    """A row for each peer and number of threads; ours runs `ours_each` times in each turn."""
    rows: list[Row] = []
    if not peers:
        return rows
    todo: dict[str, Call] = {}
    for turn in range(ours_each):
        todo |= {f"ours {threads} {turn}": call for threads, call in ours.items()}
    todo |= {peer.name: peer.run for peer in peers}
    timings = interleaved(todo, repeats=repeats)
    for threads in ours:
        own = [timings[f"ours {threads} {turn}"] for turn in range(ours_each)]
        own_min = min(timing.min_ms for timing in own)
        own_median = float(np.median([timing.median_ms for timing in own]))
        for peer in peers:
            slow = timings[peer.name]
            rows.append(
                (
                    work,
                    threads,
                    _ms(own_min),
                    _ms(own_median),
                    peer.name,
                    _ms(slow.min_ms),
                    _ms(slow.median_ms),
                    f"{slow.min_ms / own_min:,.1f}x",
                    peer.target if threads == 1 else "",
                )
            )
    return rows


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def _path_of_a_batch(costs: Tensor) -> list[Row]:
    values = costs.detach().numpy()
    expected = dtw_path(values)
    distances, masks = _plain_rows(values)
    assert np.array_equal(expected[0], distances) and np.array_equal(expected[1], masks)
    ours: dict[int, Call] = {n: lambda n=n: dtw_path(values, threads=n) for n in (1, 2)}  # type: ignore[misc]
    work = f"distance + path, {BATCH} x 20 x 20 float32"
    rows = _compared(
        work, ours, [Peer("plain Numba rows", lambda: _plain_rows(values), "2.5x")], repeats=400
    )
    if not (tslearn := _module("tslearn.metrics")):
        return rows

    def loop() -> list[float]:
        options = {"metric": "precomputed", "be": "numpy"}
        return [tslearn.dtw_path_from_metric(cost, **options)[1] for cost in values]

    assert np.allclose(loop(), expected[0])
    peer = Peer('tslearn, be="numpy"', loop, "70x")
    return [*_compared(work, ours, [peer], repeats=10, ours_each=20), *rows]


def _plain_rows(costs: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    mask = np.zeros(costs.shape, np.bool_)
    return _rows(costs, mask), mask


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _rows(costs: Any, mask: Any) -> Any:
    batch, rows, columns = costs.shape
    distances = np.empty(batch, costs.dtype)
    sums = np.empty((rows + 1, columns + 1), costs.dtype)
    for pair in range(batch):
        sums[:] = np.inf
        sums[0, 0] = 0
        for i in range(rows):
            for j in range(columns):
                sums[i + 1, j + 1] = costs[pair, i, j] + min(
                    sums[i, j], sums[i, j + 1], sums[i + 1, j]
                )
        distances[pair] = sums[rows, columns]
        i, j = rows - 1, columns - 1
        mask[pair, i, j] = True
        while i or j:
            across, up, left = sums[i, j], sums[i, j + 1], sums[i + 1, j]
            if across <= up and across <= left:
                i, j = i - 1, j - 1
            elif up <= left:
                i -= 1
            else:
                j -= 1
            mask[pair, i, j] = True
    return distances


def _gradient(costs: Tensor, distance: Callable[[Tensor], Tensor]) -> Tensor:
    (gradient,) = torch.autograd.grad(distance(costs).sum(), costs)
    return gradient


def _hard_gradient(costs: Tensor) -> list[Row]:
    ddtw = _module("ddtw")
    if not ddtw:
        return []
    peer = ddtw.DTW(normalization="none", backend="cpu_numba")
    # It gives the mean over the batch.
    theirs = _gradient(costs, lambda c: peer(C=c) * BATCH)
    assert torch.allclose(theirs, _gradient(costs, dtw))
    ours: dict[int, Call] = {
        n: lambda n=n: _gradient(costs, lambda c: dtw(c, threads=n))  # type: ignore[misc]
        for n in (1, 2)
    }
    return _compared(
        f"hard DTW forward + backward, {BATCH} x 20 x 20",
        ours,
        [Peer("ddtw hard, cpu_numba", lambda: _gradient(costs, lambda c: peer(C=c)), "120x")],
        repeats=10,
        ours_each=20,
    )


def _soft_gradient(costs: Tensor) -> list[Row]:
    gamma = 0.1
    peers = []
    expected = _gradient(costs, lambda c: dtw(c, gamma=gamma))
    if tslearn := _module("tslearn.metrics.soft_dtw_loss_pytorch"):
        soft = tslearn._SoftDTWLossPyTorch.apply
        peers.append(
            Peer(
                "tslearn SoftDTWLossPyTorch",
                lambda: _gradient(costs, lambda c: soft(c, gamma)),
                "20x",
            )
        )
    if pysdtw := _module("pysdtw.sdtw_cpu"):
        lengths = torch.full((BATCH, 2), LENGTH)
        theirs = pysdtw.SoftDTWcpu.apply
        peers.append(
            Peer(
                "pysdtw", lambda: _gradient(costs, lambda c: theirs(c, lengths, gamma, 0.0)), "20x"
            )
        )
    for peer in peers:
        assert torch.allclose(peer.run(), expected, atol=1e-4), peer.name
    ours: dict[int, Call] = {
        n: lambda n=n: _gradient(costs, lambda c: dtw(c, gamma=gamma, threads=n))  # type: ignore[misc]
        for n in (1, 2)
    }
    work = f"soft DTW forward + backward, {BATCH} x 20 x 20"
    return _compared(work, ours, peers, repeats=10, ours_each=20)


def _authors_recursion() -> list[Row]:
    count = WINDOWS * AUTHORS_ORDERS
    costs = torch.rand(
        (count, LENGTH, LENGTH), generator=torch.Generator().manual_seed(1)
    ).requires_grad_()

    def batched() -> Tensor:
        return _gradient(costs, _cell_by_cell)

    def by_sample() -> Tensor:
        return _gradient(
            costs, lambda c: torch.stack([_cell_by_cell(part).sum() for part in c.chunk(WINDOWS)])
        )

    def ours(threads: int) -> Tensor:
        return _gradient(costs, lambda c: dtw(c, gamma=AUTHORS_GAMMA, threads=threads))

    assert torch.allclose(batched(), ours(1), atol=1e-4)
    work = f"soft DTW forward + backward, {WINDOWS} x {AUTHORS_ORDERS} matrices"
    threads: dict[int, Call] = {n: lambda n=n: ours(n) for n in (1, 2)}  # type: ignore[misc]
    return [
        *_compared(
            work,
            threads,
            [Peer("cell loop in torch, batched", batched, "60x")],
            repeats=8,
            ours_each=10,
        ),
        *_compared(
            work,
            threads,
            [Peer("cell loop in torch, by sample", by_sample, "1,000x")],
            repeats=3,
            ours_each=20,
        ),
    ]


def _cell_by_cell(costs: Tensor) -> Tensor:
    """Soft DTW as the ContentCTR authors' release does it: a Python loop over cells."""
    batch, rows, columns = costs.shape
    infinite = costs.new_full((batch,), math.inf)
    above = [costs.new_zeros(batch), *[infinite] * columns]
    for i in range(rows):
        own = [infinite]
        for j in range(columns):
            before = torch.stack((above[j], above[j + 1], own[j])) / -AUTHORS_GAMMA
            own.append(costs[:, i, j] - AUTHORS_GAMMA * torch.logsumexp(before, dim=0))
        above = own
    return above[-1]


def _loss_step() -> list[Row]:
    generator = torch.Generator().manual_seed(2)
    video, text = (
        torch.randn((WINDOWS, LENGTH, HIDDEN), generator=generator).requires_grad_()
        for _ in range(2)
    )
    orders = torch.stack(
        [torch.arange(LENGTH)]
        + [torch.randperm(LENGTH, generator=generator) for _ in range(ORDERS - 1)]
    )

    def step(distance: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        cosine = functional.normalize(video, dim=-1) @ functional.normalize(text, dim=-1).mT
        costs = 1 - cosine[:, :, orders].permute(0, 2, 1, 3).flatten(0, 1)
        logits = -distance(costs).view(WINDOWS, ORDERS)
        loss = functional.cross_entropy(logits, torch.zeros(WINDOWS, dtype=torch.long))
        return torch.autograd.grad(loss, (video, text))

    timings = interleaved(
        {"with": lambda: step(dtw), "without": lambda: step(lambda c: c.mean((1, 2)))}, repeats=150
    )
    own, other = timings["with"], timings["without"]
    return [
        (
            f"alignment-loss step, {WINDOWS} x {ORDERS} orders, {HIDDEN} features",
            1,
            _ms(own.min_ms),
            _ms(own.median_ms),
            "the same step with a mean for DTW",
            _ms(other.min_ms),
            _ms(other.median_ms),
            f"{own.min_ms / other.min_ms:.2f}x of it",
            "at most 1.4x of it",
        )
    ]


def _one_short_pair() -> list[Row]:
    x, y = np.random.default_rng(3).random((2, SHORT_PAIR))
    peers = []
    expected = dtw_series_distance(x, y)
    if aeon := _module("aeon.distances"):
        assert math.isclose(aeon.dtw_distance(x, y), expected)
        peers.append(Peer("aeon", lambda: aeon.dtw_distance(x, y), "5x"))
    if dtaidistance := _module("dtaidistance.dtw"):
        assert math.isclose(dtaidistance.distance_fast(x, y) ** 2, expected)
        peers.append(Peer("dtaidistance", lambda: dtaidistance.distance_fast(x, y), "5x"))
    work = "distance, one pair of 2,000, float64, cost included"
    return _compared(work, {1: lambda: dtw_series_distance(x, y)}, peers, repeats=20)


def _one_long_pair() -> tuple[list[Row], float]:
    x, y = np.random.default_rng(4).random((2, LONG_PAIR))
    cost = (x[:, None] - y) ** 2
    dtw_long_path(cost[:32, :32])
    tracemalloc.start()
    _, path = dtw_long_path(cost)
    beyond_mb = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    peers = []
    if dtaidistance := _module("dtaidistance.dtw"):
        # Several paths may be best; their costs are the same.
        theirs = np.array(dtaidistance.warping_path_fast(x, y))
        assert math.isclose(cost[tuple(path.T)].sum(), cost[tuple(theirs.T)].sum())
        peers.append(Peer("dtaidistance", lambda: dtaidistance.warping_path_fast(x, y), "3x"))
    work = "path, one pair of 10,000, float64"
    return _compared(work, {1: lambda: dtw_long_path(cost)}, peers, repeats=4), beyond_mb


def _module(name: str) -> Any:
    return import_module(name) if find_spec(name.partition(".")[0]) else None
