"""Measures against SciPy, scikit-learn and sums written out."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import log_loss

from limelight.models.training.evaluation import evaluate, measured_ctrs, predict
from limelight.models.training.sequences import Sequences

NAN = math.nan


def random_rooms(lengths: list[int], seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Predicted and measured CTRs that agree somewhat, with ties."""
    random = np.random.default_rng(seed)
    measured = [random.random(length).round(1) for length in lengths]
    predicted = [(each + random.random(len(each))).round(2) / 2 for each in measured]
    return predicted, measured


def test_tau_is_scipys_averaged_over_windows_of_20() -> None:
    predicted, measured = random_rooms([20, 65, 19, 40])
    found = evaluate(predicted, measured)
    taus = []
    for ctrs, actual in zip(predicted, measured, strict=True):
        for start in range(0, len(actual), 20):
            if start + 20 <= len(actual):
                window = slice(start, start + 20)
                taus.append(stats.kendalltau(ctrs[window], actual[window]).statistic)
    assert (found.windows, found.undefined) == (len(taus), 0) == (6, 0)
    assert found.tau == pytest.approx(np.mean(taus), abs=1e-12)


def test_segments_that_were_not_measured_are_left_out_of_their_window() -> None:
    predicted, measured = random_rooms([40])
    measured[0][3:12] = NAN
    found = evaluate(predicted, measured)
    known = [0, 1, 2, *range(12, 20)]
    first = stats.kendalltau(predicted[0][known], measured[0][known]).statistic
    second = stats.kendalltau(predicted[0][20:], measured[0][20:]).statistic
    assert found.tau == pytest.approx((first + second) / 2, abs=1e-12)


def test_windows_without_an_order_are_counted_and_left_out() -> None:
    predicted, measured = random_rooms([100])
    measured[0][:20] = 0.3  # only ties
    predicted[0][20:40] = 0.5  # only ties
    measured[0][40:60] = NAN
    measured[0][60:79] = NAN  # one measured segment has no pair
    found = evaluate(predicted, measured)
    expected = stats.kendalltau(predicted[0][80:], measured[0][80:]).statistic
    assert (found.windows, found.undefined) == (1, 4)
    assert found.tau == pytest.approx(expected, abs=1e-12)


def test_a_room_shorter_than_a_window_counts_for_all_but_tau() -> None:
    found = evaluate([np.array([0.5, 0.25])], [np.array([1.0, 0.5])])
    assert math.isnan(found.tau)
    assert (found.windows, found.undefined) == (0, 0)
    assert found.log_loss == pytest.approx(
        (-math.log(0.5) - 0.5 * math.log(0.25) - 0.5 * math.log(0.75)) / 2
    )


def test_log_loss_and_ratios_are_the_plain_sums() -> None:
    predicted, measured = random_rooms([23, 31])
    measured[1][4:9] = NAN
    measured[0][0] = 0.0
    found = evaluate(predicted, measured)
    pairs = [
        (float(p), float(y))
        for ctrs, actual in zip(predicted, measured, strict=True)
        for p, y in zip(ctrs, actual, strict=True)
        if not math.isnan(y)
    ]
    losses = [-y * math.log(p) - (1 - y) * math.log(1 - p) for p, y in pairs]
    ratios = [p / y for p, y in pairs if y > 0]
    assert found.log_loss == pytest.approx(sum(losses) / len(losses))
    assert found.mean_ratio == pytest.approx(sum(ratios) / len(ratios))
    expected = sum(p for p, _ in pairs) / sum(y for _, y in pairs)
    assert found.ratio_of_means == pytest.approx(expected)


def test_log_loss_of_clicks_is_scikit_learns() -> None:
    random = np.random.default_rng(3)
    predicted = random.random(50)
    clicks = (random.random(50) < predicted).astype(np.float64)
    found = evaluate([predicted], [clicks])
    assert found.log_loss == pytest.approx(log_loss(clicks, predicted))


def test_certainty_that_is_wrong_costs_a_finite_log_loss() -> None:
    found = evaluate([np.array([0.0, 1.0])], [np.array([1.0, 0.0])])
    assert found.log_loss == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_viewers_who_never_click_have_no_ratio_and_no_warning() -> None:
    found = evaluate([np.full(20, 0.1)], [np.zeros(20)])
    assert math.isnan(found.mean_ratio) and math.isnan(found.ratio_of_means)
    assert found.log_loss == pytest.approx(-math.log(0.9))


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="ctr: found only NaN, expected at least one measured"):
        evaluate([np.ones(3)], [np.full(3, NAN)])


@pytest.mark.parametrize(
    ("predicted", "text"),
    [
        ([np.ones(5), np.ones(6)], "room 1: found 6 predicted segments, expected 5 as measured"),
        ([np.ones(6), np.ones(4)], "room 0: found 6 predicted segments, expected 5 as measured"),
        ([np.ones(5)], "rooms: found 1 predicted, expected 2 as measured"),
    ],
)
def test_rooms_that_do_not_fit_are_refused(predicted: list[np.ndarray], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        evaluate(predicted, [np.ones(5), np.ones(5)])


def test_padding_changes_no_prediction(make_rooms, make_settings, make_network) -> None:
    settings = make_settings(network={"window_length": 4})
    network = make_network(settings)
    rooms = make_rooms([7, 1, 25, 12])
    together = predict(network, Sequences(rooms, 16))
    assert [len(each) for each in together] == [7, 1, 25, 12]
    for room, found in zip(rooms, together, strict=True):
        (alone,) = predict(network, Sequences([room], 16))
        np.testing.assert_allclose(found, alone, atol=1e-6)


def test_what_comes_later_changes_no_prediction(make_rooms, make_settings, make_network) -> None:
    network = make_network(make_settings())
    (room,) = make_rooms([30])
    (whole,) = predict(network, Sequences([room], 16))
    beginning = {
        name: getattr(room, name)[:11]
        for name in ("frame_features", "text_features", "present", "ctr", "counts")
    }
    (found,) = predict(network, Sequences([type(room)("room", "streamer-0", **beginning)], 16))
    np.testing.assert_allclose(found, whole[:11], atol=1e-6)


@pytest.mark.parametrize("was_training", [True, False])
def test_predicting_uses_no_dropout_and_leaves_the_network_as_it_was(
    make_rooms, make_settings, make_network, was_training: bool
) -> None:
    network = make_network(make_settings(network={"dropout": 0.5})).train(was_training)
    sequences = Sequences(make_rooms([9]), 16)
    first, second = predict(network, sequences), predict(network, sequences)
    assert (first[0] == second[0]).all()
    assert network.training is network.contentctr.training is was_training


def test_measured_ctrs_are_the_rooms_own(make_rooms) -> None:
    rooms = make_rooms([3, 40, 7])
    rooms[1].ctr[5:9] = np.nan
    found = measured_ctrs(Sequences(rooms, 16))
    for room, ctrs in zip(rooms, found, strict=True):
        np.testing.assert_array_equal(ctrs, room.ctr)
