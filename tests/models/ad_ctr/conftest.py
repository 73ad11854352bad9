"""Small clips whose rates hang together with what is seen and heard."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from limelight.models.datasets.labelled_clip import LabelledClips

VISUAL, AUDIO = 6, 5


def make_clips(count: int = 60, seed: int = 0) -> LabelledClips:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, count)
    frames = rng.normal(size=(count, 8, VISUAL)).astype(np.float32)
    rate = 1 / (1 + np.exp(-frames[:, :, 0].mean(1) * 3 - 0.3 * lengths + 1))
    return LabelledClips(
        clip_ids=[f"clip-{n}" for n in range(count)],
        streamer_ids=["s"] * count,
        titles=[""] * count,
        tags=[[] for _ in range(count)],
        categories=[("", "dance", "talk")[n % 3] for n in range(count)],
        subcategories=[""] * count,
        seconds=np.full(count, 5.0, np.float32),
        frame_features=frames,
        opening_frame_features=frames[:, :3],
        sound_features=rng.normal(size=(count, 8, AUDIO)).astype(np.float32),
        sound_lengths=lengths,
        title_features=np.zeros((count, 2), np.float32),
        covers=np.zeros((count, 4, 4, 3), np.uint8),
        cover_features=frames[:, 0],
        impressions=np.arange(count) * 10,
        ctr=rate.astype(np.float32),
        play_rate=rate.astype(np.float32),
        daily_counts=np.zeros((count, 2, 5), np.float32),
    )


@pytest.fixture
def clips() -> LabelledClips:
    return make_clips()


@pytest.fixture
def change() -> Callable[..., LabelledClips]:
    return lambda clips, **columns: replace(clips, **columns)
