"""DTW against all monotone paths, a plain recursion in Python, and planted alignments."""

import itertools
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.kernels.dtw import (
    dtw_distance,
    dtw_long_path,
    dtw_path,
    dtw_series_distance,
    soft_dtw_alignment,
)

DTYPES = (np.float32, np.float64)
STEPS = ((-1, -1), (-1, 0), (0, -1))


def monotone_paths(rows: int, columns: int) -> Iterator[list[tuple[int, int]]]:
    """Every path from (0, 0) to the last cell."""

    def extend(path: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        row, column = path[-1]
        if (row, column) == (rows - 1, columns - 1):
            yield path
        for down, right in ((1, 0), (0, 1), (1, 1)):
            if row + down < rows and column + right < columns:
                yield from extend([*path, (row + down, column + right)])

    yield from extend([(0, 0)])


def plain_path(cost: np.ndarray, band: int | None = None) -> tuple[Any, np.ndarray]:
    """The textbook recursion in the dtype of the cost, with the documented order among ties."""
    rows, columns = cost.shape
    sums = np.full((rows + 1, columns + 1), np.inf, cost.dtype)
    sums[0, 0] = 0
    for row, column in itertools.product(range(rows), range(columns)):
        if band is None or abs(row - column) <= band:
            sums[row + 1, column + 1] = cost[row, column] + min(
                sums[row, column], sums[row, column + 1], sums[row + 1, column]
            )
    mask = np.zeros(cost.shape, bool)
    row, column = rows, columns
    while (row, column) != (0, 0):
        mask[row - 1, column - 1] = True
        row, column = min(
            ((row + down, column + right) for down, right in STEPS), key=lambda cell: sums[cell]
        )
    return sums[rows, columns], mask


def soft_by_paths(cost: np.ndarray, gamma: float) -> tuple[float, np.ndarray]:
    """The soft distance and the expected alignment by adding up over all paths."""
    paths = list(monotone_paths(*cost.shape))
    sums = np.array([sum(float(cost[cell]) for cell in path) for path in paths])
    weights = np.exp(-(sums - sums.min()) / gamma)
    expected = np.zeros(cost.shape)
    for path, weight in zip(paths, weights, strict=True):
        for cell in path:
            expected[cell] += weight / weights.sum()
    return sums.min() - gamma * math.log(weights.sum()), expected


def random_costs(seed: int, *shape: int, dtype: Any = np.float64, ties: bool = False) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.integers(0, 3, shape) if ties else random.random(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (4, 5), (5, 4)])
def test_the_hard_distance_is_the_smallest_over_all_paths(shape: tuple[int, int], dtype) -> None:
    cost = random_costs(1, 5, *shape, dtype=dtype, ties=True) - 1
    expected = [
        min(sum(matrix[cell] for cell in path) for path in monotone_paths(*shape))
        for matrix in cost
    ]
    assert dtw_distance(cost).tolist() == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (4, 1), (3, 3), (4, 5)])
def test_the_soft_distance_and_alignment_are_those_of_all_paths(shape, gamma, dtype) -> None:
    cost = random_costs(2, 3, *shape, dtype=dtype) - 0.5
    distances, alignment = soft_dtw_alignment(cost, gamma=gamma)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for pair, matrix in enumerate(cost):
        distance, expected = soft_by_paths(matrix, gamma)
        assert distances[pair] == pytest.approx(distance, abs=tolerance)
        assert np.abs(alignment[pair] - expected).max() < tolerance
    assert (dtw_distance(cost, gamma=gamma) == distances).all()
    assert distances.dtype == alignment.dtype == dtype


@settings(max_examples=60, deadline=None)
@given(
    batch=st.integers(1, 35),
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    ties=st.booleans(),
    single=st.booleans(),
    band=st.none() | st.integers(0, 12),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_paths_are_those_of_the_plain_recursion(
    batch, rows, columns, ties, single, band, threads, seed
) -> None:
    dtype = np.float32 if single else np.float64
    cost = random_costs(seed, batch, rows, columns, dtype=dtype, ties=ties)
    if band is not None:
        band += abs(rows - columns)
    distances, mask = dtw_path(cost, band_radius=band, threads=threads)
    assert (dtw_distance(cost, band_radius=band) == distances).all()
    for pair, matrix in enumerate(cost):
        distance, expected = plain_path(matrix, band)
        assert distances[pair] == distance
        assert (mask[pair] == expected).all()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), gamma=st.sampled_from([0.0, 0.1, 2.0]), single=st.booleans())
