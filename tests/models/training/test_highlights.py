"""ContentCTR-HL learns a made-up PHD whose users choose what resembles what they chose before."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from limelight.models.contentctr.highlight_model import ContentCTRHL
from limelight.models.datasets.phd import COLUMNS, read_phd
from limelight.models.datasets.phd_examples import PHDExample, PHDExamples
from limelight.models.training.highlight_pieces import highlight_batch
from limelight.models.training.highlights import (
    HighlightNetwork,
    HighlightSettings,
    evaluate_highlights,
    highlight_probabilities,
    train_highlights,
)

NUM_STYLES, FRAME_SIZE, TEXT_SIZE = 3, 8, 4
SCENE_S = 3

MakeSettings = Callable[..., HighlightSettings]


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    def make(**changes: object) -> HighlightSettings:
        network = {
            "hidden_size": 24,
            "num_heads": 2,
            "head_dim": 12,
            "num_perceiver_layers": 1,
            "num_decoder_layers": 1,
            "ffn_size": 32,
            "dropout": 0.0,
        }
        fields = {
            "out": tmp_path / "run",
            "preset": "tiny",
            "network": network | changes.pop("network", {}),
            "precision": "float32",
            "sequence_length": 24,
            "epochs": 2,
            "learning_rate": 4e-3,
            # Aligning takes most of the time; who wants it asks for it.
            "loss": {"align": 0.0},
        }
        return HighlightSettings(**{**fields, **changes})

    return make


def write_phd(
    folder: Path,
    users: int,
    *,
    seed: int,
    scenes: int = 8,
    with_texts: bool = False,
    chosen: bool = True,
    remembered: int = 2,
) -> PHDExamples:
    """Videos of scenes in random styles; each user has a favourite and chooses all of its scenes.

    `chosen=False` puts what is chosen behind the videos' ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    # The same styles in every folder; what one user likes is what another leaves.
    styles = np.random.default_rng(7).normal(size=(NUM_STYLES, FRAME_SIZE))
    rows = [",".join(COLUMNS)]
    for user in range(users):
        favourite = user % NUM_STYLES
        for number in range(remembered + 1):
            video_id, is_last = f"u{seed}-{user}-{number}", number == remembered
            order = random.integers(NUM_STYLES, size=scenes)
            order[:NUM_STYLES] = random.permutation(NUM_STYLES)
            frames = styles[order.repeat(SCENE_S)] + random.normal(
                scale=0.3, size=(scenes * SCENE_S, FRAME_SIZE)
            )
            features = {"frame_features": frames, "times_s": np.arange(len(frames))}
            if with_texts:
                features["text_features"] = random.normal(size=(len(frames), TEXT_SIZE))
                features["text_features"][::2] = 0  # no caption
            save_file(
                {name: np.float32(each) for name, each in features.items()},
                folder / f"{video_id}.safetensors",
            )
            wanted = np.flatnonzero(order == favourite)
            for scene in wanted if is_last else wanted[:1]:
                start_s = scene * SCENE_S + (0 if chosen else 1e6)
                rows.append(f"{video_id},{start_s},{SCENE_S},{user},-1,{is_last}")
    (folder / "users.csv").write_text("".join(f"{row}\n" for row in rows))
    return PHDExamples(read_phd(folder / "users.csv"), folder)


def random_map(examples: PHDExamples) -> float:
    """The mean average precision of scores that know nothing, over many draws, as a plain sum."""
    random = np.random.default_rng(0)
    found = []
    for example in examples:
        for _ in range(20):
            ranked = example.is_highlight[random.permutation(len(example.is_highlight))]
            precisions = ranked.cumsum() / np.arange(1, len(ranked) + 1)
            found.append(precisions[ranked].mean())
    return float(np.mean(found))


def an_example(frames: int, *, text_size: int = 0, seed: int = 0) -> PHDExample:
    random = np.random.default_rng(seed)
    return PHDExample(
        user_id="1",
        video_id="last",
        times_s=np.arange(frames, dtype=np.float64),
        frame_features=random.normal(size=(frames, FRAME_SIZE)).astype(np.float32),
        text_features=random.normal(size=(frames, text_size)).astype(np.float32),
        is_highlight=random.random(frames) < 0.5,
        history=random.normal(size=(3, FRAME_SIZE)).astype(np.float32),
    )


def a_model(settings: HighlightSettings, text_size: int = TEXT_SIZE) -> ContentCTRHL:
    torch.manual_seed(0)
    return ContentCTRHL(settings.highlight_config(FRAME_SIZE, text_size)).eval()


def probabilities_alone(model: ContentCTRHL, example: PHDExample) -> NDArray[np.float64]:
    """Of one piece, asked of the network itself."""
    batch = highlight_batch([example], model.config.text_feature_size)
    with torch.no_grad():
        logits = model(
            batch.frame_features,
            batch.text_features,
            batch.history,
            batch.present,
            batch.frame_mask,
            batch.history_mask,
        )
    return 1 / (1 + np.exp(-logits[0].double().numpy()))


