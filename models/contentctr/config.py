"""The sizes of a ContentCTR network, saved with its weights."""

import math
from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

MODALITIES = ("picture", "text", "streamer")
HIGHLIGHT_MODALITIES = ("picture", "text", "history")
FUSIONS = (
    "perceiver",
    "self-attention-plain",
    "self-attention-input",
    "cross-attention-q",
    "cross-attention-kv",
    "cross-attention-qkv",
)

_POSITIVE_SIZES = (
    "frame_feature_size",
    "text_feature_size",
    "hidden_size",
    "num_heads",
    "head_dim",
    "num_perceiver_layers",
    "num_decoder_layers",
    "ffn_size",
    "window_length",
)


class ContentCTRConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes of the network, the encoders whose features it reads, and where its weights come from.

    `num_heads * head_dim` need not equal `hidden_size`: attention projects into the heads and
    back. `num_streamers` counts hash buckets; bucket 0 is the unknown streamer. Encoder ids left
    empty accept any encoder of the right feature size. `fusion` is the paper's Perceiver or one of
    its variants; `modalities` lists what the network may look at: `MODALITIES` of ContentCTR,
    `HIGHLIGHT_MODALITIES` of ContentCTR-HL. A segment sees `window_length` of them, itself
    included; ContentCTR-HL takes at most so many frames at once. The logits are multiplied by
    `calibration_scale` and moved by `calibration_shift`, both fitted after training, so that what
    it predicts is as frequent as it says. `trained` says that the weights were
    fitted to a platform's click-through rates, so that a network of random numbers is never
    mistaken for one that knows something.

    Raises:
        ValueError: a size is not a positive whole number, or a rate lies outside its range.
    """

    model_type = "limelight-contentctr"

    def __init__(
        self,
        *,
        frame_feature_size: int = 1024,
        text_feature_size: int = 768,
        hidden_size: int = 512,
        num_heads: int = 8,
        head_dim: int = 64,
        num_perceiver_layers: int = 3,
        num_decoder_layers: int = 3,
        ffn_size: int = 2048,
        dropout: float = 0.1,
        window_length: int = 20,
        num_streamers: int = 32_768,
        layer_norm_eps: float = 1e-5,
        frame_encoder_id: str = "",
        frame_encoder_revision: str = "",
        text_encoder_id: str = "",
        text_encoder_revision: str = "",
        fusion: str = "perceiver",
        modalities: Sequence[str] = MODALITIES,
        calibration_scale: float = 1.0,
        calibration_shift: float = 0.0,
        trained: bool = False,
        model_version: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.frame_feature_size = frame_feature_size
        self.text_feature_size = text_feature_size
        self.hidden_size = hidden_size
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.num_perceiver_layers = num_perceiver_layers
        self.num_decoder_layers = num_decoder_layers
        self.ffn_size = ffn_size
        self.dropout = dropout
        self.window_length = window_length
        self.num_streamers = num_streamers
        self.layer_norm_eps = layer_norm_eps
        self.frame_encoder_id = frame_encoder_id
        self.frame_encoder_revision = frame_encoder_revision
        self.text_encoder_id = text_encoder_id
        self.text_encoder_revision = text_encoder_revision
        self.fusion = fusion
        self.modalities = list(modalities) if isinstance(modalities, list | tuple) else modalities
        self.calibration_scale = calibration_scale
        self.calibration_shift = calibration_shift
        self.trained = trained
        self.model_version = model_version
        self._check()

    def _check(self) -> None:
        for name in _POSITIVE_SIZES:
            _check_whole_number(name, getattr(self, name), at_least=1)
        # Bucket 0 is the unknown streamer, so one bucket would leave none for the known ones.
        _check_whole_number("num_streamers", self.num_streamers, at_least=2)
        if not 0 <= _number(self.dropout) < 1:
            raise ValueError(f"dropout: found {self.dropout!r}, expected 0 <= dropout < 1")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion: found {self.fusion!r}, expected one of {FUSIONS}")
        self.check_modalities((*MODALITIES, "history"))
        if not 0 < _number(self.calibration_scale) < math.inf:
            found = self.calibration_scale
            raise ValueError(f"calibration_scale: found {found!r}, expected a number above 0")
        if not math.isfinite(_number(self.calibration_shift)):
            found = self.calibration_shift
            raise ValueError(f"calibration_shift: found {found!r}, expected a finite number")
        if not _number(self.layer_norm_eps) > 0:
            raise ValueError(f"layer_norm_eps: found {self.layer_norm_eps!r}, expected more than 0")

    def check_modalities(self, known: Sequence[str]) -> None:
        """Nothing, if the network may look at something and all of it is among the known.

        Raises:
            ValueError: else.
        """
        listed = self.modalities
        if not isinstance(listed, list) or not listed or any(each not in known for each in listed):
            raise ValueError(f"modalities: found {listed!r}, expected some of {known}")


def _check_whole_number(name: str, value: object, *, at_least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ValueError(f"{name}: found {value!r}, expected a whole number >= {at_least}")


def _number(value: object) -> float:
    """The number, NaN if it is none: a settings file may hold anything."""
    return float(value) if isinstance(value, int | float) else math.nan


def base() -> ContentCTRConfig:
    """The paper's network (section 4.3.2) over Swin-base and a BERT of 768 features."""
    return ContentCTRConfig()


def tiny() -> ContentCTRConfig:
    """A small network over the bundled tiny encoders: starts in milliseconds, fits a test."""
    return ContentCTRConfig(
        frame_feature_size=48,
        text_feature_size=96,
        hidden_size=64,
        num_heads=4,
        head_dim=16,
        num_perceiver_layers=2,
        num_decoder_layers=2,
        ffn_size=128,
        num_streamers=1024,
    )
