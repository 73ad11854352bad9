"""Made-up videos whose score follows from what is planted in them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from limelight.models.datasets.popularity_videos import PopularityVideos

TEXT, AUDIO, VISION, DAYS = 4, 3, 5, 3
MakeVideos = Callable[..., PopularityVideos]


@pytest.fixture
def make_videos() -> MakeVideos:
    def make(n: int = 40, *, seed: int = 0, **changes: object) -> PopularityVideos:
        random = np.random.default_rng(seed)
        text = random.normal(size=(n, TEXT)).astype(np.float32)
        followers = np.exp(random.normal(5, 1, n))
        channel = random.integers(1, 4, n)
        # What it reaches hangs on text, followers and channel.
        reached = np.exp(text[:, 0] + np.log(followers) + channel)
        days = np.linspace(0.3, 0.6, DAYS)
        videos = PopularityVideos(
            video_ids=tuple(f"video-{seed}-{each}" for each in range(n)),
            text=text,
            audio=random.normal(size=(n, AUDIO)).astype(np.float32),
            vision=random.normal(size=(n, VISION)).astype(np.float32),
            present=np.ones((n, 3), np.bool_),
            numbers=np.stack([followers, random.integers(0, 9, n)], axis=1),
            categories=np.stack([channel, random.integers(0, 3, n)], axis=1),
            trend=reached[:, None, None] * days[None, :, None] * np.ones((1, 1, 2)),
            trend_present=np.ones((n, DAYS), np.bool_),
            targets=np.stack([reached, reached / 10, reached / 20], axis=1),
            number_names=("followers", "tags"),
            category_names=("channel", "city"),
            vocabularies=(("one", "two", "three"), ("here", "there")),
            trend_names=("favorite", "comment"),
            target_names=("favorite", "comment", "share"),
        )
        return replace(videos, **changes)

    return make
