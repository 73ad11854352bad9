"""What a cover and title network is made of and what its classes mean, saved with its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PretrainedConfig

from limelight.models.cover_title.label import PAPER_THRESHOLDS, LabelScale

VISIONS = ("vit", "vgg")
LANGUAGES = ("bert", "rnn")

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_HALVES = (0.5, 0.5, 0.5)
_BERT_BASE_CHINESE = "google-bert/bert-base-chinese"
_BERT_BASE_CHINESE_TOKENS = 21_128


class CoverTitleConfig(PretrainedConfig):  # type: ignore[misc]
    """One network for one platform's scale of popularity.

    Args:
        vision, language: which sub-networks: `vit` or `vgg`, `bert` or `rnn`.
        cover_weight: of the cover in the weighted sum, the title's is the rest; 0 or 1 leaves a
            sub-network out.
        cover_encoder, title_encoder: the sub-networks' own configs, as transformers writes them for
            `vit` and `bert`, the fields of `VGG` and `TitleRNN` for the others.
        cover_encoder_name, title_encoder_name, tokenizer_name: where training begins: a name or a
            folder that `from_pretrained` takes; empty for random weights and the characters of
            `models/character_vocabulary.py`. A trained folder holds everything, and asks for none.
        vgg_weights: a safetensors file of VGG-16 in torchvision's names; empty for random weights.
        image_mean, image_std: of each colour, of values in [0, 1].
        feature_size: of what either sub-network gives to the sum.
        max_title_tokens: with [CLS] and [SEP]; what is longer is cut.
        label: the scale of popularity that it was trained on; as `LabelScale`'s fields.

    Raises:
        ValueError: a name or number that makes no network.
    """

    model_type = "limelight-cover-title"

    def __init__(
        self,
        *,
        vision: str = "vit",
        language: str = "bert",
        cover_weight: float = 0.75,
        cover_encoder: Mapping[str, Any] | None = None,
        title_encoder: Mapping[str, Any] | None = None,
        cover_encoder_name: str = "",
        title_encoder_name: str = "",
        tokenizer_name: str = "",
        vgg_weights: str = "",
        image_mean: Sequence[float] = _HALVES,
        image_std: Sequence[float] = _HALVES,
        feature_size: int = 768,
        dropout: float = 0.1,
        max_title_tokens: int = 64,
        label: Mapping[str, Any] | None = None,
        model_version: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vision = vision
        self.language = language
        self.cover_weight = cover_weight
        self.cover_encoder = dict(cover_encoder or {})
        self.title_encoder = dict(title_encoder or {})
        self.cover_encoder_name = cover_encoder_name
        self.title_encoder_name = title_encoder_name
        self.tokenizer_name = tokenizer_name
        self.vgg_weights = vgg_weights
        self.image_mean = list(image_mean)
        self.image_std = list(image_std)
        self.feature_size = feature_size
        self.dropout = dropout
        self.max_title_tokens = max_title_tokens
        self.label = dict(label or {})
        self.model_version = model_version
        self._check()

    @property
    def image_size(self) -> int:
        """Pixels of a side of the square that a cover is scaled to."""
        return int(self.cover_encoder["image_size"])

    @property
    def num_classes(self) -> int:
        return len(self.label.get("thresholds", PAPER_THRESHOLDS)) + 1

    @property
    def label_scale(self) -> LabelScale:
        """What the classes mean.

        Raises:
            ValueError: it was never trained.
        """
        if not self.label:
            raise ValueError("label: found none, expected the scale that it was trained on")
        return LabelScale(**self.label)

    def _check(self) -> None:
        for name, expected in (("vision", VISIONS), ("language", LANGUAGES)):
            if getattr(self, name) not in expected:
                found = getattr(self, name)
                raise ValueError(f"{name}: found {found!r}, expected one of {expected}")
        if isinstance(self.cover_weight, bool) or not 0 <= self.cover_weight <= 1:
            raise ValueError(f"cover_weight: found {self.cover_weight!r}, expected 0 to 1")
        for name, least in (("feature_size", 1), ("max_title_tokens", 3)):
            found = getattr(self, name)
            if not isinstance(found, int) or isinstance(found, bool) or found < least:
                raise ValueError(f"{name}: found {found!r}, expected a whole number >= {least}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: found {self.dropout!r}, expected 0 <= dropout < 1")
        for name in ("image_mean", "image_std"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected three numbers")
        if not all(value > 0 for value in self.image_std):
            raise ValueError(f"image_std: found {self.image_std}, expected numbers above 0")
        longest = self.title_encoder.get("max_position_embeddings")
        if longest is not None and self.max_title_tokens > longest:
            raise ValueError(
                f"max_title_tokens: found {self.max_title_tokens}, expected at most the title"
                f" encoder's {longest}"
            )


def paper(vision: str = "vit", language: str = "bert") -> dict[str, Any]:
    """ViT-B/16 at 384 and BERT-base-chinese (section 2.2.1), or table 2's VGG-16 and RNN.

    The paper names neither the size of the features that are summed, 768 here, nor the kind of RNN:
    a GRU of 768 over the same tokens.
    """
    covers: dict[str, dict[str, Any]] = {
        "vit": {
            "cover_encoder_name": "google/vit-base-patch16-384",
            "cover_encoder": {"model_type": "vit", "image_size": 384, "patch_size": 16},
        },
        "vgg": {
            "cover_encoder": {"image_size": 224, "width": 64, "pooled": 7, "hidden_size": 4_096},
            "image_mean": _IMAGENET_MEAN,
            "image_std": _IMAGENET_STD,
        },
    }
    titles: dict[str, dict[str, Any]] = {
        "bert": {
            "title_encoder_name": _BERT_BASE_CHINESE,
            "title_encoder": {"model_type": "bert", "vocab_size": _BERT_BASE_CHINESE_TOKENS},
        },
        "rnn": {
            "title_encoder": {"vocab_size": _BERT_BASE_CHINESE_TOKENS, "hidden_size": 768},
        },
    }
    return {
        "vision": vision,
        "language": language,
        "tokenizer_name": _BERT_BASE_CHINESE,
        **covers.get(vision, {}),
        **titles.get(language, {}),
    }


def tiny(vision: str = "vit", language: str = "bert") -> dict[str, Any]:
    """The same in small, over covers of 64 x 64 and single characters; nothing is downloaded."""
    covers: dict[str, dict[str, Any]] = {
        "vit": {
            "cover_encoder": {
                "model_type": "vit",
                "image_size": 64,
                "patch_size": 16,
                "hidden_size": 64,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "intermediate_size": 128,
            },
        },
        "vgg": {
            "cover_encoder": {"image_size": 64, "width": 4, "pooled": 2, "hidden_size": 64},
            "image_mean": _IMAGENET_MEAN,
            "image_std": _IMAGENET_STD,
        },
    }
    titles: dict[str, dict[str, Any]] = {
        "bert": {
            "title_encoder": {
                "model_type": "bert",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 128,
                "max_position_embeddings": 128,
            },
        },
        "rnn": {"title_encoder": {"hidden_size": 64}},
    }
    return {
        "vision": vision,
        "language": language,
        "feature_size": 64,
        "max_title_tokens": 48,
        **covers.get(vision, {}),
        **titles.get(language, {}),
    }
