import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limelight.models.datasets.labelled_video import LabelledVideos, save_videos
from limelight.models.topics.assigner import load_topics
from limelight.models.topics.commands import evaluate_model, train_model
from limelight.models.topics.training import split_rows

SETTINGS = """
task = "topics"
out = "out"
preset = "tiny"
epochs = {epochs}
batch_size = 64
learning_rate = 0.005
precision = "float32"
[data]
train = "videos.safetensors"
[network]
num_topics = {topics}
skip_gram_epochs = 1
walks_per_tag = 2
"""


def videos(count: int = 240) -> LabelledVideos:
    """Six kinds of videos in three classes; features with noise, one to three tags of six."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 6, count)
    image, text = rng.standard_normal((6, 10)), rng.standard_normal((6, 12))
    return LabelledVideos(
        video_ids=[str(at) for at in range(count)],
        image_features=(image[kind] + 0.5 * rng.standard_normal((count, 10))).astype(np.float32),
        text_features=(text[kind] + 0.5 * rng.standard_normal((count, 12))).astype(np.float32),
        image_present=rng.random(count) < 0.9,
        text_present=rng.random(count) < 0.9,
        primary=[[f"class {each // 2}"] for each in kind],
        secondary=[[f"kind {each}"] for each in kind],
        tags=[[f"{each}.{t}" for t in rng.integers(0, 6, rng.integers(1, 4))] for each in kind],
    )


def train(folder: Path, given: LabelledVideos, *, epochs: int = 4, topics: int = 6) -> Path:
    save_videos(folder / "videos.safetensors", given)
    config = folder / "topics.toml"
    config.write_text(SETTINGS.format(epochs=epochs, topics=topics))
    train_model(config, resume=False, on_step=lambda seen: None)
    return folder / "out" / "model"


def test_a_trained_model_knows_kinds_and_says_the_same_when_it_is_read_again(
    tmp_path: Path,
) -> None:
    given = videos()
    folder = train(tmp_path, given)
    figures = evaluate_model(folder, tmp_path / "videos.safetensors")
    # Twelve dimensions of planted kinds: chance would be about 0.
    assert figures["ari_secondary_mmoe_tag"] is not None
    assert figures["ari_secondary_mmoe_tag"] > 0.6
    assert figures["videos"] == 240
    best = json.loads((tmp_path / "out" / "best.json").read_text())
    assert best["primary_accuracy"] > 0.6
    columns = (given.image_features, given.text_features, given.tags)
    present = {"image_present": given.image_present, "text_present": given.text_present}
    first, second = (load_topics(folder).assign(*columns, **present) for _ in range(2))
    assert first == second
    assert all(load_topics(folder).name(topic) for topic in range(6))


def test_training_twice_gives_the_same_topics(tmp_path: Path) -> None:
    first, second = (train(tmp_path / name, videos(80), epochs=1) for name in ("a", "b"))
    for name in ("model.safetensors", "topics.safetensors", "tags.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_titles_of_emoji_unseen_tags_and_nothing_at_all_are_assigned(tmp_path: Path) -> None:
    given = videos(80)
    assigner = load_topics(train(tmp_path, given, epochs=1))
    text = given.text_features[:3]
    tags = [["🎉"], ["0.1", "never seen"], []]
    found = assigner.assign(None, text, tags, text_present=np.array([True, True, False]))
    assert all(found[:2])
    assert found[2] == []
    assert found[1] == assigner.assign(None, text, [["🎉"], ["0.1"], []])[1:2][0]
    assert assigner.assign(None, None, []) == []
    with pytest.raises(ValueError, match=r"text_features: found \(3, 12\), expected \(2, 12\)"):
        assigner.assign(None, text, [[], []])
    with pytest.raises(ValueError, match="topic: found 6, expected 0 to 5"):
        assigner.name(6)
    with pytest.raises(ValueError, match="text_features: found NaN or infinity in video 0"):
        assigner.assign(None, text * np.nan, tags)


def test_images_and_tags_that_nobody_has_are_done_without(tmp_path: Path) -> None:
    given = videos(80)
    nobody = np.zeros(80, np.bool_)
    given = replace(given, image_present=nobody, tags=[[] for _ in range(80)])
    folder = train(tmp_path, given, epochs=1)
    assigner = load_topics(folder)
    assert assigner.image_feature_size == 0
    assert all(assigner.assign(None, given.text_features, given.tags))
    # No tags to name a topic by: its most frequent class does.
    assert assigner.name(0)[0].startswith(("class", "kind"))
    figures = evaluate_model(folder, tmp_path / "videos.safetensors")
    assert "ari_primary_image" not in figures
    assert all(value is None or math.isfinite(value) for value in figures.values())


def test_fewer_videos_than_topics_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"num_topics: found 500 for 216 videos"):
        train(tmp_path, videos(), topics=500)
    assert not (tmp_path / "out").exists()


def test_features_of_another_encoder_are_refused(tmp_path: Path) -> None:
    folder = train(tmp_path, videos(80), epochs=1)
    other = replace(videos(80), image_features=np.zeros((80, 11), np.float32))
    save_videos(tmp_path / "other.safetensors", other)
    with pytest.raises(ValueError, match="image_features: found 11 numbers, expected 10"):
        evaluate_model(folder, tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('[network]\nnum_tags = 3\n[data]\ntrain = "x"', "network.num_tags: found 3, expected one"),
        ('[network]\nnum_topics = 0\n[data]\ntrain = "x"', "network.num_topics: found 0"),
        ("epochs = 2", "data: found none, expected train ="),
        ("colour = 2", "colour: found 2"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "topics.toml").write_text(line)
    with pytest.raises(ValueError, match=message):
        train_model(tmp_path / "topics.toml", resume=False, on_step=lambda seen: None)


def test_every_video_is_either_trained_on_or_held_out() -> None:
    rows, held_out = split_rows(25, 0.1, seed=3)
    assert sorted([*rows.tolist(), *held_out.tolist()]) == list(range(25))
    assert len(held_out) == 2
    assert [len(part) for part in split_rows(2, 0.1, seed=0)] == [1, 1]
    with pytest.raises(ValueError, match="videos: found 1, expected at least 2"):
        split_rows(1, 0.1, seed=0)
