"""The bundled small encoders: a Swin and a character BERT, built without a download.

Their weights were trained with the bundled network on simulated rooms (`make weights`). Without
weights they are those of a seeded random generator, where training begins.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel, BertTokenizer, SwinConfig, SwinModel

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.weights import weights_revision
from limelight.models.character_vocabulary import character_vocabulary

TINY = "tiny"
UNTRAINED_REVISION = "untrained-seed0"
PRETRAINED = Path(__file__).parent / "pretrained" / TINY
FRAME_WEIGHTS = PRETRAINED / "frame-encoder.safetensors"
TEXT_WEIGHTS = PRETRAINED / "text-encoder.safetensors"

_SEED = 0
_IMAGE_SIZE = 64
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def tiny_frame_encoder(
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    max_batch: int = 32,
    compiled: bool = False,
    weights: Path | None = FRAME_WEIGHTS,
) -> FrameEncoder:
    """The small Swin over 64 x 64 pictures; with `weights` None, of a seeded random generator."""
    config = SwinConfig(
        image_size=_IMAGE_SIZE,
        patch_size=4,
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
        drop_path_rate=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = SwinModel(config)
    revision = _load(model, weights)
    return FrameEncoder(
        model.to(device, dtype),
        encoder_id=TINY,
        revision=revision,
        feature_size=config.hidden_size,
        image_size=(_IMAGE_SIZE, _IMAGE_SIZE),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        max_batch=max_batch,
        compiled=compiled,
    )


def tiny_text_encoder(
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    max_tokens: int = 128,
    max_batch: int = 64,
    compiled: bool = False,
    weights: Path | None = TEXT_WEIGHTS,
) -> TextEncoder:
    """The small character BERT; with `weights` None, of a seeded random generator."""
    vocabulary = character_vocabulary()
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=256,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = BertModel(config)
    revision = _load(model, weights)
    # Stripping accents would also strip the voicing marks of kana.
    tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=False)
    return TextEncoder(
        model.to(device, dtype),
        tokenizer,
        encoder_id=TINY,
        revision=revision,
        max_tokens=max_tokens,
        max_batch=max_batch,
        compiled=compiled,
    )


def _load(model: SwinModel | BertModel, weights: Path | None) -> str:
    """Puts the weights in, and gives their revision."""
    if weights is None:
        return UNTRAINED_REVISION
    model.load_state_dict(load_file(weights))
    return weights_revision([weights])
