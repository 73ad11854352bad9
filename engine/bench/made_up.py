"""Made-up rooms: texts, pictures and windows from one seed, free of anybody's data."""

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from limelight.engine.window import Segment, Window
from limelight.kernels.energy import SEGMENT_MS
from limelight.models.character_vocabulary import character_vocabulary

Text = tuple[str, tuple[str, ...]]

# Live comments are short and come in bursts; many segments have no speech at all.
_MEAN_COMMENTS = 5
_MOST_COMMENTS = 50
_MEDIAN_CHARACTERS = 6
_SPREAD = 0.7
_SPEECH_SHARE = 0.4
_SPEECH_CHARACTERS = 30
DISTRIBUTION = (
    f"a segment's comments: geometric, mean {_MEAN_COMMENTS}, at most {_MOST_COMMENTS}; their "
    f"characters: log-normal, median {_MEDIAN_CHARACTERS}, sigma {_SPREAD}; speech in "
    f"{_SPEECH_SHARE:.0%} of the segments, median {_SPEECH_CHARACTERS} characters; common hanzi"
)


def drawn_texts(seed: int) -> Iterator[Text]:
    """Pairs of speech and comments without end, see `DISTRIBUTION`."""
    hanzi = [token for token in character_vocabulary() if len(token) == 1 and token >= "\u4e00"]
    letters = np.array([token for token in hanzi if token <= "\u9fff"])
    generator = np.random.default_rng(seed)

    def text(median: float) -> str:
        length = max(1, round(median * float(np.exp(generator.normal(0, _SPREAD)))))
        return "".join(letters[generator.integers(len(letters), size=length)])

    while True:
        speech = text(_SPEECH_CHARACTERS) if generator.random() < _SPEECH_SHARE else ""
        count = min(int(generator.geometric(1 / _MEAN_COMMENTS)), _MOST_COMMENTS)
        yield speech, tuple(text(_MEDIAN_CHARACTERS) for _ in range(count))


def drawn_pictures(count: int, height: int, width: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """(H, W, 3) uint8 each, a coarse pattern of colours under noise, no two alike."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(40, 216, size=(count, 4, 4, 3), dtype=np.int16)
    pictures = []
    for pattern in coarse:
        large = np.kron(pattern, np.ones((-(-height // 4), -(-width // 4), 1), np.int16))
        noise = generator.integers(-40, 40, size=(height, width, 3), dtype=np.int16)
        pictures.append((large[:height, :width] + noise).astype(np.uint8))
    return pictures


class MadeUpRooms:
    """Rooms that each close a segment at every `advance`, and keep their windows.

    Args:
        features: (P, F) float16, of which a segment's picture has one.
        texts: where each segment takes its text from; may be changed between two advances.
        encoder: id and revision of the features' encoder.
    """

    def __init__(
        self,
        count: int,
        *,
        window_length: int,
        features: NDArray[np.float16],
        texts: Iterator[Text],
        encoder: tuple[str, str] = ("", ""),
        seed: int = 0,
    ) -> None:
        self.texts = texts
        self._features = features
        self._encoder = encoder
        self._generator = np.random.default_rng(seed)
        self._index = -1
        self._segments: list[deque[Segment]] = [deque(maxlen=window_length) for _ in range(count)]

    def advance(self) -> list[Window]:
        """Each room's window, with one segment more than before."""
        self._index += 1
        features = self._generator.integers(len(self._features), size=len(self._segments))
        for segments, feature in zip(self._segments, features, strict=True):
            segments.append(self._segment(self._features[feature]))
        return self.windows()

    def windows(self) -> list[Window]:
        """Each room's present window."""
        return [
            Window(
                room_id=f"room-{room}",
                streamer_id=f"streamer-{room}",
                room_started_ms=0,
                segment_ms=SEGMENT_MS,
                encoder_id=self._encoder[0],
                encoder_revision=self._encoder[1],
                segments=tuple(segments),
            )
            for room, segments in enumerate(self._segments)
        ]

    def _segment(self, feature: NDArray[np.float16]) -> Segment:
        speech, comments = next(self.texts)
        start_ms = self._index * SEGMENT_MS
        return Segment(
            index=self._index,
            start_ms=start_ms,
            frame_feature=feature,
            frame_times_ms=(start_ms + SEGMENT_MS // 2,),
            speech=speech,
            comments=comments,
            comment_count=len(comments),
            user_count=len(comments),
            comment_weight=float(len(comments)),
        )
