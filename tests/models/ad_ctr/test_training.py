"""Training in rounds: equal parameter counts, the smallest removed, and going on where it was."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error

from limelight.models.ad_ctr import training
from limelight.models.ad_ctr.clips import ad_clips
from limelight.models.ad_ctr.commands import evaluate_model
from limelight.models.ad_ctr.figures import (
    class_figures,
    classes_of,
    equal_count_edges,
    regression_figures,
)
from limelight.models.ad_ctr.fusion import AllConnectedFusion, BaselineFusion, count_parameters
from limelight.models.ad_ctr.predictor import load_ad_ctr
from limelight.models.ad_ctr.training import AdDataSettings, AdSettings, train_ad
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
    used = sum(int((each != 0).sum()) for each in trained.model.fusion.parameters())
    assert used == counts[-1]
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


def test_trained_evaluated_and_reloaded_by_command(clips, tmp_path, capsys) -> None:
    save_clips(tmp_path / "clips.safetensors", clips)
    (tmp_path / "run.toml").write_text(
        'task = "ad_ctr"\npreset = "tiny"\ntarget = "play_rate"\npredict = "class"\nepochs = 2\n'
        'fusion = "baseline"\nout = "out"\n[data]\ntrain = "clips.safetensors"\n'
    )
    run_training(tmp_path / "run.toml", resume=False)
    folder = tmp_path / "out/model"
    assert content_task_of(folder) == "ad_ctr"
    found = evaluate_model(folder, tmp_path / "clips.safetensors")
    assert 0 <= found["accuracy"] <= 1 and "mse" not in found
    predictor = load_ad_ctr(folder)
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
