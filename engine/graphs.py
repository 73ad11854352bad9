"""A function over batches of any size, run at a few fixed sizes: what a CUDA graph asks for.

A captured graph replays the same kernels on the same addresses, and costs one launch instead of one
for each kernel. So a batch is copied into buffers that stay where they are, filled up to the next
bucket with harmless rows, and the result is read where the graph leaves it. With buckets 1, 2, 4, 6
a batch of 3 runs as 4 rows, the last of them padding, and a batch of 5 as 6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor

_WARM_UP_RUNS = 2
# While the device copies from one set of host buffers the next batch is written to the other.
_HOST_SETS = 2
# A capture begins with a wait for the whole device, which another capture would forbid.
_capturing = Lock()


class GraphPool:
    """What graphs may share that never run at the same time: memory, and where they are captured.

    Each stream that has met a matrix product keeps a workspace of some 32 MB for it, hence one.
    """

    def __init__(self, device: torch.device) -> None:
        with torch.cuda.device(device):
            self.handle: Any = torch.cuda.graph_pool_handle()
            self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class BatchInput:
    """One argument of the function: (batch, *shape) of `dtype`; `padding` fills unused rows."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    padding: float = 0


class BucketedFunction:
    """Runs a function of batches at fixed batch sizes: as CUDA graphs, or eagerly on a CPU.

    The function takes the inputs, each (bucket, *shape) on the device, and returns one tensor whose
    first dimension is the bucket. It must treat rows apart, and do the same work each time: no
    Python branch on values, no wait for the device. What it writes beside its result must be
    unharmed by padding rows: before a bucket is captured the function runs on padding alone.

    One thread at a time, on one stream: a call overwrites what the last one was given and returned.
    Other objects may be called from other threads meanwhile, unless they share this one's pool. A
    capture (the first call of a bucket) forbids every thread to synchronise the whole device, so
    `warm_up` belongs before the other threads' start.

    Args:
        function: see above; it is called in inference mode.
        inputs: its arguments.
        maximum: rows of the largest bucket; the others are the powers of two below.
        device: where it runs.
        minimum: no bucket has fewer rows, but for `maximum`.
        pool: another object's `pool`, where the two never run at the same time; else its own.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        inputs: Sequence[BatchInput],
        *,
        maximum: int,
        device: torch.device,
        minimum: int = 1,
        pool: GraphPool | None = None,
    ) -> None:
        self.buckets = bucket_sizes(maximum, minimum)
        self._function = function
        self._inputs = tuple(inputs)
        self._device = device
        # A bucket's buffers are the first rows of these.
        self._buffers = [
            torch.empty(maximum, *i.shape, dtype=i.dtype, device=device) for i in inputs
        ]
        self._ready: dict[int, _Bucket] = {}
        self._result: Tensor | None = None
        self._host: list[_HostSet] = []
        self._on_cuda = device.type == "cuda"
        if pool is None and self._on_cuda:
            pool = GraphPool(device)
        self.pool = pool

    @property
    def maximum(self) -> int:
        return self.buckets[-1]

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Captures every bucket, the largest first, so that the others fit into its memory."""
        for bucket in reversed(self.buckets):
            self._bucket(bucket)

    @torch.inference_mode()
    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result for a batch: a view, valid until the next call.

        Args:
            inputs: each (B, *shape), on this device or on the CPU; other dtypes are converted. Host
                tensors travel through pinned memory, without a wait, and may be reused at once.

        Raises:
            ValueError: an input of another shape, another B than the first's, B above the maximum.
        """
        batch = self._checked_batch(inputs)
        if batch > self.maximum:
            raise ValueError(f"batch: found {batch} rows, expected at most {self.maximum}")
        return self._run(inputs, batch)

    @torch.inference_mode()
    def in_chunks(self, *inputs: Tensor) -> Tensor:
        """As a call, for any B: batches above the maximum run as several."""
        batch = self._checked_batch(inputs)
        if batch <= self.maximum:
            return self._run(inputs, batch)
        result = self._result
        for first in range(0, batch, self.maximum):
            last = min(first + self.maximum, batch)
            found = self._run([given[first:last] for given in inputs], last - first)
            if result is None or len(result) < batch:
                result = found.new_empty(batch, *found.shape[1:])
            result[first:last] = found
        assert result is not None
        self._result = result
        return result[:batch]

    def _run(self, inputs: Sequence[Tensor], batch: int) -> Tensor:
        size = next(bucket for bucket in self.buckets if bucket >= batch)
        bucket = self._bucket(size)  # before the inputs are there, for a capture overwrites them
        self._load(inputs, batch, size)
        if bucket.graph is not None:
            bucket.graph.replay()
        else:
            bucket.output.copy_(self._function(*bucket.inputs))
        return bucket.output[:batch]

    def _checked_batch(self, inputs: Sequence[Tensor]) -> int:
        found = [tuple(given.shape) for given in inputs]
        batch = found[0][0] if found and found[0] else 0
        expected = [(batch, *each.shape) for each in self._inputs]
        if found != expected:
            raise ValueError(f"inputs: found shapes {found}, expected {expected}")
        return batch

    def _load(self, inputs: Sequence[Tensor], batch: int, size: int) -> None:
        host = self._next_host_set(inputs)
        for at, (buffer, given, each) in enumerate(
            zip(self._buffers, inputs, self._inputs, strict=True)
        ):
            target = buffer if host is None or given.device.type != "cpu" else host.buffers[at]
            target[:batch].copy_(given)
            target[batch:size].fill_(each.padding)
            if target is not buffer:
                buffer[:size].copy_(target[:size], non_blocking=True)
        if host is not None:
            host.read.record(torch.cuda.current_stream(self._device))

    def _next_host_set(self, inputs: Sequence[Tensor]) -> "_HostSet | None":
        """Pinned buffers that no copy reads any more, where some input needs them."""
        if not self._on_cuda or all(given.device.type != "cpu" for given in inputs):
            return None
        if len(self._host) < _HOST_SETS:
            pinned = [torch.empty_like(b, device="cpu", pin_memory=True) for b in self._buffers]
            host = _HostSet(pinned, torch.cuda.Event())  # type: ignore[no-untyped-call]
        else:
            host = self._host.pop(0)
            host.read.synchronize()
        self._host.append(host)
        return host

    def _bucket(self, size: int) -> "_Bucket":
        if size not in self._ready:
            for buffer, each in zip(self._buffers, self._inputs, strict=True):
                buffer[:size].fill_(each.padding)
            inputs = [buffer[:size] for buffer in self._buffers]
            if self.pool is not None:
                self._ready[size] = self._captured(inputs, self.pool)
            else:
                self._ready[size] = _Bucket(inputs, torch.empty_like(self._function(*inputs)), None)
        return self._ready[size]

    def _captured(self, inputs: list[Tensor], pool: GraphPool) -> "_Bucket":
        """What compiles, tunes or allocates at its first run must do so before it is captured."""
        with torch.cuda.device(self._device), _capturing:
            current = torch.cuda.current_stream()
            pool.stream.wait_stream(current)
            with torch.cuda.stream(pool.stream):
                for _ in range(_WARM_UP_RUNS):
                    self._function(*inputs)
            current.wait_stream(pool.stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads may allocate meanwhile: the encoders have theirs.
            with torch.cuda.graph(graph, pool.handle, pool.stream, "thread_local"):
                output = self._function(*inputs)
        return _Bucket(inputs, output, graph)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """The output stays in its place on a CPU as well: tests there see what a GPU would show."""

    inputs: list[Tensor]
    output: Tensor
    graph: torch.cuda.CUDAGraph | None


@dataclass(frozen=True, slots=True)
class _HostSet:
    buffers: list[Tensor]
    read: torch.cuda.Event


def bucket_sizes(maximum: int, minimum: int = 1) -> list[int]:
    """Powers of two from `minimum` on and below `maximum`, then `maximum`.

    Raises:
        ValueError: not 1 <= minimum <= maximum.
    """
    if not 1 <= minimum <= maximum:
        raise ValueError(f"buckets: found {minimum} to {maximum} rows, expected 1 <= least <= most")
    first, last = (minimum - 1).bit_length(), (maximum - 1).bit_length()
    return [1 << power for power in range(first, last)] + [maximum]
