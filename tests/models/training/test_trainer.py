"""The loop learns what was planted, and goes on after an interruption as if there was none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.optim import Adam

from limelight.models.contentctr.config import FUSIONS
from limelight.models.training import trainer
from limelight.models.training.evaluation import evaluate, measured_ctrs, predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Batch, Sequences
from limelight.models.training.trainer import StepSeen, train

BUCKETS = 16


class Interruption(Exception):
    pass


def metrics(out: Path) -> list[dict[str, float | None]]:
    def refuse(constant: str) -> None:
        raise ValueError(f"found {constant}, which is not JSON")

    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def assert_same_weights(ours: TrainedNetwork, theirs: TrainedNetwork) -> None:
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, theirs.state_dict()[name]), name


class SpyingAdam(Adam):
    """Notes the learning rate and the norm of the gradient of every step."""

    rates: list[float]
    norms: list[float]

    def step(self, *args, **kwargs):
        (group,) = self.param_groups
        gradients = [each.grad for each in group["params"] if each.grad is not None]
        self.rates.append(group["lr"])
        self.norms.append(math.sqrt(sum(float(each.square().sum()) for each in gradients)))
        return super().step(*args, **kwargs)


@pytest.fixture
def spying_adam(monkeypatch: pytest.MonkeyPatch) -> type[SpyingAdam]:
    monkeypatch.setitem(trainer.OPTIMIZERS, "adam", SpyingAdam)
    SpyingAdam.rates, SpyingAdam.norms = [], []
    return SpyingAdam


@pytest.fixture
def rooms(make_rooms) -> Sequences:
    """12 cuts of 20 segments, 3 batches of 4."""
    return Sequences(make_rooms([40] * 6), BUCKETS)


@pytest.fixture
def held_out(make_rooms) -> Sequences:
    return Sequences(make_rooms([40] * 4, seed=1), BUCKETS)


def test_the_loss_falls_and_the_planted_rule_is_learned(
    make_rooms, make_settings, make_network, held_out
) -> None:
    settings = make_settings(epochs=8, batch_size=8, learning_rate=5e-3, loss={})
    network, losses = make_network(settings), []
    sequences = Sequences(make_rooms([40] * 24), BUCKETS)
    before = evaluate(predict(network, held_out), measured_ctrs(held_out))
    trained = train(
        network, sequences, held_out, settings, on_step=lambda seen: losses.append(seen.loss)
    )
    assert len(losses) == trained.total_steps == 8 * 6
    assert sum(losses[-6:]) < 0.85 * sum(losses[:6])
    assert abs(before.tau) < 0.3 < trained.best.tau
    found = evaluate(predict(trained.network, held_out), measured_ctrs(held_out))
    assert found == trained.best
    assert found.log_loss < before.log_loss


def test_the_best_epochs_weights_are_kept(rooms, held_out, make_settings, make_network) -> None:
    settings = make_settings(epochs=4, learning_rate=0.03)
    trained = train(make_network(settings), rooms, held_out, settings)
    taus = [line["tau"] for line in metrics(settings.out) if "tau" in line]
    assert len(taus) == trained.epochs == 4
    assert trained.best_epoch == int(np.argmax(taus))
    assert trained.best.tau == max(taus)
    kept = load_file(settings.out / "best.safetensors")
    assert all(torch.equal(kept[n], weight) for n, weight in trained.network.state_dict().items())
    assert json.loads((settings.out / "best.json").read_text())["tau"] == trained.best.tau


def test_the_same_seed_gives_the_same_weights_and_another_others(
    rooms, held_out, make_settings, make_network, tmp_path
) -> None:
    def trained(name: str, seed: int) -> TrainedNetwork:
        settings = make_settings(seed=seed, out=tmp_path / name)
        return train(make_network(settings), rooms, held_out, settings).network

    first = trained("first", 5)
    assert_same_weights(first, trained("second", 5))
    weight = first.contentctr.head.weight
    assert not torch.equal(weight, trained("third", 6).contentctr.head.weight)


def interrupted_at(step: int, seen: StepSeen) -> None:
    if seen.epoch * seen.steps_an_epoch + seen.step == step:
        raise Interruption


# Six steps an epoch, a checkpoint after every fourth and after every epoch, a line of losses after
# the tenth: in the middle of the second epoch, just after that line, before any checkpoint, and
# in the third epoch.
@pytest.mark.parametrize("step", [9, 11, 3, 17])
def test_a_resumed_run_ends_with_the_very_weights_of_one_that_was_not_interrupted(
    rooms, held_out, make_settings, make_network, tmp_path, step: int
) -> None:
    def settings_of(name: str):
        return make_settings(
            out=tmp_path / name,
            epochs=3,
            batch_size=2,
            checkpoint_every_steps=4,
            schedule="cosine",
            missing_modality_rate=0.2,
            unknown_streamer_rate=0.3,
            # The alignment draws orders, the dropout masks: both from the random state.
            loss={},
            network={"dropout": 0.3},
        )

    whole, parts = settings_of("whole"), settings_of("parts")
    expected = train(make_network(whole), rooms, held_out, whole)
    with pytest.raises(Interruption):
        train(
            make_network(parts),
            rooms,
            held_out,
            parts,
            on_step=lambda seen: interrupted_at(step, seen),
        )
    torch.manual_seed(12345)
    found = train(make_network(parts), rooms, held_out, parts, resume=True)
    assert_same_weights(found.network, expected.network)
    assert (found.best, found.best_epoch) == (expected.best, expected.best_epoch)
    assert (found.epochs, found.total_steps) == (expected.epochs, expected.total_steps) == (3, 18)
    assert metrics(parts.out) == metrics(whole.out)
    assert [line["step"] for line in metrics(whole.out)] == [6, 10, 12, 18]


def test_an_interruption_between_an_epochs_line_and_its_checkpoint_repeats_no_line(
    rooms, held_out, make_settings, make_network, monkeypatch
) -> None:
    settings = make_settings(checkpoint_every_steps=3)
    saved, save = [], trainer.save_checkpoint

    def crashing(folder, network, optimizer, progress, random_states, about) -> None:
        if progress.epoch == 1 and progress.step == 0:
            raise Interruption
        saved.append(progress)
        save(folder, network, optimizer, progress, random_states, about)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "save_checkpoint", crashing)
        with pytest.raises(Interruption):
            train(make_network(settings), rooms, held_out, settings)
    assert [(each.epoch, each.step) for each in saved] == [(0, 3)]
    train(make_network(settings), rooms, held_out, settings, resume=True)
    assert [line.get("epoch") for line in metrics(settings.out)] == [0, 1]


def test_a_finished_run_is_not_trained_again(rooms, held_out, make_settings, make_network) -> None:
    settings = make_settings()
    first = train(make_network(settings), rooms, held_out, settings)

    def refuse(seen: StepSeen) -> None:
        raise AssertionError(f"step {seen.step} of epoch {seen.epoch} was trained again")

    again = train(
        make_network(settings, seed=9), rooms, held_out, settings, resume=True, on_step=refuse
    )
    assert_same_weights(again.network, first.network)
    assert again == type(again)(again.network, *(getattr(first, n) for n in REPORTED))


REPORTED = ("best", "best_epoch", "epochs", "total_steps")


def test_without_resume_a_run_begins_anew(rooms, held_out, make_settings, make_network) -> None:
    settings = make_settings()
    first = train(make_network(settings), rooms, held_out, settings)
    lines = metrics(settings.out)
    again = train(make_network(settings), rooms, held_out, settings)
    assert_same_weights(again.network, first.network)
    assert metrics(settings.out) == lines


def test_the_checkpoint_of_another_network_is_refused(
    rooms, held_out, make_settings, make_network
) -> None:
    settings = make_settings()
    train(make_network(settings), rooms, held_out, settings)
    wider = make_settings(network={"ffn_size": 24})
    with pytest.raises(ValueError, match="checkpoint: network: found "):
        train(make_network(wider), rooms, held_out, wider, resume=True)


def test_a_callers_step_sees_where_the_run_stands(
    rooms, held_out, make_settings, make_network
) -> None:
    settings, seen = make_settings(), []
    train(make_network(settings), rooms, held_out, settings, on_step=seen.append)
    assert [(each.epoch, each.step, each.steps_an_epoch) for each in seen] == [
        (0, 1, 3),
        (0, 2, 3),
        (0, 3, 3),
        (1, 1, 3),
        (1, 2, 3),
        (1, 3, 3),
    ]
    tau = metrics(settings.out)[0]["tau"]
    assert [each.watched for each in seen] == [None, None, None, tau, tau, tau]


def test_training_ends_when_tau_has_not_risen_for_the_patience(
    rooms, held_out, make_settings, make_network
) -> None:
    # Too small a rate to move a float32 weight, so no epoch is better than the first.
    settings = make_settings(epochs=9, patience=2, learning_rate=1e-20)
    trained = train(make_network(settings), rooms, held_out, settings)
    assert (trained.best_epoch, trained.epochs) == (0, 3)
    again = train(make_network(settings), rooms, held_out, settings, resume=True)
    assert again.epochs == 3


def test_an_epoch_that_predicts_a_constant_is_not_the_best(
    rooms, held_out, make_settings, make_network
) -> None:
    settings = make_settings(epochs=3, patience=2)
    network = make_network(settings)

    def collapse(seen: StepSeen) -> None:
        """After the second epoch's last step the network says the same of everything."""
        if seen.step == seen.steps_an_epoch:
            torch.nn.init.constant_(network.contentctr.head.weight, 0.0 if seen.epoch else 0.1)

    trained = train(network, rooms, held_out, settings, on_step=collapse)
    taus = [line["tau"] for line in metrics(settings.out)]
    assert taus[0] is not None and taus[1:] == [None, None]
    assert (trained.best_epoch, trained.best.tau) == (0, taus[0])
    # The network is the first epoch's again, not the last one's.
    found = evaluate(predict(trained.network, held_out), measured_ctrs(held_out))
    assert found == trained.best


