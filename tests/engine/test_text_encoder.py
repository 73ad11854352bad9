"""The text feature is the [CLS] of speech and comments, whatever else is in the batch."""

import numpy as np
import pytest
import torch

from limelight.engine.encoders import load_text_encoder


def test_the_feature_is_the_cls_of_the_pair() -> None:
    encoder = load_text_encoder("tiny")
    vocabulary = encoder._tokenizer.get_vocab()
    pieces = ["[CLS]", "好", "[SEP]", "6", "|", "7", "[SEP]"]
    numbers = torch.tensor([[vocabulary[piece] for piece in pieces]])
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    with torch.no_grad():
        output = encoder.model(input_ids=numbers, token_type_ids=types)
    expected = output.last_hidden_state[0, 0].numpy()
    np.testing.assert_allclose(encoder.encode([("好", ["6", "7"])])[0], expected, atol=1e-3)


def test_batching_and_order_do_not_matter() -> None:
    texts = [("a" * length, ["b" * (9 - length)]) for length in (3, 9, 1, 7, 5)]
    found = load_text_encoder("tiny", max_batch=2).encode(texts)
    for text, feature in zip(texts, found, strict=True):
        alone = load_text_encoder("tiny").encode([text])[0]
        np.testing.assert_allclose(feature, alone, atol=2e-3)
    assert len({feature.tobytes() for feature in found}) == 5


def test_a_typed_separator_is_only_text() -> None:
    found = load_text_encoder("tiny").encode([("", ["a[SEP]b"]), ("", ["a[sep]b"])])
    np.testing.assert_array_equal(found[0], found[1])


def test_long_texts_are_cut() -> None:
    encoder = load_text_encoder("tiny", max_tokens=16)
    found = encoder.encode([("好" * 5_000, ["6" * 9_000])])
    assert np.isfinite(found).all()


def test_half_a_surrogate_pair_does_not_stop_the_batch() -> None:
    found = load_text_encoder("tiny").encode([("hi", []), ("\ud83d broken", [])])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("text", [("", []), (" ", ["", " "])])
def test_no_text_is_refused(text: tuple[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\]: found no text, expected speech or comments"):
        load_text_encoder("tiny").encode([("a", []), text])


def test_no_texts_have_no_features() -> None:
    assert load_text_encoder("tiny").encode([]).shape == (0, 96)


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_tokens: found 0, expected at least 1"):
        load_text_encoder("tiny", max_tokens=0)
