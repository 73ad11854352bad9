"""A bucketed function gives what the plain function gives, and runs at fixed sizes only."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limelight.engine.graphs import BatchInput, BucketedFunction, bucket_sizes

CPU = torch.device("cpu")
on_cuda = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class RowSums:
    """The sums of rows (B, 3) times factors (B,), and a record of each run's inputs."""

    def __init__(self) -> None:
        self.runs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, rows: Tensor, factors: Tensor) -> Tensor:
        self.runs.append((rows.clone(), factors.clone()))
        return rows.sum(1) * factors


def bucketed(function: RowSums, maximum: int, minimum: int = 1) -> BucketedFunction:
    inputs = [BatchInput((3,), torch.float32, padding=7), BatchInput((), torch.int32, padding=-1)]
    return BucketedFunction(function, inputs, maximum=maximum, minimum=minimum, device=CPU)


@pytest.mark.parametrize(
    ("maximum", "minimum", "expected"),
    [
        (1, 1, [1]),
        (6, 1, [1, 2, 4, 6]),
        (8, 1, [1, 2, 4, 8]),
        (9, 3, [4, 8, 9]),
        (64, 64, [64]),
        (100, 64, [64, 100]),
    ],
)
def test_buckets_are_powers_of_two_and_the_maximum(
    maximum: int, minimum: int, expected: list[int]
) -> None:
    assert bucket_sizes(maximum, minimum) == expected


@pytest.mark.parametrize(("maximum", "minimum"), [(0, 1), (4, 0), (4, 5)])
def test_buckets_of_no_rows_are_refused(maximum: int, minimum: int) -> None:
    with pytest.raises(ValueError, match=f"found {minimum} to {maximum} rows"):
        bucket_sizes(maximum, minimum)


@given(batches=st.lists(st.integers(0, 11), max_size=12), seed=st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_it_gives_what_the_function_gives_after_any_other_batches(
    batches: list[int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    call = bucketed(RowSums(), maximum=11)
    for batch in batches:
        rows = torch.randn(batch, 3, generator=generator)
        factors = torch.randint(-5, 5, (batch,), generator=generator)
        assert torch.equal(call(rows, factors), rows.sum(1) * factors)


@pytest.mark.parametrize(("batch", "size"), [(0, 2), (1, 2), (3, 4), (4, 4), (5, 6), (6, 6)])
def test_rows_beyond_the_batch_hold_the_padding_whatever_was_there(batch: int, size: int) -> None:
    function = RowSums()
    call = bucketed(function, maximum=6, minimum=2)
    call(torch.full((6, 3), torch.nan), torch.zeros(6))
    call(torch.ones(batch, 3), torch.ones(batch))
    rows, factors = function.runs[-1]
    assert rows.tolist() == [[1.0] * 3] * batch + [[7.0] * 3] * (size - batch)
    assert factors.tolist() == [1] * batch + [-1] * (size - batch)


def test_before_a_bucket_is_first_used_the_function_sees_padding_alone() -> None:
    function = RowSums()
    call = bucketed(function, maximum=4)
    call.warm_up()
    assert [len(rows) for rows, _ in function.runs] == [4, 2, 1]
    assert all((rows == 7).all() and (factors == -1).all() for rows, factors in function.runs)
    call(torch.ones(3, 3), torch.ones(3))
    assert len(function.runs) == 4


def test_the_result_lies_where_the_bucket_s_last_one_lay() -> None:
    call = bucketed(RowSums(), maximum=4)
    first = call(torch.ones(3, 3), torch.ones(3))
    second = call(torch.ones(4, 3), torch.ones(4) * 2)
    assert first.data_ptr() == second.data_ptr() and first.tolist() == [6.0] * 3


def test_a_batch_above_the_maximum_is_refused_and_runs_in_chunks() -> None:
    function = RowSums()
    call = bucketed(function, maximum=4)
    rows, factors = torch.arange(33.0).view(11, 3), torch.arange(11)
    with pytest.raises(ValueError, match="batch: found 11 rows, expected at most 4"):
        call(rows, factors)
    call.warm_up()
    function.runs.clear()
    assert torch.equal(call.in_chunks(rows, factors), rows.sum(1) * factors)
    assert [len(rows) for rows, _ in function.runs] == [4, 4, 4]
    fewer = call.in_chunks(rows[2:8], factors[2:8])
    assert torch.equal(fewer, rows[2:8].sum(1) * factors[2:8])
    assert torch.equal(call.in_chunks(rows[:3], factors[:3]), rows[:3].sum(1) * factors[:3])


@pytest.mark.parametrize(
    ("rows", "factors"), [((3, 2), (3,)), ((3, 3), (2,)), ((3, 3), (3, 1)), ((3,), (3,))]
)
def test_inputs_of_other_shapes_are_refused(
    rows: tuple[int, ...], factors: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"inputs: found shapes .* expected \[\(3, 3\), \(3,\)\]"):
        bucketed(RowSums(), maximum=4)(torch.ones(rows), torch.ones(factors))


@pytest.mark.parametrize("device", [CPU, pytest.param(torch.device("cuda"), marks=on_cuda)])
def test_given_tensors_may_be_changed_at_once_and_lie_anywhere(device: torch.device) -> None:
    def scaled(x: Tensor, factors: Tensor) -> Tensor:
        return x @ torch.eye(64, device=x.device) * factors[:, None]

    inputs = [BatchInput((64,), torch.float32), BatchInput((), torch.float32)]
    call = BucketedFunction(scaled, inputs, maximum=48, device=device)
    generator = torch.Generator().manual_seed(1)
    for batch in (48, 3, 17, 3, 48, 33):
        x = torch.randn(batch, 64, generator=generator)
        expected = x * torch.arange(batch)[:, None]
        factors = torch.arange(batch, device=device)
        for given_x in (x.clone(), x.to(device, torch.float64), x.clone().T.contiguous().T):
            found = call(given_x, factors)
            given_x.fill_(torch.nan)
            torch.testing.assert_close(found.cpu(), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_nothing_is_allocated_once_the_buckets_are_there() -> None:
    device = torch.device("cuda")
    inputs = [BatchInput((64,), torch.float32), BatchInput((), torch.int32)]
    first = BucketedFunction(
        lambda x, n: (x * 2 + n[:, None]).relu().sum(1), inputs, maximum=48, device=device
    )
    second = BucketedFunction(
        lambda x, n: x.sum(1) - n, inputs, maximum=48, device=device, pool=first.pool
    )
    for call in (first, second):
        call.warm_up()
        call.in_chunks(torch.ones(100, 64), torch.ones(100))
    x, numbers = torch.ones(100, 64), torch.arange(100)

    def allocations() -> int:
        return int(torch.cuda.memory_stats()["allocation.all.allocated"])

    before = allocations()
    results = []
    for batch in (1, 5, 48, 30, 100):
        results.append(first.in_chunks(x[:batch], numbers[:batch]))
        second.in_chunks(x[:batch], numbers[:batch])
    assert allocations() == before
    assert results[-1].tolist() == [128.0 + 64 * n for n in range(100)]
