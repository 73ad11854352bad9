"""A feature log judged by many processes at once, with Ray Data, on one machine or a cluster.

All of a room lies in one partition of the log, so a partition is what a worker is given. It reads
its part, encodes the texts, predicts, and hands back what is judged: a few numbers a segment.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from limelight.engine.errors import LimelightError
from limelight.engine.settings import EngineSettings
from limelight.models.datasets.labelled_room import COUNT_NAMES, LabelledRoom
from limelight.replay.evaluation.data import DataRoom, log_interval, logged_room, open_log
from limelight.replay.evaluation.encoders import DataEncoders
from limelight.replay.evaluation.models import (
    BeforeModel,
    EnergyModel,
    Model,
    NetworkModel,
    judged_rooms,
    load_models,
)
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.feature_log.arrow import MissingExtra, pa
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.reading import Pictures
from limelight.streams.settings import FeaturelogSettings, Settings

try:
    import ray
    import ray.data
except ImportError as error:
    raise MissingExtra(
        f"evaluate --ray: found no package {error.name}, expected it from the extra `ray`"
        " (pip install 'limelight[ray]')"
    ) from error

# Rooms whose features a worker holds at a time.
ROOMS_AT_ONCE = 256
LOCAL = "local"
_PREDICTION = "prediction "


class TaskFailed(LimelightError):
    """A part of the work failed on one of Ray's workers."""


@dataclass(frozen=True, slots=True)
class LogWork:
    """What every worker is told; nothing of it is secret.

    Args:
        models: as on the command line; the folders must be there on every machine.
    """

    root: str
    start_ms: int
    end_ms: int
    pictures: Pictures
    models: tuple[str, ...]
    engine: EngineSettings
    log: FeaturelogSettings


class LogWorker:
    """Judges partitions of a log, with networks and encoders that it loads once."""

    def __init__(self, work: LogWork) -> None:
        self._work = work
        self._encoders = DataEncoders(work.engine)
        self._models = load_models(work.models, self._encoders)
        self._log = open_log(work.root, work.log)

    def rooms(self, partition: int) -> Iterator[JudgedRoom]:
        """The partition's rooms in the log's order, with what the models predict for them."""
        work = self._work
        if partition not in self._log.partitions:
            raise MalformedLog(
                f"{work.root}: found no partition {partition} on a worker, expected the log at the"
                " same place on every machine"
            )
        found = self._log.partition_rooms(partition, work.start_ms, work.end_ms, work.pictures)
        encoder = work.pictures.encoder
        while some := list(islice(found, ROOMS_AT_ONCE)):
            rooms = [logged_room(each, work.root, encoder, self._encoders) for each in some]
            yield from judged_rooms(rooms, self._models)

    def __call__(self, table: Any) -> Iterator[Any]:
        """A table of a row a room for each partition that the given one names."""
        for partition in table["partition"].to_pylist():
            for at, room in enumerate(self.rooms(partition)):
                yield pa.Table.from_pylist([to_row(room, partition, at)])


def to_row(room: JudgedRoom, partition: int, at: int) -> dict[str, Any]:
    """The room as plain values; its arrays are one safetensors file."""
    arrays = {
        "start_ms": room.start_ms,
        "measured": room.measured,
        "clicks": room.clicks,
        "viewers": room.viewers,
        "present": room.present,
    }
    arrays |= {_PREDICTION + name: values for name, values in room.predictions.items()}
    return {
        "partition": partition,
        "at": at,
        "worker": f"{ray.get_runtime_context().get_node_id()} {os.getpid()}",
        "room_id": room.room_id,
        "streamer_id": room.streamer_id,
        "segment_ms": room.segment_ms,
        "arrays": save({name: np.ascontiguousarray(each) for name, each in arrays.items()}),
    }


def from_row(row: dict[str, Any]) -> JudgedRoom:
    """What `to_row` was given."""
    arrays = load(row["arrays"])
    return JudgedRoom(
        room_id=row["room_id"],
        streamer_id=row["streamer_id"],
        segment_ms=row["segment_ms"],
        start_ms=arrays["start_ms"],
        measured=arrays["measured"],
        clicks=arrays["clicks"],
        viewers=arrays["viewers"],
        present=arrays["present"],
        predictions={
            name.removeprefix(_PREDICTION): values
            for name, values in arrays.items()
            if name.startswith(_PREDICTION)
        },
    )


