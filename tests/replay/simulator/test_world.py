"""The simulated platform is what its config says, and the same for the same seed."""

import numpy as np
import pytest

from limelight.replay.simulator.world import ACTIVITIES, RoomTruth, World, WorldConfig


def rooms_of(config: WorldConfig, count: int = 1500, seed: int = 3) -> list[RoomTruth]:
    world = World(config, seed)
    return [world.room(number) for number in range(count)]


def joined(rooms: list[RoomTruth], name: str) -> np.ndarray:
    return np.concatenate([getattr(room, name) for room in rooms])


@pytest.mark.parametrize("shares", [(0.55, 0.25, 0.20), (0.2, 0.2, 0.6), (0.1, 0.8, 0.1)])
def test_each_part_owns_its_share_of_the_variance_of_ctr(shares) -> None:
    picture, text, streamer = shares
    config = WorldConfig(picture_share=picture, text_share=text, streamer_share=streamer)
    rooms = rooms_of(config)
    ctr = joined(rooms, "ctr")
    parts = [joined(rooms, name) for name in ("picture_part", "talk", "streamer_part")]
    # Squared correlations: of independent parts they are the shares of a sum's variance.
    found = [np.corrcoef(ctr, part)[0, 1] ** 2 for part in parts]
    assert found == pytest.approx(shares, abs=0.05)
    between = np.corrcoef(parts) - np.eye(3)
    assert np.abs(between).max() < 0.06


def test_clicks_follow_the_true_ctr() -> None:
    rooms = rooms_of(WorldConfig(), 400)
    viewers, clicks, ctr = (joined(rooms, name) for name in ("viewers", "clicks", "ctr"))
    assert (clicks <= viewers).all()
    # Of independent binomial draws the standardised sum is a normal number.
    deviation = (clicks - viewers * ctr).sum() / np.sqrt((viewers * ctr * (1 - ctr)).sum())
    assert abs(deviation) < 4


def test_a_segment_of_few_viewers_has_no_measured_ctr() -> None:
    rooms = rooms_of(WorldConfig(median_viewers=100.0, min_viewers=100), 50)
    viewers, measured = joined(rooms, "viewers"), joined(rooms, "measured_ctr")
    assert (np.isnan(measured) == (viewers < 100)).all()
    assert 0 < np.isnan(measured).mean() < 1


def test_a_room_is_the_same_whatever_was_drawn_before() -> None:
    first, second = World(WorldConfig(), 5), World(WorldConfig(), 5)
    second.room(1)
    for name in ("ctr", "clicks", "activity", "talk"):
        assert (getattr(first.room(7), name) == getattr(second.room(7), name)).all()
    assert (first.room(7).ctr != first.room(8).ctr).any()
    assert (World(WorldConfig(), 6).room(7).ctr != first.room(7).ctr).any()


def test_popular_streamers_are_popular_in_every_room() -> None:
    rooms = rooms_of(WorldConfig(streamer_share=1.0, picture_share=0.0, text_share=0.0))
    popularity = np.array([room.streamer.popularity for room in rooms])
    means = np.array([room.ctr.mean() for room in rooms])
    assert np.corrcoef(popularity, means)[0, 1] > 0.8


def test_all_activities_happen_and_last_several_segments() -> None:
    rooms = rooms_of(WorldConfig(), 200)
    activity = joined(rooms, "activity")
    assert set(activity) == set(range(len(ACTIVITIES)))
    changes = np.mean([np.diff(room.activity) != 0 for room in rooms])
    assert 0.15 < changes < 0.45


def test_speech_runs_ahead_in_some_rooms_and_behind_in_others() -> None:
    rooms = rooms_of(WorldConfig(), 200)
    leads = {room.streamer.speech_lead_segments for room in rooms}
    assert leads == {-1, 0, 1, 2}
    room = next(room for room in rooms if room.streamer.speech_lead_segments == 2)
    assert (room.spoken_activity[:-2] == room.activity[2:]).all()


def test_the_number_of_comments_says_little_about_clicks() -> None:
    rooms = rooms_of(WorldConfig(), 400)
    assert 0 < np.corrcoef(joined(rooms, "comment_rate"), joined(rooms, "ctr"))[0, 1] < 0.25
    assert joined(rooms, "comment_rate").mean() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"picture_share": 0.6}, r"shares: found \(0.6, 0.25, 0.2\), expected numbers from 0"),
        ({"num_streamers": 0}, "num_streamers: found 0, expected at least 1"),
        ({"logit_spread": 0.0}, "logit_spread: found 0.0, expected more than 0"),
    ],
)
def test_a_config_refuses_what_cannot_be(change, text) -> None:
    with pytest.raises(ValueError, match=text):
        WorldConfig(**change)
