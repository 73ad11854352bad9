from pathlib import Path

import numpy as np

from limelight.models.datasets.labelled_video import LabelledVideos
from limelight.models.topics.tables import write_section
from limelight.models.topics.tables_videos import bilibili_data, with_text_features, youtube_data


def test_a_section_replaces_what_stood_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a: begin -->\nold\n<!-- a: end -->\nafter\n")
    write_section(page, "a", "new \\1\n")
    write_section(page, "b", "another")
    assert page.read_text() == (
        "before\n<!-- a: begin -->\n\nnew \\1\n\n<!-- a: end -->\nafter\n\n"
        "<!-- b: begin -->\n\nanother\n\n<!-- b: end -->\n"
    )


def test_the_tables_become_videos(tmp_path: Path) -> None:
    for name in ("youtube-trending", "bilibili-weekly"):
        (tmp_path / name).mkdir()
    (tmp_path / "youtube-trending" / "x.csv").write_text(
        "video_id,title,channel_title,category_id,tags,views,likes,dislikes,comment_total,date\n"
        "aaaaaaaaaaa,A title,someone,24,Vlog|vlog|two words,10,1,0,2,13.09\n"
    )
    (tmp_path / "bilibili-weekly" / "bilibili_week2.tsv").write_text(
        "someone\t2030第1期\t【Piano】 at night\tof 《A Game》 #Song#"
        "\t1\t2\t3\t4\t5\t6\t7\t-\tmusic\t1\n"
    )
    youtube, bilibili = youtube_data(tmp_path), bilibili_data(tmp_path)
    assert youtube.videos.tags == [["vlog", "two words"]]
    assert (youtube.videos.primary, youtube.titles) == ([["24"]], ["A title"])
    assert bilibili.videos.tags == [["piano", "song"]]
    assert bilibili.videos.primary == [["music"]]


def test_text_features_are_learned_from_some_texts_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefghij "), 40)) for _ in range(200)]
    count = len(texts) + 2
    videos = LabelledVideos(
        video_ids=[str(at) for at in range(count)],
        image_features=np.zeros((count, 0), np.float32),
        text_features=np.zeros((count, 0), np.float32),
        image_present=np.zeros(count, np.bool_),
        text_present=np.zeros(count, np.bool_),
        primary=[[] for _ in range(count)],
        secondary=[[] for _ in range(count)],
        tags=[[] for _ in range(count)],
    )
    found = with_text_features(videos, [*texts, "🎉🎉", ""], range(150))
    other = with_text_features(videos, [*texts[:199], "another", "🎉🎉", ""], range(150))
    np.testing.assert_array_equal(found.text_features[:199], other.text_features[:199])
    assert found.text_features.shape == (202, 128)
    # A title of emoji alone has features, an empty one is no title.
    assert np.isfinite(found.text_features).all()
    assert not found.text_present[-1]
    assert found.text_present[:200].all()
