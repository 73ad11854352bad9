"""The network that scores: the bundled one, one from a folder, or untrained over any encoders."""

from pathlib import Path

import torch

from limelight.engine.errors import EncoderMismatch
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.tiny_encoders import PRETRAINED, TINY
from limelight.models.contentctr.config import ContentCTRConfig, tiny
from limelight.models.contentctr.model import ContentCTR

TINY_UNTRAINED = "tiny-untrained"
BUNDLED_NETWORK = PRETRAINED / "contentctr"

_SEED = 0


def untrained_network(frame_encoder: FrameEncoder, text_encoder: TextEncoder) -> ContentCTR:
    """A tiny network of seeded random weights over these encoders; the energy decides beside it."""
    config = tiny()
    config.frame_feature_size = frame_encoder.feature_size
    config.text_feature_size = text_encoder.feature_size
    config.frame_encoder_id = frame_encoder.encoder_id
    config.frame_encoder_revision = frame_encoder.revision
    config.text_encoder_id = text_encoder.encoder_id
    config.text_encoder_revision = text_encoder.revision
    config.model_version = f"{TINY_UNTRAINED}-seed{_SEED}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model: ContentCTR = ContentCTR(config).eval()
    return model


def load_network(folder: str | Path) -> ContentCTR:
    """The network that `save_pretrained` wrote there, or the bundled "tiny"; safetensors only.

    Raises:
        ValueError: not a folder, or its config names no model version.
        OSError: the folder holds no config or no safetensors.
    """
    if folder == TINY:
        folder = BUNDLED_NETWORK
    if not Path(folder).is_dir():
        expected = f"{TINY}, {TINY_UNTRAINED} or a folder"
        raise ValueError(f"model: found {str(folder)!r}, expected {expected}")
    model: ContentCTR = ContentCTR.from_pretrained(
        folder, use_safetensors=True, dtype=torch.float32
    ).eval()
    if not model.config.model_version:
        raise ValueError(f"model {folder}: found no model_version in its config, expected one")
    return model


def check_text_encoder(config: ContentCTRConfig, text_encoder: TextEncoder) -> None:
    """Passes if a network of that config reads what the encoder makes.

    Raises:
        EncoderMismatch: another encoder, another revision or another number of features.
    """
    check_encoder(
        "text",
        text_encoder.encoder_id,
        text_encoder.revision,
        expected_id=config.text_encoder_id,
        expected_revision=config.text_encoder_revision,
    )
    if text_encoder.feature_size != config.text_feature_size:
        found, expected = text_encoder.feature_size, config.text_feature_size
        raise EncoderMismatch(f"text features: found {found} numbers, expected {expected}")


def check_same_windows(config: ContentCTRConfig, served: ContentCTRConfig) -> None:
    """Passes if a network of that config can take over the rooms that another one scores.

    Raises:
        EncoderMismatch: it reads frame features of another encoder, revision or size.
        ValueError: it looks at windows of another length.
    """
    version = f"model {config.model_version}"
    if served.frame_encoder_id:
        check_encoder(
            f"{version}: frame",
            served.frame_encoder_id,
            served.frame_encoder_revision,
            expected_id=config.frame_encoder_id,
            expected_revision=config.frame_encoder_revision,
        )
    if config.frame_feature_size != served.frame_feature_size:
        found, expected = served.frame_feature_size, config.frame_feature_size
        raise EncoderMismatch(
            f"{version}: frame features: found {found} numbers, expected {expected}"
        )
    if config.window_length != served.window_length:
        found, expected = config.window_length, served.window_length
        raise ValueError(f"{version}: window_length: found {found}, expected {expected}")


def check_encoder(
    kind: str, encoder_id: str, revision: str, *, expected_id: str, expected_revision: str
) -> None:
    """Passes if a feature's encoder is the one expected; an empty expectation accepts any.

    Raises:
        EncoderMismatch: its id or its revision differs.
    """
    if expected_id and encoder_id != expected_id:
        raise EncoderMismatch(f"{kind} encoder: found {encoder_id!r}, expected {expected_id!r}")
    if expected_revision and revision != expected_revision:
        raise EncoderMismatch(
            f"{kind} encoder {encoder_id}: found revision {revision!r}, "
            f"expected {expected_revision!r}"
        )
