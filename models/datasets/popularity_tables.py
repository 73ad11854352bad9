"""The real tables as videos whose popularity is forecast: what was known when, and what came."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date

import numpy as np

from limelight.models.datasets.bilibili_weekly import WeeklyVideo
from limelight.models.datasets.popularity_videos import (
    CONTENTS,
    Floats,
    PopularityVideos,
    encoded_categories,
)
from limelight.models.datasets.youtube_trending import TrendingDay, TrendingVideo

YOUTUBE_NUMBERS = (
    "title_length",
    "tag_count",
    "channel_videos_before",
    "channel_views_before",
    "channel_favorites_before",
    "channel_comments_before",
)
YOUTUBE_CATEGORIES = ("channel", "category", "day_of_week")
YOUTUBE_COUNTS = ("view", "favorite", "comment", "dislike")
WEEKLY_NUMBERS = ("title_length", "description_length", "blurb_length")
WEEKLY_CATEGORIES = ("uploader", "category")
WEEKLY_COUNTS = ("view", "favorite", "comment", "share")

YOUTUBE_DAYS = 2

_Seen = tuple[date, str, TrendingDay]


def from_youtube(
    videos: Sequence[TrendingVideo], *, trend_days: int = YOUTUBE_DAYS, min_days: int = 3
) -> PopularityVideos:
    """Videos with `min_days` days or more: the first are the early trend, the last is the target.

    The table shows a video only while it trends, 3.4 days on average, so the target is a few days
    ahead. Two days are the fewest that show growth, and the third the first one worth forecasting:
    more would leave fewer videos. A like is a "favorite"; there are no shares.

    Attributes are known on the first day: the title's length, the number of tags, the weekday,
    category and channel, and what other videos of the channel had reached on earlier days of the
    table (NaN where there were none).

    A day with 0 views is left out first: what trends has been viewed, so its page was not there
    when it was read. In the real table these are 10 rows of 3 videos, 9 of them without any count.

    Raises:
        ValueError: `trend_days` is not 1 to `min_days` - 1, or no video has so many days.
    """
    if not 1 <= trend_days < min_days:
        raise ValueError(f"trend_days: found {trend_days}, expected 1 to min_days - 1")
    videos = [replace(each, days=tuple(d for d in each.days if d.views)) for each in videos]
    kept = [video for video in videos if len(video.days) >= min_days]
    if not kept:
        raise ValueError(f"videos: found none with {min_days} days or more, expected some")
    by_channel: dict[str, list[_Seen]] = defaultdict(list)
    for video in videos:
        by_channel[video.channel] += [(day.date, video.video_id, day) for day in video.days]
    categories, vocabularies = encoded_categories(
        [
            [video.channel for video in kept],
            [str(video.category_id) for video in kept],
            [str(video.days[0].date.isoweekday()) for video in kept],
        ]
    )
    n = len(kept)
    trend = [[_counts(day) for day in video.days[:trend_days]] for video in kept]
    return PopularityVideos(
        tuple(video.video_id for video in kept),
        text=np.zeros((n, 0), np.float32),
        audio=np.zeros((n, 0), np.float32),
        vision=np.zeros((n, 0), np.float32),
        present=np.zeros((n, len(CONTENTS)), np.bool_),
        numbers=np.array([_numbers(video, by_channel[video.channel]) for video in kept]),
        categories=categories,
        trend=np.array(trend, np.float64),
        trend_present=np.ones((n, trend_days), np.bool_),
        targets=np.array([_counts(video.days[-1]) for video in kept], np.float64),
        number_names=YOUTUBE_NUMBERS,
        category_names=YOUTUBE_CATEGORIES,
        vocabularies=vocabularies,
        trend_names=YOUTUBE_COUNTS,
        target_names=YOUTUBE_COUNTS,
    )


def from_weekly(videos: Iterable[WeeklyVideo]) -> PopularityVideos:
    """Bilibili's weekly videos: no trend, since the table has one count of each.

    The target has all three of eq. 1. The best rank is an outcome and left out. Ids are those of
    the file, or where it has none, of uploader and title; a video listed twice keeps its first row.

    Raises:
        ValueError: no video.
    """
    kept: dict[str, WeeklyVideo] = {}
    for video in videos:
        kept.setdefault(weekly_id(video), video)
    if not kept:
        raise ValueError("videos: found none, expected at least one")
    n = len(kept)
    categories, vocabularies = encoded_categories(
        [[each.uploader for each in kept.values()], [each.category for each in kept.values()]]
    )
    numbers = [[len(v.title), len(v.description), len(v.blurb)] for v in kept.values()]
    targets = [[v.views, v.favorites, v.replies, v.shares] for v in kept.values()]
    return PopularityVideos(
        tuple(kept),
        text=np.zeros((n, 0), np.float32),
        audio=np.zeros((n, 0), np.float32),
        vision=np.zeros((n, 0), np.float32),
        present=np.zeros((n, len(CONTENTS)), np.bool_),
        numbers=np.array(numbers, np.float64),
        categories=categories,
        trend=np.zeros((n, 0, 0)),
        trend_present=np.zeros((n, 0), np.bool_),
        targets=np.array(targets, np.float64),
        number_names=WEEKLY_NUMBERS,
        category_names=WEEKLY_CATEGORIES,
        vocabularies=vocabularies,
        trend_names=(),
        target_names=WEEKLY_COUNTS,
    )


def weekly_id(video: WeeklyVideo) -> str:
    """What tells a weekly video from others."""
    return video.video_id or f"{video.uploader}/{video.title}"


def with_text(videos: PopularityVideos, features: Mapping[str, Floats]) -> PopularityVideos:
    """The videos with text features by id; one without is masked.

    Raises:
        ValueError: no features at all, or of several sizes.
    """
    sizes = {len(feature) for feature in features.values()}
    if len(sizes) != 1:
        raise ValueError(f"features: found sizes {sorted(sizes)}, expected one")
    (size,) = sizes
    nothing = np.zeros(size, np.float32)
    text = np.stack([features.get(video_id, nothing) for video_id in videos.video_ids])
    present = videos.present.copy()
    present[:, 0] = [video_id in features for video_id in videos.video_ids]
    return replace(videos, text=text.astype(np.float32), present=present)


def _counts(day: TrendingDay) -> tuple[int, int, int, int]:
    return day.views, day.likes, day.comments, day.dislikes


def _numbers(video: TrendingVideo, of_channel: Sequence[_Seen]) -> list[float]:
    """As `YOUTUBE_NUMBERS`; of the channel the mean over what its other videos reached before."""
    first = video.days[0].date
    reached: dict[str, TrendingDay] = {}
    for when, video_id, day in sorted(of_channel, key=lambda seen: seen[0]):
        if when < first and video_id != video.video_id:
            reached[video_id] = day
    means = [
        float(np.mean([_counts(day)[column] for day in reached.values()])) if reached else np.nan
        for column in range(3)
    ]
    return [len(video.title), len(video.tags), len(reached), *means]
