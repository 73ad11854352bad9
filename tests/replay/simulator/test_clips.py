"""Simulated clips: the same number is the same clip, and what they are made of is in them."""

import numpy as np
import torch

from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
from limelight.replay.simulator.clip_table import simulated_clips
from limelight.replay.simulator.clips import clip_reception, clip_sound_features, clip_truth
from limelight.replay.simulator.sounds import clip_sound
from limelight.replay.simulator.world import World, WorldConfig

WORLD = World(WorldConfig(), 3)
CPU = torch.device("cpu")


def test_a_table_does_not_depend_on_which_clips_come_before() -> None:
    frames, texts = tiny_frame_encoder(device=CPU), tiny_text_encoder(device=CPU)
    both = simulated_clips(WORLD, range(4, 8), frames, texts)
    alone = simulated_clips(WORLD, range(6, 7), frames, texts)
    assert both.clip_ids[2:3] == alone.clip_ids and both.titles[2:3] == alone.titles
    np.testing.assert_array_equal(both.frame_features[2], alone.frame_features[0])
    length = int(alone.sound_lengths[0])
    np.testing.assert_array_equal(both.sound_features[2, :length], alone.sound_features[0, :length])
    np.testing.assert_array_equal(both.daily_counts[2], alone.daily_counts[0])


def test_rates_are_drawn_from_the_truth() -> None:
    plays = clicks = expected_plays = expected_clicks = variance = 0.0
    for number in range(300):
        truth = clip_truth(WORLD, number)
        received = clip_reception(WORLD, number, truth)
        plays, clicks = plays + received.plays, clicks + received.clicks
        expected_plays += received.impressions * truth.play_rate
        expected_clicks += received.impressions * truth.ctr
        variance += received.impressions * truth.play_rate * (1 - truth.play_rate)
    # Five standard deviations of the sum of binomials.
    assert abs(plays - expected_plays) < 5 * variance**0.5
    assert abs(clicks - expected_clicks) < 5 * variance**0.5


def test_counts_never_fall_and_views_are_the_most() -> None:
    for number in range(50):
        counts = clip_reception(WORLD, number, clip_truth(WORLD, number)).daily_counts
        assert (np.diff(counts[:, 0]) >= 0).all()
        assert (counts[:, 1:] <= counts[:, :1]).all()


def test_a_silent_clip_has_no_sound_features() -> None:
    silent = next(n for n in range(200) if clip_truth(WORLD, n).sound is None)
    assert clip_sound_features(WORLD, silent, clip_truth(WORLD, silent)).shape == (0, 128)


def test_a_livelier_second_is_louder() -> None:
    for activity in ("talk", "dance", "pk", "product", "idle"):
        sound = clip_sound(activity, np.array([-2.0, 2.0]), np.random.default_rng(0))
        quiet, loud = np.sqrt((sound.reshape(2, -1) ** 2).mean(1))
        assert loud > 4 * quiet, activity
