"""Training, its settings and commands, on videos of known popularity."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limelight.models.cover_title.commands import evaluate_model, train_model
from limelight.models.cover_title.ranker import load_cover_title
from limelight.models.cover_title.training import VideoTensors, prepare, train_cover_title
from limelight.models.cover_title.videos import from_trending, from_weekly, load_videos
from limelight.models.datasets.clip_files import save_clips
from limelight.models.datasets.labelled_clip import LabelledClips
from limelight.models.datasets.split import split_by_video


def weekly_file(path: Path, count: int = 60, views: int | None = None) -> Path:
    """Titles say how popular the video is."""
    rng = np.random.default_rng(0)
    lines = []
    for n in range(count):
        seen = 1_000 * (1 + n % 5) + int(rng.integers(100)) if views is None else views
        title = "火" * (n % 5) + f"视频{n}"
        counts = [seen, 1, 1, seen // 10, seen // 20, 3, seen // 5]
        cells = [n, "up", "2019第1期", title, "", *counts, "", "知识", 1]
        lines.append("\t".join(map(str, cells)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def clip_file(path: Path, count: int = 24) -> Path:
    rng = np.random.default_rng(1)
    some = np.zeros((count, 1), np.float32)
    clips = LabelledClips(
        clip_ids=[f"clip-{n}" for n in range(count)],
        streamer_ids=["s"] * count,
        titles=["😂" if n % 2 else "" for n in range(count)],
        tags=[[]] * count,
        categories=[""] * count,
        subcategories=[""] * count,
        seconds=some[:, 0] + 1,
        frame_features=np.zeros((count, 8, 1), np.float32),
        opening_frame_features=np.zeros((count, 3, 1), np.float32),
        sound_features=np.zeros((count, 0, 1), np.float32),
        sound_lengths=np.zeros(count, np.int64),
        title_features=some,
        covers=rng.integers(0, 256, (count, 20, 30, 3), dtype=np.uint8),
        cover_features=some,
        impressions=np.ones(count, np.int64),
        ctr=some[:, 0],
        play_rate=some[:, 0],
        daily_counts=rng.integers(1, 1_000, (count, 3, 5)).astype(np.float32),
    )
    save_clips(path, clips)
    return path


def write_settings(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(
        'preset = "tiny"\nlearning_rate = 2e-3\nbatch_size = 8\nprecision = "float32"\n' + text
    )
    return path


def test_it_learns_what_covers_say_and_keeps_the_best_epoch(settings, videos) -> None:
    found = train_cover_title(videos(80), videos(40, seed=1), settings(epochs=4))
    best = found.best
    assert best.ordinal_accuracy > best.most_frequent + 0.1
    config = found.model.config
    held_out = VideoTensors(videos(40, seed=1), config, found.tokenizer)
    with torch.inference_mode():
        found.model.eval()
        logits = found.model(held_out.batch(torch.arange(40), torch.device("cpu")))
    assert float((logits.argmax(1) == held_out.labels).float().mean()) == pytest.approx(
        best.accuracy
    )


def test_the_scale_is_that_of_the_training_videos(settings, videos) -> None:
    training, validation = videos(30), videos(10, seed=1)
    task, _ = prepare(training, validation, settings())
    scale = task.network.cover_title.config.label_scale
    assert scale.means["views"] == pytest.approx(training.counts["views"].mean())
    assert scale.spans["likes"] == pytest.approx(np.ptp(training.counts["likes"]))
    assert "coins" not in scale.weights


def test_some_covers_and_titles_are_kept_back_while_learning_never_both(settings, videos) -> None:
    def batch(**changes):
        task, _ = prepare(videos(400), videos(10), settings(**changes))
        return task.batch(torch.arange(400), torch.Generator().manual_seed(0), torch.device("cpu"))

    hidden = batch(missing_modality_rate=0.2)
    assert 0.12 < float((~hidden.has_cover).float().mean()) < 0.28
    assert 0.12 < float((~hidden.has_title).float().mean()) < 0.28
    assert bool((hidden.has_cover | hidden.has_title).all())
    assert bool(batch(missing_modality_rate=0.0).has_cover.all())
    alone = batch(missing_modality_rate=0.4, network={"cover_weight": 1})
    assert bool(alone.has_cover.all())


@pytest.mark.parametrize(
    ("covers", "titles", "weight", "text"),
    [
        (False, True, 0.75, "cover_weight: found 0.75, but none of the 20 training videos has a"),
        (True, False, 0.75, "cover_weight: found 0.75, .* has a title; expected 1"),
    ],
)
def test_a_modality_that_no_training_video_has_is_refused(
    settings, videos, covers: bool, titles: bool, weight: float, text: str
) -> None:
    training = videos(20, covers=covers)
    if not titles:
        training = replace(training, titles=["", "🦩"] * 10)
    with pytest.raises(ValueError, match=text):
        prepare(training, training, settings(network={"cover_weight": weight}))
    fitting = settings(network={"cover_weight": 1.0 if covers else 0.0}, epochs=1)
    assert train_cover_title(training, training, fitting).best.videos == 20


def test_a_run_goes_on_as_if_it_had_not_been_cut(settings, videos, tmp_path: Path) -> None:
    changes = {"epochs": 2, "out": tmp_path / "cut", "checkpoint_every_steps": 2}
    training, validation = videos(24), videos(8, seed=1)

    def stop(seen) -> None:
        if (seen.epoch, seen.step) == (1, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cover_title(training, validation, settings(**changes), on_step=stop)
    resumed = train_cover_title(training, validation, settings(**changes), resume=True)
    whole = train_cover_title(training, validation, settings(epochs=2))
    assert resumed.steps == whole.steps and resumed.best == whole.best
    expected = whole.model.state_dict()
    assert all(torch.equal(each, expected[n]) for n, each in resumed.model.state_dict().items())


def test_a_table_of_titles_trains_evaluates_and_reloads_by_command(tmp_path: Path) -> None:
    weekly_file(tmp_path / "week.tsv")
    path = write_settings(
        tmp_path,
        'task = "cover_title"\nepochs = 20\nnetwork = { cover_weight = 0.0 }\n'
        'label = { thresholds = "equal-count" }\n'
        '[data]\ntrain = "week.tsv"\nvalidation_share = 0.2\n',
    )
    report = train_model(path, resume=False, on_step=lambda seen: None)
    folder = tmp_path / "trained" / "model"
    # The other videos are known, and so left out.
    assert evaluate_model(folder, tmp_path / "week.tsv") == report.validation
    assert report.validation["videos"] == 12
    few, many = load_cover_title(folder).scores([None, None], ["视频1", "火火火火视频1"])
    assert many > few + 0.3
    training, _ = split_by_video(load_videos(tmp_path / "week.tsv"), 0.2, 0)
    known = {line.split("\t")[0]: line for line in (tmp_path / "week.tsv").read_text().splitlines()}
    rows = "\n".join(known[each] for each in training.video_ids)
    (tmp_path / "known.tsv").write_text(rows + "\n")
    with pytest.raises(ValueError, match="found only videos that it was trained on"):
        evaluate_model(folder, tmp_path / "known.tsv")


def test_clips_train_and_evaluate_by_command(tmp_path: Path) -> None:
    clip_file(tmp_path / "clips.safetensors")
    path = write_settings(
        tmp_path,
        'epochs = 1\n[data]\ntrain = "clips.safetensors"\n[network]\nvision = "vgg"\n'
        'language = "rnn"\n[network.cover_encoder]\nwidth = 2\n',
    )
    report = train_model(path, resume=False, on_step=lambda seen: None)
    assert report.validation["videos"] == 2  # one part of eleven
    model = load_cover_title(tmp_path / "trained" / "model").model
    assert model.config.cover_encoder["width"] == 2
    found = evaluate_model(tmp_path / "trained" / "model", tmp_path / "clips.safetensors")
    assert found == report.validation
    # Bilibili's coins are not asked for, but its covers are not there: the model does without.
    weekly = evaluate_model(tmp_path / "trained" / "model", weekly_file(tmp_path / "w.tsv"))
    assert weekly["videos"] == 60


def test_counts_of_zero_alone_are_refused_by_command(tmp_path: Path) -> None:
    weekly_file(tmp_path / "week.tsv", views=0)
    path = write_settings(tmp_path, 'network = { cover_weight = 0 }\ndata = { train = "week.tsv" }')
    with pytest.raises(ValueError, match="views: found 0 for each of the 55 training videos"):
        train_model(path, resume=False, on_step=lambda seen: None)


def test_trending_videos_count_by_their_last_day(tmp_path: Path) -> None:
    head = "video_id,title,channel_title,category_id,tags,views,likes,dislikes,comment_total,date"
    rows = [
        "aaaaaaaaaaa,One,C,1,[none],50,5,0,0,14.09",
        "aaaaaaaaaaa,One,C,1,[none],20,2,0,0,13.09",
        "#NAME?,Lost,C,1,[none],20,2,0,0,13.09",
        "bbbbbbbbbbb,Two,C,1,[none],70,6,0,0,13.09",
    ]
    path = tmp_path / "videos.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    found = load_videos(path)
    assert found.titles == ["One", "Two"] and found.covers is None
    assert {name: column.tolist() for name, column in found.counts.items()} == {
        "views": [50, 70],
        "likes": [5, 6],
    }
    with pytest.raises(ValueError, match=r"found '\.txt', expected \.safetensors, \.tsv or \.csv"):
        load_videos(tmp_path / "videos.txt")
    for empty in (from_trending, from_weekly):
        with pytest.raises(ValueError, match="videos: found none"):
            empty([])


def test_a_split_hangs_on_ids_alone_and_parts_no_id(videos) -> None:
    found = videos(60)
    found = replace(found, video_ids=[each.split("-")[1][-1] for each in found.video_ids])
    training, held = split_by_video(found, 0.3, 0)
    assert not set(training.video_ids) & set(held.video_ids)
    assert len(set(held.video_ids)) == 3 and len(training) + len(held) == 60
    order = np.random.default_rng(0).permutation(60)
    assert set(split_by_video(found.take(order), 0.3, 0)[1].video_ids) == set(held.video_ids)
    with pytest.raises(ValueError, match="expected some in both parts"):
        split_by_video(found.take(np.arange(1)), 0.3, 0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"network": {"depth": 3}}, r"network\.depth: found 3, expected one of"),
        ({"network": {"label": {}}}, r"network\.label: found"),
        ({"network": {"vision": "swin"}}, r"network\.vision: found 'swin'"),
        ({"network": {"cover_weight": -0.1}}, r"network\.cover_weight: found -0\.1"),
        ({"network": {"cover_encoder": 3}}, r"network\.cover_encoder: found 3, expected a table"),
        ({"network": {"vision": "vgg", "cover_encoder": {"depth": 3}}}, "cover_encoder: found"),
        ({"network": {"cover_encoder": {"model_type": "swin"}}}, "found 'swin', expected 'vit'"),
        ({"label": {"weights": {"danmaku": 1.0}}}, "weights: found none above 0"),
        ({"label": {"thresholds": [0.1, 0.1]}}, "thresholds: found"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings, videos, changes, text) -> None:
    with pytest.raises(ValueError, match=text):
        prepare(videos(20), videos(20), settings(**changes))


def test_micro_batches_that_do_not_fit_are_refused(settings) -> None:
    with pytest.raises(ValueError, match="batch_size: found 10, expected a multiple of micro"):
        settings(batch_size=10, pipeline_stages=2, micro_batches=4)
    with pytest.raises(ValueError, match="precision: found 'bfloat16'"):
        settings(precision="bfloat16", pipeline_stages=2)
