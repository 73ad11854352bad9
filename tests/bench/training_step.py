"""A training step against the plain loop: the same network, the alignment sample by sample."""

import math
import resource
from collections.abc import Callable
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from limelight.models.contentctr.losses import RELEASE_READING, pairwise_loss, pointwise_loss
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Batch, Sequences, blurred
from limelight.models.training.settings import TrainingSettings
from tests.bench.result import Result, interleaved

BATCH, LENGTH, ROOMS, SEGMENTS = 48, 20, 64, 60
# Turns with the plain loop are long.
REPEATS = {"tiny": 5, "base": 3}
TARGET = "5x"


def run() -> Result:
    rows = []
    for preset in ("tiny", "base"):
        for threads in (1, 2):
            torch.set_num_threads(threads)
            rows.append(_row(preset, threads))
    return Result(
        title="Training step",
        columns=(
            "preset",
            "threads",
            "ours min ms",
            "ours median ms",
            "samples/s",
            "plain loop min ms",
            "plain loop median ms",
            "ratio",
            "target",
            "loading a batch, share of the step",
            "peak memory MB",
        ),
        rows=tuple(rows),
        note=(
            f"Batch {BATCH} windows of {LENGTH} segments, features given, forward, backward and"
            " Adam; ratios by minimum. The plain loop has the same network, point and pair loss"
            " and computes the alignment as the authors' release does: window by window, the"
            f" soft DTW of its {1 + RELEASE_READING.num_negatives} orders cell by cell in torch."
            " The network's own matrix products, which both share, bound the ratio. Peak memory"
            " is of the whole process up to that row."
        ),
    )


def _row(preset: str, threads: int) -> tuple[str | float, ...]:
    settings = TrainingSettings(preset=preset)  # type: ignore[arg-type]
    config = settings.network_config()
    torch.manual_seed(0)
    network = TrainedNetwork(ContentCTR(config), settings.loss)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
    rng = np.random.default_rng(0)
    sequences = Sequences(
        [_room(rng, config.frame_feature_size, config.text_feature_size) for _ in range(ROOMS)],
        config.num_streamers,
    )
    generator = torch.Generator().manual_seed(0)
    cuts = sequences.cuts(LENGTH, generator)[:BATCH]

    def load() -> Batch:
        return blurred(
            sequences.batch(cuts, LENGTH),
            unknown_streamer_rate=0.05,
            missing_modality_rate=0.05,
            generator=generator,
        )

    def step(loss: Callable[[Batch], Tensor]) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(load()).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    batch = load()
    torch.manual_seed(1)
    network.eval()
    ours, plain = network(batch), _plain_loss(network, batch)
    # Other shuffled orders, so only the same in their kind.
    assert abs(float(ours.total.detach()) - float(plain.detach())) < 0.2
    network.train()
    times = interleaved(
        {
            "ours": lambda: step(lambda batch: network(batch).total),
            "plain": lambda: step(lambda batch: _plain_loss(network, batch)),
        },
        repeats=REPEATS[preset],
    )
    mine, theirs = times["ours"], times["plain"]
    return (
        preset,
        threads,
        round(mine.min_ms, 1),
        round(mine.median_ms, 1),
        round(BATCH / mine.min_ms * 1000),
        round(theirs.min_ms),
        round(theirs.median_ms),
        f"{theirs.min_ms / mine.min_ms:.1f}x",
        TARGET,
        f"{_fastest_ms(load) / mine.min_ms:.1%}",
        round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    )


def _plain_loss(network: TrainedNetwork, batch: Batch) -> Tensor:
    """Eq. 14 with the alignment of each window by itself, and its DTW cell by cell."""
    model, settings = network.contentctr, TrainingSettings().loss
    frames, texts = batch.frame_features.float(), batch.text_features.float()
    tokens = model.tokens(frames, texts, batch.present)
    logits = model.decode(model.fuse(tokens, batch.streamer_ids, batch.present))
    losses = []
    for window, present in zip(tokens, batch.present, strict=True):
        pictures, texts = window[present[:, 0], 0], window[present[:, 1], 1]
        if min(len(pictures), len(texts)) < 2:
            continue
        orders = [pictures]
        for _ in range(RELEASE_READING.num_negatives):
            orders.append(pictures[torch.randperm(len(pictures))])
        closeness = -_distances(texts, torch.stack(orders))
        losses.append(-F.log_softmax(closeness, 0)[0])
    align = torch.stack(losses).mean()
    point = pointwise_loss(logits, batch.ctr, batch.measured)
    pair = pairwise_loss(logits, batch.ctr, batch.measured)
    return settings.point * point + settings.align * align + settings.pair * pair


def _distances(texts: Tensor, orders: Tensor) -> Tensor:
    """(orders,) soft DTW distances of one text sequence (n, C) and its orders (orders, m, C)."""
    norms = texts.norm(dim=-1)[:, None] * orders.norm(dim=-1)[:, None]
    cost = 1 - texts @ orders.transpose(1, 2) / (norms + 0.01)
    gamma = RELEASE_READING.gamma
    infinite = cost.new_full((len(cost),), math.inf)
    above = [cost.new_zeros(len(cost)), *[infinite] * cost.shape[2]]
    for i in range(cost.shape[1]):
        own = [infinite]
        for j in range(cost.shape[2]):
            before = torch.stack((above[j], above[j + 1], own[j])) / -gamma
            own.append(cost[:, i, j] - gamma * torch.logsumexp(before, dim=0))
        above = own
    return above[-1]


def _room(rng: np.random.Generator, frame_size: int, text_size: int) -> LabelledRoom:
    return LabelledRoom(
        room_id=f"room-{rng.integers(1 << 30)}",
        streamer_id=f"streamer-{rng.integers(50)}",
        frame_features=rng.normal(size=(SEGMENTS, frame_size)).astype(np.float16),
        text_features=rng.normal(size=(SEGMENTS, text_size)).astype(np.float16),
        present=np.ones((SEGMENTS, 2), bool),
        ctr=rng.random(SEGMENTS).astype(np.float32),
        counts=np.zeros((SEGMENTS, len(COUNT_NAMES)), np.float32),
    )


def _fastest_ms(call: Callable[[], object], repeats: int = 20) -> float:
    times = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        times.append((perf_counter() - start) * 1000)
    return min(times)
