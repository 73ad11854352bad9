"""The same video is never in both parts."""

from dataclasses import replace

import numpy as np
import pytest

from limelight.models.datasets.split import id_marks, split_by_video


def test_rows_of_a_video_are_in_one_part_whatever_their_order(make_videos) -> None:
    videos = make_videos(60)
    videos = replace(videos, video_ids=tuple(f"v{each % 20}" for each in range(60)))
    rest, held = split_by_video(videos, 0.3, seed=1)
    assert (len(set(rest.video_ids)), len(set(held.video_ids))) == (14, 6)
    assert not set(rest.video_ids) & set(held.video_ids)
    assert len(rest) + len(held) == 60
    shuffled = videos.take(np.random.default_rng(0).permutation(60))
    assert set(split_by_video(shuffled, 0.3, seed=1)[1].video_ids) == set(held.video_ids)
    assert set(split_by_video(videos, 0.3, seed=2)[1].video_ids) != set(held.video_ids)


@pytest.mark.parametrize(("n", "share"), [(1, 0.3), (3, 0.1), (2, 0.9)])
def test_an_empty_part_is_refused(make_videos, n: int, share: float) -> None:
    with pytest.raises(ValueError, match=f"videos: found {n}, of which .* expected some in both"):
        split_by_video(make_videos(n), share, 0)


def test_marks_are_one_a_video(make_videos) -> None:
    videos = make_videos(30)
    assert len(set(id_marks(videos).tolist())) == 30
    np.testing.assert_array_equal(id_marks(videos.take(np.array([3]))), id_marks(videos)[3:4])