def test_users_choices_are_learned_from_their_history(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    training = write_phd(tmp_path / "training", 120, seed=1)
    validation = write_phd(tmp_path / "validation", 15, seed=2)
    # One layer of it learns this too, but not in two seconds.
    network = {"num_perceiver_layers": 2}
    run = {"epochs": 8, "learning_rate": 7e-3}
    found = train_highlights(training, validation, make_settings(**run, network=network))
    assert found.best.num_users == 15
    assert random_map(validation) < 0.5
    assert found.best.mean_average_precision > 0.9
    assert found.best == evaluate_highlights(found.network.contentctr_hl, validation)

    network |= {"modalities": ["picture", "text"]}
    blind = make_settings(**run | {"epochs": 4}, network=network, out=tmp_path / "blind")
    assert train_highlights(training, validation, blind).best.mean_average_precision < 0.65


def test_a_run_that_was_cut_ends_with_the_same_weights(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    training = write_phd(tmp_path / "training", 16, seed=1, with_texts=True)
    validation = write_phd(tmp_path / "validation", 3, seed=2, with_texts=True)
    losses = {"point": 0.65, "align": 0.15}
    whole = train_highlights(
        training, validation, make_settings(loss=losses, network={"dropout": 0.2})
    )

    class Cut(Exception):
        pass

    def cut(seen: object) -> None:
        if (seen.epoch, seen.step) == (1, 2):
            raise Cut

    settings = make_settings(
        loss=losses,
        network={"dropout": 0.2},
        out=tmp_path / "cut",
        checkpoint_every_steps=1,
    )
    with pytest.raises(Cut):
        train_highlights(training, validation, settings, on_step=cut)
    resumed = train_highlights(training, validation, settings, resume=True)
    assert (resumed.epochs, resumed.total_steps) == (whole.epochs, whole.total_steps) == (2, 4)
    for name, weight in whole.network.state_dict().items():
        assert torch.equal(weight, resumed.network.state_dict()[name]), name


def test_a_run_writes_its_figures_and_both_losses(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    training = write_phd(tmp_path / "training", 10, seed=1, with_texts=True)
    settings = make_settings(loss={}, batch_size=2)
    seen = []
    found = train_highlights(training, training, settings, on_step=seen.append)
    lines = [json.loads(line) for line in (settings.out / "metrics.jsonl").read_text().splitlines()]
    (losses,) = [line for line in lines if "loss_point" in line]
    assert losses["loss_align"] > 0
    assert losses["loss_pair"] == 0
    assert losses["loss_total"] == pytest.approx(
        0.65 * losses["loss_point"] + 0.15 * losses["loss_align"], rel=1e-5
    )
    figures = [line["mean_average_precision"] for line in lines if "epoch" in line]
    assert max(figures) == found.best.mean_average_precision
    assert figures[0] == seen[-1].watched


def test_without_align_weight_nothing_is_aligned(
    tmp_path: Path, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr("limelight.models.training.network.alignment_loss", never)
    examples = write_phd(tmp_path, 4, seed=1, with_texts=True)
    train_highlights(examples, examples, make_settings(loss={"align": 0.0}, epochs=1))
    with pytest.raises(AssertionError):
        train_highlights(examples, examples, make_settings(loss={}, epochs=1))


@pytest.mark.parametrize("frames", [32, 64, 96, 192])
def test_the_number_of_frames_is_that_of_pieces_and_network(
    tmp_path: Path, make_settings: MakeSettings, frames: int
) -> None:
    examples = write_phd(tmp_path, 1, seed=1, scenes=67)  # 201 frames
    seen = []
    found = train_highlights(
        examples,
        examples,
        make_settings(sequence_length=frames, epochs=1, batch_size=1),
        on_step=seen.append,
    )
    assert found.network.contentctr_hl.config.window_length == frames
    assert len(seen) == len(list(examples.training_pieces(frames))) > 1


@pytest.mark.parametrize("with_texts", [False, True])
def test_videos_shorter_than_a_piece_with_and_without_captions(
    tmp_path: Path, make_settings: MakeSettings, with_texts: bool
) -> None:
    write_phd(tmp_path, 3, seed=1, scenes=3, with_texts=with_texts)
    # Users of the same folder with longer videos, so that batches are padded.
    examples = write_phd(tmp_path, 3, seed=2, scenes=5, with_texts=with_texts)
    examples = PHDExamples(
        [*read_phd(tmp_path / "users.csv"), *short_users(tmp_path, 3, seed=1)], tmp_path
    )
    found = train_highlights(examples, examples, make_settings(sequence_length=192, loss={}))
    assert found.best.num_users == 6
    assert {len(example.times_s) for example in examples} == {9, 15}


def short_users(folder: Path, users: int, *, seed: int) -> list[object]:
    rows = [f"u{seed}-{user}-2,0,3,short-{user},-1,True" for user in range(users)]
    (folder / "short.csv").write_text("\n".join([",".join(COLUMNS), *rows]))
    return read_phd(folder / "short.csv")


def test_users_without_history_are_learned_from_and_scored(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    examples = write_phd(tmp_path, 4, seed=1, remembered=0)
    found = train_highlights(examples, examples, make_settings())
    assert found.best.num_users == 4
    assert np.isfinite(found.best.mean_average_precision)


def test_videos_without_highlights_are_not_learned_from(
    tmp_path: Path, make_settings: MakeSettings
) -> None:
    nothing = write_phd(tmp_path / "nothing", 3, seed=1, chosen=False)
    with pytest.raises(ValueError, match="pieces: found none, expected at least one"):
        train_highlights(nothing, nothing, make_settings())
    something = write_phd(tmp_path / "something", 3, seed=2)
    found = train_highlights(something, nothing, make_settings())
    assert np.isnan(found.best.mean_average_precision)
    assert (found.best.num_users, found.best.num_without_highlight) == (0, 3)
    assert found.best_epoch == 1


def test_errors_come_before_training(tmp_path: Path, make_settings: MakeSettings) -> None:
    examples = write_phd(tmp_path / "examples", 2, seed=1)
    with pytest.raises(ValueError, match="validation: found no users with features"):
        train_highlights(examples, PHDExamples([], tmp_path), make_settings())
    captioned = write_phd(tmp_path / "captioned", 2, seed=2, with_texts=True)
    with pytest.raises(ValueError, match=r"user 0: found .* of 8 and 4 numbers, expected 8 and 1"):
        train_highlights(examples, captioned, make_settings())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"network": {"window_length": 20}}, "network.window_length: found 20, expected 24"),
        ({"network": {"frame_feature_size": 3}}, "network.frame_feature_size: found 3, expected 8"),
        ({"network": {"modalities": ["streamer"]}}, "modalities: found .*'streamer'"),
        ({"network": {"histories": 3}}, "network.histories: found"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(
    make_settings: MakeSettings, changes: dict[str, object], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        ContentCTRHL(make_settings(**changes).highlight_config(FRAME_SIZE, TEXT_SIZE))


def test_the_defaults_are_the_papers() -> None:
    settings = HighlightSettings()
    assert (settings.sequence_length, settings.batch_size, settings.epochs) == (192, 8, 20)
    assert (settings.learning_rate, settings.schedule) == (5e-5, "cosine")
    assert (settings.loss.point, settings.loss.align, settings.loss.pair) == (0.65, 0.15, 0)
    assert HighlightSettings(loss={"align": 0}).loss.pair == 0
    config = settings.highlight_config(1024, 1024)
    assert (config.window_length, config.hidden_size) == (192, 512)
    assert config.modalities == ["picture", "text", "history"]


@pytest.mark.parametrize("frames", [1, 23, 24, 25, 48, 65])
def test_a_video_is_scored_in_pieces_that_follow_each_other(
    make_settings: MakeSettings, frames: int
) -> None:
    model = a_model(make_settings())
    example = an_example(frames, text_size=TEXT_SIZE)
    expected = np.zeros(0)
    while len(expected) < frames:
        start = len(expected)
        if start + 24 <= frames or start == 0:
            piece = probabilities_alone(model, example.piece(start, start + 24))
        else:  # the last 24 frames, of which only the end is new
            piece = probabilities_alone(model, example.piece(frames - 24, frames))[start - frames :]
        expected = np.concatenate([expected, piece])
    for at_once in (1, 2, 8):
        found = highlight_probabilities(model, example, pieces_at_once=at_once)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_model_with_captions_scores_a_video_that_has_none(make_settings: MakeSettings) -> None:
    model = a_model(make_settings())
    without = an_example(30)
    zeros = replace(without, text_features=np.zeros((30, TEXT_SIZE), np.float32))
    found = highlight_probabilities(model, without)
    np.testing.assert_array_equal(found, highlight_probabilities(model, zeros))
    with pytest.raises(ValueError, match=r"user 1: found .* of 8 and 5 numbers, expected 8 and 4"):
        highlight_probabilities(model, an_example(30, text_size=5))


def test_scoring_leaves_a_training_network_training(make_settings: MakeSettings) -> None:
    model = a_model(make_settings()).train()
    highlight_probabilities(model, an_example(5))
    assert model.training


def test_padding_does_not_change_the_losses(make_settings: MakeSettings) -> None:
    settings = make_settings(loss={"align": 0.0}, sequence_length=40)
    network = HighlightNetwork(a_model(settings, text_size=3), settings.loss).eval()
    pieces = [an_example(10, text_size=3), an_example(30, text_size=3, seed=1)]
    with torch.no_grad():
        together = network(highlight_batch(pieces, 3)).point
        alone = [network(highlight_batch([piece], 3)).point for piece in pieces]
    expected = (10 * alone[0] + 30 * alone[1]) / 40
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-6)
