import io
from contextlib import redirect_stdout

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import nn

from limelight.models.baselines.deepctr_library import NETWORK_CLASSES, build_network
from limelight.models.baselines.network_training import (
    Rows,
    TrainingConfig,
    cross_entropy,
    predict_ctr,
    train,
)

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"streamer_id": 4, "room_id": 7, "segment_index": 5}


def planted_rows(seed: int, *, rows: int = 200, noise: float = 0.0) -> Rows:
    """Rows whose CTR follows from the first id."""
    generator = np.random.default_rng(seed)
    ids = np.stack([generator.integers(0, size, rows) for size in SIZES.values()], axis=1)
    ctr = 0.2 + 0.2 * ids[:, 0] + noise * generator.uniform(-1, 1, rows)
    return Rows(ids, ctr.clip(0, 1).astype(np.float32))


def network_of(name, seed: int = 0) -> nn.Module:  # type: ignore[no-untyped-def]
    return build_network(name, SIZES, embedding_width=4, seed=seed, device=torch.device("cpu"))


@pytest.mark.parametrize("name", NETWORK_CLASSES)
def test_training_equals_the_librarys_own_fit(name) -> None:  # type: ignore[no-untyped-def]
    rows = planted_rows(0)
    # All rows in one batch: the order in which they come does not matter.
    config = TrainingConfig(epochs=30, batch_rows=len(rows.ctr), learning_rate=0.01)
    ours, theirs = network_of(name), network_of(name)
    train(ours, rows, config, seed=0)
    theirs.compile(torch.optim.Adam(theirs.parameters(), lr=0.01), "binary_crossentropy")
    model_input = {column: rows.ids[:, at] for at, column in enumerate(SIZES)}
    with redirect_stdout(io.StringIO()):
        theirs.fit(model_input, rows.ctr, batch_size=len(rows.ctr), epochs=30, verbose=0)  # type: ignore[operator]
        expected = theirs.predict(model_input)[:, 0]  # type: ignore[operator]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(predict_ctr(ours, rows.ids), expected, atol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    rows = planted_rows(0)
    config = TrainingConfig(epochs=3, batch_rows=32)

    def weights(seed: int) -> list[torch.Tensor]:
        network = network_of("deepfm")
        train(network, rows, config, seed=seed)
        return [parameter.detach() for parameter in network.parameters()]

    assert all(map(torch.equal, weights(5), weights(5)))
    assert not all(map(torch.equal, weights(5), weights(6)))


def test_training_leaves_torchs_random_state_alone() -> None:
    before = torch.random.get_rng_state()
    train(network_of("dcn-m"), planted_rows(0), TrainingConfig(epochs=1), seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_epoch_of_the_lowest_validation_loss_is_kept() -> None:
    rows, validation = planted_rows(0, rows=30, noise=0.4), planted_rows(1, noise=0.4)

    def config(epochs: int) -> TrainingConfig:
        return TrainingConfig(epochs=epochs, batch_rows=8, learning_rate=0.05, patience_epochs=3)

    stopped = network_of("wdl")
    kept = train(stopped, rows, config(40), seed=0, validation=validation)
    losses = []
    for epochs in range(1, kept + 4):
        network = network_of("wdl")
        train(network, rows, config(epochs), seed=0)
        losses.append(cross_entropy(validation.ctr, predict_ctr(network, validation.ids)))
    assert kept < 37
    assert kept == 1 + int(np.argmin(losses))
    found = cross_entropy(validation.ctr, predict_ctr(stopped, validation.ids))
    assert found == pytest.approx(losses[kept - 1])


def test_without_validation_every_epoch_is_trained() -> None:
    assert train(network_of("wdl"), planted_rows(0), TrainingConfig(epochs=2), seed=0) == 2


@pytest.mark.parametrize("validated", [False, True])
def test_weights_that_diverge_are_said(validated: bool) -> None:
    rows = planted_rows(0)
    config = TrainingConfig(epochs=2, learning_rate=1e30)
    with pytest.raises(ValueError, match=r"epoch \d: found predictions of NaN, expected numbers"):
        train(network_of("wdl"), rows, config, seed=0, validation=rows if validated else None)


def test_predictions_do_not_depend_on_how_many_rows_there_are() -> None:
    network = network_of("difm")
    ids = planted_rows(0, rows=8_200).ids
    alone = predict_ctr(network, ids[8_195:])
    np.testing.assert_allclose(predict_ctr(network, ids)[8_195:], alone, rtol=1e-6)


def test_cross_entropy_equals_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    clicks, predicted = generator.integers(0, 2, 50), generator.random(50)
    assert cross_entropy(clicks, predicted) == pytest.approx(log_loss(clicks, predicted))


def test_cross_entropy_of_a_certain_mistake_is_finite() -> None:
    found = cross_entropy(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(-np.log(1e-7), rel=1e-3)


@pytest.mark.parametrize(
    ("ids", "ctr", "message"),
    [
        (np.zeros((0, 3), np.int64), np.zeros(0), r"found ids of shape \(0, 3\)"),
        (np.zeros((2, 3), np.int64), np.zeros(3), r"ctr of shape \(3,\)"),
        (np.zeros(2, np.int64), np.zeros(2), r"found ids of shape \(2,\)"),
        (np.zeros((2, 3), np.int64), np.array([0.5, 1.5]), r"ctr\[1\]: found 1.5, expected 0 to 1"),
        (np.zeros((1, 3), np.int64), np.array([np.nan]), r"ctr\[0\]: found nan, expected 0 to 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(ids, ctr, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        Rows(ids, ctr)


@pytest.mark.parametrize("name", ["epochs", "batch_rows", "learning_rate", "patience_epochs"])
def test_training_settings_are_positive(name) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=f"{name}: found 0, expected more than 0"):
        TrainingConfig(**{name: 0})
