"""VGGish: 128 numbers for each 0.96 s of sound, with weights that are published elsewhere.

Source: Hershey et al., CNN architectures for large-scale audio classification (2017). The
layers and the names of their weights are those of the network's common PyTorch port, so that its
state dict, saved as safetensors, is what `load_vggish` takes; pickled weights are refused as
everywhere. What follows the network there, a PCA and a quantisation to 8 bits, is left out.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from limelight.models.audio.log_mel import MEL_BANDS, PATCH_WINDOWS, log_mel_patches

EMBEDDING_SIZE = 128
# Convolutions with how many channels, each group followed by a pooling that halves both sides.
CHANNELS = ((64,), (128,), (256, 256), (512, 512))
_HIDDEN = 4_096
_PATCHES_AT_ONCE = 64


class VGGish(nn.Module):
    """(n, 128) float of log-mel patches (n, 96, 64).

    Args:
        channels, hidden, embedding: the published sizes; smaller ones make a network for tests.
    """

    def __init__(
        self,
        channels: Sequence[Sequence[int]] = CHANNELS,
        hidden: int = _HIDDEN,
        embedding: int = EMBEDDING_SIZE,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 1
        for group in channels:
            for outputs in group:
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        shrunk = 2 ** len(channels)
        flat = inputs * (PATCH_WINDOWS // shrunk) * (MEL_BANDS // shrunk)
        self.embeddings = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(),
            nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, embedding), nn.ReLU(),
        )  # fmt: skip

    def forward(self, patches: Tensor) -> Tensor:
        """(n, 128) of (n, 96, 64)."""
        maps = self.features(patches[:, None])
        # The weights were learned with channels last.
        found: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return found


class VGGishEncoder:
    """A VGGish that serves: from samples to features."""

    def __init__(self, network: VGGish, encoder_id: str) -> None:
        self.encoder_id = encoder_id
        self._network = network.eval().requires_grad_(False)
        last = network.embeddings[-2]
        assert isinstance(last, nn.Linear)
        self.feature_size = last.out_features

    def encode(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """(P, A) float32 of (n,) mono samples at 16 kHz in [-1, 1]."""
        patches = torch.from_numpy(log_mel_patches(samples))
        with torch.inference_mode():
            found = [self._network(some) for some in torch.split(patches, _PATCHES_AT_ONCE)]
        if not len(patches):
            return np.empty((0, self.feature_size), np.float32)
        return torch.cat(found).numpy()


def load_vggish(weights: Path) -> VGGishEncoder:
    """The published network with the weights of a safetensors file.

    Raises:
        ValueError: no safetensors, or not VGGish's weights.
        OSError: there is no such file.
    """
    try:
        tensors = load_file(weights)
    except SafetensorError as error:
        raise ValueError(f"{weights}: found {error}, expected VGGish as safetensors") from error
    with torch.device("meta"):
        network = VGGish()
    expected = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    found = {name: tuple(each.shape) for name, each in tensors.items()}
    if found != expected:
        odd = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
        raise ValueError(
            f"{weights}: {odd[0]}: found {found.get(odd[0], 'none')}, expected"
            f" {expected.get(odd[0], 'none')}"
        )
    network.load_state_dict(tensors, assign=True)
    return VGGishEncoder(network, f"vggish/{weights.stem}")
