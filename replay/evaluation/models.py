"""The models that are judged, by what stands on the command line, and what they predict."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from limelight.engine.network import check_encoder, load_network
from limelight.engine.tiny_encoders import TINY
from limelight.models.baselines.deepctr_library import NetworkName
from limelight.models.contentctr.model import ContentCTR
from limelight.models.datasets.labelled_room import LabelledRoom
from limelight.models.datasets.room_files import load_rooms
from limelight.models.training.evaluation import predict
from limelight.models.training.network import TrainedNetwork
from limelight.models.training.sequences import Sequences
from limelight.models.training.settings import LossSettings
from limelight.replay.evaluation.data import DataRoom
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.recorded import engine_scores
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.tables.experiment_run import before_predictions, energy_predictions

ENERGY, BEFORE, ID = "energy", "before", "id"
CHAMPION, CHALLENGER = "champion", "challenger"
_ID_NETWORK = "deepfm"
# Of the rooms an ID baseline learns from, every so-many-th says when to stop.
_HELD_OUT = 10
# Rooms that go through a network together.
_TOGETHER = 32

Floats = NDArray[np.float64]
OnRooms = Callable[[int], None]


class Model(Protocol):
    """What predicts; `network` is there where it is ContentCTR, `is_energy` for comment energy."""

    @property
    def name(self) -> str: ...
    @property
    def network(self) -> ContentCTR | None: ...
    @property
    def is_energy(self) -> bool: ...
    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]: ...


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """A ContentCTR; recordings go through the engine, features through the same network."""

    name: str
    network: ContentCTR
    encoders: DataEncoders
    is_energy: bool = False

    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]:
        for each in rooms:
            self.check(each)
        found: dict[int, Floats] = {}
        # Rooms of a length go together, padded least.
        with_features = sorted(
            (at for at, each in enumerate(rooms) if each.recorded is None),
            key=lambda at: len(rooms[at].room),
        )
        network = TrainedNetwork(self.network, LossSettings())
        for first in range(0, len(with_features), _TOGETHER):
            places = with_features[first : first + _TOGETHER]
            # Predicting needs no labels, and a sequence without one is refused.
            unlabelled = [
                replace(rooms[at].room, ctr=np.zeros_like(rooms[at].room.ctr)) for at in places
            ]
            sequences = Sequences(unlabelled, int(self.network.config.num_streamers))
            found.update(zip(places, predict(network, sequences), strict=True))
            on_rooms(len(places))
        for at, each in enumerate(rooms):
            if each.recorded is not None:
                found[at] = engine_scores(each.recorded, self.network, self.encoders)
                on_rooms(1)
        return [found[at] for at in range(len(rooms))]

    def check(self, data: DataRoom) -> None:
        """Raise EncoderMismatch or ValueError where the features are none that it knows."""
        config = self.network.config
        for kind, found, expected_id, expected_revision, features in (
            (
                "frame",
                data.encoder,
                config.frame_encoder_id,
                config.frame_encoder_revision,
                data.room.frame_features,
            ),
            (
                "text",
                data.text_encoder,
                config.text_encoder_id,
                config.text_encoder_revision,
                data.room.text_features,
            ),
        ):
            if found is not None:
                check_encoder(
                    f"{data.source}, model {self.name}: {kind}",
                    *found,
                    expected_id=expected_id,
                    expected_revision=expected_revision,
                )
            expected = getattr(config, f"{kind}_feature_size")
            if features.shape[1] != expected:
                raise ValueError(
                    f"{data.source}, model {self.name}: {kind} features: found"
                    f" {features.shape[1]} numbers a segment, expected {expected}"
                )


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """Comment energy: what the engine decides by before anything was learned."""

    name: str
    network: None = None
    is_energy: bool = True

    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]:
        on_rooms(len(rooms))
        return [
            energy_predictions([each.room])[0] if each.recorded is None else each.recorded.energies
            for each in rooms
        ]


@dataclass(frozen=True, slots=True)
class BeforeModel:
    """The CTR that was last measured before a segment."""

    name: str
    network: None = None
    is_energy: bool = False

    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]:
        on_rooms(len(rooms))
        return before_predictions([each.room for each in rooms])


@dataclass(frozen=True, slots=True)
class IdModel:
    """An ID baseline that learns from labelled rooms first."""

    name: str
    baseline: NetworkName
    training: Sequence[LabelledRoom]
    network: None = None
    is_energy: bool = False

    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]:
        from limelight.models.baselines.id_baseline import IdBaseline

        model = IdBaseline(self.baseline)
        if len(self.training) < _HELD_OUT:
            model.fit(self.training)
        else:
            held_out = set(range(0, len(self.training), _HELD_OUT))
            model.fit(
                [room for at, room in enumerate(self.training) if at not in held_out],
                validation_rooms=[self.training[at] for at in sorted(held_out)],
            )
        on_rooms(len(rooms))
        return model.predict([each.room for each in rooms])


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The champion or the challenger of the engines that scored the recordings."""

    name: str
    role: str
    network: None = None
    is_energy: bool = False

    def predict(self, rooms: Sequence[DataRoom], on_rooms: OnRooms) -> list[Floats]:
        found: list[Floats] = []
        versions: Counter[str] = Counter()
        for each in rooms:
            if each.recorded is None or not each.recorded.scores:
                raise ValueError(
                    f"{each.source}, model {self.name}: found no scores of engines, expected a"
                    " recording that passed through some (--engines, --prefix)"
                )
            said = [
                score if self.role == CHAMPION else score.shadow for score in each.recorded.scores
            ]
            versions.update("none" if one is None else one.model_version for one in said)
            found.append(np.array([np.nan if one is None else one.ctr for one in said]))
        if len(versions) > 1 or "none" in versions:
            told = ", ".join(f"{name} in {count}" for name, count in sorted(versions.items()))
            raise ValueError(
                f"model {self.name}: found {told} segments, expected one {self.role} throughout"
            )
        on_rooms(len(rooms))
        return found


