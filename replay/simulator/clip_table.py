"""Simulated clips with the features of encoders: a table that every content model trains on."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.images import fit_image
from limelight.engine.text_encoder import TextEncoder
from limelight.models.datasets.labelled_clip import LabelledClips
from limelight.replay.simulator.clips import (
    COVER_PIXELS,
    ClipReception,
    ClipTruth,
    clip_pictures,
    clip_reception,
    clip_sound_features,
    clip_truth,
)
from limelight.replay.simulator.world import World

_PICTURE_SIZE = (160, 90)
_MIN_IMPRESSIONS = 500


def simulated_clips(
    world: World,
    numbers: range,
    frames: FrameEncoder,
    texts: TextEncoder,
    *,
    on_clip: Callable[[], None] = lambda: None,
) -> LabelledClips:
    """The clips of those numbers; rates are measured where a clip had 500 impressions."""
    truths: list[ClipTruth] = []
    received: list[ClipReception] = []
    features: list[NDArray[np.float16]] = []
    sounds: list[NDArray[np.float32]] = []
    covers: list[NDArray[np.uint8]] = []
    for number in numbers:
        truth = clip_truth(world, number)
        key, opening, cover = clip_pictures(world, number, truth, _PICTURE_SIZE)
        truths.append(truth)
        received.append(clip_reception(world, number, truth))
        features.append(_encoded([*key, *opening, cover], frames))
        sounds.append(clip_sound_features(world, number, truth))
        covers.append(np.asarray(cover.resize((COVER_PIXELS, COVER_PIXELS)).convert("RGB")))
        on_clip()
    pictures = np.stack(features)
    titles = title_features([each.title for each in received], texts)
    rates = [_rates(each) for each in received]
    return LabelledClips(
        clip_ids=[each.clip_id for each in truths],
        streamer_ids=[each.room.streamer.streamer_id for each in truths],
        titles=[each.title for each in received],
        tags=[each.tags for each in received],
        categories=[each.category for each in received],
        subcategories=[each.subcategory for each in received],
        seconds=np.array([len(each) for each in truths], np.float32),
        frame_features=pictures[:, :8],
        opening_frame_features=pictures[:, 8:11],
        sound_features=_padded(sounds),
        sound_lengths=np.array([len(each) for each in sounds], np.int64),
        title_features=titles.astype(np.float16),
        covers=np.stack(covers),
        cover_features=pictures[:, 11],
        impressions=np.array([each.impressions for each in received], np.int64),
        ctr=np.array([ctr for ctr, _ in rates], np.float32),
        play_rate=np.array([play_rate for _, play_rate in rates], np.float32),
        daily_counts=np.stack([each.daily_counts for each in received]),
    )


def title_features(titles: Sequence[str], texts: TextEncoder) -> NDArray[np.float32]:
    """(n, T) features of titles; zeros where there is none."""
    features = np.zeros((len(titles), texts.feature_size), np.float32)
    written = [at for at, title in enumerate(titles) if title.strip()]
    if written:
        features[written] = texts.encode([(titles[at], ()) for at in written])
    return features


def _encoded(pictures: Sequence[Image.Image], frames: FrameEncoder) -> NDArray[np.float16]:
    """(n, F); a picture that comes several times is encoded once."""
    distinct = {id(each): each for each in pictures}
    encoded = frames.encode([fit_image(each, frames.image_size) for each in distinct.values()])
    by_id = dict(zip(distinct, encoded, strict=True))
    return np.stack([by_id[id(each)] for each in pictures])


def _padded(sounds: Sequence[NDArray[np.float32]]) -> NDArray[np.float16]:
    longest = max(len(each) for each in sounds)
    padded = np.zeros((len(sounds), max(1, longest), sounds[0].shape[1]), np.float16)
    for row, each in zip(padded, sounds, strict=True):
        row[: len(each)] = each
    return padded


def _rates(received: ClipReception) -> tuple[float, float]:
    if received.impressions < _MIN_IMPRESSIONS:
        return np.nan, np.nan
    return received.clicks / received.impressions, received.plays / received.impressions