@pytest.mark.parametrize("ctr", [0.0, 0.3, 1.0])
def test_labels_that_are_all_the_same_have_no_tau_and_the_last_epoch_is_best(
    make_rooms, make_settings, make_network, ctr: float
) -> None:
    constant = Sequences(make_rooms([40], ctr=np.full(40, ctr, np.float32)), BUCKETS)
    settings = make_settings(epochs=3, patience=1, loss={})
    trained = train(make_network(settings), constant, constant, settings)
    assert math.isnan(trained.best.tau)
    assert (trained.best_epoch, trained.epochs) == (2, 3)
    assert [line["tau"] for line in metrics(settings.out)] == [None, None, None]
    assert json.loads((settings.out / "best.json").read_text(), parse_constant=pytest.fail)


def test_a_cosine_schedule_falls_from_the_learning_rate_towards_0(
    rooms, held_out, make_settings, make_network, spying_adam
) -> None:
    settings = make_settings(schedule="cosine", learning_rate=0.02)
    train(make_network(settings), rooms, held_out, settings)
    expected = [0.01 * (1 + math.cos(math.pi * step / 6)) for step in range(6)]
    assert spying_adam.rates == pytest.approx(expected)


def test_a_constant_schedule_stays_at_the_learning_rate(
    rooms, held_out, make_settings, make_network, spying_adam
) -> None:
    settings = make_settings()
    train(make_network(settings), rooms, held_out, settings)
    assert spying_adam.rates == [settings.learning_rate] * 6


