"""What the real tables say on a video's first day, and what came of it."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.bilibili_weekly import WeeklyVideo
from limelight.models.datasets.popularity_tables import (
    WEEKLY_COUNTS,
    YOUTUBE_NUMBERS,
    from_weekly,
    from_youtube,
    with_text,
)
from limelight.models.datasets.youtube_trending import (
    TrendingDay,
    TrendingVideo,
    read_youtube_trending,
)


def a_video(video_id: str, first: int, views: list[int], channel: str = "c") -> TrendingVideo:
    days = tuple(
        TrendingDay(date(2017, 9, first + at), each, each // 10, each // 100, each // 20)
        for at, each in enumerate(views)
    )
    return TrendingVideo(video_id, "four", channel, 24, ("one", "two"), days)


def test_the_first_days_are_the_trend_and_the_last_the_target() -> None:
    videos = from_youtube([a_video("a", 1, [100, 200, 300, 400]), a_video("b", 1, [1, 2])])
    assert videos.video_ids == ("a",)
    assert videos.trend[0].tolist() == [[100, 10, 5, 1], [200, 20, 10, 2]]
    assert videos.targets[0].tolist() == [400, 40, 20, 4]
    assert videos.trend_names == ("view", "favorite", "comment", "dislike")
    assert dict(zip(videos.number_names, videos.numbers[0], strict=True))["title_length"] == 4
    assert [words[0] for words in videos.vocabularies] == ["c", "24", "5"]  # a Friday


def test_of_the_channel_only_other_videos_days_before_are_known() -> None:
    videos = from_youtube(
        [
            a_video("a", 1, [100, 200, 300]),
            a_video("b", 2, [1000, 2000]),
            a_video("c", 3, [10_000, 20_000, 30_000]),
            a_video("d", 1, [5, 6, 7], channel="other"),
        ]
    )
    before = {
        video_id: dict(zip(YOUTUBE_NUMBERS, numbers, strict=True))
        for video_id, numbers in zip(videos.video_ids, videos.numbers, strict=True)
    }
    # On the 3rd, a stood at 200 (of the 2nd) and b at 1,000; their later days were to come.
    assert before["c"]["channel_videos_before"] == 2
    assert before["c"]["channel_views_before"] == 600
    assert before["c"]["channel_favorites_before"] == 60
    assert before["c"]["channel_comments_before"] == 30
    assert before["a"]["channel_videos_before"] == 0
    assert np.isnan(before["a"]["channel_views_before"])


def test_a_day_without_views_was_not_read() -> None:
    videos = from_youtube(
        [a_video("a", 1, [100, 0, 300, 400, 0]), a_video("gone", 1, [7, 0, 0, 0])]
    )
    assert videos.video_ids == ("a",)
    assert (videos.trend[0, :, 0].tolist(), videos.targets[0, 0]) == ([100, 300], 400)


def test_videos_of_a_day_and_impossible_days_are_refused() -> None:
    with pytest.raises(ValueError, match="videos: found none with 3 days or more"):
        from_youtube([a_video("a", 1, [100])])
    with pytest.raises(ValueError, match="trend_days: found 3, expected 1 to"):
        from_youtube([a_video("a", 1, [1, 2, 3])], trend_days=3)


def a_weekly(video_id: str = "", title: str = "t", shares: int = 4) -> WeeklyVideo:
    return WeeklyVideo(
        video_id, "u", "issue", title, "", 1000, 9, 3, 2, 8, shares, 7, "blurb", "music", 1
    )


def test_weekly_videos_have_all_of_the_score_and_no_trend() -> None:
    videos = from_weekly([a_weekly("1"), a_weekly("1", shares=9), a_weekly(), a_weekly(title="s")])
    assert videos.video_ids == ("1", "u/t", "u/s")
    assert dict(zip(WEEKLY_COUNTS, videos.targets[0], strict=True)) == {
        "view": 1000,
        "favorite": 2,
        "comment": 3,
        "share": 4,
    }
    assert not videos.trend_present.size
    with pytest.raises(ValueError, match="videos: found none"):
        from_weekly([])


def test_text_is_masked_where_there_is_none() -> None:
    videos = from_weekly([a_weekly("1"), a_weekly("2")])
    found = with_text(videos, {"2": np.ones(3, np.float32)})
    assert found.text.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert found.present[:, 0].tolist() == [False, True]
    with pytest.raises(ValueError, match=r"features: found sizes \[\], expected one"):
        with_text(videos, {})


@pytest.mark.shared_data
def test_the_real_table_gives_videos_that_grow(shared_data: Path) -> None:
    path = shared_data / "youtube-trending" / "USvideos_2017-09_10.csv"
    videos = from_youtube(read_youtube_trending(path, on_malformed=lambda error: None))
    assert len(videos) == 1562
    views = np.concatenate([videos.trend[:, :, 0], videos.targets[:, :1]], axis=1)
    assert (np.diff(views, axis=1) >= 0).mean() > 0.99