def test_a_matrix_with_lengths_is_the_matrix_cut_out(data, gamma, single) -> None:
    dtype = np.float32 if single else np.float64
    rows, columns = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    batch = data.draw(st.integers(1, 20))
    lengths = np.array(
        [
            [data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))]
            for _ in range(batch)
        ]
    )
    whole = random_costs(7, batch, rows, columns, dtype=dtype)
    padded = np.full_like(whole, np.nan)
    for pair, (n, m) in enumerate(lengths):
        padded[pair, :n, :m] = whole[pair, :n, :m]
    if gamma:
        distances, found = soft_dtw_alignment(padded, gamma=gamma, lengths=lengths)
    else:
        distances, found = dtw_path(padded, lengths=lengths)
    for pair, (n, m) in enumerate(lengths):
        alone = np.ascontiguousarray(whole[pair : pair + 1, :n, :m])
        if gamma:
            distance, expected = soft_dtw_alignment(alone, gamma=gamma)
        else:
            distance, expected = dtw_path(alone)
        assert distances[pair] == distance[0]
        assert (found[pair, :n, :m] == expected[0]).all()
        assert found[pair, n:].sum() == found[pair, :, m:].sum() == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64, 64), (70, 131), (131, 70), (90, 66)])
@pytest.mark.parametrize("slack", [None, 0, 9])
def test_long_pairs_agree_with_many_small_ones(shape, slack, dtype) -> None:
    band = None if slack is None else abs(shape[0] - shape[1]) + slack
    cost = random_costs(3, *shape, dtype=dtype, ties=slack == 9)
    expected, expected_mask = plain_path(cost, band)
    distance, path = dtw_long_path(cost, band_radius=band)
    assert distance == expected
    assert path.tolist() == np.argwhere(expected_mask).tolist()
    # One large matrix takes the way of long pairs, many of them that of lanes.
    for count in (1, 5):
        distances, masks = dtw_path(np.repeat(cost[None], count, axis=0), band_radius=band)
        assert (distances == expected).all()
        assert (masks == expected_mask).all()
        assert (dtw_distance(np.repeat(cost[None], count, axis=0), band_radius=band)).tolist() == [
            expected
        ] * count


