"""Simulated rooms as features, for fast training: what good encoders would find, with noise.

A frame feature is a fixed linear picture of (activity, intensity, the streamer's look) plus noise;
a text feature one of (the activity spoken of, the quality of the talk, how moved the comments of
a while ago were) plus noise. Nothing in them knows the CTR.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.replay.simulator.world import ACTIVITIES, RoomTruth, World

_LOOK_SIZE = 4
_PURPOSE = 2


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """Sizes of the features, their noise, and how often a modality is missing."""

    frame_feature_size: int = 48
    text_feature_size: int = 96
    picture_noise: float = 1.5
    text_noise: float = 2.5
    missing_picture_rate: float = 0.02
    missing_text_rate: float = 0.08


def labelled_rooms(
    world: World, numbers: range, config: FeatureConfig | None = None
) -> list[LabelledRoom]:
    """The rooms of those numbers with features and measured labels."""
    config = config or FeatureConfig()
    rng = np.random.default_rng([world.seed, 0, _PURPOSE])
    spoken_size = len(ACTIVITIES) + 2
    picture_map = _map(rng, len(ACTIVITIES) + 1 + _LOOK_SIZE, config.frame_feature_size)
    text_map = _map(rng, spoken_size, config.text_feature_size)
    return [_room(world, number, config, picture_map, text_map) for number in numbers]


def _room(
    world: World,
    number: int,
    config: FeatureConfig,
    picture_map: NDArray[np.float64],
    text_map: NDArray[np.float64],
) -> LabelledRoom:
    truth = world.room(number)
    rng = world.rng(number, _PURPOSE)
    length = len(truth)
    pictures = np.concatenate(
        [_one_hot(truth.activity), truth.intensity[:, None], _look(truth, length)], axis=1
    )
    texts = np.concatenate(
        [_one_hot(truth.spoken_activity), truth.talk[:, None], truth.answered[:, None]], axis=1
    )
    present = np.stack(
        [
            rng.random(length) >= config.missing_picture_rate,
            rng.random(length) >= config.missing_text_rate,
        ],
        axis=1,
    )
    return LabelledRoom(
        room_id=truth.room_id,
        streamer_id=truth.streamer.streamer_id,
        frame_features=_noisy(pictures @ picture_map, config.picture_noise, rng),
        text_features=_noisy(texts @ text_map, config.text_noise, rng),
        present=present,
        ctr=truth.measured_ctr,
        counts=world.counts(truth, number),
    )


def _map(rng: np.random.Generator, inputs: int, outputs: int) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    return drawn


def _one_hot(activity: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(len(ACTIVITIES))[activity] * 2


def _look(truth: RoomTruth, length: int) -> NDArray[np.float64]:
    look = np.random.default_rng(truth.streamer.look).normal(size=_LOOK_SIZE)
    return np.tile(look, (length, 1))


def _noisy(
    values: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> NDArray[np.float16]:
    # The noise is in every direction, so a larger feature is not an easier one to read exactly.
    return (values + noise * rng.normal(size=values.shape)).astype(np.float16)
