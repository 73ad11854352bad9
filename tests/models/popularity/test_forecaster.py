"""A model finds its columns in other videos, and is the same after it was saved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from limelight.models.datasets.popularity_videos import one_video
from limelight.models.popularity.attributes import fit_attributes, save_attributes
from limelight.models.popularity.config import PopularityConfig
from limelight.models.popularity.forecaster import Forecaster, load_popularity
from limelight.models.popularity.model import MTAF
from limelight.models.popularity.score import PAPER_WEIGHTS, log_scores


@pytest.fixture
def forecaster(make_videos) -> Forecaster:
    videos = make_videos()
    attributes = fit_attributes(videos, PAPER_WEIGHTS, 1)
    config = PopularityConfig(
        text_size=4,
        audio_size=3,
        vision_size=5,
        num_numbers=2,
        category_sizes=[4, 3],
        trend_size=2,
        recurrent_size=8,
        hidden_size=8,
        modalities=["N", "T", "A", "V", "S"],
    )
    torch.manual_seed(0)
    model = MTAF(config)
    model.fit_scales(attributes.batch(videos, config, log_scores(videos, PAPER_WEIGHTS)))
    return Forecaster(model, attributes)


def test_a_saved_model_forecasts_the_same(
    forecaster: Forecaster, make_videos, tmp_path: Path
) -> None:
    videos = make_videos(7, seed=1)
    forecaster.model.save_pretrained(tmp_path)
    save_attributes(tmp_path, forecaster.attributes)
    loaded = load_popularity(tmp_path)
    np.testing.assert_array_equal(loaded.forecast(videos), forecaster.forecast(videos))
    assert loaded.attributes == forecaster.attributes
    assert float(loaded.model.score_mean) != 0


def test_forecasts_are_scores_of_any_number_of_videos(forecaster: Forecaster, make_videos) -> None:
    videos = make_videos(1500)
    scores = forecaster.forecast(videos)
    assert scores.shape == (1500,)
    assert (scores >= 0).all()
    np.testing.assert_allclose(np.log1p(scores), forecaster.log_forecast(videos))
    np.testing.assert_allclose(
        scores[1400:1410], forecaster.forecast(videos.take(np.arange(1400, 1410))), rtol=1e-4
    )


def test_columns_are_found_by_name_and_values_by_vocabulary(
    forecaster: Forecaster, make_videos
) -> None:
    videos = make_videos(5)
    turned = replace(
        videos,
        numbers=videos.numbers[:, ::-1].copy(),
        number_names=videos.number_names[::-1],
        categories=np.stack([videos.categories[:, 1], 4 - videos.categories[:, 0]], axis=1),
        category_names=("city", "channel"),
        vocabularies=(("here", "there"), ("three", "two", "one")),
        trend=videos.trend[:, :, [0, 1, 0]],
        trend_names=("comment", "favorite", "view"),
    )
    np.testing.assert_allclose(forecaster.forecast(turned), forecaster.forecast(videos))


def test_one_new_video_with_unknown_values_and_absent_modalities(
    forecaster: Forecaster, make_videos
) -> None:
    videos = make_videos(1)
    channel = videos.vocabularies[0][videos.categories[0, 0] - 1]
    known = one_video(
        text=videos.text[0],
        numbers=dict(zip(videos.number_names, videos.numbers[0], strict=True)),
        categories={"channel": channel},
    )
    masked = replace(
        videos,
        present=np.array([[True, False, False]]),
        trend_present=np.zeros_like(videos.trend_present),
        categories=np.array([[videos.categories[0, 0], 0]]),
    )
    np.testing.assert_array_equal(forecaster.forecast(known), forecaster.forecast(masked))
    strange = one_video(numbers={"height": 3.0}, categories={"channel": "nobody", "mood": "glad"})
    np.testing.assert_array_equal(forecaster.forecast(strange), forecaster.forecast(one_video()))
    assert np.isfinite(forecaster.forecast(one_video(numbers={"followers": 0}))).all()


def test_features_and_trends_that_do_not_fit_are_refused(forecaster: Forecaster) -> None:
    with pytest.raises(ValueError, match="text: found 3 numbers, expected 4"):
        forecaster.forecast(one_video(text=[1.0, 2.0, 3.0]))
    with pytest.raises(ValueError, match=r"trend: found \['favorite'\], expected comment too"):
        forecaster.forecast(one_video(trend=[{"favorite": 3}]))


def test_rare_values_are_unknown(make_videos) -> None:
    videos = make_videos(10)
    categories = np.ones((10, 2), np.int64)
    categories[0, 0], categories[1:3, 0] = 2, 3
    videos = replace(videos, categories=categories)
    attributes = fit_attributes(videos, PAPER_WEIGHTS, 2)
    assert attributes.vocabularies == (("one", "three"), ("here",))
    assert attributes.categories(videos)[:, 0].tolist() == [0, 2, 2, *[1] * 7]


def test_a_folder_without_a_whole_model_is_refused(forecaster: Forecaster, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        load_popularity(tmp_path / "nothing")
    forecaster.model.save_pretrained(tmp_path)
    (tmp_path / "attributes.json").write_text('{"numbers": []}')
    with pytest.raises(ValueError, match=r"attributes.json: found .* expected a model's"):
        load_popularity(tmp_path)
