import numpy as np
import pytest
import torch

from limelight.models.baselines.deepctr_library import NETWORK_CLASSES
from limelight.models.baselines.id_baseline import IdBaseline, IdBaselineConfig
from limelight.models.baselines.network_training import TrainingConfig, cross_entropy
from limelight.models.datasets.labelled_room import LabelledRoom

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = IdBaselineConfig(4, TrainingConfig(epochs=8, batch_rows=32, learning_rate=0.01))
STREAMER_RATES = {"anna": 0.1, "ben": 0.3, "cem": 0.6}


def rooms_of_streamers(make_room, numbers: range) -> list[LabelledRoom]:  # type: ignore[no-untyped-def]
    """Rooms whose CTR is their streamer's, with counts that say nothing."""
    rooms = []
    for number in numbers:
        generator = np.random.default_rng(number)
        for streamer_id, rate in STREAMER_RATES.items():
            rooms.append(
                make_room(
                    rate + generator.uniform(-0.05, 0.05, 20),
                    room_id=f"{streamer_id}-{number}",
                    streamer_id=streamer_id,
                    counts=generator.integers(0, 50, (20, 8)),
                )
            )
    return rooms


def all_rates(rooms: list[LabelledRoom]) -> np.ndarray:
    return np.concatenate([room.ctr for room in rooms])


@pytest.mark.parametrize("name", NETWORK_CLASSES)
def test_a_rule_of_streamers_is_learnt_and_holds_in_new_rooms(make_room, name) -> None:  # type: ignore[no-untyped-def]
    learnt, new = (rooms_of_streamers(make_room, range(*ends)) for ends in ((0, 8), (8, 11)))
    baseline = IdBaseline(name, QUICK)
    baseline.fit(learnt)
    actual = all_rates(new)
    mean_loss = cross_entropy(actual, np.full(len(actual), all_rates(learnt).mean()))
    best_loss = cross_entropy(actual, actual)
    found = cross_entropy(actual, np.concatenate(baseline.predict(new)))
    # Of what knowing the streamer is worth, most is found.
    assert mean_loss - found > 0.6 * (mean_loss - best_loss)


@pytest.mark.parametrize("name", NETWORK_CLASSES)
def test_a_rule_of_the_counts_before_is_learnt(make_room, name) -> None:  # type: ignore[no-untyped-def]
    def rooms(numbers: range) -> list[LabelledRoom]:
        made = []
        for number in numbers:
            counts = np.random.default_rng(number).choice([0, 100], (20, 8))
            ctr = np.concatenate([[0.4], np.where(counts[:-1, 2] > 0, 0.7, 0.1)])
            made.append(make_room(ctr, room_id=f"room-{number}", counts=counts))
        return made

    baseline = IdBaseline(name, QUICK)
    baseline.fit(rooms(range(24)))
    new = rooms(range(24, 28))
    correlation = np.corrcoef(all_rates(new), np.concatenate(baseline.predict(new)))[0, 1]
    assert correlation > 0.8


def test_counts_of_a_segment_do_not_change_its_prediction(make_room) -> None:  # type: ignore[no-untyped-def]
    rooms = rooms_of_streamers(make_room, range(2))
    baseline = IdBaseline("dcn-m", QUICK)
    baseline.fit(rooms)
    room = rooms[0]
    changed_counts = room.counts.copy()
    changed_counts[7] += 5_000
    changed = make_room(
        room.ctr, room_id=room.room_id, streamer_id=room.streamer_id, counts=changed_counts
    )
    before, after = baseline.predict([room, changed])
    np.testing.assert_allclose(after[:8], before[:8], rtol=1e-6)
    assert abs(after[8] - before[8]) > 1e-5


def test_segments_without_a_measured_rate_are_predicted_but_not_learnt_from(make_room) -> None:  # type: ignore[no-untyped-def]
    rooms = rooms_of_streamers(make_room, range(2))
    hidden = rooms[0].ctr.copy()
    hidden[5:9] = np.nan
    gapped = make_room(hidden, room_id=rooms[0].room_id, streamer_id="anna", counts=rooms[0].counts)
    baseline = IdBaseline("wdl", QUICK)
    baseline.fit([gapped, *rooms[1:]])
    (predicted,) = baseline.predict([gapped])
    assert predicted.shape == (20,)
    assert np.isfinite(predicted).all()