def test_a_gradient_is_cut_to_the_norm_and_a_smaller_one_left_alone(
    rooms, held_out, make_settings, make_network, spying_adam
) -> None:
    huge = make_settings(loss={"point": 1e4, "align": 0.0}, clip_norm=0.5, epochs=1)
    train(make_network(huge), rooms, held_out, huge)
    assert spying_adam.norms == pytest.approx([0.5] * 3, rel=1e-4)
    spying_adam.norms.clear()
    small = make_settings(loss={"point": 1e-3, "align": 0.0, "pair": 0.0}, epochs=1)
    train(make_network(small), rooms, held_out, small)
    assert 0 < max(spying_adam.norms) < 0.1


def test_features_that_break_the_loss_are_an_error_that_says_where(
    make_rooms, held_out, make_settings, make_network
) -> None:
    broken = make_rooms([40] * 6, frame_features=np.full((40, 6), 3e38, np.float32))
    settings = make_settings()
    with pytest.raises(ValueError, match=r"loss: found (nan|inf) in epoch 0, step 0, expected a f"):
        train(make_network(settings), Sequences(broken, BUCKETS), held_out, settings)


@pytest.mark.parametrize(("streamers", "modalities"), [(0.0, 0.0), (0.5, 0.25)])
def test_streamers_and_modalities_are_forgotten_while_learning_alone(
    make_rooms, held_out, make_settings, make_network, streamers: float, modalities: float
) -> None:
    settings = make_settings(
        unknown_streamer_rate=streamers, missing_modality_rate=modalities, batch_size=64
    )
    network = make_network(settings)
    seen: list[Batch] = []
    network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    train(network, Sequences(make_rooms([20] * 128), BUCKETS), held_out, settings)
    unknown = torch.cat([each.streamer_ids == 0 for each in seen]).float().mean()
    present = torch.cat([each.present for each in seen]).float().mean()
    # 256 streamers and 10,240 modalities: four standard deviations are 0.125 and 0.017.
    assert float(unknown) == pytest.approx(streamers, abs=0.125 if streamers else 0)
    assert float(present) == pytest.approx(1 - modalities, abs=0.017 if modalities else 0)
    steps = [each.present for each in seen]
    assert torch.equal(steps[0], steps[1]) is not bool(modalities)


