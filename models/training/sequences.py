"""Batches of sequences, cut from rooms at random places.

All rooms lie after each other in one tensor a field, and a batch is one gather from each: on a CPU
that takes well under a millisecond, so nothing needs to be loaded ahead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from limelight.models.contentctr.model import UNKNOWN_STREAMER, streamer_bucket
from limelight.models.datasets.labelled_room import RAW_INPUTS, LabelledRoom, RawRoom


@dataclass(frozen=True, slots=True)
class Batch:
    """B sequences of S segments. `measured` is False where there is no label, or no segment."""

    frame_features: Tensor  # (B, S, F), or pictures (B, S, P, height, width, 3) uint8
    text_features: Tensor  # (B, S, T), or token ids (B, S, length)
    streamer_ids: Tensor  # (B,)
    present: Tensor  # (B, S, 2)
    ctr: Tensor  # (B, S), 0 where not measured
    measured: Tensor  # (B, S)

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))


class Sequences:
    """Rooms to draw sequences from, with features or with what encoders make features of.

    Raises:
        ValueError: no rooms, nothing measured in any of them, or features of different sizes.
    """

    def __init__(
        self, rooms: Sequence[LabelledRoom] | Sequence[RawRoom], num_streamers: int
    ) -> None:
        if not rooms:
            raise ValueError("rooms: found none, expected at least one")
        raw = isinstance(rooms[0], RawRoom)
        frames, texts = RAW_INPUTS if raw else ("frame_features", "text_features")
        for name in (frames, texts):
            sizes = {getattr(room, name).shape[1:] for room in rooms}
            if len(sizes) > 1:
                raise ValueError(f"{name}: found sizes {sorted(sizes)}, expected one size")
        self.frame_features = _joined([getattr(room, frames) for room in rooms])
        self.text_features = _joined([getattr(room, texts) for room in rooms])
        self.present = _joined([room.present for room in rooms])
        ctr = _joined([room.ctr for room in rooms]).float()
        self.measured = ~ctr.isnan()
        if not self.measured.any():
            raise ValueError("ctr: found only NaN, expected at least one measured segment")
        self.ctr = ctr.masked_fill(~self.measured, 0.0)
        self.streamer_ids = torch.tensor(
            [streamer_bucket(room.streamer_id, num_streamers) for room in rooms]
        )
        self.lengths = torch.tensor([len(room) for room in rooms])
        self.starts = self.lengths.cumsum(0) - self.lengths

    def cuts(self, sequence_length: int, generator: torch.Generator) -> Tensor:
        """(n, 2) of room and first segment: each room once for every `sequence_length` it has.

        The cuts of a room lie a sequence apart; what a room has beyond whole sequences decides by
        how much the first of them may be moved, at random. A shorter room is cut once, whole.
        """
        counts = (self.lengths // sequence_length).clamp(min=1)
        rooms = torch.arange(len(counts)).repeat_interleave(counts)
        which = torch.cat([torch.arange(int(count)) for count in counts])
        spare = (self.lengths - counts * sequence_length).clamp(min=0)
        offsets = (torch.rand(len(counts), generator=generator) * (spare + 1)).long()
        cuts = torch.stack([rooms, which * sequence_length + offsets[rooms]], 1)
        return cuts[torch.randperm(len(cuts), generator=generator)]

    def batch(self, cuts: Tensor, sequence_length: int) -> Batch:
        """The sequences of some cuts; behind a room's end nothing is present or measured."""
        room, first = cuts.unbind(1)
        at = first[:, None] + torch.arange(sequence_length)  # (B, S)
        inside = at < self.lengths[room][:, None]
        rows = self.starts[room][:, None] + torch.where(inside, at, 0)
        return Batch(
            frame_features=self.frame_features[rows],
            text_features=self.text_features[rows],
            streamer_ids=self.streamer_ids[room],
            present=self.present[rows] & inside[..., None],
            ctr=self.ctr[rows],
            measured=self.measured[rows] & inside,
        )

    def fingerprint(self) -> str:
        """The start of a hash over labels, streamers and lengths, in 16 hexadecimal digits."""
        digest = sha256()
        for each in (self.ctr, self.measured, self.streamer_ids, self.lengths):
            digest.update(each.numpy().tobytes())
        return digest.hexdigest()[:16]

    def rooms(self, batch_size: int = 32) -> Iterator[Batch]:
        """All rooms whole and in order, the shorter of a batch padded at their end."""
        for start in range(0, len(self.lengths), batch_size):
            some = torch.arange(start, min(start + batch_size, len(self.lengths)))
            cuts = torch.stack([some, torch.zeros_like(some)], 1)
            yield self.batch(cuts, int(self.lengths[some].max()))


def blurred(
    batch: Batch,
    *,
    unknown_streamer_rate: float,
    missing_modality_rate: float,
    generator: torch.Generator,
) -> Batch:
    """The batch with some streamers forgotten and some modalities masked.

    So the network learns what to say of a streamer it does not know, and of a room whose speech
    or picture fails, and its explanations by masking are asked about inputs that it knows.
    """
    present, streamer_ids = batch.present, batch.streamer_ids
    if unknown_streamer_rate:
        forgotten = torch.rand(len(streamer_ids), generator=generator) < unknown_streamer_rate
        streamer_ids = torch.where(forgotten, UNKNOWN_STREAMER, streamer_ids)
    if missing_modality_rate:
        kept = torch.rand(present.shape, generator=generator) >= missing_modality_rate
        present = present & kept
    return Batch(
        batch.frame_features, batch.text_features, streamer_ids, present, batch.ctr, batch.measured
    )


def _joined(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays))
