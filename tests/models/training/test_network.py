"""The losses add up as eq. 14 says, and the encoders learn on what they will serve."""

import numpy as np
import pytest
import torch

from limelight.engine.text_encoder import TextEncoder
from limelight.engine.tiny_encoders import tiny_frame_encoder, tiny_text_encoder
from limelight.models.contentctr.losses import (
    LITERAL_READING,
    RELEASE_READING,
    alignment_loss,
    pairwise_loss,
    pointwise_loss,
)
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import RawRoom
from limelight.models.training.network import SegmentEncoders, TrainedNetwork
from limelight.models.training.sequences import Batch, Sequences
from limelight.models.training.trainer import train

CPU = torch.device("cpu")
# Of different lengths, with speech, comments or both.
TEXTS = (
    ("今天给大家带来一款新的口红", ["好看", "多少钱", "链接"]),
    ("", ["来了"]),
    ("welcome back", []),
    ("最后三分钟", ["太贵了吧 [SEP] 哈哈", "❤"]),
)
# float16 has 11 bits: half a unit of the last of them, for features of up to 4.
FLOAT16_STEP = 4 / 2**11


def batch_of(rooms, sequence_length: int = 20) -> Batch:
    sequences = Sequences(rooms, 16)
    generator = torch.Generator().manual_seed(0)
    return sequences.batch(sequences.cuts(sequence_length, generator), sequence_length)


def some_missing(rooms):
    """The rooms, without the labels and modalities of some segments."""
    for number, room in enumerate(rooms):
        room.ctr[number::5] = np.nan
        room.present[number::4, 0] = False
        room.present[1::6, 1] = False
    return rooms


@pytest.mark.parametrize("boundary", ["none", "below-actual", "wrong-order", "between"])
@pytest.mark.parametrize("alignment", ["release", "literal"])
@torch.no_grad()
def test_the_total_is_the_weighted_sum_of_the_losses(
    make_rooms, make_settings, make_network, boundary: str, alignment: str
) -> None:
    weights = {"point": 0.5, "align": 0.3, "pair": 0.7}
    settings = make_settings(
        loss={**weights, "boundary": boundary, "alignment": alignment, "sigma": 4.0},
        network={"dropout": 0.0},
    )
    network, batch = make_network(settings), batch_of(some_missing(make_rooms([20, 45])))
    torch.manual_seed(3)
    found = network(batch)
    model = network.contentctr
    features = (batch.frame_features, batch.text_features)
    logits = model(*features, batch.streamer_ids, batch.present)
    point = pointwise_loss(logits, batch.ctr, batch.measured)
    pair = pairwise_loss(logits, batch.ctr, batch.measured, boundary=boundary, sigma=4.0)
    torch.manual_seed(3)
    align = alignment_loss(
        model.tokens(*features, batch.present),
        batch.present,
        reading=RELEASE_READING if alignment == "release" else LITERAL_READING,
    )
    torch.testing.assert_close((found.point, found.pair, found.align), (point, pair, align))
    assert min(float(point), float(pair), abs(float(align))) > 1e-4
    expected = 0.5 * float(point) + 0.3 * float(align) + 0.7 * float(pair)
    assert float(found.total) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(network.logits(batch), logits)


@pytest.mark.parametrize("left_out", ["point", "align", "pair"])
@torch.no_grad()
def test_a_part_without_weight_is_not_computed(
    make_rooms, make_settings, make_network, left_out: str
) -> None:
    weights = {"point": 1.0, "align": 1.0, "pair": 1.0} | {left_out: 0.0}
    found = make_network(make_settings(loss=weights))(batch_of(make_rooms([20])))
    assert float(getattr(found, left_out)) == 0
    kept = [getattr(found, name) for name in weights if name != left_out]
    assert all(float(each) != 0 for each in kept)
    assert float(found.total) == pytest.approx(float(sum(kept)), rel=1e-6)


@torch.no_grad()
def test_a_modality_that_the_network_leaves_out_is_not_aligned(
    make_rooms, make_settings, make_network
) -> None:
    settings = make_settings(network={"modalities": ["text", "streamer"]}, loss={"align": 1.0})
    assert float(make_network(settings)(batch_of(make_rooms([20]))).align) == 0


@pytest.fixture(scope="module")
def texts() -> TextEncoder:
    return tiny_text_encoder(device=CPU, weights=None, max_tokens=24)


def encoders_of(texts: TextEncoder) -> tuple[SegmentEncoders, object]:
    frames = tiny_frame_encoder(device=CPU, weights=None)
    encoders = SegmentEncoders(
        frames.model,
        texts.model,
        mean=frames.mean,
        std=frames.std,
        separator_id=texts.separator_id,
    )
    return encoders.eval(), frames


def raw_room(texts: TextEncoder, pictures: int = 2, seed: int = 0, **changes: object) -> RawRoom:
    """Five segments, the last without text, the third without picture."""
    random = np.random.default_rng(seed)
    fields = {
        "room_id": "raw",
        "streamer_id": "someone",
        "pictures": random.integers(0, 256, (5, pictures, 64, 64, 3), dtype=np.uint8),
        "token_ids": texts.token_ids([*TEXTS, ("", [])]),
        "present": np.array([[1, 1], [1, 1], [0, 1], [1, 1], [1, 0]], np.bool_),
        "ctr": random.random(5).astype(np.float32),
        "counts": np.zeros((5, 8), np.float32),
    }
    return RawRoom(**{**fields, **changes})


