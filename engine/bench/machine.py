"""What the figures were measured on."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import torch

from limelight.engine.bench.ceilings import has_bfloat16, name_of
from limelight.engine.bench.plan import Plan


def machine(plan: Plan) -> dict[str, str | int | bool]:
    """Processor, GPU, libraries, threads and dtype."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": plan.device.type,
        "gpu": torch.cuda.get_device_name(plan.device) if plan.on_cuda else "",
        "dtype": name_of(plan.dtype),
        "bfloat16": has_bfloat16(plan.device),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "numba", "numpy")},
    }


def _cpu_name() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", cpu_info.read_text(), re.MULTILINE)
        if names:
            return str(names[0])
    return platform.processor() or platform.machine()
