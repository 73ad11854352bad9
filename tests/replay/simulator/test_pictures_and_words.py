"""What is drawn and said shows the truth, and nothing but it and chance."""

import numpy as np
import torch

from limelight.engine.tiny_encoders import tiny_text_encoder
from limelight.replay.simulator import words
from limelight.replay.simulator.pictures import Artist
from limelight.replay.simulator.raw_rooms import raw_rooms, segment_texts
from limelight.replay.simulator.words import comments, speech
from limelight.replay.simulator.world import World, WorldConfig

WORLD = World(WorldConfig(segments_a_room=40), 1)


def small(number: int, segment: int, seed: int = 0) -> np.ndarray:
    picture = Artist(WORLD.room(number)).picture(segment, np.random.default_rng(seed), (64, 36))
    return np.asarray(picture, np.float64)


def test_the_same_moment_is_drawn_alike_and_another_differently() -> None:
    assert (small(1, 4) == small(1, 4)).all()
    assert (small(1, 4) != small(1, 4, seed=1)).any()


def test_the_nearest_mean_picture_of_a_streamer_tells_the_activity() -> None:
    truths = [WORLD.room(number) for number in range(8)]
    right = total = 0
    for number, truth in enumerate(truths):
        pictures = np.stack([small(number, segment).ravel() for segment in range(len(truth))])
        for segment in range(len(truth)):
            others = np.arange(len(truth)) != segment
            known = np.unique(truth.activity[others])
            means = [pictures[others & (truth.activity == each)].mean(0) for each in known]
            distances = [((pictures[segment] - mean) ** 2).sum() for mean in means]
            right += known[int(np.argmin(distances))] == truth.activity[segment]
            total += 1
    assert right / total > 0.9


def test_a_picture_is_the_brighter_the_more_intense() -> None:
    for number in range(4):
        truth = WORLD.room(number)
        for activity in (0, 4):
            segments = np.flatnonzero(truth.activity == activity)
            if len(segments) < 6:
                continue
            brightness = [small(number, int(segment)).mean() for segment in segments]
            assert np.corrcoef(truth.intensity[segments], brightness)[0, 1] > 0.5


def test_speech_fills_the_room_in_order() -> None:
    truth = WORLD.room(2)
    said = speech(truth, np.random.default_rng(0))
    assert [each.start_ms for each in said] == sorted(each.start_ms for each in said)
    assert all(0 <= each.start_ms < each.end_ms < truth.duration_ms for each in said)


def test_comments_answer_to_what_was_shown_before() -> None:
    levels = {text: level for level, texts in enumerate(words._REACTIONS) for text in texts}
    moods, before, after = [], [], []
    for number in range(60):
        truth = WORLD.room(number)
        by_segment: dict[int, list[int]] = {}
        for comment in comments(truth, np.random.default_rng(number)):
            if comment.text in levels:
                by_segment.setdefault(comment.at_ms // 30_000, []).append(levels[comment.text])
        for segment, found in by_segment.items():
            if 1 <= segment < len(truth) - 1:
                moods.append(np.mean(found))
                before.append(truth.excitement[segment - 1])
                after.append(truth.excitement[segment + 1])
    assert np.corrcoef(moods, before)[0, 1] > np.corrcoef(moods, after)[0, 1] + 0.2


def test_there_is_noise_and_in_some_rooms_a_bot() -> None:
    written = [comments(WORLD.room(n), np.random.default_rng(n)) for n in range(60)]
    texts = [each.text for room in written for each in room]
    noise = np.mean([text in words._NOISE for text in texts])
    assert 0.1 < noise < 0.4
    bots = [any(each.user == "bot-1" for each in room) for room in written]
    assert 0 < sum(bots) < 20
    for room in written:
        times_ms = [each.at_ms for each in room]
        assert times_ms == sorted(times_ms)
        assert all(0 <= each < 40 * 30_000 for each in times_ms)


def test_every_word_is_known_to_the_bundled_text_encoder() -> None:
    encoder = tiny_text_encoder(device=torch.device("cpu"), weights=None)
    texts = [*words._NOISE, *words._BOTS, *sum(words._TALK, ()), *sum(words._REACTIONS, ())]
    texts += [text for about in words._ABOUT.values() for text in about]
    unknown = encoder._tokenizer.unk_token_id
    ids = encoder.token_ids([(text, ()) for text in texts])
    assert not (ids == unknown).any()


def test_raw_rooms_hold_the_pictures_and_the_texts_of_their_segments() -> None:
    encoder = tiny_text_encoder(device=torch.device("cpu"), weights=None, max_tokens=48)
    (room,) = raw_rooms(WORLD, range(3, 4), encoder, image_size=(16, 24), pictures_a_segment=2)
    truth = WORLD.room(3)
    assert room.pictures.shape == (40, 2, 16, 24, 3)
    assert room.token_ids.shape == (40, 48)
    texts = segment_texts(WORLD, truth, 3)
    assert (room.token_ids == encoder.token_ids(texts)).all()
    np.testing.assert_array_equal(room.ctr, truth.measured_ctr)
