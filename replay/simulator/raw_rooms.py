"""Simulated rooms as pictures and tokens: what encoders and network are trained on together."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limelight.engine.text_encoder import TextEncoder
from limelight.kernels.energy import SEGMENT_MS
from limelight.models.datasets.labelled_room import RawRoom
from limelight.replay.simulator.pictures import Artist
from limelight.replay.simulator.words import comments, speech
from limelight.replay.simulator.world import RoomTruth, World

PICTURES, WORDS, _GAPS = 3, 4, 5


def raw_rooms(
    world: World,
    numbers: range,
    texts: TextEncoder,
    *,
    image_size: tuple[int, int],
    pictures_a_segment: int = 1,
    missing_picture_rate: float = 0.05,
    missing_text_rate: float = 0.05,
    on_room: Callable[[], None] = lambda: None,
) -> list[RawRoom]:
    """The rooms of those numbers; texts are cut and joined as the assembler and encoder do it."""
    rooms = []
    for number in numbers:
        truth = world.room(number)
        gaps = world.rng(number, _GAPS)
        token_ids = texts.token_ids(segment_texts(world, truth, number))
        missing = gaps.random((len(truth), 2)) < (missing_picture_rate, missing_text_rate)
        rooms.append(
            RawRoom(
                room_id=truth.room_id,
                streamer_id=truth.streamer.streamer_id,
                pictures=_pictures(world, truth, number, image_size, pictures_a_segment),
                token_ids=token_ids,
                present=~missing & np.stack([np.ones(len(truth), bool), token_ids.any(1)], 1),
                ctr=truth.measured_ctr,
                counts=world.counts(truth, number),
            )
        )
        on_room()
    return rooms


def segment_texts(world: World, truth: RoomTruth, number: int) -> list[tuple[str, list[str]]]:
    """Speech and comments of each segment, as a window message carries them."""
    rng = world.rng(number, WORDS)
    said: list[list[str]] = [[] for _ in range(len(truth))]
    written: list[list[str]] = [[] for _ in range(len(truth))]
    for utterance in speech(truth, rng):
        said[utterance.end_ms // SEGMENT_MS].append(utterance.text)
    for comment in comments(truth, rng):
        written[comment.at_ms // SEGMENT_MS].append(comment.text)
    return [(" ".join(a), b) for a, b in zip(said, written, strict=True)]


def _pictures(
    world: World, truth: RoomTruth, number: int, size: tuple[int, int], count: int
) -> NDArray[np.uint8]:
    rng, artist = world.rng(number, PICTURES), Artist(truth)
    height, width = size
    pictures = np.empty((len(truth), count, height, width, 3), np.uint8)
    for segment in range(len(truth)):
        for place in range(count):
            # Larger than wanted and then smaller, as a decoded film is.
            drawn = artist.picture(segment, rng, (160, 90))
            pictures[segment, place] = np.asarray(
                drawn.resize((width, height), Image.Resampling.BICUBIC)
            )
    return pictures
