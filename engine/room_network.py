"""The network over the rooms' cached state: windows and slots in, logits out."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from limelight.engine.incremental import IncrementalDecoder
from limelight.engine.network_input import NetworkInput, network_input
from limelight.engine.reasons import modality_shares
from limelight.engine.text_cache import TextFeatureCache
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Segment, Window
from limelight.engine.window_decoder import WindowDecoder
from limelight.models.contentctr.model import PICTURE_TOKEN, TEXT_TOKEN, ContentCTR


class Decoder(Protocol):
    """What `IncrementalDecoder` and `WindowDecoder` share."""

    def prefill(self, slots: Tensor, x: Tensor, lengths: Tensor) -> Tensor: ...

    def decode_step(self, slots: Tensor, x: Tensor) -> Tensor: ...

    def peek(self, slots: Tensor, x: Tensor) -> Tensor: ...


DECODERS: dict[str, Callable[[ContentCTR, int], Decoder]] = {
    "rolling": IncrementalDecoder,
    "window": WindowDecoder,
}


class RoomNetwork:
    """Text encoder, Perceiver and decoder, each run once over all the windows of a call.

    Every method takes windows of different rooms and one slot for each; which of them continue
    what their slot holds is the caller's knowledge.
    """

    def __init__(
        self, model: ContentCTR, text_encoder: TextEncoder, decoder: Decoder, capacity: int
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._texts = TextFeatureCache(text_encoder, capacity, model.config.window_length)

    def prefill(self, windows: Sequence[Window], slots: Sequence[int]) -> list[float]:
        """Logits of the newest segments, from the whole windows, which the slots then hold."""
        rooms = [window.segments for window in windows]
        x = self._input(windows, slots, rooms).perceived_by(self._model)
        lengths = torch.tensor([len(segments) for segments in rooms])
        logits: list[float] = self._decoder.prefill(torch.tensor(slots), x, lengths).tolist()
        return logits

    def decode_step(self, windows: Sequence[Window], slots: Sequence[int]) -> list[float]:
        """Logits of the newest segments, each the next one to what its slot holds."""
        x = self._newest_input(windows, slots).perceived_by(self._model)
        logits: list[float] = self._decoder.decode_step(torch.tensor(slots), x[:, 0]).tolist()
        return logits

    def modality_shares(
        self, windows: Sequence[Window], slots: Sequence[int], ctrs: Sequence[float]
    ) -> list[dict[str, float]]:
        """How the CTRs just found divide, by scoring the newest segments with one part masked."""
        newest = self._newest_input(windows, slots)
        masked = [newest.without(token) for token in (PICTURE_TOKEN, TEXT_TOKEN)]
        x = torch.cat([changed.perceived_by(self._model)[:, 0] for changed in masked])
        lower = self._decoder.peek(torch.tensor([*slots, *slots]), x).sigmoid().tolist()
        without_picture, without_text = lower[: len(slots)], lower[len(slots) :]
        pairs = zip(ctrs, without_picture, without_text, strict=True)
        return [modality_shares(*found) for found in pairs]

    def clear(self, slot: int) -> None:
        """Forgets the texts of the room that held the slot; a prefill replaces the rest."""
        self._texts.clear(slot)

    def _newest_input(self, windows: Sequence[Window], slots: Sequence[int]) -> NetworkInput:
        return self._input(windows, slots, [window.segments[-1:] for window in windows])

    def _input(
        self,
        windows: Sequence[Window],
        slots: Sequence[int],
        rooms: Sequence[Sequence[Segment]],
    ) -> NetworkInput:
        return network_input(
            [window.streamer_id for window in windows],
            rooms,
            self._texts.features(slots, rooms),
            self._model.config,
            self._model.device,
        )