@pytest.mark.parametrize("gamma", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("band", [None, 12])
def test_one_large_soft_matrix_agrees_with_many_in_lanes(gamma: float, band: int | None) -> None:
    cost = random_costs(4, 4, 70, 64) * 3 - 1
    distances, alignment = soft_dtw_alignment(cost, gamma=gamma, band_radius=band)
    for pair in range(len(cost)):
        alone = cost[pair : pair + 1]
        distance, expected = soft_dtw_alignment(alone, gamma=gamma, band_radius=band)
        assert distances[pair] == pytest.approx(distance[0], rel=1e-12)
        assert np.abs(alignment[pair] - expected[0]).max() < 1e-10
        assert dtw_distance(alone, gamma=gamma, band_radius=band)[0] == distance[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [(1, 1), (1, 9), (40, 17), (100, 100), (65, 130)])
def test_a_series_distance_is_that_of_its_matrix(lengths: tuple[int, int], dtype) -> None:
    x, y = (random_costs(5, n, dtype=dtype) for n in lengths)
    cost = (x[:, None] - y) ** 2
    for band in (None, abs(lengths[0] - lengths[1]), abs(lengths[0] - lengths[1]) + 5):
        assert dtw_series_distance(x, y, band_radius=band) == plain_path(cost, band)[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_planted_path_is_recovered_from_noise(dtype) -> None:
    random = np.random.default_rng(8)
    cost = random.uniform(0.5, 1.0, (40, 20, 20)).astype(dtype)
    planted = np.zeros(cost.shape, bool)
    for pair in range(len(cost)):
        row = column = 0
        planted[pair, 0, 0] = True
        while (row, column) != (19, 19):
            down, right = random.integers(0, 2, 2)
            if (down or right) and row + down < 20 and column + right < 20:
                row, column = row + down, column + right
                planted[pair, row, column] = True
    # Below zero, so that no corner of the planted path is worth cutting.
    cost[planted] = random.uniform(-0.6, -0.5, planted.sum())
    _, mask = dtw_path(cost)
    assert (mask == planted).all()
    _, alignment = soft_dtw_alignment(cost, gamma=0.01)
    assert ((alignment > 0.5) == planted).all()


def test_among_equal_predecessors_the_diagonal_goes_first_then_the_row_above() -> None:
    """By hand. At the end of the 3 x 3 zeros all three are equal: across. In the 2 x 2 matrix the
    corner costs 9, and up and left are equal: up."""
    _, mask = dtw_path(np.zeros((1, 3, 3)))
    assert mask[0].tolist() == np.eye(3, dtype=bool).tolist()
    _, mask = dtw_path(np.zeros((1, 2, 3)))
    assert mask[0].tolist() == [[True, True, False], [False, False, True]]
    around = np.array([[[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]]])
    _, mask = dtw_path(around)
    # From (2, 2) the cell across costs 9; up (1, 2) and left (2, 1) are equal.
    assert mask[0].tolist() == [[True, True, False], [False, False, True], [False, False, True]]


def test_extreme_costs_neither_under_nor_overflow() -> None:
    cost = np.full((2, 5, 5), 1e30, np.float32)
    assert np.allclose(dtw_distance(cost), 5e30, rtol=1e-6)
    assert np.allclose(dtw_distance(cost, gamma=0.1), 5e30, rtol=1e-6)
    assert np.allclose(dtw_distance(-cost, gamma=0.1), -9e30, rtol=1e-6)
    tiny = np.full((2, 5, 5), 1e-30)
    # With almost nothing to pay the 321 paths (Delannoy's number) count alike.
    assert np.allclose(dtw_distance(tiny, gamma=1.0), -math.log(321))


@pytest.mark.parametrize("gamma", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(16, 40, 2), (3, 200, 30), (20, 3, 60)])
def test_a_band_may_end_before_the_padding_does(shape: tuple[int, int, int], gamma: float) -> None:
    cost = random_costs(11, *shape)
    lengths = np.full((shape[0], 2), 2)
    alone = np.ascontiguousarray(cost[:, :2, :2])
    for band in (0, 1, 10**6):
        expected = dtw_distance(alone, gamma=gamma, band_radius=band)
        options = {"lengths": lengths, "band_radius": band}
        assert np.allclose(dtw_distance(cost, gamma=gamma, **options), expected, rtol=1e-12)
        if gamma:
            _, alignment = soft_dtw_alignment(cost, gamma=gamma, **options)
            assert alignment[:, 2:].sum() == alignment[:, :, 2:].sum() == 0
            assert np.allclose(alignment[:, 1, 1], 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wall_of_huge_costs_is_gone_round(dtype) -> None:
    """A row of 1e30 but for its first cell: the only path of finite weight keeps to the border."""
    cost = random_costs(12, 4, 5, 5, dtype=dtype)
    cost[:, 0, 1:] = 1e30
    free = cost.copy()
    free[:, 0, 1:] = 100
    distances, alignment = soft_dtw_alignment(cost, gamma=0.1)
    expected, expected_alignment = soft_dtw_alignment(free, gamma=0.1)
    assert np.allclose(distances, expected, rtol=1e-5)
    assert np.allclose(alignment, expected_alignment, atol=1e-5)
    corridor = np.full((4, 1, 5), 1e30, dtype)
    assert np.allclose(dtw_distance(corridor, gamma=0.1), 5e30, rtol=1e-5)


def test_only_the_distance_must_fit_the_dtype_not_the_sum_of_all_costs() -> None:
    cost = np.full((4, 20, 20), 1e37, np.float32)
    assert np.allclose(dtw_distance(cost), 2e38, rtol=1e-5)
    cost = np.zeros((4, 3, 3), np.float32)
    cost[:, 0, 2] = cost[:, 2, 0] = np.finfo(np.float32).max
    assert (dtw_path(cost)[0] == 0).all()


@pytest.mark.parametrize("gamma", [1e-6, 1e-12])
def test_a_large_soft_alignment_stays_one_however_small_gamma_is(gamma: float) -> None:
    _, alignment = soft_dtw_alignment(random_costs(13, 1, 64, 64) * 1_000, gamma=gamma)
    assert alignment[0, 0, 0] == pytest.approx(1, abs=1e-9)


def test_a_batch_of_another_memory_order_gives_the_same() -> None:
    cost = random_costs(6, 9, 8, 7)
    assert (dtw_distance(np.asfortranarray(cost)) == dtw_distance(cost)).all()
    assert (dtw_distance(cost[::2]) == dtw_distance(cost)[::2]).all()


def test_several_python_threads_may_call_at_once() -> None:
    costs = [random_costs(seed, 50, 20, 20, dtype=np.float32) for seed in range(4)]
    expected = [dtw_path(cost)[0] for cost in costs]
    found: dict[int, list[np.ndarray]] = {}

    def work(number: int) -> None:
        found[number] = [dtw_path(costs[number], threads=2)[0] for _ in range(50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for number, results in found.items():
        assert all((each == expected[number]).all() for each in results)


def bad(place: tuple[int, ...], value: float, shape: tuple[int, ...] = (3, 4, 5)) -> np.ndarray:
    cost = np.ones(shape)
    cost[place] = value
    return cost


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("gamma", [0.0, 0.5])
@pytest.mark.parametrize(
    ("place", "shape"), [((2, 3, 1), (3, 4, 5)), ((0, 60, 66), (1, 70, 67)), ((0, 0, 0), (1, 1, 1))]
)
def test_a_cost_that_is_not_finite_is_named(place, shape, gamma, value) -> None:
    cost = bad(place, value, shape)
    where = ", ".join(map(str, place))
    with pytest.raises(ValueError, match=rf"cost\[{where}\]: found {value}, expected a finite"):
        dtw_distance(cost, gamma=gamma)
    with pytest.raises(ValueError, match=rf"cost\[{where}\]"):
        soft_dtw_alignment(cost, gamma=1.0) if gamma else dtw_path(cost)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"cost": np.ones((0, 3, 3))},
            r"cost: found shape \(0, 3, 3\), expected no dimension of 0",
        ),
        ({"cost": np.ones((2, 0, 3))}, "expected no dimension of 0"),
        ({"cost": np.ones((3, 3))}, r"cost: found shape \(3, 3\), expected 3 dimensions"),
        ({"cost": np.ones((2, 3, 3), np.int64)}, "cost: found int64, expected an array of float32"),
        ({"cost": np.ones((2, 3, 3), np.float16)}, "cost: found float16"),
        ({"cost": [[[1.0]]]}, "cost: found list, expected an array"),
        ({"gamma": -1.0}, "gamma: found -1.0, expected a finite number, 0 or more"),
        ({"gamma": math.nan}, "gamma: found nan"),
        ({"lengths": [[3, 3]]}, r"lengths: found int64 of shape \(1, 2\), expected integers of"),
        ({"lengths": [[1.0, 2.0], [3.0, 3.0]]}, "lengths: found float64"),
        ({"lengths": [[1, 3], [0, 3]]}, r"lengths\[1, 0\]: found 0, expected 1 to 3"),
        ({"lengths": [[1, 3], [3, 5]]}, r"lengths\[1, 1\]: found 5, expected 1 to 4"),
        ({"band_radius": 0}, "band_radius: found 0, expected at least 1, for no path leads"),
        ({"band_radius": -1}, "band_radius: found -1, expected a whole number"),
        ({"band_radius": 1.5}, "band_radius: found 1.5, expected a whole number"),
        (
            {"band_radius": 1, "lengths": [[3, 4], [3, 1]]},
            r"band_radius: found 1, expected at least 2, .* 3 x 1 cells \(matrix 1\)",
        ),
        ({"threads": 0}, "threads: found 0, expected at least 1"),
        ({"threads": 0, "cost": np.ones((1, 70, 70))}, "threads: found 0, expected at least 1"),
        ({"cost": np.ma.ones((2, 3, 4))}, "cost: found a masked array"),
        ({"band_radius": True}, "band_radius: found True, expected a whole number"),
        ({"cost": np.full((2, 3, 4), 3e38, np.float32)}, r"cost\[0\]: .* sum is beyond float32"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dtw_distance(**{"cost": np.ones((2, 3, 4)), **arguments})


def test_bad_series_and_single_matrices_are_named() -> None:
    x = np.ones(4)
    with pytest.raises(ValueError, match=r"y: found float32, expected float64 as in x"):
        dtw_series_distance(x, x.astype(np.float32))
    with pytest.raises(ValueError, match=r"x\[2\]: found nan, expected a finite number"):
        dtw_series_distance(np.array([1.0, 2.0, math.nan]), x)
    with pytest.raises(ValueError, match=r"y: found shape \(0,\), expected no dimension of 0"):
        dtw_series_distance(x, np.ones(0))
    with pytest.raises(ValueError, match=r"cost: found shape \(4,\), expected 2 dimensions"):
        dtw_long_path(x)
    with pytest.raises(ValueError, match=r"cost\[0, 1, 2\]: found inf"):
        dtw_long_path(bad((1, 2), math.inf, (3, 4)))
    with pytest.raises(ValueError, match="gamma: found 0, expected more"):
        soft_dtw_alignment(np.ones((1, 2, 2)), gamma=0)


def test_what_no_path_can_reach_is_not_looked_at() -> None:
    cost = random_costs(9, 2, 6, 6)
    expected = dtw_distance(cost, band_radius=2)
    cost[:, 0, 5] = math.nan
    assert (dtw_distance(cost, band_radius=2) == expected).all()


FORKED = """
import os, sys
import numpy as np
from limelight.kernels.dtw import dtw_distance
cost = np.random.default_rng(0).random((64, 20, 20))
expected = dtw_distance(cost, threads=2)
child = os.fork()
if not child:
    same = (dtw_distance(cost, threads=2) == expected).all()
    os._exit(0 if same else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_forked_process_may_use_threads_again() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)
