"""The sub-networks that look at a cover and read a title (section 2.2.1 and table 2)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

# Convolutions of VGG-16, in units of the first block's channels; a block ends with max-pooling.
_VGG_16 = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))


class VGG(nn.Module):
    """VGG-16 down to its last hidden layer, in torchvision's layout, so that its weights fit.

    Args:
        width: channels of the first block, 64 in VGG-16.
        pooled: the side that the last block's output is averaged to, 7 there.
        hidden_size: of the two fully connected layers, 4,096 there.
        dropout: behind each of them.
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        width: int = 64,
        pooled: int = 7,
        hidden_size: int = 4_096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        smallest = 2 ** len(_VGG_16)
        if image_size < smallest or min(width, pooled, hidden_size) < 1:
            raise ValueError(
                f"cover_encoder: found image_size {image_size}, width {width}, pooled {pooled},"
                f" hidden_size {hidden_size}, expected at least {smallest}, 1, 1 and 1"
            )
        self.output_size = hidden_size
        layers: list[nn.Module] = []
        channels = 3
        for block in _VGG_16:
            for factor in block:
                layers += [nn.Conv2d(channels, factor * width, 3, padding=1), nn.ReLU()]
                channels = factor * width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = nn.Sequential(
            nn.Linear(channels * pooled * pooled, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Without it sixteen layers let nothing through to learn from.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, hidden_size) of (B, 3, S, S)."""
        return self.top(self.features(pixels))

    def top(self, maps: Tensor) -> Tensor:
        """What comes behind the convolutions."""
        found: Tensor = self.classifier(self.avgpool(maps).flatten(1))
        return found

    def load(self, path: Path) -> None:
        """Put in published weights; those of the layer of 1,000 classes are not looked at.

        Raises:
            ValueError: no safetensors file, or other names or shapes than this network's.
            OSError: it cannot be read.
        """
        try:
            weights = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path}: found {error}, expected a safetensors file") from error
        own = self.state_dict()
        wrong = [n for n, w in own.items() if n not in weights or weights[n].shape != w.shape]
        if wrong:
            raise ValueError(f"{path}: found no fitting {wrong[0]}, expected weights of VGG-16")
        self.load_state_dict({name: weights[name] for name in own})


class TitleRNN(nn.Module):
    """A GRU over a title's tokens: its state after the last of them."""

    def __init__(self, *, vocab_size: int, hidden_size: int = 768) -> None:
        super().__init__()
        self.output_size = hidden_size
        self.embeddings = nn.Embedding(vocab_size, hidden_size, padding_idx=0)
        self.rnn = nn.GRU(hidden_size, hidden_size, batch_first=True)

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """(B, hidden_size) of (B, K) numbers and which of them count, from the left."""
        states, _ = self.rnn(self.embeddings(token_ids))
        last = (mask.long().sum(1) - 1).clamp(min=0)
        found: Tensor = states[torch.arange(len(states), device=states.device), last]
        return found


def make_cover_encoder(vision: str, fields: Mapping[str, Any]) -> Any:
    """A network with random weights.

    Raises:
        ValueError: fields that it does not have.
    """
    if vision == "vgg":
        return _made(VGG, "cover_encoder", fields)
    return AutoModel.from_config(_config("cover_encoder", "vit", fields), add_pooling_layer=False)


def make_title_encoder(language: str, fields: Mapping[str, Any]) -> Any:
    """As `make_cover_encoder`."""
    if language == "rnn":
        return _made(TitleRNN, "title_encoder", fields)
    return AutoModel.from_config(_config("title_encoder", "bert", fields))


def pretrained_encoder(name: str, kind: str) -> Any:
    """The `vit` or `bert` of that name, as published.

    Raises:
        ValueError: it is of another kind.
        OSError: there is none, or none in safetensors.
    """
    pooling: dict[str, Any] = {"add_pooling_layer": False} if kind == "vit" else {}
    config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    if config.model_type != kind:
        raise ValueError(f"{name}: found a {config.model_type}, expected a {kind}")
    return AutoModel.from_pretrained(
        name, config=config, use_safetensors=True, trust_remote_code=False, **pooling
    )


def _config(field: str, kind: str, fields: Mapping[str, Any]) -> Any:
    found = fields.get("model_type", kind)
    if found != kind:
        raise ValueError(f"{field}.model_type: found {found!r}, expected {kind!r}")
    return AutoConfig.for_model(kind, **{n: v for n, v in fields.items() if n != "model_type"})


def _made(network: type[nn.Module], field: str, fields: Mapping[str, Any]) -> nn.Module:
    try:
        return network(**fields)
    except TypeError as error:
        raise ValueError(f"{field}: found {dict(fields)}: {error}") from error
