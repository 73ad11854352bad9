"""The most memory that something takes beyond what was taken before."""

import re
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import torch

_STATUS = Path("/proc/self/status")
# Linux: a 5 written there makes the resident set's peak begin anew.
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """As a context: afterwards `bytes` is the peak on the device, on a CPU of the resident set.

    On a CPU other than Linux's it is 0.
    """

    def __init__(self, device: torch.device) -> None:
        self.bytes = 0
        self._device = device
        self._before = 0

    def __enter__(self) -> "PeakMemory":
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        elif _STATUS.exists():
            # Where that is not allowed, only what exceeds the earlier peak shows.
            with suppress(OSError):
                _RESET.write_text("5")
            self._before = _resident_bytes("VmHWM")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = _resident_bytes("VmHWM") if _STATUS.exists() else 0
        self.bytes = max(0, peak - self._before)


def _resident_bytes(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 if found else 0
