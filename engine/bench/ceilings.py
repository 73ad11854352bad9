"""What this machine can do at best, measured: products of matrices, and memory read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import torch

from limelight.engine.bench.plan import Plan
from limelight.engine.bench.report import Row, Section, waiting
from limelight.engine.bench.timing import wait_for_device

_CPU_SIZES = (512, 1024, 2048)
_CUDA_SIZES = (4096, 8192, 16384)
# Well beyond the last cache of either.
_CPU_BYTES = 1 << 28
_CUDA_BYTES = 1 << 32
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Ceilings:
    """FLOPs a second by dtype, multiply-adds counted twice, and bytes a second from memory."""

    flops_per_s: dict[torch.dtype, float]
    bytes_per_s: float


def measure(plan: Plan) -> tuple[Ceilings, Section]:
    """The best of several sizes and repeats."""
    rows: list[Row] = []
    rates: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        name = {"what": f"matrix products, {name_of(dtype)}"}
        if dtype == torch.bfloat16 and not has_bfloat16(plan.device):
            rows.append(waiting(name, f"a GPU, or a CPU with {' or '.join(_BF16_FLAGS)}"))
            continue
        rates[dtype], size = _matrix_rate(plan, dtype)
        rows.append({**name, "at best": rates[dtype] / 1e9, "unit": "GFLOP/s", "size": size})
    bandwidth, how = _bandwidth(plan)
    rows.append({"what": "memory", "at best": bandwidth / 1e9, "unit": "GB/s", "size": how})
    note = "Square matrices; a sum over, or a copy of, more than the caches hold. Best of all runs."
    section = Section("ceilings", "What this machine can do", tuple(rows), note)
    return Ceilings(rates, bandwidth), section


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 by itself, faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu_info = Path("/proc/cpuinfo")
    flags = cpu_info.read_text().split() if cpu_info.exists() else []
    return any(flag in flags for flag in _BF16_FLAGS)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _matrix_rate(plan: Plan, dtype: torch.dtype) -> tuple[float, str]:
    best, where = 0.0, ""
    for size in _CUDA_SIZES if plan.on_cuda else _CPU_SIZES:
        left, right = torch.randn(2, size, size, device=plan.device).to(dtype)
        product = torch.empty_like(left)
        seconds = _least_seconds(
            lambda a=left, b=right, out=product: torch.mm(a, b, out=out),  # type: ignore[misc]
            plan.ceiling_seconds,
        )
        rate = 2 * size**3 / seconds
        if rate > best:
            best, where = rate, f"{size} x {size}"
    return best, where


def _bandwidth(plan: Plan) -> tuple[float, str]:
    size = _CUDA_BYTES if plan.on_cuda else _CPU_BYTES
    source = torch.ones(size // 4, device=plan.device)
    target = torch.empty_like(source)
    read = size / _least_seconds(source.sum, plan.ceiling_seconds)
    copied = 2 * size / _least_seconds(lambda: target.copy_(source), plan.ceiling_seconds)
    mebibytes = f"{size >> 20} MiB"
    return max((read, f"sum of {mebibytes}"), (copied, f"copy of {mebibytes}"))


def _least_seconds(run: Callable[[], object], seconds: float) -> float:
    """The shortest of the runs that fit into so many seconds, at least three."""
    run()
    wait_for_device()
    least, runs, began = float("inf"), 0, perf_counter()
    while runs < 3 or perf_counter() - began < seconds:
        start = perf_counter()
        run()
        wait_for_device()
        least = min(least, perf_counter() - start)
        runs += 1
    return least
