"""Cuts draw every segment alike, never cross rooms, and gather what the rooms hold."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limelight.models.contentctr.model import streamer_bucket
from limelight.models.datasets.labelled_room import LabelledRoom, RawRoom
from limelight.models.training.sequences import Batch, Sequences, blurred


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered_rooms(lengths: list[int]) -> list[LabelledRoom]:
    """Rooms whose features tell room and segment: 100 * room + segment."""
    rooms = []
    for number, length in enumerate(lengths):
        at = 100.0 * number + np.arange(length, dtype=np.float32)
        present = np.ones((length, 2), np.bool_)
        present[::3, 1] = False
        ctr = (at / 100_000).astype(np.float32)
        ctr[1::4] = np.nan
        rooms.append(
            LabelledRoom(
                room_id=f"room-{number}",
                streamer_id=f"streamer-{number}",
                frame_features=np.stack([at, -at], 1).astype(np.float16),
                text_features=np.stack([at, at, at], 1),
                present=present,
                ctr=ctr,
                counts=np.zeros((length, 8), np.float32),
            )
        )
    return rooms


def raw_room(length: int, seed: int = 0, size: int = 4) -> RawRoom:
    random = np.random.default_rng(seed)
    return RawRoom(
        room_id="raw",
        streamer_id="",
        pictures=random.integers(0, 256, (length, 2, size, size, 3), dtype=np.uint8),
        token_ids=random.integers(1, 9, (length, 5), dtype=np.int32),
        present=np.ones((length, 2), np.bool_),
        ctr=np.full(length, 0.5, np.float32),
        counts=np.zeros((length, 8), np.float32),
    )


def times_drawn(lengths: list[int], sequence_length: int, epochs: int) -> list[np.ndarray]:
    sequences = Sequences(numbered_rooms(lengths), 10)
    drawn = [np.zeros(length, int) for length in lengths]
    random = generator()
    for _ in range(epochs):
        for room, first in sequences.cuts(sequence_length, random).tolist():
            drawn[room][first : first + sequence_length] += 1
    return drawn


def test_every_segment_is_drawn_once_an_epoch_where_lengths_divide() -> None:
    drawn = times_drawn([20, 40, 60], sequence_length=20, epochs=50)
    assert all((each == 50).all() for each in drawn)


def test_an_odd_length_leaves_no_segment_out() -> None:
    (drawn,) = times_drawn([47], sequence_length=20, epochs=400)
    assert drawn.min() > 0
    # Two cuts of 20 begin at 0 to 7 and lie a sequence apart: those from 7 to 39 are always drawn.
    assert (drawn[7:40] == 400).all()


def test_cuts_of_a_room_never_overlap() -> None:
    cuts = Sequences(numbered_rooms([97, 45]), 10).cuts(20, generator())
    for room in (0, 1):
        firsts = cuts[cuts[:, 0] == room, 1].sort().values
        assert (firsts.diff() >= 20).all()


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 45), min_size=1, max_size=6),
    sequence_length=st.integers(2, 25),
    seed=st.integers(0, 1000),
)
def test_cuts_stay_inside_their_room(lengths: list[int], sequence_length: int, seed: int) -> None:
    cuts = Sequences(numbered_rooms(lengths), 10).cuts(sequence_length, generator(seed))
    counts = [max(1, length // sequence_length) for length in lengths]
    assert cuts[:, 0].bincount(minlength=len(lengths)).tolist() == counts
    for room, first in cuts.tolist():
        shorter = lengths[room] < sequence_length
        assert first == 0 if shorter else 0 <= first <= lengths[room] - sequence_length


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 45), min_size=1, max_size=6),
    sequence_length=st.integers(2, 25),
    seed=st.integers(0, 1000),
)
def test_a_batch_holds_what_the_rooms_hold_and_nothing_behind_their_end(
    lengths: list[int], sequence_length: int, seed: int
) -> None:
    rooms = numbered_rooms(lengths)
    sequences = Sequences(rooms, 10)
    cuts = sequences.cuts(sequence_length, generator(seed))
    batch = sequences.batch(cuts, sequence_length)
    for row, (number, first) in enumerate(cuts.tolist()):
        room = rooms[number]
        assert batch.streamer_ids[row] == streamer_bucket(room.streamer_id, 10)
        for column in range(sequence_length):
            at = first + column
            if at >= len(room):
                assert not batch.present[row, column].any()
                assert not batch.measured[row, column]
                continue
            found = batch.frame_features[row, column].numpy()
            assert (found == room.frame_features[at]).all()
            assert (batch.text_features[row, column].numpy() == room.text_features[at]).all()
            assert (batch.present[row, column].numpy() == room.present[at]).all()
            assert batch.measured[row, column] == (not np.isnan(room.ctr[at]))
            if batch.measured[row, column]:
                assert batch.ctr[row, column] == room.ctr[at]


def test_what_was_not_measured_holds_no_nan() -> None:
    sequences = Sequences(numbered_rooms([8]), 10)
    batch = sequences.batch(torch.tensor([[0, 0]]), 10)
    assert batch.ctr.isfinite().all()
    assert batch.measured[0].int().tolist() == [1, 0, 1, 1, 1, 0, 1, 1, 0, 0]


def test_whole_rooms_come_in_order_padded_to_the_longest_of_their_batch() -> None:
    sequences = Sequences(numbered_rooms([3, 7, 5, 2, 9]), 10)
    batches = list(sequences.rooms(batch_size=2))
    assert [tuple(each.present.shape) for each in batches] == [(2, 7, 2), (2, 5, 2), (1, 9, 2)]
    firsts = [float(row[0, 0]) for each in batches for row in each.frame_features]
    assert firsts == [0, 100, 200, 300, 400]
    ends = [int(row.any(1).sum()) for each in batches for row in each.present]
    assert ends == [3, 7, 5, 2, 9]


def test_the_same_generator_gives_the_same_cuts_and_another_others() -> None:
    sequences = Sequences(numbered_rooms([97, 45, 33]), 10)
    assert torch.equal(sequences.cuts(5, generator(1)), sequences.cuts(5, generator(1)))
    assert not torch.equal(sequences.cuts(5, generator(1)), sequences.cuts(5, generator(2)))


def test_features_keep_their_width() -> None:
    batch = Sequences(numbered_rooms([4]), 10).batch(torch.tensor([[0, 0]]), 4)
    assert (batch.frame_features.dtype, batch.text_features.dtype) == (torch.float16, torch.float32)


def test_raw_rooms_give_pictures_and_tokens() -> None:
    rooms = [raw_room(3, seed=1), raw_room(6, seed=2)]
    batch = Sequences(rooms, 10).batch(torch.tensor([[1, 2], [0, 0]]), 4)
    assert (batch.frame_features.dtype, batch.text_features.dtype) == (torch.uint8, torch.int32)
    assert (batch.frame_features[0].numpy() == rooms[1].pictures[2:6]).all()
    assert (batch.text_features[1, :3].numpy() == rooms[0].token_ids).all()
    assert batch.present[1].any(1).tolist() == [True, True, True, False]
    assert batch.streamer_ids.tolist() == [0, 0]


def many(rooms: int = 400) -> Batch:
    return next(Sequences(numbered_rooms([5] * rooms), 1000).rooms(batch_size=rooms))


def test_streamers_and_modalities_are_forgotten_as_often_as_asked() -> None:
    batch = many()
    found = blurred(
        batch, unknown_streamer_rate=0.3, missing_modality_rate=0.2, generator=generator()
    )
    # 400 streamers and 3333 modalities: four standard deviations are 0.092 and 0.028.
    assert (found.streamer_ids == 0).float().mean() == pytest.approx(0.3, abs=0.092)
    kept = found.present.sum() / batch.present.sum()
    assert kept == pytest.approx(0.8, abs=0.028)
    assert not (found.present & ~batch.present).any()
    known = found.streamer_ids != 0
    assert torch.equal(found.streamer_ids[known], batch.streamer_ids[known])
    for name in ("frame_features", "text_features", "ctr", "measured"):
        assert getattr(found, name) is getattr(batch, name)


def test_nothing_is_forgotten_at_a_rate_of_0() -> None:
    batch = many(20)
    found = blurred(batch, unknown_streamer_rate=0, missing_modality_rate=0, generator=generator())
    assert torch.equal(found.streamer_ids, batch.streamer_ids)
    assert torch.equal(found.present, batch.present)


def test_no_rooms_are_refused() -> None:
    with pytest.raises(ValueError, match="rooms: found none, expected at least one"):
        Sequences([], 10)


def test_rooms_without_any_label_are_refused(make_rooms) -> None:
    rooms = make_rooms([3, 3], ctr=np.full(3, np.nan, np.float32))
    with pytest.raises(ValueError, match="ctr: found only NaN, expected at least one measured"):
        Sequences(rooms, 10)


@pytest.mark.parametrize("name", ["frame_features", "text_features"])
def test_features_of_different_sizes_are_refused(make_rooms, name: str) -> None:
    rooms = make_rooms([3]) + make_rooms([4], **{name: np.zeros((4, 2), np.float32)})
    with pytest.raises(ValueError, match=rf"{name}: found sizes \[\(2,\), \(\d,\)\], expected one"):
        Sequences(rooms, 10)


def test_pictures_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pictures: found sizes .*, expected one size"):
        Sequences([raw_room(2), raw_room(2, size=6)], 10)
