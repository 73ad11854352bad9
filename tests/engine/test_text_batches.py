"""Batches of few shapes hold each text once, little of them padding, and change no feature."""

import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertModel

from limelight.engine.graphs import bucket_sizes
from limelight.engine.text_batches import TextBatches, length_buckets, plan_batches
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.tiny_encoders import tiny_text_encoder
from limelight.replay.demo import bundled_recordings
from limelight.replay.recording import load_recording

CPU = torch.device("cpu")
TEXTS = [("a" * (7 * k % 23), ["b" * (5 * k % 11 + 1), "666"]) for k in range(29)]


def small_bert(
    device: torch.device = CPU, dtype: torch.dtype = torch.float32, compiled: bool = False
) -> TextEncoder:
    tokenizer = tiny_text_encoder(device=CPU, weights=None)._tokenizer
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )
    return TextEncoder(
        BertModel(config).to(device, dtype),
        tokenizer,
        encoder_id="small",
        revision="r",
        max_tokens=40,
        max_batch=8,
        compiled=compiled,
    )


def in_fixed_shapes(encoder: TextEncoder) -> TextEncoder:
    """The encoder, working as on CUDA."""
    encoder._batches = TextBatches(encoder._forward, max_tokens=40, max_batch=8, device=CPU)
    return encoder


def cosines(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return (found * expected).sum(axis=1) / lengths


def test_fixed_shapes_give_what_single_texts_give() -> None:
    encoder = in_fixed_shapes(small_bert())
    encoder.warm_up()
    found = encoder.encode(TEXTS)
    plain = small_bert()
    expected = np.stack([plain.encode([text])[0] for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(encoder.encode(TEXTS), found)
    # Whole buckets are what the device computes, so they are what is counted.
    tokens = [
        len(ids)
        for ids in plain._tokens([(s, " | ".join(c)) for s, c in TEXTS], padding=False)["input_ids"]
    ]
    assert encoder.tokens_given - encoder.tokens_padded == 2 * sum(tokens)
    assert encoder.tokens_given % 8 == 0


def test_bfloat16_features_point_where_those_of_float32_do() -> None:
    expected = small_bert().encode(TEXTS)
    found = small_bert(dtype=torch.bfloat16).encode(TEXTS)
    assert found.dtype == np.float32
    assert not np.array_equal(found, expected)
    assert cosines(found, expected).min() > 0.999


@pytest.mark.skipif(
    "LIMELIGHT_TEST_COMPILE" not in os.environ,
    reason="torch.compile takes half a minute; LIMELIGHT_TEST_COMPILE=1 runs it",
)
# torch.compile imports parts of torch that torch itself calls deprecated.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_network_gives_the_features_of_the_plain_one() -> None:
    found = in_fixed_shapes(small_bert(compiled=True)).encode(TEXTS)
    np.testing.assert_allclose(found, small_bert().encode(TEXTS), atol=1e-5)


@pytest.mark.parametrize("tokens", [5, 40])
def test_flops_are_those_of_the_layers(tokens: int) -> None:
    layer = 2 * tokens * (4 * 32**2 + 2 * 32 * 64) + 2 * (2 * tokens**2 * 32)
    pooler = 2 * 32**2
    assert small_bert().flops_per_text(tokens) == 2 * layer + pooler


def test_texts_go_together_as_it_costs_least() -> None:
    found = plan_batches([16, 5, 15, 6, 16], rows=[1, 2, 4], buckets=[8, 16])
    assert found == [([0, 4, 2, 3], 4, 16), ([1], 1, 8)]


def test_lengths_are_rounded_up_by_an_eighth_at_most() -> None:
    found = length_buckets(500)
    assert found[:4] == [8, 16, 24, 32] and found[-1] == 500
    assert set(np.diff(found)) == {8, 16, 32, 500 - 480}
    for shorter, longer in pairwise(found[7:]):
        assert longer <= 1.125 * shorter


@given(st.lists(st.integers(1, 128), max_size=200), st.integers(1, 70))
def test_every_text_is_in_one_batch_that_is_long_enough(lengths: list[int], most: int) -> None:
    rows, buckets = bucket_sizes(most), length_buckets(128)
    batches = plan_batches(lengths, rows=rows, buckets=buckets)
    assert sorted(at for batch in batches for at in batch.places) == list(range(len(lengths)))
    for places, count, tokens in batches:
        assert count in rows and tokens in buckets
        assert len(places) <= count and max(lengths[at] for at in places) <= tokens
        # Of the buckets that hold the batch it has the smallest.
        assert not any(len(places) <= smaller < count for smaller in rows)


def test_of_real_rooms_comments_less_than_a_tenth_is_padding() -> None:
    encoder = tiny_text_encoder(device=CPU)
    encoder._batches = batches = TextBatches(
        encoder._forward, max_tokens=128, max_batch=64, device=CPU
    )
    texts = []
    for folder in bundled_recordings():
        segments: dict[int, list[str]] = {}
        for line in load_recording(folder).read_comments():
            segments.setdefault(line.offset_ms // 30_000, []).append(line.text)
        texts += [("", comments[:50]) for comments in segments.values()]
    pairs = [(speech, " | ".join(comments)) for speech, comments in texts]
    lengths = [len(ids) for ids in encoder._tokens(pairs, padding=False)["input_ids"]]
    assert len(lengths) > 100
    given_tokens = sum(rows * tokens for _, rows, tokens in batches.plan(lengths))
    assert given_tokens - sum(lengths) < 0.1 * given_tokens


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("dtype", "least"), [(torch.float32, 0.99999), (torch.bfloat16, 0.999)])
def test_cuda_features_are_those_of_the_cpu(
    dtype: torch.dtype, least: float, compiled: bool
) -> None:
    encoder = small_bert(torch.device("cuda"), dtype, compiled)
    encoder.warm_up()
    expected = small_bert().encode(TEXTS)
    assert cosines(encoder.encode(TEXTS), expected).min() > least
    assert cosines(encoder.encode(TEXTS[::-1])[::-1], expected).min() > least