def load_models(specs: Sequence[str], encoders: DataEncoders) -> list[Model]:
    """The models by their specs, in order.

    A spec is `tiny` (bundled), a folder that `save_pretrained` wrote, `energy`, `before`,
    `id:FILE`, `id:NETWORK:FILE` with labelled rooms to learn from, or `champion`, `challenger` of
    the engines that scored the data; `NAME=` before it names it.

    Raises:
        ValueError: no such model, or two of one name.
        OSError: a folder or file that is not what it should be.
    """
    models = [_load(spec, encoders) for spec in specs]
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"models: found {names.count(name)} named {name!r}, expected different names;"
                " NAME=... before a model gives it one"
            )
    return models


def judged_rooms(
    rooms: Sequence[DataRoom], models: Sequence[Model], on_rooms: OnRooms = lambda count: None
) -> list[JudgedRoom]:
    """The rooms with what every model predicts for them."""
    predicted = {model.name: model.predict(rooms, on_rooms) for model in models}
    return [
        JudgedRoom(
            room_id=each.room.room_id,
            streamer_id=each.room.streamer_id,
            segment_ms=each.segment_ms,
            start_ms=each.start_ms,
            measured=each.room.ctr,
            clicks=each.clicks,
            viewers=each.viewers,
            present=each.room.present,
            predictions={
                name: np.asarray(found[at], np.float32) for name, found in predicted.items()
            },
            category=each.category,
            intervals=each.intervals,
        )
        for at, each in enumerate(rooms)
    ]


def _load(spec: str, encoders: DataEncoders) -> Model:
    name, given, rest = spec.partition("=")
    wanted = rest if given else spec
    name = name if given else ""
    if wanted == ENERGY:
        return EnergyModel(name or wanted)
    if wanted == BEFORE:
        return BeforeModel(name or wanted)
    if wanted in (CHAMPION, CHALLENGER):
        return ServedModel(name or wanted, wanted)
    if wanted.startswith(f"{ID}:"):
        return _id_model(name, wanted)
    if wanted != TINY and not Path(wanted).is_dir():
        raise ValueError(
            f"model: found {wanted!r}, which is no folder, expected a folder, {TINY}, {ENERGY},"
            f" {BEFORE}, {ID}:FILE, {CHAMPION} or {CHALLENGER}"
        )
    network = load_network(wanted)
    shown = wanted if wanted == TINY else str(network.config.model_version)
    return NetworkModel(name or shown, network, encoders)


def _id_model(name: str, spec: str) -> IdModel:
    _, _, rest = spec.partition(":")
    network, _, path = rest.partition(":")
    if network not in get_args(NetworkName):
        network, path = _ID_NETWORK, rest
    return IdModel(name or ID, cast(NetworkName, network), load_rooms(Path(path)))
