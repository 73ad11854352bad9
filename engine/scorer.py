"""Windows in, scores out: the engine's whole work, batched over rooms."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from limelight.engine.comment_lag import comment_lags
from limelight.engine.device import choose_device, choose_dtype
from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.energy_scorer import energies
from limelight.engine.errors import EncoderMismatch
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.network import (
    TINY_UNTRAINED,
    check_encoder,
    check_same_windows,
    check_text_encoder,
    load_network,
    untrained_network,
)
from limelight.engine.networks import Networks
from limelight.engine.reasons import (
    COMMENTS,
    key_frame_ms,
    speech_start,
    strongest_comments,
)
from limelight.engine.room_encodings import Ints, RoomEncodings
from limelight.engine.room_network import Floats, RoomNetwork
from limelight.engine.score import Reasons, Rejected, Score, Shadow
from limelight.engine.settings import EngineSettings
from limelight.engine.slots import SlotTable
from limelight.engine.text_encoder import TextEncoder
from limelight.engine.window import Segment, Window
from limelight.engine.window_check import check_window
from limelight.kernels.energy import SEGMENT_MS
from limelight.models.contentctr.model import ContentCTR


@dataclass(frozen=True, slots=True)
class _RoomState:
    room_started_ms: int | None
    segment_index: int


class Scorer:
    """Scores windows and remembers, per room, what it needs to score the next one cheaply.

    `networks` says which network decides and which follow it. `repeated` counts windows that had
    been scored before, `evicted` rooms that lost their slot to another and will be prefilled again
    when they send their next window. Not safe for several threads at once, `make_network` and
    `ready_network` apart.
    """

    def __init__(
        self, model: ContentCTR, text_encoder: TextEncoder, settings: EngineSettings
    ) -> None:
        self.settings = settings
        self.repeated = 0
        self.evicted = 0
        self._text_encoder = text_encoder
        self.configured = model
        self._encodings = RoomEncodings(
            text_encoder,
            capacity=settings.cache_slots,
            window_length=model.config.window_length,
            frame_feature_size=model.config.frame_feature_size,
        )
        self.networks = Networks(self.make_network(model))
        self._slots = SlotTable(settings.cache_slots)
        self._rooms: dict[str, _RoomState] = {}

    @property
    def model(self) -> ContentCTR:
        """The champion's."""
        return self.networks.champion.model

    @property
    def prefills(self) -> int:
        """Windows that the champion scored by a prefill."""
        return self.networks.champion.prefills

    @property
    def decode_steps(self) -> int:
        """Windows that the champion scored by a decode step."""
        return self.networks.champion.decode_steps

    @property
    def decided_by(self) -> Literal["energy", "network"]:
        return "network" if self.model.config.trained else "energy"

    def make_network(self, model: ContentCTR) -> RoomNetwork:
        """The model over these rooms, to be warmed up and then promoted or to challenge.

        It may be called while another thread scores.

        Raises:
            EncoderMismatch: the model reads features of other encoders than these rooms have.
            ValueError: it looks at windows of another length.
        """
        check_text_encoder(model.config, self._text_encoder)
        check_same_windows(model.config, self.configured.config)
        return RoomNetwork(
            model,
            self._encodings,
            semantics=self.settings.semantics,
            capacity=self.settings.cache_slots,
        )

    def ready_network(self, model: ContentCTR) -> RoomNetwork:
        """As `make_network`, on the scorer's device and warmed up."""
        configured = self.configured
        network = self.make_network(model.to(configured.device, configured.dtype))
        network.warm_up(self._batch_size)
        return network

    def catch_up(self) -> bool:
        """Let new networks see some of the rooms; whether some are left to be seen.

        Meant to be called between batches: it takes about as long as one, for a prefill is as much
        work as a step of all the window's segments.
        """
        portion = max(1, self._batch_size // self.model.config.window_length)
        live = [self._slots.find(room_id) for room_id in self._rooms]
        return self.networks.catch_up(np.array(live, np.int64), portion)

    def score(self, windows: Sequence[Window]) -> list[Score | Rejected]:
        """A score for each window's newest segment, in the order of the windows.

        Windows of one room are scored one after the other, all rooms side by side. A window whose
        segment was scored before (the log delivered it again) gives nothing and is counted in
        `repeated`; one that cannot be scored gives a `Rejected` and leaves its room as it was.
        """
        results: dict[int, Score | Rejected] = {}
        for positions in _rounds(windows, self._batch_size):
            due = []
            for position in positions:
                try:
                    check_window(windows[position], self.model.config)
                except (EncoderMismatch, ValueError) as error:
                    results[position] = Rejected(windows[position], str(error))
                else:
                    if self._was_scored(windows[position]):
                        self.repeated += 1
                    else:
                        due.append(position)
            if due:
                found = self._score_batch([windows[position] for position in due])
                results.update(zip(due, found, strict=True))
        return [results[position] for position in sorted(results)]

    def cost(self, window: Window) -> int:
        """How many segments must be encoded and scored: 1 where the room goes on, else all."""
        state = self._rooms.get(window.room_id)
        if state is not None and state.room_started_ms == window.room_started_ms:
            # After a gap only what was missed is encoded, and what was scored costs nothing.
            missed = window.segment_index - state.segment_index
            return max(1, min(missed, len(window.segments)))
        return len(window.segments)

    def warm_up(self) -> None:
        """Score a made-up room and forget it, so that no real one waits for what is done once.

        Numba compiles its kernels and torch chooses its own at the first call.
        """
        self._text_encoder.warm_up()
        self.networks.champion.warm_up(self._batch_size)
        config = self.model.config
        feature = np.zeros(config.frame_feature_size, np.float16)
        segments = tuple(
            Segment(index, index * SEGMENT_MS, feature, (), "speech", ("comment",), 1, 1, 1.0)
            for index in range(2)
        )
        champion = self.networks.champion
        counts = self.repeated, champion.prefills, champion.decode_steps
        encoder = config.frame_encoder_id, config.frame_encoder_revision
        young = Window("warm-up", "", None, SEGMENT_MS, *encoder, segments[:1])
        self.score([young, replace(young, segments=segments, final=True)])
        self.repeated, champion.prefills, champion.decode_steps = counts

    @property
    def _batch_size(self) -> int:
        return min(self.settings.max_rooms_per_batch, self.settings.cache_slots)

    def _was_scored(self, window: Window) -> bool:
        state = self._rooms.get(window.room_id)
        if state is None:
            return False
        if state.room_started_ms == window.room_started_ms:
            return window.segment_index <= state.segment_index
        # A room that was started again never goes back to its earlier run.
        if window.room_started_ms is None or state.room_started_ms is None:
            return False
        return window.room_started_ms < state.room_started_ms

    def _score_batch(self, windows: list[Window]) -> list[Score | Rejected]:
        """Scores windows of different rooms, none of them scored before."""
        try:
            slots = self._slots_of(windows)
            self._encodings.store(slots.tolist(), windows)
            logits, shadow = self.networks.logits(slots)
            shares = self._modality_shares(slots, logits)
            results = [
                self._result(*each)
                for each in zip(
                    windows,
                    logits.tolist(),
                    energies(windows),
                    shares,
                    comment_lags(windows),
                    self._shadows(shadow, len(windows)),
                    strict=True,
                )
            ]
        except BaseException:
            # Half a batch may have been stored. Without its state each room is prefilled anew.
            for window in windows:
                self._forget(window.room_id)
            raise
        for window, result in zip(windows, results, strict=True):
            if window.final or isinstance(result, Rejected):
                self._forget(window.room_id)
            else:
                state = _RoomState(window.room_started_ms, window.segment_index)
                self._rooms[window.room_id] = state
        return results

    def _slots_of(self, windows: list[Window]) -> Ints:
        """(B,) a slot for each window's room, empty unless it holds that room's present run."""
        slots, evicted = self._slots.assign([window.room_id for window in windows])
        for room_id in evicted:
            del self._rooms[room_id]
        self.evicted += len(evicted)
        for window, slot in zip(windows, slots, strict=True):
            state = self._rooms.get(window.room_id)
            if state is None or state.room_started_ms != window.room_started_ms:
                self._encodings.clear(slot)
                self.networks.clear(slot)
        return np.array(slots, np.int64)

    def _modality_shares(self, slots: Ints, logits: Floats) -> list[dict[str, float]]:
        if self.decided_by == "energy":
            return [{COMMENTS: 1.0}] * len(slots)
        shares: list[dict[str, float]] = [{} for _ in slots]
        ctrs = [_sigmoid(logit) for logit in logits.tolist()]
        rows = [row for row, ctr in enumerate(ctrs) if ctr > self.settings.explain_above]
        if rows:
            found = self.networks.champion.modality_shares(slots[rows], [ctrs[r] for r in rows])
            for row, share in zip(rows, found, strict=True):
                shares[row] = share
        return shares

    def _shadows(self, logits: Floats | None, count: int) -> list[Shadow | None]:
        challenger = self.networks.challenger
        if logits is None or challenger is None:
            return [None] * count
        return [
            Shadow(challenger.version, _sigmoid(logit)) if math.isfinite(logit) else None
            for logit in logits.tolist()
        ]

    def _result(
        self,
        window: Window,
        logit: float,
        energy: float,
        shares: dict[str, float],
        comment_lag_ms: int | None,
        shadow: Shadow | None,
    ) -> Score | Rejected:
        if not math.isfinite(logit):
            return Rejected(window, f"logit: found {logit}, expected a finite number")
        segment = window.segments[-1]
        ctr, energy = _sigmoid(logit), float(energy)
        return Score(
            room_id=window.room_id,
            streamer_id=window.streamer_id,
            room_started_ms=window.room_started_ms,
            segment_index=window.segment_index,
            start_ms=window.start_ms,
            end_ms=window.end_ms,
            ctr=ctr,
            energy=energy,
            decided_by=self.decided_by,
            decision=ctr if self.decided_by == "network" else energy,
            model_version=self.model.config.model_version,
            reasons=Reasons(
                modality_shares=shares,
                strongest_comments=strongest_comments(segment.comments),
                key_frame_ms=key_frame_ms(segment),
                comment_count=segment.comment_count,
                speech=speech_start(segment.speech),
            ),
            final=window.final,
            comment_lag_ms=comment_lag_ms,
            shadow=shadow,
        )

    def _forget(self, room_id: str) -> None:
        self._slots.release(room_id)
        self._rooms.pop(room_id, None)


# Texts that recur, in one room or several, are encoded once.
REMEMBERED_TEXTS = 4_096


def load_scorer(settings: EngineSettings, frame_encoder: FrameEncoder | None = None) -> Scorer:
    """A scorer by settings. A process that also encodes frames passes its frame encoder.

    Without one, the frame encoder is loaded only where an untrained network must be fitted to it.
    A number of torch threads above 0 is set for the whole process.
    """
    device = choose_device(settings.device)
    if settings.torch_threads:
        torch.set_num_threads(settings.torch_threads)
    text_encoder = load_text_encoder(
        settings.text_encoder,
        device=device,
        dtype=choose_dtype(settings.dtype, device),
        max_tokens=settings.max_text_tokens,
        max_batch=settings.text_batch,
        compiled=settings.compile,
    )
    text_encoder.remember(REMEMBERED_TEXTS)
    if settings.model == TINY_UNTRAINED:
        frame_encoder = frame_encoder or load_frame_encoder(settings.frame_encoder)
        model = untrained_network(frame_encoder, text_encoder)
    else:
        model = load_network(settings.model)
    if frame_encoder is not None:
        check_encoder(
            "frame",
            frame_encoder.encoder_id,
            frame_encoder.revision,
            expected_id=model.config.frame_encoder_id,
            expected_revision=model.config.frame_encoder_revision,
        )
    return Scorer(model.to(device, choose_dtype(settings.dtype, device)), text_encoder, settings)


def _rounds(windows: Sequence[Window], batch_size: int) -> Iterator[list[int]]:
    """Positions in batches of different rooms, each room's windows in their order."""
    rounds: defaultdict[int, list[int]] = defaultdict(list)
    seen: defaultdict[str, int] = defaultdict(int)
    for position, window in enumerate(windows):
        rounds[seen[window.room_id]].append(position)
        seen[window.room_id] += 1
    for positions in rounds.values():
        for start in range(0, len(positions), batch_size):
            yield positions[start : start + batch_size]


def _sigmoid(logit: float) -> float:
    return 0.5 * (1 + math.tanh(logit / 2))
