"""DTW on tensors: gradients by torch's own check, and the device's kernels against the CPU's."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from limelight.kernels.dtw import dtw_path, soft_dtw_alignment
from limelight.models.dtw import dtw


def costs(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(shape, generator=generator, dtype=dtype).requires_grad_()


@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("options", [{}, {"band_radius": 3}, {"lengths": [[5, 4], [2, 6], [1, 1]]}])
def test_gradients_pass_torchs_check(gamma: float, options: dict) -> None:
    if "lengths" in options:
        options = {"lengths": torch.tensor(options["lengths"])}
    assert torch.autograd.gradcheck(lambda c: dtw(c, gamma=gamma, **options), costs(3, 5, 6))


def test_the_gradient_of_the_hard_distance_is_its_path() -> None:
    cost = costs(20, 7, 9, dtype=torch.float32)
    distances = dtw(cost)
    weights = torch.arange(20.0)
    (distances * weights).sum().backward()
    expected, mask = dtw_path(cost.detach().numpy())
    assert (distances.detach().numpy() == expected).all()
    assert cost.grad is not None
    assert (cost.grad.numpy() == mask * weights.numpy()[:, None, None]).all()


def test_the_gradient_of_the_soft_distance_is_the_expected_alignment() -> None:
    cost = costs(20, 7, 9)
    distances = dtw(cost, gamma=0.2, threads=2)
    distances.sum().backward()
    expected, alignment = soft_dtw_alignment(cost.detach().numpy(), gamma=0.2)
    assert cost.grad is not None
    assert np.array_equal(distances.detach().numpy(), expected)
    assert np.array_equal(cost.grad.numpy(), alignment)


def test_a_view_and_a_cost_without_gradient_are_fine() -> None:
    cost = costs(6, 9, 8).detach()
    assert torch.equal(dtw(cost.transpose(1, 2)), dtw(cost.transpose(1, 2).contiguous()))
    assert not dtw(cost).requires_grad


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (torch.ones(3, 3), r"cost: found shape \(3, 3\), expected 3 dimensions"),
        (torch.ones(2, 0, 3), "none of them 0"),
        (torch.ones(2, 3, 3, dtype=torch.float16), r"cost: found torch.float16, expected"),
        (torch.full((1, 2, 2), torch.nan), r"cost\[0, 0, 0\]: found nan, expected a finite number"),
    ],
)
def test_bad_costs_are_named(cost: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dtw(cost)


# Run by itself, for Triton decides at its import whether it compiles or interprets.
ON_DEVICE = """
import itertools, sys
import numpy as np, torch
from limelight.kernels.dtw import dtw_path, soft_dtw_alignment
from limelight.models.dtw_device import solve

device = sys.argv[1]
generator = np.random.default_rng(5)
lengths = np.array([[5, 4], [2, 6], [1, 1]] + [[6, 7]] * 37)
for dtype, gamma, options in itertools.product(
    (np.float32, np.float64), (0.0, 0.1, 2.0), ({}, {"band_radius": 2}, {"lengths": lengths})
):
    cost = generator.random((40, 6, 7)).astype(dtype)
    given = {n: torch.from_numpy(v) if n == "lengths" else v for n, v in options.items()}
    tensor = torch.from_numpy(cost).to(device)
    found, gradient = solve(
        tensor, gamma, given.get("lengths"), given.get("band_radius"), with_gradient=True
    )
    alone, nothing = solve(
        tensor, gamma, given.get("lengths"), given.get("band_radius"), with_gradient=False
    )
    assert nothing is None and torch.equal(alone, found)
    soft = {"gamma": gamma} if gamma else {}
    expected = (soft_dtw_alignment if gamma else dtw_path)(cost, **soft, **options)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    assert np.allclose(found.cpu().numpy(), expected[0], atol=tolerance), (dtype, gamma, options)
    assert np.allclose(gradient.cpu().numpy(), expected[1], atol=tolerance), (dtype, gamma, options)
for gamma in (0.0, 0.1):
    try:
        solve(torch.full((1, 1, 4), 3e38, device=device), gamma, None, None, with_gradient=True)
    except ValueError as error:
        assert "sum is beyond" in str(error), error
    else:
        raise AssertionError("a sum beyond float32 was accepted")
lengths = torch.full((16, 2), 2)
ones = torch.ones(16, 40, 2, device=device)
assert torch.allclose(solve(ones, 0.0, lengths, 0, with_gradient=True)[0].cpu(), torch.tensor(2.0))
try:
    solve(torch.full((2, 2, 2), torch.inf, device=device), 0.0, None, None, with_gradient=False)
except ValueError as error:
    assert "cost[0, 0, 0]: found inf" in str(error), error
else:
    raise AssertionError("infinite costs were accepted")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton, which CPU torch lacks")
def test_the_devices_kernels_agree_with_the_cpus() -> None:
    """On a GPU where there is one; else by Triton's interpreter, the same code on the CPU."""
    has_gpu = torch.cuda.is_available()
    environment = os.environ | ({} if has_gpu else {"TRITON_INTERPRET": "1"})
    command = [sys.executable, "-c", ON_DEVICE, "cuda" if has_gpu else "cpu"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton, which CPU torch lacks")
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize(
    ("name", "pointers", "flag"),
    [
        ("_hard_distances", "costs ends above steps distances", "with_path"),
        ("_paths", "steps ends mask", None),
        ("_soft_distances", "costs ends above chances distances softness", "with_chances"),
        ("_expected_alignments", "chances ends arriving alignment", None),
    ],
)
def test_the_devices_kernels_compile_for_a_hopper_gpu(
    name: str, pointers: str, flag: str | None
) -> None:
    """What the interpreter does not look at: Triton's compiler needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from limelight.models import dtw_device

    kernel = getattr(dtw_device, name)
    types = {"ends": "*i32", "steps": "*u8", "mask": "*u8"}
    signature = {pointer: types.get(pointer, "*fp32") for pointer in pointers.split()}
    signature |= {size: "i32" for size in ("batch", "rows", "columns", "band")}
    constants = {"block": 32} | ({flag: True} if flag else {})
    signature |= dict.fromkeys(constants, "constexpr")
    signature = {each: signature[each] for each in kernel.arg_names}
    source = ASTSource(kernel, signature=signature, constexprs=constants)
    assert triton.compile(source, GPUTarget("cuda", 90, 32)).asm["ptx"]
