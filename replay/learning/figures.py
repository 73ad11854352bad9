"""How well each wave was scored, live, and how well the first network would have done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limelight.engine.encoders import load_text_encoder
from limelight.engine.network import load_network
from limelight.engine.score import Score
from limelight.engine.tiny_encoders import TINY
from limelight.kernels.energy import SEGMENT_MS
from limelight.models.training.evaluation import predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import LossSettings
from limelight.replay.evaluation.evaluate import evaluate_rooms
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.result import Estimate
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.learning.waves import ScoresSeen, Wave
from limelight.replay.simulator.broadcast import SimulatedRoom

SERVED, FIRST, ENERGY = "as served", "without retraining", "comment energy"


@dataclass(frozen=True, slots=True)
class WaveFigures:
    """Kendall's tau of a wave; `versions` served it, in the order in which they came."""

    number: int
    taste_changed: bool
    versions: list[str]
    tau: dict[str, Estimate]


def wave_figures(
    waves: Sequence[Wave], seen: ScoresSeen, log_root: str, first: Path
) -> list[WaveFigures]:
    """
    Args:
        log_root: the feature log that the waves were written to.
        first: the network that served before any was retrained.
    """
    version = load_network(first).config.model_version
    options = EvaluationOptions(slices=())
    found = []
    for wave in waves:
        scores = [score for room in wave.rooms for score in _ordered(seen, room)]
        versions = list(dict.fromkeys(score.model_version for score in scores))
        # Until another serves, the first is what was served.
        before = {} if versions == [version] else _said_by(first, log_root, wave)
        rooms = [_judged(room, wave.base_ms, seen, before) for room in wave.rooms]
        models = evaluate_rooms(rooms, options=options).whole.models
        tau = {name: each.measures["tau"] for name, each in models.items()}
        found.append(WaveFigures(wave.number, wave.taste_changed, versions, tau))
    return found


def _said_by(network: Path, log_root: str, wave: Wave) -> dict[str, np.ndarray]:
    """What a network says of each of the wave's rooms, from what was logged."""
    model = TrainedNetwork(load_network(network), LossSettings())
    texts = load_text_encoder(TINY)
    end_ms = wave.base_ms + max(room.duration_ms for room in wave.rooms)
    logged = FeatureLog(log_root, label_delay_s=0).rooms(wave.base_ms, end_ms)
    rooms = [room.labelled(texts) for room in logged]
    buckets = int(model.contentctr.config.num_streamers)
    said = predict(model, Sequences(rooms, buckets))
    return {room.room_id: each for room, each in zip(rooms, said, strict=True)}


def _ordered(seen: ScoresSeen, room: SimulatedRoom) -> list[Score]:
    scores = seen.scores[room.room_id]
    return [scores[index] for index in sorted(scores)]


def _judged(
    room: SimulatedRoom, base_ms: int, seen: ScoresSeen, before: dict[str, np.ndarray]
) -> JudgedRoom:
    scores, truth = _ordered(seen, room), room.truth
    served = np.array([score.ctr for score in scores], np.float32)
    measured = truth.measured_ctr
    has_label = ~np.isnan(measured)
    return JudgedRoom(
        room_id=room.room_id,
        streamer_id=room.streamer_id,
        segment_ms=SEGMENT_MS,
        start_ms=base_ms + SEGMENT_MS * np.arange(room.segments, dtype=np.int64),
        measured=measured,
        clicks=np.where(has_label, truth.clicks, 0).astype(np.float32),
        viewers=np.where(has_label, truth.viewers, 0).astype(np.float32),
        present=np.ones((room.segments, 2), np.bool_),
        predictions={
            SERVED: served,
            FIRST: before.get(room.room_id, served).astype(np.float32),
            ENERGY: np.array([score.energy for score in scores], np.float32),
        },
    )
