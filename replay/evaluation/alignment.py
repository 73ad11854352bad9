"""How a room's text runs along its pictures: the map of the paper's Figure 6."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.kernels.dtw import soft_dtw_alignment
from limelight.models.contentctr.losses import RELEASE_READING, alignment_cost
from limelight.models.contentctr.model import ContentCTR, modality_tokens
from limelight.models.datasets.labelled_room import LabelledRoom

# Orders that the true one is compared with.
SHUFFLES = 100
# A map of more segments could not be read.
_MOST = 120


@dataclass(frozen=True, slots=True)
class AlignmentMap:
    """
    Args:
        similarity: (N, M) cosines of N texts (rows) and M pictures (columns), in order.
        expected: (N, M) the chance that the soft alignment goes through a cell.
        distance: soft-DTW distance in the true order.
        shuffled: (SHUFFLES,) the distances to shuffled pictures.
    """

    similarity: NDArray[np.float32]
    expected: NDArray[np.float32]
    distance: float
    shuffled: NDArray[np.float32]


@torch.no_grad()
def alignment_map(network: ContentCTR, room: LabelledRoom) -> AlignmentMap | None:
    """The map under the network's projections; None of a room without two texts and two pictures.

    Of a long room the first segments are taken. Cost and gamma are those that the network was
    trained with by default.
    """
    present = room.present[:_MOST]
    if (present.sum(axis=0) < 2).any():
        return None
    tokens = modality_tokens(
        (network.proj_1, network.proj_2),
        torch.from_numpy(room.frame_features[:_MOST].astype(np.float32))[None],
        torch.from_numpy(room.text_features[:_MOST].astype(np.float32))[None],
        torch.from_numpy(present)[None],
    )[0]
    pictures, texts = tokens[present[:, 0], 0], tokens[present[:, 1], 1]
    cost = alignment_cost(texts[None], pictures[None], RELEASE_READING)
    costs = cost.contiguous().numpy()
    distance, expected = soft_dtw_alignment(costs, gamma=RELEASE_READING.gamma)
    random = np.random.default_rng(0)
    orders = np.stack([random.permutation(len(pictures)) for _ in range(SHUFFLES)])
    shuffled = np.ascontiguousarray(np.swapaxes(costs[0][:, orders], 0, 1))
    others, _ = soft_dtw_alignment(shuffled, gamma=RELEASE_READING.gamma)
    return AlignmentMap(
        similarity=1 - costs[0],
        expected=np.asarray(expected[0], np.float32),
        distance=float(distance[0]),
        shuffled=np.asarray(others, np.float32),
    )
