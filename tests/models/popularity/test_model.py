"""What the network reads, and that it never reads what is masked."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from limelight.models.popularity.attributes import fit_attributes
from limelight.models.popularity.config import MODALITIES, PopularityConfig
from limelight.models.popularity.model import MTAF, AdditiveAttention, PopularityBatch
from limelight.models.popularity.score import PAPER_WEIGHTS, log_scores

SIZES = {
    "text_size": 4,
    "audio_size": 3,
    "vision_size": 5,
    "num_numbers": 2,
    "category_sizes": [4, 3],
    "trend_size": 2,
    "embedding_size": 3,
    "recurrent_size": 6,
    "hidden_size": 8,
}


def a_model(**changes: object) -> MTAF:
    torch.manual_seed(0)
    return MTAF(PopularityConfig(**{**SIZES, "modalities": MODALITIES, **changes})).eval()


@pytest.fixture
def batch(make_videos) -> PopularityBatch:
    videos = make_videos(6)
    attributes = fit_attributes(videos, PAPER_WEIGHTS, 1)
    return attributes.batch(videos, a_model().config, log_scores(videos, PAPER_WEIGHTS))


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize("recurrent", ["gru", "lstm"])
@pytest.mark.parametrize("modalities", [MODALITIES, ("N",), ("S",), ("T", "V")])
def test_one_forecast_a_video_whatever_is_removed(
    batch: PopularityBatch, modalities: tuple[str, ...], recurrent: str, attention: bool
) -> None:
    model = a_model(modalities=modalities, recurrent=recurrent, attention=attention)
    forecast = model(batch)
    assert forecast.shape == (6,)
    assert torch.isfinite(forecast).all()
    assert set(model.dense) == set(modalities)


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(("column", "name"), [(0, "text"), (1, "audio"), (2, "vision")])
def test_a_masked_content_changes_nothing_and_a_present_one_does(
    batch: PopularityBatch, column: int, name: str, attention: bool
) -> None:
    model = a_model(attention=attention)
    batch.present[0, column] = False
    other = getattr(batch, name).clone()
    other[0], other[1] = torch.nan, other[1].flip(0)
    with torch.no_grad():
        before, after = model(batch), model(replace(batch, **{name: other}))
    assert after[0] == before[0]
    assert after[1] != before[1]


@pytest.mark.parametrize("attention", [True, False])
def test_a_masked_day_changes_nothing_wherever_it_stands(
    batch: PopularityBatch, attention: bool
) -> None:
    model = a_model(attention=attention)
    for row in range(3):
        batch.trend_present[row, row] = False
    batch.trend_present[3] = False
    other = batch.trend.clone()
    other[~batch.trend_present] = torch.nan
    other[4, 0] *= 2
    with torch.no_grad():
        before, after = model(batch), model(replace(batch, trend=other))
        # Days behind the last known one are as if they were not there.
        shorter = replace(
            batch, trend=batch.trend[2:3, :2], trend_present=batch.trend_present[2:3, :2]
        )
        shorter = PopularityBatch(
            *(
                getattr(shorter, name)[:1] if "trend" in name else getattr(batch, name)[2:3]
                for name in batch.__slots__
            )
        )
        alone = model(shorter)
    assert torch.equal(after[:4], before[:4])
    assert after[4] != before[4]
    torch.testing.assert_close(alone, before[2:3])


def test_a_removed_modality_is_no_input(batch: PopularityBatch) -> None:
    others = {
        "N": {"numbers": batch.numbers * 3, "categories": batch.categories * 0},
        "T": {"text": batch.text.flip(1)},
        "A": {"audio": batch.audio.flip(1)},
        "V": {"vision": batch.vision.flip(1)},
        "S": {"trend": batch.trend * torch.tensor([3.0, 1.0])},
    }
    for removed, changes in others.items():
        model = a_model(modalities=[each for each in MODALITIES if each != removed])
        with torch.no_grad():
            assert torch.equal(model(batch), model(replace(batch, **changes))), removed
            assert not torch.equal(a_model()(batch), a_model()(replace(batch, **changes))), removed


def test_attention_is_a_softmax_over_what_is_present() -> None:
    torch.manual_seed(0)
    attention = AdditiveAttention(4)
    vectors = torch.randn(3, 5, 4)
    present = torch.tensor([[True] * 5, [True, False, True, False, False], [False] * 5])
    weights = attention(vectors, present).detach().numpy()
    project, ask = attention.project, attention.ask.weight.detach().numpy()[0]
    for row in range(2):
        hidden = np.tanh(
            vectors[row].numpy() @ project.weight.detach().numpy().T + project.bias.detach().numpy()
        )
        odds = np.exp(hidden @ ask) * present[row].numpy()
        np.testing.assert_allclose(weights[row], odds / odds.sum(), rtol=1e-5)
    assert not weights[2].any()


def test_a_video_of_which_nothing_is_known_gets_a_finite_forecast(batch: PopularityBatch) -> None:
    nothing = replace(
        batch,
        present=torch.zeros_like(batch.present),
        trend_present=torch.zeros_like(batch.trend_present),
    )
    assert torch.isfinite(a_model(modalities=("T", "S"))(nothing)).all()


def test_scales_are_those_of_log_counts(batch: PopularityBatch) -> None:
    batch.numbers[0, 0] = torch.nan
    batch.trend_present[1, 2] = False
    batch.numbers[:, 1] = 7.0
    model = a_model()
    model.fit_scales(batch)
    followers = np.log1p(batch.numbers[1:, 0].numpy())
    np.testing.assert_allclose(model.number_mean, [followers.mean(), np.log(8)], rtol=1e-5)
    np.testing.assert_allclose(model.number_std, [followers.std(), 1.0], rtol=1e-5)
    known = np.log1p(batch.trend.numpy()[batch.trend_present.numpy()])
    np.testing.assert_allclose(model.trend_std, known.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(model.score_mean, [batch.log_score.numpy().mean()], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"modalities": ["X"]}, "modalities: found .*X"),
        ({"modalities": []}, "modalities: found"),
        ({"text_size": 0}, "modalities: found T, of which the network has nothing"),
        ({"recurrent_size": 5}, "recurrent_size: found 5, expected an even one"),
        ({"recurrent": "rnn"}, "recurrent: found 'rnn'"),
        ({"dropout": 1.0}, "dropout: found 1.0"),
        ({"hidden_size": 0}, "hidden_size: found 0"),
        ({"attention": "no"}, "attention: found 'no'"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PopularityConfig(**{**SIZES, "modalities": MODALITIES, **changes})


def test_what_is_masked_leaves_the_gradients_finite(batch: PopularityBatch) -> None:
    batch.present[0], batch.trend_present[0] = False, False
    batch.trend_present[1, 1] = False
    for name in ("text", "audio", "vision"):
        getattr(batch, name)[0] = torch.nan
    batch.trend[~batch.trend_present] = torch.nan
    model = a_model().train()
    model(batch).sum().backward()
    for name, weight in model.named_parameters():
        assert torch.isfinite(weight.grad).all(), name