def test_rooms_of_different_lengths_keep_their_own_predictions(make_room) -> None:  # type: ignore[no-untyped-def]
    rooms = [make_room([0.1] * size, room_id=f"room-{size}") for size in (3, 1, 5)]
    baseline = IdBaseline("deepfm", QUICK)
    baseline.fit(rooms)
    together = baseline.predict(rooms)
    assert [len(rates) for rates in together] == [3, 1, 5]
    for rates, room in zip(together, rooms, strict=True):
        np.testing.assert_allclose(rates, baseline.predict([room])[0], rtol=1e-6)
    assert baseline.predict([]) == []


def test_unknown_streamers_and_rooms_share_a_prediction(make_room) -> None:  # type: ignore[no-untyped-def]
    baseline = IdBaseline("wdl", QUICK)
    baseline.fit(rooms_of_streamers(make_room, range(2)))
    new = [make_room([0.5] * 30, room_id=f"new-{who}", streamer_id=who) for who in ("x", "y")]
    first, second = baseline.predict(new)
    np.testing.assert_allclose(first, second, rtol=1e-6)
    assert ((first > 0) & (first < 1)).all()


def test_the_same_seed_gives_the_same_predictions(make_room) -> None:  # type: ignore[no-untyped-def]
    rooms = rooms_of_streamers(make_room, range(2))

    def predictions(seed: int) -> np.ndarray:
        baseline = IdBaseline("difm", QUICK, seed=seed)
        baseline.fit(rooms)
        return np.concatenate(baseline.predict(rooms))

    first = predictions(1)
    torch.manual_seed(99)
    assert (predictions(1) == first).all()
    assert (predictions(2) != first).any()


def test_validation_rooms_choose_the_epoch(make_room) -> None:  # type: ignore[no-untyped-def]
    learnt, validation = (rooms_of_streamers(make_room, range(*ends)) for ends in ((0, 2), (2, 4)))
    training = TrainingConfig(epochs=60, batch_rows=16, learning_rate=0.05, patience_epochs=2)
    baseline = IdBaseline("wdl", IdBaselineConfig(4, training))
    epochs = baseline.fit(learnt, validation_rooms=validation)
    assert 1 <= epochs < 60


@pytest.mark.gpu
def test_a_gpu_predicts_what_the_cpu_predicts(make_room) -> None:  # type: ignore[no-untyped-def]
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    rooms = rooms_of_streamers(make_room, range(4))
    predicted = []
    for device in ("cpu", "cuda"):
        baseline = IdBaseline("dcn-m", QUICK, device=device)
        baseline.fit(rooms)
        predicted.append(np.concatenate(baseline.predict(rooms)))
    np.testing.assert_allclose(*predicted, atol=0.02)


def test_predicting_before_fitting_is_refused(make_room) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"wdl: found no fitted network, expected fit\(\)"):
        IdBaseline("wdl").predict([make_room([0.5])])


def test_rooms_without_any_measured_rate_are_refused(make_room) -> None:  # type: ignore[no-untyped-def]
    unmeasured = make_room([float("nan")] * 3)
    with pytest.raises(ValueError, match=r"^rooms: found no segment with a measured CTR in 1"):
        IdBaseline("wdl").fit([unmeasured])
    with pytest.raises(ValueError, match=r"^rooms: found no segment with a measured CTR in 0"):
        IdBaseline("wdl").fit([])
    with pytest.raises(ValueError, match=r"^validation_rooms: found no segment"):
        IdBaseline("wdl").fit([make_room([0.5])], validation_rooms=[unmeasured])


def test_an_unknown_name_is_refused(make_room) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="name: found 'ffm', expected one of wdl"):
        IdBaseline("ffm").fit([make_room([0.5])])  # type: ignore[arg-type]
