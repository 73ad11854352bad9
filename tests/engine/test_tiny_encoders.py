"""The tiny encoders are small, always the same, and read what live rooms write."""

import hashlib

import numpy as np
import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.tiny_encoders import (
    FRAME_WEIGHTS,
    PRETRAINED,
    TEXT_WEIGHTS,
    tiny_frame_encoder,
)
from limelight.models.character_vocabulary import character_vocabulary

CPU = torch.device("cpu")


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_two_loads_give_the_same_features_and_leave_the_generator_alone() -> None:
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    first = load_frame_encoder("tiny").encode([picture(0)])
    texts = load_text_encoder("tiny").encode([("hello", ["666"])])
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(load_frame_encoder("tiny").encode([picture(0)]), first)
    assert np.array_equal(load_text_encoder("tiny").encode([("hello", ["666"])]), texts)


def test_their_revision_is_that_of_their_weights() -> None:
    for encoder, weights in (
        (load_frame_encoder("tiny"), FRAME_WEIGHTS),
        (load_text_encoder("tiny"), TEXT_WEIGHTS),
    ):
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        assert (encoder.encoder_id, encoder.revision) == ("tiny", digest[:16])


def test_without_weights_they_are_seeded_and_say_so() -> None:
    first, second = (tiny_frame_encoder(device=CPU, weights=None) for _ in range(2))
    assert first.revision == second.revision == "untrained-seed0"
    assert np.array_equal(first.encode([picture(0)]), second.encode([picture(0)]))
    trained = load_frame_encoder("tiny").encode([picture(0)])
    assert not np.array_equal(first.encode([picture(0)]), trained)


def test_the_bundled_weights_are_a_few_megabytes_and_no_pickle() -> None:
    files = [path for path in PRETRAINED.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".safetensors", ".json"}
    assert sum(path.stat().st_size for path in files) < 5_000_000


def test_the_vocabulary_holds_about_4500_tokens_and_numbers_them_through() -> None:
    vocabulary = character_vocabulary()
    assert 4_300 < len(vocabulary) < 4_700
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    # The first and the last hanzi of GB2312 level 1, and a count known from the standard.
    assert "啊" in vocabulary and "座" in vocabulary
    hanzi = [token for token in vocabulary if len(token) == 1 and "一" <= token <= "鿿"]
    assert len(hanzi) == 3755


@pytest.mark.parametrize(
    "text", ["Hello 2024!", "大家好，主播！", "すごいスーパープレー", "lol😂👍❤️"]
)
def test_what_rooms_write_is_known(text: str) -> None:
    tokenizer = load_text_encoder("tiny")._tokenizer
    tokens = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in tokens
    assert len(tokens) > 5
