"""The tiny encoders are small, always the same, and read what live rooms write."""

import numpy as np
import pytest
import torch

from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.tiny_encoders import character_vocabulary

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


def test_they_name_themselves_untrained() -> None:
    for encoder in (load_frame_encoder("tiny"), load_text_encoder("tiny")):
        assert (encoder.encoder_id, encoder.revision) == ("tiny", "untrained-seed0")


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
