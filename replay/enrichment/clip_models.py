"""The models of what viewers get, as the enrichment asks them; each of them may be missing."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.images import fit_image
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.weights import weights_revision
from limelight.models.audio.sound_encoder import SoundEncoder, load_sound_encoder

if TYPE_CHECKING:
    from limelight.engine.settings import EngineSettings
    from limelight.models.ad_ctr.predictor import AdPredictor
    from limelight.models.cover_title.ranker import CoverTitleRanker
    from limelight.models.popularity.forecaster import Forecaster
    from limelight.models.topics.assigner import TopicAssigner
    from limelight.streams.settings import EnrichmentSettings

logger = logging.getLogger(__name__)

BUNDLED = Path(__file__).parent / "pretrained"
TINY = "tiny"

ModelT = TypeVar("ModelT")


@dataclass
class ClipModels:
    """Encoders and models; `missing` says of a model that is not there why.

    Not safe for several threads at once.
    """

    frames: FrameEncoder
    texts: TextEncoder
    sounds: SoundEncoder
    play_rate: "AdPredictor | None" = None
    ctr: "AdPredictor | None" = None
    cover_title: "CoverTitleRanker | None" = None
    topics: "TopicAssigner | None" = None
    popularity: "Forecaster | None" = None
    missing: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def frame_features(self, pictures: Sequence[Image]) -> NDArray[np.float16]:
        """(n, F) of n pictures of any size."""
        return self.frames.encode([fit_image(each, self.frames.image_size) for each in pictures])

    def text_features(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, T) of n texts; zeros where there is none."""
        features = np.zeros((len(texts), self.texts.feature_size), np.float32)
        written = [at for at, text in enumerate(texts) if text.strip()]
        if written:
            features[written] = self.texts.encode([(texts[at], ()) for at in written])
        return features


def load_clip_models(settings: "EnrichmentSettings", engine: "EngineSettings") -> ClipModels:
    """Whatever of the settings' models can be loaded; why not is kept for each that cannot.

    Raises:
        OSError, ValueError: an encoder cannot be loaded; without them there is nothing to ask.
    """
    models = ClipModels(
        load_frame_encoder(engine.frame_encoder),
        load_text_encoder(engine.text_encoder),
        load_sound_encoder(settings.sound_encoder),
    )
    models.frames.warm_up()
    from limelight.models.ad_ctr.predictor import load_ad_ctr
    from limelight.models.cover_title.ranker import load_cover_title
    from limelight.models.popularity.forecaster import load_popularity
    from limelight.models.topics.assigner import load_topics

    def load(part: str, name: str, loader: Callable[[Path], ModelT]) -> ModelT | None:
        if not name:
            models.missing[part] = "no model is set"
            return None
        folder = BUNDLED / part if name == TINY else Path(name)
        try:
            loaded = loader(folder)
            # The start of the weights' hash, where a model bears no version with one.
            revision = weights_revision([folder / "model.safetensors"])[:8]
        except Exception as error:
            # Damaged weights raise whatever their library raises; the other parts go on.
            models.missing[part] = "its model cannot be loaded"
            logger.error("model not loaded", extra={"part": part, "reason": str(error)})
            return None
        models.versions[part] = str(getattr(loaded, "version", "") or f"{part}-{revision}")
        return loaded

    models.play_rate = load("play_rate", settings.play_rate_model, load_ad_ctr)
    models.ctr = load("ctr", settings.ctr_model, load_ad_ctr)
    models.cover_title = load("cover_title", settings.cover_title_model, load_cover_title)
    models.topics = load("topics", settings.topics_model, load_topics)
    models.popularity = load("popularity", settings.popularity_model, load_popularity)
    return models
