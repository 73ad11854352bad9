"""The text feature is the [CLS] of speech and comments, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limelight.engine.encoders import load_text_encoder
from limelight.engine.text_encoder import batches_by_length
from limelight.replay.demo import bundled_recordings
from limelight.replay.recording import load_recording


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


def test_texts_go_together_by_their_length() -> None:
    lengths = [100, 9, 97, 12, 95, 90, 11]
    found = [[lengths[at] for at in batch] for batch in batches_by_length(lengths, 3)]
    assert found == [[100, 97, 95], [90], [12, 11], [9]]


@given(st.lists(st.integers(1, 512), max_size=200), st.integers(1, 70))
def test_every_text_is_in_one_batch_and_little_is_padded(lengths: list[int], most: int) -> None:
    batches = batches_by_length(lengths, most)
    assert sorted(at for batch in batches for at in batch) == list(range(len(lengths)))
    for batch in batches:
        longest, shortest = max(lengths[at] for at in batch), min(lengths[at] for at in batch)
        assert len(batch) <= most
        assert shortest >= min(0.85 * longest, longest - 2)


def test_of_a_real_rooms_comments_less_than_a_tenth_is_padding() -> None:
    recording = load_recording(next(each for each in bundled_recordings() if "bunny" in each.name))
    segments: dict[int, list[str]] = {}
    for line in recording.read_comments():
        segments.setdefault(line.offset_ms // 30_000, []).append(line.text)
    encoder = load_text_encoder("tiny")
    encoder.encode([("", comments[:50]) for comments in segments.values()])
    assert encoder.tokens_given > 1_000
    assert encoder.tokens_padded < 0.1 * encoder.tokens_given


def test_a_text_that_was_encoded_lately_is_not_encoded_again() -> None:
    encoder = load_text_encoder("tiny")
    encoder.remember(10)
    first = encoder.encode([("a", ["b"]), ("ab", []), ("a", ["b"])])
    given_before = encoder.tokens_given
    again = encoder.encode([("ab", []), ("a", ["b"])])
    assert encoder.tokens_given == given_before
    np.testing.assert_array_equal(again, first[[1, 0]])
    np.testing.assert_array_equal(first[0], first[2])
