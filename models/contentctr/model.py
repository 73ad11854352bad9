"""ContentCTR: a room's click-through rate for each segment, from picture, text and streamer.

Shape letters, the same everywhere in Limelight:
    B  rooms in a batch
    S  segments in a sequence; at most N when serving, longer when training
    N  window length: how many segments a position sees, itself included
    L  layers
    H  attention heads
    D  width of a head
    C  features of a segment inside the network (hidden_size)
    K  tokens of a segment: 2, the picture and the text
    F  features of the frame encoder
    T  features of the text encoder

Source: ContentCTR (Deng et al., 2023), section 3.2. Paper and code differ in one point: here every
attention and feed-forward part normalises its input first (pre-norm).
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from limelight.models.contentctr.attention import DecoderLayer
from limelight.models.contentctr.config import MODALITIES, ContentCTRConfig
from limelight.models.contentctr.fusion import make_fusion

NUM_TOKENS = 2
PICTURE_TOKEN = 0
TEXT_TOKEN = 1
UNKNOWN_STREAMER = 0

_WEIGHT_STD = 0.02


def streamer_bucket(streamer_id: str, num_streamers: int) -> int:
    """The row of a streamer in the embedding: a stable hash into 1..num_streamers-1.

    An empty id is the unknown streamer, bucket 0. Python's own `hash` is salted per process and
    would hand a trained network other people's embeddings after a restart.
    """
    if num_streamers < 2:
        raise ValueError(f"num_streamers: found {num_streamers}, expected at least 2")
    if not streamer_id:
        return UNKNOWN_STREAMER
    digest = blake2b(streamer_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % (num_streamers - 1)


def banded_causal_mask(length: int, window_length: int, device: torch.device) -> Tensor:
    """(S, S) bool, True where row i may look at column j: 0 <= i - j < window_length.

    For sequences no longer than the window this is the plain causal mask of eq. 5.
    """
    positions = torch.arange(length, device=device)
    distance = positions[:, None] - positions[None, :]
    return (distance >= 0) & (distance < window_length)


def projection_head(feature_size: int, hidden_size: int) -> nn.Sequential:
    """proj_1 or proj_2 of eq. 2."""
    return nn.Sequential(
        nn.Linear(feature_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size)
    )


def modality_tokens(
    heads: tuple[nn.Module, nn.Module],
    frame_features: Tensor,
    text_features: Tensor,
    present: Tensor,
) -> Tensor:
    """(B, S, K, C): S_p and S_a of eq. 2, by (proj_1, proj_2); zero features where masked."""
    # Zeroed before the projection, since a masked NaN would survive a softmax weight of 0.
    picture = heads[0](frame_features.masked_fill(~present[..., PICTURE_TOKEN, None], 0.0))
    text = heads[1](text_features.masked_fill(~present[..., TEXT_TOKEN, None], 0.0))
    return torch.stack([picture, text], dim=2)


def used_modalities(present: Tensor, modalities: Sequence[str]) -> Tensor:
    """`present` (B, S, K) without the tokens whose modality is not listed."""
    used = [name in modalities for name in ("picture", "text")]
    return present if all(used) else present & torch.tensor(used, device=present.device)


def fuse_segments(fusion: nn.Module, latents: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
    """(B, S, C): each segment by itself, of a room's latent (B, C) and tokens (B, S, K, C)."""
    rooms, segments = present.shape[:2]
    latent = latents[:, None].expand(rooms, segments, -1)
    latent = latent.reshape(rooms * segments, 1, -1)  # (B, C) -> (B*S, 1, C)
    fused: Tensor = fusion(latent, tokens.flatten(0, 1), present.flatten(0, 1))
    return fused.view(rooms, segments, -1)  # (B*S, 1, C) -> (B, S, C)


def calibrated(logits: Tensor, config: ContentCTRConfig) -> Tensor:
    return logits * config.calibration_scale + config.calibration_shift


def check_shapes(present: Tensor, **tensors: tuple[Tensor, tuple[int, ...]]) -> None:
    """Nothing, if `present` is (B, S, K) bool and each tensor has the shape that stands by it.

    Raises:
        ValueError: it names the tensor, what was found and what was expected.
    """
    if present.dim() != 3 or present.shape[2] != NUM_TOKENS or present.dtype != torch.bool:
        found = f"{tuple(present.shape)} {present.dtype}"
        raise ValueError(f"present: found {found}, expected (B, S, {NUM_TOKENS}) bool")
    for name, (tensor, expected) in tensors.items():
        if tuple(tensor.shape) != expected:
            raise ValueError(f"{name}: found {tuple(tensor.shape)}, expected {expected}")


def init_weights(module: nn.Module) -> None:
    """Small normal weights, no bias, norms that change nothing."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=_WEIGHT_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


class ContentCTR(PreTrainedModel):  # type: ignore[misc]
    """The network of the paper's section 3.2, without a positional embedding.

    Attention alone does not know the order of its keys, which is what lets the ring cache keep
    them in any order (engine.kv_cache).
    """

    config_class = ContentCTRConfig
    base_model_prefix = "contentctr"
    main_input_name = "frame_features"
    _supports_sdpa = True

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__(config)
        config.check_modalities(MODALITIES)
        self.proj_1 = projection_head(config.frame_feature_size, config.hidden_size)
        self.proj_2 = projection_head(config.text_feature_size, config.hidden_size)
        self.streamers = nn.Embedding(config.num_streamers, config.hidden_size)
        self.perceiver = make_fusion(config)
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.num_decoder_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def forward(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        streamer_ids: Tensor,
        present: Tensor,
    ) -> Tensor:
        """Logits (B, S); sigmoid of a logit is the segment's CTR.

        Args:
            frame_features: (B, S, F) float; a segment's mean frame feature.
            text_features: (B, S, T) float; the [CLS] feature of its speech and comments.
            streamer_ids: (B,) int64 in [0, num_streamers), see `streamer_bucket`.
            present: (B, S, K) bool; False where the segment has no picture, no text. What the
                masked feature holds is then never looked at.

        Raises:
            ValueError: a shape does not fit the others or the config.
        """
        return self.decode(self.perceive(frame_features, text_features, streamer_ids, present))

    def ctr(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        streamer_ids: Tensor,
        present: Tensor,
    ) -> Tensor:
        """Click-through rates in [0, 1], shape (B, S), of the same arguments as `forward`."""
        logits = self.forward(frame_features, text_features, streamer_ids, present)
        return logits.sigmoid()

    def tokens(self, frame_features: Tensor, text_features: Tensor, present: Tensor) -> Tensor:
        """(B, S, K, C): S_p and S_a of eq. 2, picture first; zero features where masked."""
        return modality_tokens((self.proj_1, self.proj_2), frame_features, text_features, present)

    def perceive(
        self,
        frame_features: Tensor,
        text_features: Tensor,
        streamer_ids: Tensor,
        present: Tensor,
    ) -> Tensor:
        """(B, S, C): the fusion, each segment by itself (algorithm 1). Arguments as `forward`."""
        self._check_shapes(frame_features, text_features, streamer_ids, present)
        present = self.used(present)
        tokens = self.tokens(frame_features, text_features, present)
        return self.fuse(tokens, streamer_ids, present)

    def used(self, present: Tensor) -> Tensor:
        """`present` without the modalities that the config leaves out."""
        return used_modalities(present, self.config.modalities)

    def fuse(self, tokens: Tensor, streamer_ids: Tensor, present: Tensor) -> Tensor:
        """(B, S, C) of tokens (B, S, K, C): the fusion of each segment by itself."""
        if "streamer" not in self.config.modalities:
            streamer_ids = torch.full_like(streamer_ids, UNKNOWN_STREAMER)
        return fuse_segments(self.perceiver, self.streamers(streamer_ids), tokens, present)

    def decode(self, x: Tensor) -> Tensor:
        """Logits (B, S) of x (B, S, C): algorithm 2 with the banded causal mask in every layer."""
        visible = banded_causal_mask(x.shape[1], self.config.window_length, x.device)
        for layer in self.decoder_layers:
            x = layer(x, visible)
        return self.logits(x)

    @torch.no_grad()
    def leave_unmet_unknown(self, met_streamer_ids: Tensor) -> None:
        """Give every streamer that training never met the embedding of the unknown one.

        An embedding that no step has touched is what it was drawn as: noise, which a layer norm
        blows up to the size of a real one.
        """
        unmet = torch.ones(self.config.num_streamers, dtype=torch.bool)
        unmet[met_streamer_ids.cpu()] = False
        self.streamers.weight[unmet] = self.streamers.weight[UNKNOWN_STREAMER].clone()

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.decoder))

    def logits(self, x: Tensor) -> Tensor:
        """(B, S) of the last decoder layer's output (B, S, C), calibrated as the config says."""
        return calibrated(self.head(self.final_norm(x)).squeeze(-1), self.config)

    def _check_shapes(
        self, frame_features: Tensor, text_features: Tensor, streamer_ids: Tensor, present: Tensor
    ) -> None:
        config, shape = self.config, tuple(present.shape[:2])
        check_shapes(
            present,
            frame_features=(frame_features, (*shape, config.frame_feature_size)),
            text_features=(text_features, (*shape, config.text_feature_size)),
            streamer_ids=(streamer_ids, shape[:1]),
        )

    def _init_weights(self, module: nn.Module) -> None:
        init_weights(module)