def judge_log(
    root: str,
    specs: Sequence[str],
    settings: Settings,
    *,
    address: str = LOCAL,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> tuple[list[DataRoom], list[JudgedRoom], int]:
    """What `load_data` and `judged_rooms` give for a log, by Ray's workers.

    Args:
        specs: the models, as on the command line.
        address: "local" starts Ray here, "auto" finds it, host:port or ray://host:port names it.

    Returns:
        The rooms without features, what the models predict for them, and how many workers did it.

    Raises:
        ValueError: a model that must see all rooms to learn, or one that needs a live system.
        TaskFailed: a worker came upon an error.
        EmptyInterval, MixedEncoders, MalformedLog, EncoderMismatch: see `load_data`.
    """
    encoders = DataEncoders(settings.engine)
    models = load_models(specs, encoders)
    for model in models:
        if not isinstance(model, NetworkModel | EnergyModel | BeforeModel):
            raise ValueError(
                f"model {model.name}: found one that is not judged in parts, expected networks,"
                " energy or before with --ray"
            )
    log = open_log(root, settings.featurelog)
    start_ms, end_ms = log_interval(log, from_ms, to_ms)
    pictures = log.pictures(start_ms, end_ms)
    _check(models, root, pictures, encoders)
    # What was measured before begins with the mean of all rooms, which no worker knows.
    remote = [
        spec for spec, each in zip(specs, models, strict=True) if not isinstance(each, BeforeModel)
    ]
    work = LogWork(
        root, start_ms, end_ms, pictures, tuple(remote), settings.engine, settings.featurelog
    )
    rows = _rows(work, log.partitions, address)
    found = [from_row(row) for row in rows]
    data = [_without_features(room, root) for room in found]
    judged = []
    before = {
        each.name: each.predict(data, lambda count: None)
        for each in models
        if isinstance(each, BeforeModel)
    }
    for at, room in enumerate(found):
        known = room.predictions | {
            name: np.asarray(values[at], np.float32) for name, values in before.items()
        }
        judged.append(replace(room, predictions={each.name: known[each.name] for each in models}))
    return data, judged, len({row["worker"] for row in rows})


def _rows(work: LogWork, partitions: Sequence[int], address: str) -> list[dict[str, Any]]:
    """The rows of all rooms, in the log's order."""
    with _connected(address):
        on_gpu = work.engine.device == "cuda"
        resource = "GPU" if on_gpu else "CPU"
        free = int(ray.cluster_resources().get(resource, 1))
        pool = ray.data.ActorPoolStrategy(
            size=max(1, min(len(partitions), free)), max_tasks_in_flight_per_actor=1
        )
        parts = [{"partition": partition} for partition in partitions]
        judged = ray.data.from_items(parts, override_num_blocks=len(parts)).map_batches(
            LogWorker,
            fn_constructor_args=(work,),
            batch_size=1,
            batch_format="pyarrow",
            compute=pool,
            num_cpus=0 if on_gpu else 1,
            num_gpus=1 if on_gpu else None,
        )
        try:
            rows = list(judged.iter_rows())
        except ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise TaskFailed(f"{work.root}: {type(cause).__name__}: {cause}") from error
    return sorted(rows, key=lambda row: (row["partition"], row["at"]))


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """Ray for the length of a block; one that runs in this process already stays."""
    if ray.is_initialized():
        yield
        return
    # Ray would report its use to its makers.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.WARNING, "log_to_driver": False}
    if address == LOCAL:
        options["include_dashboard"] = False
    ray.init(address=address, **options)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _check(models: Sequence[Model], root: str, pictures: Pictures, encoders: DataEncoders) -> None:
    """Raise here, and not on some worker, where a network cannot read the log's features."""
    text = encoders.text
    like_all = DataRoom(
        room=_labelled("", "", 1, pictures.feature_size, text.feature_size),
        start_ms=np.zeros(1, np.int64),
        segment_ms=0,
        source=root,
        encoder=pictures.encoder,
        text_encoder=(text.encoder_id, text.revision),
    )
    for each in models:
        if isinstance(each, NetworkModel):
            each.check(like_all)


def _without_features(room: JudgedRoom, root: str) -> DataRoom:
    labelled = _labelled(room.room_id, room.streamer_id, len(room), 0, 0)
    return DataRoom(
        room=replace(labelled, present=room.present, ctr=room.measured),
        start_ms=room.start_ms,
        segment_ms=room.segment_ms,
        source=root,
    )


def _labelled(
    room_id: str, streamer_id: str, length: int, frame_size: int, text_size: int
) -> LabelledRoom:
    return LabelledRoom(
        room_id=room_id,
        streamer_id=streamer_id,
        frame_features=np.zeros((length, frame_size), np.float16),
        text_features=np.zeros((length, text_size), np.float32),
        present=np.zeros((length, 2), np.bool_),
        ctr=np.full(length, np.nan, np.float32),
        counts=np.zeros((length, len(COUNT_NAMES)), np.float32),
    )
