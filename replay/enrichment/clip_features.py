"""What the encoders make of one clip."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from limelight.replay.enrichment.clip_media import ClipMedia

if TYPE_CHECKING:
    from limelight.replay.enrichment.clip_models import ClipModels

Rows = NDArray[np.floating[Any]]


class ClipFeatures:
    """Encoded parts of one clip, each encoded at most once."""

    def __init__(self, models: "ClipModels", media: ClipMedia | None) -> None:
        self._models = models
        self._media = media
        self._texts: dict[str, Rows] = {}
        self._by_picture: dict[int, Rows] = {}
        self._sound: Rows | None = None

    @property
    def seconds(self) -> float:
        return self._media.duration_ms / 1_000 if self._media else 0.0

    def of(self, pictures: Sequence[Image]) -> Rows:
        rows = self._rows()
        return np.stack([rows[id(each)] for each in pictures])

    def key_frames(self) -> Rows:
        assert self._media is not None
        return self.of([self._media.pictures[at] for at in self._media.key_offsets_ms])

    def picture(self, offset_ms: int | None) -> Rows:
        """(F,) of a picture of the clip; zeros without one."""
        if offset_ms is None or self._media is None:
            return np.zeros(self._models.frames.feature_size, np.float16)
        return self._rows()[id(self._media.pictures[offset_ms])]

    def _rows(self) -> dict[int, Rows]:
        """The features of all pictures of the clip, by the picture's identity."""
        if not self._by_picture and self._media is not None:
            pictures = list({id(each): each for each in self._media.pictures.values()}.values())
            encoded = self._models.frame_features(pictures)
            self._by_picture = {
                id(picture): row for picture, row in zip(pictures, encoded, strict=True)
            }
        return self._by_picture

    def text(self, text: str) -> Rows:
        """(T,) of a text; zeros without one."""
        if text not in self._texts:
            (self._texts[text],) = self._models.text_features([text])
        return self._texts[text]

    def sound(self) -> Rows:
        """(P, A) of the whole clip; no patches where it is silent."""
        if self._sound is None:
            samples = self._media.sound if self._media else np.empty(0, np.float32)
            self._sound = self._models.sounds.encode(samples)
        return self._sound


def padded_sounds(
    sounds: Sequence[Rows], patches: int, feature_size: int
) -> tuple[Rows, NDArray[np.int64]]:
    """(n, P, A) and (n,) how many patches of each there are."""
    padded = np.zeros((len(sounds), patches, feature_size), np.float32)
    lengths = np.array([min(len(each), patches) for each in sounds], np.int64)
    for row, each, length in zip(padded, sounds, lengths, strict=True):
        row[:length] = each[:length]
    return padded, lengths