@torch.no_grad()
def test_features_are_those_that_are_served_within_float16(texts: TextEncoder) -> None:
    encoders, frames = encoders_of(texts)
    room = raw_room(texts)
    # Longer than the room: what lies behind its end is zeros.
    batch = Sequences([room], 16).batch(torch.tensor([[0, 0]]), 7)
    found_frames, found_texts = (each[0].numpy() for each in encoders(batch))
    expected = [frames.encode(list(room.pictures[at])).astype(np.float32) for at in range(5)]
    assert np.abs(expected).max() < 4
    for at in (0, 1, 3, 4):
        served = expected[at].mean(0)
        np.testing.assert_allclose(found_frames[at], served, atol=FLOAT16_STEP)
    np.testing.assert_allclose(found_texts[:4], texts.encode(TEXTS), atol=1e-5)
    assert not found_frames[[2, 5, 6]].any()
    assert not found_texts[[4, 5, 6]].any()


@torch.no_grad()
def test_while_training_one_picture_stands_for_the_segment(texts: TextEncoder) -> None:
    encoders, frames = encoders_of(texts)
    encoders.train()
    room = raw_room(texts, pictures=3)
    batch = Sequences([room], 16).batch(torch.tensor([[0, 0]]), 5)
    served = frames.encode(list(room.pictures[0]))
    torch.manual_seed(0)
    chosen = set()
    for _ in range(20):
        found = encoders(batch)[0][0, 0].numpy()
        near = [np.abs(found - each.astype(np.float32)).max() < FLOAT16_STEP for each in served]
        assert sum(near) == 1
        chosen.add(near.index(True))
    assert chosen == {0, 1, 2}


@torch.no_grad()
def test_token_types_and_masks_are_the_tokenizers(texts: TextEncoder) -> None:
    encoders, _ = encoders_of(texts)
    calls: list[dict[str, torch.Tensor]] = []
    hook = texts.model.register_forward_pre_hook(
        lambda _, __, inputs: calls.append(inputs), with_kwargs=True
    )
    try:
        encoders(next(Sequences([raw_room(texts)], 16).rooms()))
        for text in TEXTS:
            texts.encode([text])
    finally:
        hook.remove()
    ours, *theirs = calls
    for row, each in enumerate(theirs):
        length = each["input_ids"].shape[1]
        for name in ("input_ids", "token_type_ids", "attention_mask"):
            assert ours[name][row, :length].tolist() == each[name][0].tolist(), name
            assert not ours[name][row, length:].any()
    assert ours["input_ids"].shape[1] == max(each["input_ids"].shape[1] for each in theirs)


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("column", [0, 1])
def test_a_batch_without_any_picture_or_text_gives_zeros(
    texts: TextEncoder, column: int, is_training: bool
) -> None:
    encoders, _ = encoders_of(texts)
    encoders.train(is_training)
    present = np.ones((5, 2), np.bool_)
    present[:, column] = False
    present[4, 1] = False  # the segment of no text
    batch = next(Sequences([raw_room(texts, present=present)], 16).rooms())
    found = encoders(batch)
    assert [tuple(each.shape) for each in found] == [(1, 5, 48), (1, 5, 96)]
    assert not found[column].any()
    assert found[1 - column].any()


def test_pictures_alone_are_learned_from_too(texts: TextEncoder, make_settings) -> None:
    settings = make_settings(network=SIZES, epochs=1, sequence_length=5)
    network = TrainedNetwork(
        ContentCTR(settings.network_config()), settings.loss, encoders_of(texts)[0]
    )
    present = np.tile(np.array([True, False]), (5, 1))
    sequences = Sequences([raw_room(texts, present=present)], 16)
    assert train(network, sequences, sequences, settings).total_steps == 1


SIZES = {"frame_feature_size": 48, "text_feature_size": 96}


@pytest.mark.parametrize("fine_tune", [True, False])
def test_encoders_learn_only_when_they_shall(make_settings, fine_tune: bool) -> None:
    texts = tiny_text_encoder(device=CPU, weights=None, max_tokens=24)
    settings = make_settings(
        network=SIZES, epochs=1, sequence_length=5, fine_tune_encoders=fine_tune, batch_size=2
    )
    torch.manual_seed(0)
    encoders, _ = encoders_of(texts)
    network = TrainedNetwork(ContentCTR(settings.network_config()), settings.loss, encoders)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    rooms = [raw_room(texts, pictures=1, seed=seed) for seed in (0, 1)]
    modes: list[bool] = []
    network.register_forward_pre_hook(lambda *_: modes.append(encoders.training))
    sequences = Sequences(rooms, 16)
    train(network, sequences, sequences, settings)
    changed = {
        name
        for name, weight in network.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    # Encoders that do not learn stay without dropout, as they serve.
    assert modes == [fine_tune]
    assert any(name.startswith("contentctr.") for name in changed)
    for part in ("encoders.frames.", "encoders.texts.encoder."):
        assert any(name.startswith(part) for name in changed) is fine_tune
