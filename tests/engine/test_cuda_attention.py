"""The Triton kernel against the CPU's, on a GPU or, slowly, by Triton's interpreter.

Triton decides at its import whether it compiles or interprets, so without a GPU these tests, and
those of the decode step, run in a process of their own: the first test here starts it.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from limelight.kernels.ring_attention import ring_attention as on_cpu

HAS_TRITON = find_spec("triton") is not None
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
SHAPES = [(3, 2, 5, 6), (2, 3, 20, 16), (1, 1, 1, 1), (1, 8, 21, 64)]

on_device = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_TRITON, reason="needs triton, which CPU torch lacks"),
    pytest.mark.skipif(
        DEVICE.type == "cpu" and not INTERPRETED, reason="needs a CUDA device or TRITON_INTERPRET=1"
    ),
]


@pytest.mark.skipif(not HAS_TRITON, reason="needs triton, which CPU torch lacks")
@pytest.mark.skipif(DEVICE.type == "cuda", reason="the tests run on the GPU itself")
@pytest.mark.skipif(INTERPRETED, reason="this is the process it would start")
def test_the_cuda_path_passes_its_tests_in_triton_s_interpreter() -> None:
    here = Path(__file__)
    files = [str(here), str(here.with_name("test_cuda_step.py"))]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


class Case:
    """Rings, new segments (B, 3, H, D) and indices, drawn; `reference` is what the CPU makes."""

    def __init__(self, rooms: int, heads: int, length: int, width: int, dtype: torch.dtype) -> None:
        rng = np.random.default_rng(rooms + heads + length + width)
        capacity = rooms + 2

        def draw(*shape: int) -> Tensor:
            return torch.from_numpy(rng.standard_normal(shape, np.float32)).to(dtype)

        self.projected = draw(rooms, 3, heads, width)
        self.keys, self.values = (draw(capacity, heads, length, width) for _ in range(2))
        self.slots = torch.from_numpy(rng.permutation(capacity)[:rooms])
        self.filled = torch.from_numpy(rng.integers(1, length + 1, rooms))
        self.places = torch.from_numpy(rng.integers(0, self.filled.numpy()))
        # What lies beyond `filled`, or where the new segment goes, must not be read.
        for slot, place, count in zip(self.slots, self.places, self.filled, strict=True):
            for ring in (self.keys, self.values):
                ring[slot, :, count:] = torch.nan
                ring[slot, :, place] = torch.nan

    def reference(self, store: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed values, keys and values, all from the CPU's kernel in float32."""
        projected, keys, values = (
            tensor.float().numpy().copy() for tensor in (self.projected, self.keys, self.values)
        )
        out = np.empty_like(projected[:, 0])
        indices = (self.slots.numpy(), self.places.numpy(), self.filled.numpy())
        on_cpu(projected, keys, values, *indices, store=store, out=out)
        return torch.from_numpy(out), torch.from_numpy(keys), torch.from_numpy(values)

    def on_device(self, store: bool, index_dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        from limelight.engine.cuda_attention import ring_attention

        keys, values = self.keys.to(DEVICE, copy=True), self.values.to(DEVICE, copy=True)
        indices = (each.to(DEVICE, index_dtype) for each in (self.slots, self.places, self.filled))
        projected = self.projected.to(DEVICE)
        out = torch.full_like(projected[:, 0], 7).contiguous()
        ring_attention(projected, keys, values, *indices, store=store, out=out)
        return out.cpu().float(), keys.cpu().float(), values.cpu().float()


class TestOnDevice:
    pytestmark = on_device

    @pytest.mark.parametrize("store", [False, True])
    @pytest.mark.parametrize("shape", SHAPES)
    def test_it_equals_the_cpus_in_float32(
        self, shape: tuple[int, int, int, int], store: bool
    ) -> None:
        case = Case(*shape, torch.float32)
        index_dtype = torch.int32 if store else torch.int64
        found, keys, values = case.on_device(store, index_dtype)
        expected, expected_keys, expected_values = case.reference(store)
        torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)
        torch.testing.assert_close(keys, expected_keys, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(values, expected_values, rtol=0, atol=0, equal_nan=True)

    @pytest.mark.parametrize("shape", SHAPES[:2])
    def test_in_bfloat16_only_the_result_is_rounded(self, shape: tuple[int, int, int, int]) -> None:
        case = Case(*shape, torch.bfloat16)
        found, keys, values = case.on_device(True, torch.int32)
        expected, expected_keys, expected_values = case.reference(True)
        # Eight bits; the interpreter cuts them off where a GPU rounds.
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=1e-6)
        torch.testing.assert_close(keys, expected_keys, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(values, expected_values, rtol=0, atol=0, equal_nan=True)

    def test_products_beyond_what_exp_can_hold_do_not_overflow(self) -> None:
        case = Case(2, 2, 5, 6, torch.float32)
        case.projected *= 100
        found, _, _ = case.on_device(False, torch.int32)
        torch.testing.assert_close(found, case.reference(False)[0], rtol=2e-4, atol=1e-4)

    @pytest.mark.filterwarnings("ignore:invalid value encountered in subtract")
    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_what_is_not_finite_stays_visible(self, part: int) -> None:
        case = Case(2, 2, 5, 6, torch.float32)
        case.projected[1, part, 0, 3] = torch.nan
        found, _, _ = case.on_device(False, torch.int32)
        assert found[0].isfinite().all() and found[1, 1].isfinite().all()
        assert found[1, 0].isnan().any()

    def test_rows_of_one_slot_and_one_segment_may_be_stored(self) -> None:
        case = Case(3, 2, 5, 6, torch.float32)
        case.slots[:], case.places[:], case.filled[:] = 4, 0, 1
        case.projected[:] = case.projected[:1].clone()
        found, keys, _ = case.on_device(True, torch.int32)
        torch.testing.assert_close(found, case.projected[:, 2])
        assert torch.equal(keys[4, :, 0], case.projected[0, 1])

    @pytest.mark.parametrize(
        ("name", "changed", "message"),
        [
            ("projected", torch.zeros(1, 3, 2, 7), "projected, out, values: found"),
            ("places", torch.zeros(2, dtype=torch.int32), "slots, places, filled"),
            ("keys", torch.zeros(2, 2, 4, 6, dtype=torch.float16), "keys, values: found"),
            ("out", torch.zeros(1, 2, 12)[..., ::2], "not contiguous"),
        ],
    )
    def test_tensors_that_do_not_fit_are_refused(
        self, name: str, changed: Tensor, message: str
    ) -> None:
        from limelight.engine.cuda_attention import ring_attention

        given = {name: torch.zeros(1, dtype=torch.int32) for name in ("slots", "places", "filled")}
        given |= {name: torch.zeros(2, 2, 4, 6) for name in ("keys", "values")}
        given |= {"projected": torch.zeros(1, 3, 2, 6), "out": torch.zeros(1, 2, 6)}
        with pytest.raises(ValueError, match=message):
            ring_attention(**given | {name: changed}, store=False)


@pytest.mark.skipif(not HAS_TRITON, reason="needs triton, which CPU torch lacks")
@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel cannot be compiled")
@pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION")
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_it_compiles_for_a_hopper_gpu_without_spills_or_shared_memory(dtype: str) -> None:
    """What the interpreter does not look at: Triton's compiler needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from limelight.engine.cuda_attention import _attend

    tensors = ("projected", "keys", "values", "out")
    signature = dict.fromkeys(tensors, f"*{dtype}") | {"scale": "fp32"}
    signature |= dict.fromkeys(("slots", "places", "filled"), "*i32")
    sizes = {"heads": 8, "length": 20, "width": 64, "heads_block": 8, "width_block": 64}
    sizes |= {"places_a_turn": 4, "store": True}
    signature |= dict.fromkeys(sizes, "constexpr")
    aligned = {(at,): [["tt.divisibility", 16]] for at in range(7)}
    source = ASTSource(_attend, signature=signature, constexprs=sizes, attrs=aligned)
    compiled = triton.compile(source, GPUTarget("cuda", 90, 32), {"num_warps": 2})
    code = compiled.asm["ptx"]
    assert compiled.metadata.shared == 0
    assert "ld.local" not in code and "st.local" not in code
    assert code.count(".v4.") >= 11
