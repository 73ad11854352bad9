"""Small rooms of a planted rule, and the smallest network that can learn it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState

from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.settings import TrainingSettings

FRAME_SIZE, TEXT_SIZE = 6, 5

MakeRooms = Callable[..., list[LabelledRoom]]
MakeSettings = Callable[..., TrainingSettings]
MakeNetwork = Callable[..., TrainedNetwork]


@pytest.fixture(autouse=True)
def one_thread_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only there are runs the same bit for bit."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def make_rooms() -> MakeRooms:
    def make(lengths: Sequence[int], seed: int = 0, **changes: object) -> list[LabelledRoom]:
        """Rooms whose CTR is the sigmoid of one weighted sum of their features."""
        rule = np.random.default_rng(99)
        frame_weights, text_weights = rule.normal(size=FRAME_SIZE), rule.normal(size=TEXT_SIZE)
        random = np.random.default_rng(seed)
        rooms = []
        for number, length in enumerate(lengths):
            frames = random.normal(size=(length, FRAME_SIZE)).astype(np.float32)
            texts = random.normal(size=(length, TEXT_SIZE)).astype(np.float32)
            logits = frames @ frame_weights + texts @ text_weights
            fields = {
                "room_id": f"room-{number}",
                "streamer_id": f"streamer-{number}",
                "frame_features": frames,
                "text_features": texts,
                "present": np.ones((length, 2), np.bool_),
                "ctr": (1 / (1 + np.exp(-logits))).astype(np.float32),
                "counts": np.zeros((length, 8), np.float32),
            }
            rooms.append(LabelledRoom(**{**fields, **changes}))
        return rooms

    return make


@pytest.fixture
def make_settings(tmp_path: Path) -> MakeSettings:
    def make(**changes: object) -> TrainingSettings:
        network = {
            "frame_feature_size": FRAME_SIZE,
            "text_feature_size": TEXT_SIZE,
            "hidden_size": 16,
            "num_heads": 2,
            "head_dim": 8,
            "num_perceiver_layers": 1,
            "num_decoder_layers": 1,
            "ffn_size": 32,
            "num_streamers": 16,
        }
        fields = {
            "out": tmp_path / "run",
            "preset": "tiny",
            "network": network | changes.pop("network", {}),
            "precision": "float32",
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            # Aligning takes two thirds of the time; who wants it asks for it.
            "loss": {"align": 0.0},
        }
        return TrainingSettings(**{**fields, **changes})

    return make


@pytest.fixture
def make_network() -> MakeNetwork:
    def make(settings: TrainingSettings, seed: int = 0) -> TrainedNetwork:
        torch.manual_seed(seed)
        return TrainedNetwork(ContentCTR(settings.network_config()), settings.loss)

    return make
