"""The sizes of the topics' network and of what is clustered, saved with the weights."""

from typing import Any

from transformers import PretrainedConfig

_POSITIVE_SIZES = (
    "projection_size",
    "num_experts",
    "expert_size",
    "tag_embedding_size",
    "walk_length",
    "walks_per_tag",
    "skip_gram_window",
    "skip_gram_epochs",
    "num_topics",
)
_SIZES = ("image_feature_size", "text_feature_size", "num_primary", "num_secondary", "num_tags")


class TopicsConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes of the MMoE network, the tag graph's embedding and the clustering.

    The paper gives 12 experts, 3 tasks, walks of 100 tags, 6000 topics and the threshold 0.6. It
    gives no width of the projections (256 here), experts (256) and tag embeddings (128), no number
    of walks (10 from each tag), no window (5) nor epochs (5) of skip-gram: these are DeepWalk's and
    gensim's usual ones, or chosen.

    A feature size of 0 says that nobody has that modality. `centred` takes the training videos'
    mean from both parts before they are normalised, which the paper does not say: learned features
    share a large common part, and with it any two videos would have a cosine above 0.6. A modality
    whose encoder is named was trained with this network, and its features are that encoder's.

    Raises:
        ValueError: a size that is no whole number or out of range.
    """

    model_type = "limelight-topics"

    def __init__(
        self,
        *,
        image_feature_size: int = 1536,
        text_feature_size: int = 768,
        projection_size: int = 256,
        num_experts: int = 12,
        expert_size: int = 256,
        num_primary: int = 50,
        num_secondary: int = 367,
        num_tags: int = 12_000,
        dropout: float = 0.1,
        tag_embedding_size: int = 128,
        walk_length: int = 100,
        walks_per_tag: int = 10,
        skip_gram_window: int = 5,
        skip_gram_epochs: int = 5,
        num_topics: int = 6000,
        similarity_threshold: float = 0.6,
        centred: bool = True,
        image_encoder_id: str = "",
        text_encoder_id: str = "",
        trained: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_feature_size = image_feature_size
        self.text_feature_size = text_feature_size
        self.projection_size = projection_size
        self.num_experts = num_experts
        self.expert_size = expert_size
        self.num_primary = num_primary
        self.num_secondary = num_secondary
        self.num_tags = num_tags
        self.dropout = dropout
        self.tag_embedding_size = tag_embedding_size
        self.walk_length = walk_length
        self.walks_per_tag = walks_per_tag
        self.skip_gram_window = skip_gram_window
        self.skip_gram_epochs = skip_gram_epochs
        self.num_topics = num_topics
        self.similarity_threshold = similarity_threshold
        self.centred = centred
        self.image_encoder_id = image_encoder_id
        self.text_encoder_id = text_encoder_id
        self.trained = trained
        self._check()

    @property
    def joint_size(self) -> int:
        """Width of z: one projection for each modality that there is."""
        sizes = (self.image_feature_size, self.text_feature_size)
        return sum(int(self.projection_size) for size in sizes if size)

    def _check(self) -> None:
        for names, least in ((_POSITIVE_SIZES, 1), (_SIZES, 0)):
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, int) or isinstance(value, bool) or value < least:
                    raise ValueError(f"{name}: found {value!r}, expected a whole number >= {least}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: found {self.dropout!r}, expected 0 <= dropout < 1")
        threshold = self.similarity_threshold
        if not isinstance(threshold, int | float) or not -1 <= threshold <= 1:
            raise ValueError(f"similarity_threshold: found {threshold!r}, expected -1 to 1")


def paper() -> TopicsConfig:
    """The paper's network over Inception-ResNet-v2 (1536) and BERT (768), and its 6000 topics."""
    return TopicsConfig()


def tiny() -> TopicsConfig:
    """A small network for tests and the demo: few experts, few topics, starts in milliseconds."""
    return TopicsConfig(
        image_feature_size=48,
        text_feature_size=96,
        projection_size=32,
        num_experts=4,
        expert_size=32,
        num_primary=8,
        num_secondary=24,
        num_tags=64,
        dropout=0.0,
        tag_embedding_size=32,
        walk_length=20,
        num_topics=24,
    )
