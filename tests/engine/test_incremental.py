"""Cached decoding gives the same logits as a forward over the whole sequence."""

import pytest
import torch
from torch import Tensor

from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.config import ContentCTRConfig
from limelight.models.contentctr.model import ContentCTR

Decoder = IncrementalDecoder | WindowDecoder
DECODERS = [IncrementalDecoder, WindowDecoder]


def seeded_model(window_length: int = 20, num_decoder_layers: int = 3) -> ContentCTR:
    """With weights large enough that a wrong segment in the window shows in the logit."""
    config = ContentCTRConfig(
        frame_feature_size=6,
        text_feature_size=5,
        hidden_size=16,
        num_heads=2,
        head_dim=6,
        num_perceiver_layers=1,
        num_decoder_layers=num_decoder_layers,
        ffn_size=24,
        window_length=window_length,
        num_streamers=8,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ContentCTR(config)
        for parameter in model.decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        torch.nn.init.normal_(model.head.weight, std=0.3)
    return model.eval()


def random_outputs(rooms: int, segments: int) -> Tensor:
    """Perceiver outputs (B, S, C)."""
    generator = torch.Generator().manual_seed(7)
    return torch.randn(rooms, segments, 16, generator=generator)


def prefill(decoder: Decoder, slots: list[int], sequences: list[Tensor]) -> Tensor:
    """Prefills rooms with sequences (S, C) of different lengths; the padding holds garbage."""
    longest = max(len(sequence) for sequence in sequences)
    x = torch.full((len(sequences), longest, 16), 9.0)
    for row, sequence in enumerate(sequences):
        x[row, : len(sequence)] = sequence
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    return decoder.prefill(torch.tensor(slots), x, lengths)


@torch.no_grad()
def test_rolling_equals_the_banded_forward_over_100_segments_for_rooms_of_different_ages() -> None:
    model = seeded_model()
    x = random_outputs(rooms=4, segments=100)
    expected = model.decode(x)  # (B, S)
    decoder = IncrementalDecoder(model, capacity=6)
    slots, ages = [5, 0, 3, 2], [1, 7, 20, 13]
    found = prefill(decoder, slots, [x[room, :age] for room, age in enumerate(ages)])
    for room, age in enumerate(ages):
        torch.testing.assert_close(found[room], expected[room, age - 1], rtol=1e-5, atol=1e-5)
    for step in range(100):
        # The rooms end one after the other, so the batches have different sizes.
        due = [room for room, age in enumerate(ages) if age + step < 100]
        if not due:
            break
        at = torch.tensor([ages[room] + step for room in due])
        found = decoder.decode_step(torch.tensor([slots[room] for room in due]), x[due, at])
        torch.testing.assert_close(found, expected[due, at], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_window_equals_the_forward_over_the_last_20_segments() -> None:
    model = seeded_model()
    x = random_outputs(rooms=3, segments=60)
    decoder = WindowDecoder(model, capacity=4)
    slots, ages = [3, 1, 0], [2, 20, 11]
    prefill(decoder, slots, [x[room, :age] for room, age in enumerate(ages)])
    for step in range(40):
        at = torch.tensor([age + step for age in ages])
        found = decoder.decode_step(torch.tensor(slots), x[range(3), at])
        for room in range(3):
            window = x[room : room + 1, max(0, at[room] - 19) : at[room] + 1]
            expected = model.decode(window)[0, -1]
            torch.testing.assert_close(found[room], expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_rolling_and_window_differ_once_a_room_is_older_than_its_window() -> None:
    model = seeded_model(window_length=4)
    x = random_outputs(rooms=1, segments=8)
    rolling, window = IncrementalDecoder(model, 1), WindowDecoder(model, 1)
    for decoder in (rolling, window):
        prefill(decoder, [0], [x[0, :1]])
    for at in range(1, 8):
        pair = [d.decode_step(torch.tensor([0]), x[:, at]) for d in (rolling, window)]
        agree = torch.allclose(pair[0], pair[1], atol=1e-4)
        assert agree == (at < 4)


@torch.no_grad()
def test_a_prefill_after_a_gap_forgets_what_was_before() -> None:
    model = seeded_model(window_length=5)
    x = random_outputs(rooms=1, segments=30)
    for decoder_type in DECODERS:
        decoder = decoder_type(model, 2)
        prefill(decoder, [1], [x[0, :3]])
        for at in range(3, 9):
            decoder.decode_step(torch.tensor([1]), x[:, at])
        found = prefill(decoder, [1], [x[0, 20:23]])
        torch.testing.assert_close(found, model.decode(x[:, 20:23])[:, -1], rtol=1e-5, atol=1e-5)
        found = decoder.decode_step(torch.tensor([1]), x[:, 23])
        torch.testing.assert_close(found, model.decode(x[:, 20:24])[:, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decoder_type", DECODERS)
@pytest.mark.parametrize("age", [1, 3, 4, 5, 11])
@torch.no_grad()
def test_peek_gives_the_logit_of_another_newest_segment_and_stores_nothing(
    decoder_type: type[Decoder], age: int
) -> None:
    model = seeded_model(window_length=4)
    x = random_outputs(rooms=2, segments=age + 1)
    other = random_outputs(rooms=2, segments=age + 2)[:, -1] + 1
    seen, changed = decoder_type(model, 2), decoder_type(model, 2)
    slots = torch.tensor([0, 1])
    for decoder, newest in ((seen, x[:, age - 1]), (changed, other)):
        sequence = torch.cat([x[:, : age - 1], newest[:, None]], dim=1)
        expected = prefill(decoder, [0, 1], list(sequence[:, :1]))
        for at in range(1, age):
            expected = decoder.decode_step(slots, sequence[:, at])
    # Room 1 twice and room 0 once: a slot may be asked several questions at once.
    asked = torch.tensor([1, 0, 1])
    found = seen.peek(asked, torch.stack([other[1], other[0], x[1, age - 1]]))
    torch.testing.assert_close(found[:2], expected[[1, 0]], rtol=1e-5, atol=1e-5)
    again = seen.decode_step(slots, x[:, age])
    unasked = decoder_type(model, 2)
    prefill(unasked, [0, 1], list(x[:, :1]))
    for at in range(1, age + 1):
        expected = unasked.decode_step(slots, x[:, at])
    assert torch.equal(again, expected)


@pytest.mark.parametrize("decoder_type", DECODERS)
@torch.no_grad()
def test_a_slot_left_by_a_poisoned_room_is_clean_for_the_next(decoder_type: type[Decoder]) -> None:
    model = seeded_model(window_length=4)
    x = random_outputs(rooms=1, segments=3)
    decoder = decoder_type(model, 1)
    prefill(decoder, [0], [torch.full((4, 16), float("nan"))])
    found = prefill(decoder, [0], [x[0, :1]])
    torch.testing.assert_close(found, model.decode(x[:, :1])[:, -1])
    found = decoder.decode_step(torch.tensor([0]), x[:, 1])
    torch.testing.assert_close(found, model.decode(x[:, :2])[:, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decoder_type", DECODERS)
def test_a_prefill_longer_than_the_window_is_refused(decoder_type: type[Decoder]) -> None:
    decoder = decoder_type(seeded_model(window_length=4), 1)
    with pytest.raises(ValueError, match="found 5 segments, expected at most 4"):
        prefill(decoder, [0], [random_outputs(1, 5)[0]])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_rolling_on_cuda_equals_rolling_on_the_cpu() -> None:
    x = random_outputs(rooms=2, segments=30)
    on_cpu, on_cuda = (
        IncrementalDecoder(seeded_model().to(device), 2) for device in ("cpu", "cuda")
    )
    lengths = torch.tensor([5, 5])
    on_cpu.prefill(torch.tensor([0, 1]), x[:, :5], lengths)
    on_cuda.prefill(torch.tensor([0, 1]), x[:, :5].cuda(), lengths)
    for at in range(5, 30):
        expected = on_cpu.decode_step(torch.tensor([1, 0]), x[:, at])
        found = on_cuda.decode_step(torch.tensor([1, 0]), x[:, at].cuda())
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_bfloat16_on_the_cpu_follows_float32_within_its_precision() -> None:
    exact = seeded_model()
    x = random_outputs(rooms=6, segments=60)
    wanted = exact.decode(x)  # (B, S)
    half = seeded_model().to(torch.bfloat16)
    decoder = IncrementalDecoder(half, 6)
    slots = torch.arange(6)
    decoder.prefill(slots, x[:, :7].bfloat16(), torch.full((6,), 7))
    found = torch.stack([decoder.decode_step(slots, x[:, at].bfloat16()) for at in range(7, 60)], 1)
    assert found.dtype == torch.float32
    # Eight bits of mantissa; a wrong segment in the ring moves the logit by its whole spread.
    assert (found - wanted[:, 7:]).abs().max() < 0.1 * wanted.std()
