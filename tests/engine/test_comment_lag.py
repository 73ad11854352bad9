"""The comments' lag behind the picture: found where it was put, and nowhere else."""

import numpy as np
import pytest

from limelight.engine.comment_lag import EVERY_SEGMENTS, comment_lag_ms, comment_lags, lag_of
from limelight.engine.window import COMMENT_BINS, Segment, Window

SEGMENT_MS = 30_000
BIN_MS = SEGMENT_MS / COMMENT_BINS


def made_up_room(lag_ms: int | None, seed: int, segments: int = 20) -> Window:
    """Pictures that change now and then; comments follow each change `lag_ms` later, or at will."""
    rng = np.random.default_rng(seed)
    offsets_ms = np.arange(1_000, SEGMENT_MS, 4_000)
    times_ms = (np.arange(segments)[:, None] * SEGMENT_MS + offsets_ms).ravel()
    changes = rng.exponential(0.1, len(times_ms)) * (rng.random(len(times_ms)) < 0.3)
    comments_ms = [rng.uniform(0, segments * SEGMENT_MS, 12 * segments)]
    for time_ms, change in zip(times_ms, changes, strict=True):
        count = rng.poisson(60 * change)
        at_ms = rng.uniform(0, segments * SEGMENT_MS) if lag_ms is None else time_ms + lag_ms
        comments_ms.append(at_ms + rng.uniform(0, 4_000, count))
    edges_ms = np.arange(segments * COMMENT_BINS + 1) * BIN_MS
    bins = np.histogram(np.concatenate(comments_ms), edges_ms)[0].reshape(segments, COMMENT_BINS)
    per_segment = changes.reshape(segments, -1)
    feature = np.zeros(4, np.float16)
    return Window(
        "room",
        "",
        0,
        SEGMENT_MS,
        "e",
        "r",
        tuple(
            Segment(
                index,
                index * SEGMENT_MS,
                feature,
                tuple(int(index * SEGMENT_MS + offset) for offset in offsets_ms),
                "",
                (),
                int(bins[index].sum()),
                1,
                1.0,
                tuple(int(count) for count in bins[index]),
                tuple(float(change) for change in per_segment[index, :-1]),
            )
            for index in range(segments)
        ),
    )


@pytest.mark.parametrize("lag_ms", [0, 6_000, 12_000, 24_000])
def test_a_lag_is_found_where_it_was_put(lag_ms: int) -> None:
    found = [comment_lag_ms(made_up_room(lag_ms, seed)) for seed in range(20)]
    known = [each for each in found if each is not None]
    assert len(known) >= 16
    # A change lies between two pictures, and is followed for four seconds.
    assert np.median(np.abs(np.array(known) - lag_ms)) <= 4_000


def test_comments_that_follow_nothing_have_no_lag() -> None:
    found = [comment_lag_ms(made_up_room(None, seed)) for seed in range(200)]
    assert sum(each is not None for each in found) <= 8


def test_rates_are_counted_as_a_loop_counts_them() -> None:
    rng = np.random.default_rng(5)
    counts = rng.poisson(3.0, 300)
    counts[100:130] += 40
    before_ms = np.sort(rng.uniform(0, 500_000, 40))
    after_ms = before_ms + 4_000
    lag_ms = 10_000

    def seen(start_ms: float, end_ms: float) -> float:
        return sum(
            count * max(0.0, min(end_ms, (k + 1) * BIN_MS) - max(start_ms, k * BIN_MS)) / BIN_MS
            for k, count in enumerate(counts)
        )

    # What changed is exactly what was said later: the correlation is 1 at this lag, and only there.
    changes = np.array(
        [
            np.log1p(seen(a + lag_ms, b + lag_ms) / 4)
            for a, b in zip(before_ms, after_ms, strict=True)
        ]
    )
    assert lag_of(before_ms, after_ms, changes, counts, BIN_MS) == lag_ms


def test_too_few_pictures_or_no_counts_say_nothing() -> None:
    assert comment_lag_ms(made_up_room(6_000, 0, segments=2)) is None
    room = made_up_room(6_000, 0)
    bare = [
        Segment(*(getattr(each, name) for name in Segment.__slots__[:9])) for each in room.segments
    ]
    assert comment_lag_ms(Window("r", "", 0, SEGMENT_MS, "e", "r", tuple(bare))) is None


def test_a_room_is_asked_once_in_so_many_segments() -> None:
    rooms = [made_up_room(6_000, 1, segments=length) for length in range(11, 22)]
    asked = [room.segment_index % EVERY_SEGMENTS == 0 for room in rooms]
    assert 0 < sum(asked) < len(rooms)
    expected = [
        comment_lag_ms(room) if ask else None for room, ask in zip(rooms, asked, strict=True)
    ]
    assert comment_lags(rooms) == expected
