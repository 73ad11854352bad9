"""The ID-based recommenders ContentCTR is compared with: W&D, DeepFM, DIFM and DCN-M.

They see no picture and no word, only who streams, where in the room a segment lies and what the
platform counted before it (`id_features`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from limelight.models.baselines.deepctr_library import NetworkName, build_network
from limelight.models.baselines.id_features import (
    FEATURE_NAMES,
    IdVocabulary,
    id_features,
    learn_vocabulary,
)
from limelight.models.baselines.network_training import Rows, TrainingConfig, predict_ctr, train
from limelight.models.datasets.labelled_room import LabelledRoom


@dataclass(frozen=True, slots=True)
class IdBaselineConfig:
    """Width of an id's embedding (a multiple of 4 for DIFM), and how the network is trained."""

    embedding_width: int = 8
    training: TrainingConfig = field(default_factory=TrainingConfig)


class IdBaseline:
    """One of the four networks, from rooms to the CTR of their segments.

    Args:
        name: "wdl" (W&D), "deepfm", "difm" or "dcn-m".
        config: sizes and training.
        seed: of the initial weights and of the order of rows.
        device: "cpu" or a CUDA device.

    Source: ContentCTR, section 4.3; networks of deepctr-torch 0.3.0 with its layer widths.
    """

    def __init__(
        self,
        name: NetworkName,
        config: IdBaselineConfig | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.name = name
        self._config = config or IdBaselineConfig()
        self._seed = seed
        self._device = torch.device(device)
        self._fitted: tuple[IdVocabulary, nn.Module] | None = None

    def fit(
        self,
        rooms: Sequence[LabelledRoom],
        *,
        validation_rooms: Sequence[LabelledRoom] | None = None,
    ) -> int:
        """Learns from the segments whose CTR is measured; returns the epochs that were kept.

        With `validation_rooms` training stops when their cross entropy no longer falls, and the
        best epoch is kept. Fitting again starts anew.

        Raises:
            ValueError: an unknown name, a width that cannot be, or no measured segment.
            ImportError: deepctr-torch is not installed.
        """
        vocabulary = learn_vocabulary(rooms)
        rows = _measured_rows("rooms", rooms, vocabulary)
        validation = (
            None
            if validation_rooms is None
            else _measured_rows("validation_rooms", validation_rooms, vocabulary)
        )
        network = build_network(
            self.name,
            vocabulary.sizes,
            embedding_width=self._config.embedding_width,
            seed=self._seed,
            device=self._device,
        )
        training = self._config.training
        epochs = train(network, rows, training, seed=self._seed, validation=validation)
        self._fitted = vocabulary, network
        return epochs

    def predict(self, rooms: Sequence[LabelledRoom]) -> list[NDArray[np.float64]]:
        """(S,) CTR in [0, 1] of every segment of each room, measured or not.

        Segment i is predicted from what was counted before it; streamers and rooms that were not
        learnt from share an id.

        Raises:
            ValueError: nothing was fitted yet.
        """
        if self._fitted is None:
            raise ValueError(f"{self.name}: found no fitted network, expected fit() before predict")
        if not rooms:
            return []
        vocabulary, network = self._fitted
        ids = np.concatenate([id_features(room, vocabulary) for room in rooms])
        ends = np.cumsum([len(room) for room in rooms])
        return np.split(predict_ctr(network, ids), ends[:-1])


def _measured_rows(name: str, rooms: Sequence[LabelledRoom], vocabulary: IdVocabulary) -> Rows:
    ids = [np.empty((0, len(FEATURE_NAMES)), np.int64)]
    ctr = [np.empty(0, np.float32)]
    for room in rooms:
        is_measured = ~np.isnan(room.ctr)
        ids.append(id_features(room, vocabulary)[is_measured])
        ctr.append(room.ctr[is_measured])
    if not sum(len(part) for part in ctr):
        raise ValueError(
            f"{name}: found no segment with a measured CTR in {len(rooms)} rooms,"
            " expected at least one"
        )
    return Rows(np.concatenate(ids), np.concatenate(ctr))
