"""A linear layer whose weight lies as the CPU's matrix kernels want it, arranged once.

oneDNN reads a weight in blocks. Handed an ordinary one it would rearrange it at each call, so torch
does not ask it; arranged beforehand, a product of few rows with many columns takes four fifths of
the time on two threads, and the activation that follows costs nothing more.
"""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limelight.models.contentctr.attention import FeedForward

# The number of rows the blocks are chosen for; any number works.
_TYPICAL_ROWS = 64


class PackedLinear:
    """x W^T + b, then GELU if asked for; a copy of the weight, so later changes are not seen.

    Only wide layers, with more outputs than inputs, are arranged: the others gained nothing.
    Elsewhere than on a CPU with oneDNN it is what torch does anyway.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> None:
        self._bias = bias
        self._gelu = gelu
        self._weight = weight.detach()
        outputs, inputs = weight.shape
        self._is_packed = outputs > inputs and _can_pack(weight)
        if self._is_packed:
            # The operators that torch's own compiler emits for CPUs.
            self._weight = torch.ops.mkldnn._reorder_linear_weight(self._weight, _TYPICAL_ROWS)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., outputs) from (..., inputs)."""
        if self._is_packed:
            name, variant = ("gelu", "none") if self._gelu else ("none", "")
            packed: Tensor = torch.ops.mkldnn._linear_pointwise(
                x.contiguous(), self._weight, self._bias, name, [], variant
            )
            return packed
        found = F.linear(x, self._weight, self._bias)
        return F.gelu(found) if self._gelu else found


def packed_ffn(ffn: FeedForward) -> Callable[[Tensor], Tensor]:
    """The feed-forward part with its wide layer arranged and its GELU inside of that."""
    wide, narrow = cast(nn.Linear, ffn[0]), cast(nn.Linear, ffn[2])
    first = PackedLinear(wide.weight, wide.bias, gelu=True)
    second = PackedLinear(narrow.weight, narrow.bias)
    return lambda x: second(first(x))


def _can_pack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )
