"""The sizes of an ad network and what its numbers mean, saved with its weights."""

from collections.abc import Sequence
from typing import Any

from transformers import PretrainedConfig

from limelight.models.datasets.labelled_clip import KEY_FRAMES, OPENING_SECONDS

FUSIONS = ("baseline", "all-connected", "self-organizing")
TARGETS = ("ctr", "play_rate")
FRAMES = {"ctr": KEY_FRAMES, "play_rate": OPENING_SECONDS}
NUM_CLASSES = 5

_POSITIVE_SIZES = ("visual_size", "audio_size", "embedding_size", "conv_channels")


class AdCTRConfig(PretrainedConfig):  # type: ignore[misc]
    """One network for one target.

    Args:
        visual_size, audio_size: features of a frame and of a patch of 0.96 s of sound.
        embedding_size: of frame, sound and the layers between; 128 in the paper.
        conv_channels: of both convolutions of the baseline and the self-organizing fusion.
        trimmed_channels: what is left of them in the all-connected fusion, so that it has no more
            parameters than the baseline; 0 works it out.
        categories: names; any other, "" among them, is unknown.
        target: `ctr` looks at 8 key frames and the whole sound, `play_rate` at 3 and 3 s.
        class_edges: 4 rates between 5 classes; none for regression.
        mean_rate: of the training clips, where the network begins.
        fusion_parameters: how many are in use after training.

    Raises:
        ValueError: a size, name or number that makes no network.
    """

    model_type = "limelight-ad-ctr"

    def __init__(
        self,
        *,
        visual_size: int = 1_280,
        audio_size: int = 128,
        embedding_size: int = 128,
        conv_channels: int = 128,
        trimmed_channels: int = 0,
        dropout: float = 0.1,
        fusion: str = "self-organizing",
        target: str = "ctr",
        categories: Sequence[str] = (),
        class_edges: Sequence[float] = (),
        mean_rate: float = 0.5,
        visual_encoder_id: str = "",
        audio_encoder_id: str = "",
        fusion_parameters: int = 0,
        model_version: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.visual_size = visual_size
        self.audio_size = audio_size
        self.embedding_size = embedding_size
        self.conv_channels = conv_channels
        self.trimmed_channels = trimmed_channels
        self.dropout = dropout
        self.fusion = fusion
        self.target = target
        self.categories = list(categories)
        self.class_edges = list(class_edges)
        self.mean_rate = mean_rate
        self.visual_encoder_id = visual_encoder_id
        self.audio_encoder_id = audio_encoder_id
        self.fusion_parameters = fusion_parameters
        self.model_version = model_version
        self._check()

    @property
    def outputs(self) -> int:
        """1 for regression, 5 for classes."""
        return len(self.class_edges) + 1 if self.class_edges else 1

    def _check(self) -> None:
        for name in _POSITIVE_SIZES:
            found = getattr(self, name)
            if not isinstance(found, int) or isinstance(found, bool) or found < 1:
                raise ValueError(f"{name}: found {found!r}, expected a whole number >= 1")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion: found {self.fusion!r}, expected one of {FUSIONS}")
        if self.target not in TARGETS:
            raise ValueError(f"target: found {self.target!r}, expected one of {TARGETS}")
        if len(self.class_edges) not in (0, NUM_CLASSES - 1):
            found = len(self.class_edges)
            raise ValueError(f"class_edges: found {found}, expected {NUM_CLASSES - 1} or none")
        if sorted(self.class_edges) != self.class_edges:
            raise ValueError(f"class_edges: found {self.class_edges}, expected them ascending")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: found {self.dropout!r}, expected 0 <= dropout < 1")
        if not 0 < self.mean_rate < 1:
            raise ValueError(f"mean_rate: found {self.mean_rate!r}, expected it between 0 and 1")


def paper() -> dict[str, Any]:
    """MobileNetV2 and VGGish features, embeddings of 128 (section 4.2).

    The convolutions' sizes stand in a figure that the text does not repeat; 128 is ours.
    """
    return {"visual_size": 1_280, "audio_size": 128, "embedding_size": 128, "conv_channels": 128}


def tiny() -> dict[str, Any]:
    """Over the bundled frame encoder and statistics of sound."""
    return {"visual_size": 48, "audio_size": 128, "embedding_size": 32, "conv_channels": 24}
