import numpy as np
import torch

from limelight.models.datasets.phd_examples import PHDExample
from limelight.models.training.highlight_pieces import (
    HighlightPieces,
    blurred_pieces,
    highlight_batch,
)

FRAME_SIZE = 8


def an_example(frames: int, seed: int = 0) -> PHDExample:
    random = np.random.default_rng(seed)
    return PHDExample(
        user_id="1",
        video_id="last",
        times_s=np.arange(frames, dtype=np.float64),
        frame_features=random.normal(size=(frames, FRAME_SIZE)).astype(np.float32),
        text_features=random.normal(size=(frames, 3)).astype(np.float32),
        is_highlight=random.random(frames) < 0.5,
        history=random.normal(size=(3, FRAME_SIZE)).astype(np.float32),
    )


def test_a_batch_is_padded_and_says_where() -> None:
    short, long = an_example(2), an_example(4, seed=1)
    long.text_features[1] = 0
    batch = highlight_batch([short, long], 3)
    assert batch.frame_mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.present[0].tolist() == [[True, True]] * 2 + [[False, False]] * 2
    assert batch.present[1, :, 1].tolist() == [True, False, True, True]
    assert batch.is_highlight[1].bool().tolist() == long.is_highlight.tolist()
    np.testing.assert_array_equal(batch.frame_features[0, :2], short.frame_features)
    assert (batch.frame_features[0, 2:] == 0).all()


def test_histories_are_forgotten_at_the_rate_that_is_asked_for() -> None:
    batch = highlight_batch([an_example(2)] * 1000, 3)
    generator = torch.Generator().manual_seed(0)
    kept = blurred_pieces(
        batch, unknown_user_rate=0.2, missing_modality_rate=0.1, generator=generator
    )
    forgotten = ~kept.history_mask.any(1)
    assert 0.15 < forgotten.float().mean() < 0.25
    assert kept.history_mask[~forgotten].all()
    assert 0.87 < kept.present.float().mean() < 0.93
    same = blurred_pieces(
        batch, unknown_user_rate=0.0, missing_modality_rate=0.0, generator=generator
    )
    assert same.history_mask.all()
    assert same.present.all()


def test_pieces_do_not_keep_their_whole_videos() -> None:
    example = an_example(1000)
    pieces = HighlightPieces([example.piece(5, 15)])
    batch = pieces.batch(torch.tensor([0]))
    assert batch.frame_features.shape == (1, 10, FRAME_SIZE)
    assert batch.frame_features.untyped_storage().nbytes() == 10 * FRAME_SIZE * 4
    assert not np.shares_memory(pieces._pieces[0].frame_features, example.frame_features)
