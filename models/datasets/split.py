"""Which videos are learned from and which are held back: by video, whatever rows it has."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray


class Videos(Protocol):
    """A table of videos by their ids."""

    @property
    def video_ids(self) -> Sequence[str]: ...

    def take(self, rows: NDArray[Any]) -> Self: ...


VideosT = TypeVar("VideosT", bound=Videos)


def split_by_video(videos: VideosT, share: float, seed: int) -> tuple[VideosT, VideosT]:
    """Most videos, and `share` of them held back; the rows of one id are all in one part.

    Which is which hangs on the ids and the seed alone, not on their order.

    Raises:
        ValueError: one of the parts would be empty.
    """
    ids = sorted(set(videos.video_ids), key=lambda each: _draw(f"{seed}:{each}"))
    held = round(share * len(ids))
    if not 0 < held < len(ids):
        raise ValueError(
            f"videos: found {len(ids)}, of which {held} would be held back, expected some in both"
            " parts"
        )
    chosen = set(ids[:held])
    is_held = np.array([each in chosen for each in videos.video_ids])
    return videos.take(~is_held), videos.take(is_held)


def id_marks(videos: Videos) -> NDArray[np.int64]:
    """(n,) numbers that tell videos apart, to remember by which of them a model was trained."""
    return np.array([_draw(each) - 2**63 for each in videos.video_ids], np.int64)


def _draw(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
