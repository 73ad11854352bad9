import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

from limelight.models.datasets.labelled_room import COUNT_NAMES, NUM_TOKENS, LabelledRoom

MakeRoom = Callable[..., LabelledRoom]


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; the test is skipped without it."""
    folder = os.environ.get("LIMELIGHT_TEST_DATA")
    if not folder:
        pytest.skip("LIMELIGHT_TEST_DATA does not name the folder of real data")
    return Path(folder)


@pytest.fixture
def make_room() -> MakeRoom:
    """Makes a room of the CTRs and counts given; its features are nothing."""

    def make(
        ctr: ArrayLike,
        *,
        room_id: str = "room-1",
        streamer_id: str = "anna",
        counts: ArrayLike | None = None,
    ) -> LabelledRoom:
        rates = np.asarray(ctr, np.float32)
        segments = len(rates)
        return LabelledRoom(
            room_id,
            streamer_id,
            np.zeros((segments, 2), np.float32),
            np.zeros((segments, 2), np.float32),
            np.zeros((segments, NUM_TOKENS), np.bool_),
            rates,
            np.zeros((segments, len(COUNT_NAMES)), np.float32)
            if counts is None
            else np.asarray(counts, np.float32),
        )

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are slower on many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