def test_rooms_shorter_than_a_window_are_learned_from(
    make_rooms, make_settings, make_network
) -> None:
    settings = make_settings(loss={})
    short = Sequences(make_rooms([5, 12, 1]), BUCKETS)
    trained = train(make_network(settings), short, short, settings)
    assert (trained.best.windows, trained.total_steps) == (0, 2)
    assert math.isfinite(trained.best.log_loss)


def test_a_room_without_picture_and_text_is_learned_from(
    make_rooms, make_settings, make_network
) -> None:
    settings = make_settings(loss={}, batch_size=1)
    blank = make_rooms(
        [40],
        present=np.zeros((40, 2), np.bool_),
        frame_features=np.full((40, 6), np.nan, np.float32),
    )
    sequences = Sequences([*blank, *make_rooms([40])], BUCKETS)
    trained = train(make_network(settings), sequences, sequences, settings)
    assert all(weight.isfinite().all() for weight in trained.network.parameters())
    assert math.isfinite(trained.best.log_loss)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_is_learned_and_resumed(
    rooms, held_out, make_settings, make_network, fusion: str
) -> None:
    settings = make_settings(network={"fusion": fusion}, epochs=1)
    train(make_network(settings), rooms, held_out, settings)
    longer = settings.model_copy(update={"epochs": 2})
    assert train(make_network(longer), rooms, held_out, longer, resume=True).epochs == 2


def test_sequences_may_be_longer_than_the_window_that_is_judged(
    make_rooms, make_settings, make_network
) -> None:
    settings = make_settings(sequence_length=60, loss={})
    network = make_network(settings)
    lengths: list[int] = []
    network.register_forward_pre_hook(lambda _, a: lengths.append(a[0].ctr.shape[1]))
    rooms = Sequences(make_rooms([130, 60]), BUCKETS)
    trained = train(network, rooms, rooms, settings)
    assert network.contentctr.config.window_length == 20
    assert set(lengths) == {60}
    assert trained.best.windows == 6 + 3


def test_any_seed_that_the_settings_take_can_be_trained_with(
    rooms, held_out, make_settings, make_network
) -> None:
    settings = make_settings(seed=2**64, epochs=1)
    assert train(make_network(settings), rooms, held_out, settings).epochs == 1


def test_nothing_that_is_left_behind_is_pickled(
    rooms, held_out, make_settings, make_network
) -> None:
    settings = make_settings()
    train(make_network(settings), rooms, held_out, settings)
    files = {path.relative_to(settings.out).as_posix() for path in settings.out.rglob("*")}
    files = {name for name in files if not name.startswith("tensorboard")}
    assert files == {
        "best.json",
        "best.safetensors",
        "checkpoint",
        "checkpoint/state.json",
        "checkpoint/state.safetensors",
        "metrics.jsonl",
    }


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"seed": 5}, "seed"),
        ({"learning_rate": 0.5}, "learning_rate"),
        ({"batch_size": 5}, "batch"),
    ],
)
def test_a_run_goes_on_only_with_the_settings_it_was_begun_with(
    rooms, held_out, make_settings, make_network, changes, name
) -> None:
    settings = make_settings(epochs=1)
    train(make_network(settings), rooms, held_out, settings)
    other = make_settings(epochs=1, **changes)
    with pytest.raises(ValueError, match=f"checkpoint: {name}.*: found .* in the checkpoint"):
        train(make_network(other), rooms, held_out, other, resume=True)


def test_a_run_goes_on_only_with_the_rooms_it_was_begun_with(
    rooms, held_out, make_settings, make_network
) -> None:
    settings = make_settings(epochs=1)
    train(make_network(settings), rooms, held_out, settings)
    with pytest.raises(ValueError, match="checkpoint: rooms: found "):
        train(make_network(settings), held_out, held_out, settings, resume=True)


def test_more_epochs_may_follow_where_the_learning_rate_is_constant(
    rooms, held_out, make_settings, make_network
) -> None:
    for epochs in (1, 2):
        settings = make_settings(epochs=epochs, schedule="constant")
        trained = train(make_network(settings), rooms, held_out, settings, resume=True)
    assert trained.epochs == 2
