"""From a file of videos to a model by command, and its figures on videos it has not seen."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limelight.models.content import content_model, content_task_of
from limelight.models.datasets.popularity_videos import PopularityVideos, save_popularity_videos
from limelight.models.datasets.split import split_by_video
from limelight.models.popularity.attributes import fit_attributes
from limelight.models.popularity.commands import evaluate_model, load_videos, train_model
from limelight.models.popularity.forecaster import load_popularity
from limelight.models.popularity.settings import PopularitySettings, TableSettings
from limelight.models.popularity.training import blurred
from limelight.models.training.run_settings import load_run_settings

Write = Callable[..., Path]
QUIET = {"resume": False, "on_step": lambda seen: None}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(videos: PopularityVideos, *, epochs: int = 2, lines: str = "") -> Path:
        save_popularity_videos(tmp_path / "videos.safetensors", videos)
        config = tmp_path / "popularity.toml"
        config.write_text(
            f'task = "popularity"\nout = "run"\npreset = "tiny"\nepochs = {epochs}\n'
            f'batch_size = 32\nlearning_rate = 1e-2\nprecision = "float32"\n{lines}\n'
            '[data]\npath = "videos.safetensors"\nvalidation_share = 0.2\n'
        )
        return config

    return write


def test_what_was_planted_is_learned_and_judged_on_unseen_videos(
    make_videos, write: Write, tmp_path: Path
) -> None:
    config = write(
        make_videos(400),
        epochs=15,
        lines='unknown_category_rate = 0.0\nnetwork = { modalities = ["N", "T"], dropout = 0.0 }',
    )
    report = train_model(config, **QUIET)
    assert report.validation["r2"] > 0.7
    folder = tmp_path / "run" / "model"
    assert content_task_of(folder) == "popularity"
    judge = content_model("popularity").evaluate_model
    figures = judge(folder, tmp_path / "videos.safetensors")
    assert figures["videos"] == 120  # 30 % of 400
    assert figures["r2"] > 0.7
    assert figures == judge(folder, tmp_path / "videos.safetensors")
    save_popularity_videos(tmp_path / "others.safetensors", make_videos(9, seed=5))
    assert judge(folder, tmp_path / "others.safetensors")["videos"] == 9


def test_a_resumed_run_ends_with_the_same_weights(
    make_videos, write: Write, tmp_path: Path
) -> None:
    config = write(make_videos(120), epochs=3, lines="missing_modality_rate = 0.2")
    train_model(config, **QUIET)
    whole = load_popularity(tmp_path / "run" / "model").model.state_dict()
    (tmp_path / "run").rename(tmp_path / "whole")

    class Cut(Exception):
        pass

    def cut(seen) -> None:
        if (seen.epoch, seen.step) == (1, 2):
            raise Cut

    with pytest.raises(Cut):
        train_model(config, resume=False, on_step=cut)
    train_model(config, resume=True, on_step=lambda seen: None)
    for name, weight in load_popularity(tmp_path / "run" / "model").model.state_dict().items():
        assert torch.equal(weight, whole[name]), name


def test_a_modality_absent_for_all_is_left_out_of_the_network(
    make_videos, write: Write, tmp_path: Path
) -> None:
    videos = make_videos(60)
    videos = replace(
        videos,
        present=np.tile([True, False, False], (60, 1)),
        vision=np.zeros((60, 0), np.float32),
        trend_present=np.zeros_like(videos.trend_present),
    )
    train_model(write(videos), **QUIET)
    model = load_popularity(tmp_path / "run" / "model").model
    assert model.config.modalities == ["N", "T"]
    # With a trend that it never learned from, it forecasts all the same.
    save_popularity_videos(tmp_path / "others.safetensors", make_videos(9, seed=5))
    figures = evaluate_model(tmp_path / "run" / "model", tmp_path / "others.safetensors")
    assert np.isfinite(figures["mae"])


@pytest.mark.parametrize("score", [0.0, 12.0])
def test_a_constant_target_has_no_order_and_no_r2(
    make_videos, write: Write, tmp_path: Path, score: float
) -> None:
    videos = replace(make_videos(60), targets=np.full((60, 3), score))
    report = train_model(write(videos), **QUIET)
    assert (report.validation["r2"], report.validation["srcc"]) == (None, None)
    figures = evaluate_model(tmp_path / "run" / "model", tmp_path / "videos.safetensors")
    assert (figures["r2"], figures["srcc"]) == (None, None)
    assert (figures["ndcg_at_10"] is None) == (score == 0)
    assert np.isfinite(figures["mse"])
    json.dumps(figures, allow_nan=False)


def test_all_counts_zero_are_learned_from(make_videos, write: Write) -> None:
    videos = make_videos(60)
    videos = replace(
        videos, trend=videos.trend * 0, numbers=videos.numbers * 0, targets=videos.targets * 0
    )
    assert train_model(write(videos), **QUIET).validation["mse"] < 1


def test_videos_that_it_has_learned_from_are_no_test(
    make_videos, write: Write, tmp_path: Path
) -> None:
    videos = make_videos(60)
    train_model(write(videos), **QUIET)
    rest, test = split_by_video(videos, 0.3, seed=0)
    path = tmp_path / "part.safetensors"
    save_popularity_videos(path, rest)
    with pytest.raises(ValueError, match="found only videos that it was trained on"):
        evaluate_model(tmp_path / "run" / "model", path)
    save_popularity_videos(path, test)
    alone = evaluate_model(tmp_path / "run" / "model", path)
    assert alone["videos"] == 18
    assert alone == evaluate_model(tmp_path / "run" / "model", tmp_path / "videos.safetensors")


def test_data_that_cannot_be_learned_from_is_refused(make_videos, write: Write) -> None:
    with pytest.raises(ValueError, match=r"videos: found 1, of which 0 .* expected some in both"):
        train_model(write(make_videos(2)), **QUIET)
    with pytest.raises(ValueError, match="weights: found view, expected some of"):
        train_model(write(make_videos(40), lines="weights = { view = 1.0 }"), **QUIET)
    without = replace(make_videos(40), targets=np.zeros((40, 0)), target_names=())
    with pytest.raises(ValueError, match="weights: found comment, favorite, share"):
        train_model(write(without), **QUIET)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ("{ text_size = 3 }", "network.text_size: found a size, expected none"),
        ("{ layers = 3 }", "network.layers: found 3, expected"),
        ('{ modalities = ["X"] }', "network.modalities: found"),
        ("{ modalities = [] }", "network.modalities: found"),
        ("{ dropout = 2.0 }", "dropout: found 2.0"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    make_videos, write: Write, network: str, text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        train_model(write(make_videos(40), lines=f"network = {network}"), **QUIET)


def test_other_files_are_refused_by_their_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found '.json', expected .safetensors, .csv or .tsv"):
        load_videos(tmp_path / "videos.json", TableSettings())


def test_the_paper_preset_has_its_sizes(make_videos, write: Write) -> None:
    config = write(make_videos(40))
    config.write_text(config.read_text().replace('"tiny"', '"paper"'))
    settings = load_run_settings(config, PopularitySettings)
    assert settings.data.test_share == 0.3
    videos = make_videos(40)
    made = settings.network_config(videos, fit_attributes(videos, settings.weights, 1))
    assert (made.recurrent_size, made.modalities) == (256, ["N", "T", "A", "V", "S"])
    assert settings.weights == {"favorite": 0.2, "comment": 0.3, "share": 0.5}


def test_some_are_hidden_while_learning(make_videos, write: Write) -> None:
    videos = make_videos(400)
    settings = load_run_settings(
        write(
            videos,
            lines="missing_modality_rate = 0.5\nmissing_trend_rate = 0.25\n"
            "unknown_category_rate = 0.75",
        ),
        PopularitySettings,
    )
    attributes = fit_attributes(videos, settings.weights, 1)
    batch = attributes.batch(videos, settings.network_config(videos, attributes))
    found = blurred(batch, settings, torch.Generator().manual_seed(0))
    assert found.present.float().mean() == pytest.approx(0.5, abs=0.06)
    assert found.trend_present.all(1).float().mean() == pytest.approx(0.75, abs=0.06)
    assert torch.equal(found.trend_present.any(1), found.trend_present.all(1))
    hidden = (found.categories[:, 0] == 0).float().mean()
    assert hidden == pytest.approx(0.75, abs=0.06)


def test_each_kind_of_file_is_read_by_its_name(tmp_path: Path) -> None:
    header = "video_id,title,channel_title,category_id,tags,views,likes,dislikes,comment_total,date"
    rows = [f"aaaaaaaaaaa,t,c,1,[none],{day}0,{day},0,{day},{day}.09" for day in (13, 14, 15)]
    (tmp_path / "table.csv").write_text("\n".join([header, *rows, "#NAME?,t,c,1,x,1,1,1,1,1.1"]))
    trending = load_videos(tmp_path / "table.csv", TableSettings())
    assert (trending.trend_present.shape, trending.targets[0, 0]) == ((1, 2), 150)
    one_day = load_videos(tmp_path / "table.csv", TableSettings(trend_days=1))
    assert one_day.trend_present.shape == (1, 1)
    counts = "\t".join("7" * 7)
    (tmp_path / "weekly.tsv").write_text(f"u\tissue\ttitle\t\t{counts}\tblurb\tmusic\t1\n")
    assert load_videos(tmp_path / "weekly.tsv", TableSettings()).video_ids == ("u/title",)
