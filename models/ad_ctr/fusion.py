"""From embeddings of frames, sound and category to what is predicted: the paper's two topologies.

Source: self-organizing network for ad CTR, section 4.3, figure 2. Left open there and decided here:
kernels of 3 frames, ReLU behind each convolution, a max-pooling over all frames.
"""

import torch
from torch import Tensor, nn

_KERNEL = 3


class BaselineFusion(nn.Module):
    """Two 1-D convolutions, max-pooling and a fully connected layer (figure 2a).

    Args:
        inputs: channels of the embeddings, all of them together.
        channels: of both convolutions.
        outputs: numbers predicted.
    """

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, channels, _KERNEL, padding="same")
        self.second = nn.Conv1d(channels, channels, _KERNEL, padding="same")
        self.head = nn.Linear(channels, outputs)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, outputs) of (B, inputs, frames)."""
        first = self.first(embeddings).relu()
        second = self.second(first).relu()
        found: Tensor = self.head(second.amax(dim=2))
        return found


class AllConnectedFusion(nn.Module):
    """Every layer is connected to all behind it, up to the max-pooling (figure 2b).

    Args as `BaselineFusion`.
    """

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(inputs, channels, _KERNEL, padding="same")
        self.second = nn.Conv1d(inputs + channels, channels, _KERNEL, padding="same")
        self.head = nn.Linear(inputs + 2 * channels, outputs)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, outputs) of (B, inputs, frames)."""
        first = torch.cat([embeddings, self.first(embeddings).relu()], dim=1)
        second = torch.cat([first, self.second(first).relu()], dim=1)
        found: Tensor = self.head(second.amax(dim=2))
        return found


def make_fusion(name: str, inputs: int, channels: int, trimmed: int, outputs: int) -> nn.Module:
    """The fusion of a name; `trimmed` channels for the all-connected one, worked out if 0."""
    if name == "baseline":
        return BaselineFusion(inputs, channels, outputs)
    if name == "all-connected":
        trimmed = trimmed or trimmed_channels(inputs, channels, outputs)
        return AllConnectedFusion(inputs, trimmed, outputs)
    return AllConnectedFusion(inputs, channels, outputs)


def trimmed_channels(inputs: int, channels: int, outputs: int) -> int:
    """The most channels with which the all-connected fusion has no more parameters than the other.

    Raises:
        ValueError: not even one channel is few enough.
    """
    budget = count_parameters(BaselineFusion(inputs, channels, outputs))
    fitting = [
        width
        for width in range(1, channels + 1)
        if count_parameters(AllConnectedFusion(inputs, width, outputs)) <= budget
    ]
    if not fitting:
        raise ValueError(
            f"conv_channels: found {channels}, expected more: with {inputs} inputs an all-connected"
            f" fusion of one channel has more than the baseline's {budget} parameters"
        )
    return fitting[-1]


def count_parameters(module: nn.Module) -> int:
    """Parameters in use: what is pruned away does not count."""
    pruned = sum(
        int((buffer == 0).sum())
        for name, buffer in module.named_buffers()
        if name.endswith("_mask")
    )
    return sum(each.numel() for each in module.parameters()) - pruned
