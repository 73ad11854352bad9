"""The `window` decoder: the paper's own definition, computed anew for each segment.

It equals `ContentCTR.decode` over the last N Perceiver outputs alone. Slower than the incremental
decoder and free of anything older than the window: the yardstick.
"""

import torch
from torch import Tensor

from limelight.models.contentctr.model import ContentCTR


class WindowDecoder:
    """Keeps each room's last N Perceiver outputs and decodes all of them for every new one.

    Same methods as `IncrementalDecoder`. The outputs of a room lie oldest first from place 0, so
    that what is empty lies in the future of what is not and needs no mask.
    """

    def __init__(self, model: ContentCTR, capacity: int) -> None:
        self.model = model
        self.window_length: int = model.config.window_length
        shape = (capacity, self.window_length, model.config.hidden_size)
        self.outputs = torch.zeros(shape, device=model.device, dtype=model.dtype)
        self.lengths = torch.zeros(capacity, dtype=torch.int64)

    @torch.inference_mode()
    def prefill(self, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B,) of each room's newest segment; arguments as `IncrementalDecoder.prefill`."""
        segments = x.shape[1]
        if segments > self.window_length:
            raise ValueError(f"found {segments} segments, expected at most {self.window_length}")
        self.clear(slots)
        real = (torch.arange(segments) < lengths[:, None]).to(x.device)
        x = x.masked_fill(~real[..., None], 0)
        self.outputs[slots.to(x.device), :segments] = x
        self.lengths[slots] = lengths
        return self._newest_logits(x, lengths)

    @torch.inference_mode()
    def decode_step(self, slots: Tensor, x: Tensor) -> Tensor:
        """Logits (B,) of new segments; arguments as `IncrementalDecoder.decode_step`."""
        at = slots.to(x.device)
        outputs = self.outputs[at]
        full = (self.lengths[slots] >= self.window_length).to(x.device)
        outputs = torch.where(full[:, None, None], outputs.roll(-1, dims=1), outputs)
        lengths = (self.lengths[slots] + 1).clamp(max=self.window_length)
        outputs = self._with_newest(outputs, x, lengths)
        self.outputs[at] = outputs
        self.lengths[slots] = lengths
        return self._newest_logits(outputs, lengths)

    @torch.inference_mode()
    def peek(self, slots: Tensor, x: Tensor) -> Tensor:
        """Logits (B,) of changed newest segments; arguments as `IncrementalDecoder.peek`."""
        lengths = self.lengths[slots]
        outputs = self._with_newest(self.outputs[slots.to(x.device)], x, lengths)
        return self._newest_logits(outputs, lengths)

    def clear(self, slots: Tensor) -> None:
        self.outputs[slots.to(self.outputs.device)] = 0
        self.lengths[slots] = 0

    def _with_newest(self, outputs: Tensor, x: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(len(lengths), device=x.device)
        outputs[rows, (lengths - 1).to(x.device)] = x
        return outputs

    def _newest_logits(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        rows = torch.arange(len(lengths), device=outputs.device)
        return self.model.decode(outputs)[rows, (lengths - 1).to(outputs.device)]
