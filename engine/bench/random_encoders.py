"""Encoders of the usual sizes with random weights: their speed is that of trained ones."""

import torch
from transformers import BertConfig, BertModel, BertTokenizer, SwinConfig, SwinModel

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.text_encoder import TextEncoder
from limelight.models.character_vocabulary import character_vocabulary

_HALF = (0.5, 0.5, 0.5)


def swin_base(device: torch.device, dtype: torch.dtype) -> FrameEncoder:
    """The sizes of swin-base-patch4-window7-224."""
    config = SwinConfig(
        image_size=224, embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], window_size=7
    )
    torch.manual_seed(0)
    return FrameEncoder(
        SwinModel(config).to(device, dtype),
        encoder_id="swin-base of random weights",
        revision="seed0",
        feature_size=config.hidden_size,
        image_size=(224, 224),
        mean=_HALF,
        std=_HALF,
    )


def bert(device: torch.device, dtype: torch.dtype, *, layers: int, hidden_size: int) -> TextEncoder:
    """A BERT over the bundled characters: 12 layers of 768 are BERT-base, 24 of 1,024 the large."""
    vocabulary = character_vocabulary()
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden_size // 64),
        intermediate_size=4 * hidden_size,
    )
    torch.manual_seed(0)
    return TextEncoder(
        BertModel(config).to(device, dtype),
        BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=False),
        encoder_id=f"BERT of {layers} layers and random weights",
        revision="seed0",
    )
