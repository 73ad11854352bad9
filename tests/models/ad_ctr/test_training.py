"""Training in rounds: equal parameter counts, the smallest removed, and going on where it was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error

from limelight.models.ad_ctr import prediction, training
from limelight.models.ad_ctr.clips import ad_clips
from limelight.models.ad_ctr.commands import evaluate_model
from limelight.models.ad_ctr.config import AdCTRConfig
from limelight.models.ad_ctr.figures import (
    class_figures,
    classes_of,
    equal_count_edges,
    regression_figures,
)
from limelight.models.ad_ctr.fusion import AllConnectedFusion, BaselineFusion, count_parameters
from limelight.models.ad_ctr.model import AdCTR
from limelight.models.ad_ctr.predictor import AdPredictor, load_ad_ctr
from limelight.models.ad_ctr.training import AdDataSettings, AdNetwork, AdSettings, train_ad
from limelight.models.content import content_task_of
from limelight.models.datasets.clip_files import save_clips
from limelight.models.training.run_settings import load_run_settings
from limelight.replay.train import run_training

NETWORK = {"embedding_size": 4, "conv_channels": 3}


def make_settings(out: Path, **changes: object) -> AdSettings:
    fields = {
        "data": AdDataSettings(train=Path("unused")), "out": out, "preset": "tiny",
        "network": NETWORK, "learning_rate": 1e-2, "batch_size": 16, "epochs": 3,
        "round_epochs": 1, "prune_share": 0.2, **changes,
    }  # fmt: skip
    return AdSettings(**fields)


def baseline_parameters() -> int:
    # Two embeddings of 4 and two categories; three channels; one output.
    return (10 * 3 * 3 + 3) + (3 * 3 * 3 + 3) + (3 + 1)


def test_the_self_organizing_fusion_ends_with_the_baselines_parameters(clips, tmp_path) -> None:
    trained = train_ad(clips, None, make_settings(tmp_path))
    counts = [each.parameters for each in trained.rounds]
    assert counts[0] == count_parameters(AllConnectedFusion(10, 3, 1))
    assert counts[-1] == baseline_parameters() == count_parameters(BaselineFusion(10, 3, 1))
    assert counts == sorted(counts, reverse=True)
    # Three epochs at first, one in each round of pruning.
    assert trained.epochs == 3 + len(counts) - 1
    used = sum(int((each != 0).sum()) for each in trained.model.fusion.parameters())
    assert used == counts[-1] == trained.model.config.fusion_parameters
    trace = json.loads((tmp_path / "rounds.json").read_text())
    assert [each["parameters"] for each in trace] == counts


def test_a_round_removes_a_share_of_what_is_left_and_the_smallest_of_it() -> None:
    torch.manual_seed(0)
    fusion = AllConnectedFusion(10, 3, 1)
    weights = torch.cat(
        [
            each.weight.detach().abs().flatten()
            for each in (fusion.first, fusion.second, fusion.head)
        ]
    )
    training._prune(fusion, 0.25, budget=0)
    masks = torch.cat(
        [each.weight_mask.flatten() for each in (fusion.first, fusion.second, fusion.head)]
    ).bool()
    assert int((~masks).sum()) == round(0.25 * len(weights))
    assert weights[~masks].max() <= weights[masks].min()
    before = int(masks.sum())
    training._prune(fusion, 0.25, budget=0)
    after = count_parameters(fusion) - sum(
        len(each.bias) for each in (fusion.first, fusion.second, fusion.head)
    )
    assert after == before - round(0.25 * before)


# Exact in float32, so that a rate can lie on one.
EDGES = [0.25, 0.5, 0.625, 0.75]


def untrained(**changes: object) -> AdCTR:
    torch.manual_seed(0)
    sizes = {"visual_size": 6, "audio_size": 5, "embedding_size": 4, "conv_channels": 3}
    return AdCTR(AdCTRConfig(**{**sizes, **changes}))


def test_losses_are_the_squared_error_and_the_cross_entropy(clips) -> None:
    batch = replace(
        ad_clips(clips, "ctr", []).rows(torch.arange(3)), rates=torch.tensor([0.25, 0.1, 1])
    )
    network = AdNetwork(untrained(mean_rate=0.1)).eval()
    rates = 1 / (1 + np.exp(-network.ad_ctr(batch)[:, 0].detach().numpy()))
    expected = np.mean((rates - [0.25, 0.1, 1]) ** 2)
    assert network(batch).total.item() == pytest.approx(expected, rel=1e-5)
    network = AdNetwork(untrained(class_edges=EDGES)).eval()
    shares = softmax(network.ad_ctr(batch).detach().numpy().astype(np.float64), axis=1)
    # A rate on an edge is of the class above.
    assert classes_of(np.array([0.25, 0.1, 1]), EDGES).tolist() == [1, 0, 4]
    expected = -np.log([shares[0, 1], shares[1, 0], shares[2, 4]]).mean()
    assert network(batch).total.item() == pytest.approx(expected, rel=1e-5)


def test_a_network_of_classes_predicts_the_mean_class(clips) -> None:
    model = untrained(class_edges=EDGES)
    with torch.no_grad():
        logits = model.eval()(ad_clips(clips, "ctr", []))
    shares = softmax(logits.numpy().astype(np.float64), axis=1)
    found = AdPredictor(model).predict(
        clips.frame_features, clips.sound_features, clips.sound_lengths, [""] * 60
    )
    np.testing.assert_allclose(found, shares @ [0, 0.25, 0.5, 0.75, 1], rtol=1e-5)


def test_a_network_in_training_is_judged_without_dropout_and_trains_on(clips) -> None:
    model, batch = untrained(dropout=0.5), ad_clips(clips, "ctr", [])
    first, second = (prediction.predict(model.train(), batch) for _ in range(2))
    assert np.array_equal(first, second) and model.training


def test_a_tenth_is_held_back_and_never_learned_from(clips) -> None:
    learned, held = training._held_back(clips, seed=0)
    assert len(held) == 6
    assert sorted(learned.clip_ids + held.clip_ids) == sorted(clips.clip_ids)
    assert training._held_back(clips, seed=1)[1].clip_ids != held.clip_ids


def test_a_run_starts_at_the_mean_rate_of_clips_with_enough_impressions(clips, tmp_path) -> None:
    settings = make_settings(tmp_path, fusion="baseline", epochs=1, min_impressions=100)
    trained = train_ad(clips, clips, settings)
    # The eleventh clip is the first with 100.
    assert trained.rounds[0].validation.clips == 50
    assert trained.model.config.mean_rate == pytest.approx(clips.ctr[10:].mean(), rel=1e-5)


@pytest.mark.parametrize("fusion", ["baseline", "all-connected"])
def test_the_others_are_trained_once(clips, tmp_path, fusion: str) -> None:
    trained = train_ad(clips, None, make_settings(tmp_path, fusion=fusion))
    assert len(trained.rounds) == 1
    assert trained.rounds[0].parameters <= baseline_parameters()


def test_a_network_learns_what_is_seen_and_heard(clips, tmp_path) -> None:
    settings = make_settings(
        tmp_path, fusion="baseline", epochs=40, network={"embedding_size": 16, "conv_channels": 8}
    )
    trained = train_ad(clips, clips, settings)
    constant = regression_figures(np.full(60, clips.ctr.mean()), clips.ctr)
    assert trained.rounds[0].validation.mse < 0.5 * constant.mse


def test_an_interrupted_run_ends_with_the_same_weights(clips, tmp_path) -> None:
    whole = train_ad(clips, None, make_settings(tmp_path / "whole"))

    class Interruption(Exception):
        pass

    steps = 0

    def interrupt(seen: object) -> None:
        nonlocal steps
        steps += 1
        if steps == whole.steps * 2 // 3:
            raise Interruption

    settings = make_settings(tmp_path / "parts", checkpoint_every_steps=1)
    with pytest.raises(Interruption):
        train_ad(clips, None, settings, on_step=interrupt)
    resumed = train_ad(clips, None, settings, resume=True)
    assert len(resumed.rounds) == len(whole.rounds) > 2
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_trained_evaluated_and_reloaded_by_command(clips, change, tmp_path) -> None:
    # Rates and pictures that tell the play rate from the CTR.
    clips = change(
        clips, play_rate=clips.ctr[::-1], opening_frame_features=clips.frame_features[:, 5:]
    )
    save_clips(tmp_path / "clips.safetensors", clips)
    (tmp_path / "run.toml").write_text(
        'task = "ad_ctr"\npreset = "tiny"\ntarget = "play_rate"\npredict = "class"\nepochs = 2\n'
        'fusion = "baseline"\nout = "out"\n[data]\ntrain = "clips.safetensors"\n'
    )
    run_training(tmp_path / "run.toml", resume=False)
    folder = tmp_path / "out/model"
    assert content_task_of(folder) == "ad_ctr"
    found = evaluate_model(folder, tmp_path / "clips.safetensors")
    assert "mse" not in found and found["clips"] == 60
    predictor = load_ad_ctr(folder)
    logits = predictor.model(ad_clips(clips, "play_rate", ["dance", "talk"])).detach().numpy()
    classes = np.digitize(clips.play_rate, predictor.model.config.class_edges)
    assert found["accuracy"] == pytest.approx(accuracy_score(classes, logits.argmax(1)))
    assert predictor.version.startswith("play_rate-baseline-")
    rates = predictor.predict(
        clips.opening_frame_features, clips.sound_features[:, :3],
        np.minimum(clips.sound_lengths, 3), ["never met"] * 60,
    )  # fmt: skip
    assert rates.shape == (60,) and ((rates >= 0) & (rates <= 1)).all()
    with pytest.raises(
        ValueError, match=r"frames: found shape \(60, 8, 6\), expected \(n, 3, any\)"
    ):
        predictor.predict(
            clips.frame_features, clips.sound_features, clips.sound_lengths, [""] * 60
        )
    assert set(load_file(folder / "model.safetensors")) == set(predictor.model.state_dict())


def test_a_clip_nobody_measured_is_left_out(clips, change) -> None:
    ctr = clips.ctr.copy()
    ctr[::2] = np.nan
    batch = ad_clips(change(clips, ctr=ctr), "ctr", ["talk"], min_impressions=100)
    # Every other one of those with 100 impressions, which the eleventh is the first to have.
    assert len(batch.rates) == 25
    assert batch.categories.tolist() == [1 if n % 3 == 2 else 0 for n in range(11, 60, 2)]


def test_the_play_rate_is_of_the_opening_and_the_ctr_of_the_whole_clip(clips, change) -> None:
    other = change(
        clips, opening_frame_features=clips.frame_features[:, 3:6], play_rate=clips.ctr / 2
    )
    opening, whole = (ad_clips(other, target, []) for target in ("play_rate", "ctr"))
    assert np.array_equal(opening.frames, clips.frame_features[:, 3:6])
    assert np.array_equal(opening.sounds, clips.sound_features[:, :3])
    assert opening.lengths.tolist() == [min(3, length) for length in clips.sound_lengths]
    assert np.array_equal(opening.rates, clips.ctr / 2)
    assert np.array_equal(whole.frames, clips.frame_features)
    assert np.array_equal(whole.sounds, clips.sound_features)
    assert whole.lengths.tolist() == clips.sound_lengths.tolist()
    assert np.array_equal(whole.rates, clips.ctr)


def test_no_measured_clip_is_refused(clips) -> None:
    with pytest.raises(ValueError, match="ctr: found no clip where it was measured by 70000"):
        ad_clips(clips, "ctr", [], min_impressions=70_000)


def test_rates_that_are_all_alike_have_no_five_classes(clips, change, tmp_path) -> None:
    alike = change(clips, ctr=np.zeros(60, np.float32))
    with pytest.raises(ValueError, match="there are too few different rates"):
        train_ad(alike, None, make_settings(tmp_path, predict="class"))


def test_rates_of_zero_have_no_mar(clips, change, tmp_path) -> None:
    nothing = change(clips, ctr=np.zeros(60, np.float32))
    trained = train_ad(nothing, None, make_settings(tmp_path, fusion="baseline"))
    assert np.isnan(trained.rounds[0].validation.mar)
    assert json.loads((tmp_path / "rounds.json").read_text())[0]["validation"]["mar"] is None


def test_measures_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    rates, predicted = rng.random(100), rng.random(100)
    found = regression_figures(predicted, rates)
    assert found.mse == pytest.approx(mean_squared_error(rates, predicted))
    assert found.mae == pytest.approx(mean_absolute_error(rates, predicted))
    assert found.mar == pytest.approx(mean_absolute_error(rates, predicted) / rates.mean())
    edges = equal_count_edges(rates, 5)
    true, guessed = classes_of(rates, edges), classes_of(predicted, edges)
    assert np.bincount(true).tolist() == [20] * 5
    assert class_figures(guessed, true).accuracy == pytest.approx(accuracy_score(true, guessed))


def test_a_setting_nobody_knows_is_named(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('task = "ad_ctr"\n[data]\ntrain = "a"\n[network]\nheads = 3\n')
    settings = load_run_settings(path, AdSettings)
    with pytest.raises(ValueError, match=r"network\.heads: found 3, expected no such"):
        settings.network_config()
