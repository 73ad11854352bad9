"""How much arithmetic a network does, for the roofline of the benchmarks."""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def forward_flops(run: Callable[[], object]) -> int:
    """FLOPs of the matrix products, convolutions and attentions in `run`: multiply-adds times two.

    Element-wise work and softmax are left out, as is usual: a chip's matrix rate does not bound
    them. What a captured CUDA graph replays is not seen.
    """
    # torch counts the fused attention of CUDA, but not the CPU's.
    attention = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops}
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=attention) as counter:
        run()
    return int(counter.get_total_flops())


def _attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]
