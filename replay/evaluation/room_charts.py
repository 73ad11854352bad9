"""The report's rooms: curves as in the paper's Figure 4, alignment as in Figure 6, key frames."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limelight.engine.reasons import key_frame_ms
from limelight.models.training.evaluation import known_taus
from limelight.replay.evaluation.alignment import SHUFFLES, alignment_map
from limelight.replay.evaluation.data import DataRoom
from limelight.replay.evaluation.highlights import (
    Detected,
    best_segments,
    detect,
    matches,
    true_intervals,
)
from limelight.replay.evaluation.models import Model
from limelight.replay.evaluation.options import EvaluationOptions
from limelight.replay.evaluation.rooms import JudgedRoom
from limelight.replay.page import clock, jpeg_url, png_url, round_top, tick_ms

WIDTH, HEIGHT, LANE = 1000, 200, 16
_MAP_COLOURS = ((255, 255, 255), (150, 180, 250), (40, 60, 160), (20, 20, 60))

Line = list[str]


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of the chart, in as many pieces as gaps make."""

    name: str
    pieces: Line
    is_energy: bool
    tau: float | None


@dataclass(frozen=True, slots=True)
class Lane:
    """Stretches (x, width, whether it is right) of one model's highlights, or of the truth."""

    name: str
    stretches: list[tuple[float, float, bool]]


@dataclass(frozen=True, slots=True)
class Card:
    """One highlight as a picture and what became of it."""

    label: str
    time: str
    told: str
    is_right: bool | None
    picture: str | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """Two maps as pictures, and how the true order compares."""

    similarity: str
    expected: str
    rows: int
    columns: int
    told: str


@dataclass(frozen=True, slots=True)
class RoomChart:
    """Everything the template draws of one room."""

    title: str
    told: str
    note: str
    measured: Line
    true: Line
    curves: list[Curve]
    lanes: list[Lane]
    top: float
    ticks: list[tuple[float, str]]
    alignment: Alignment | None
    cards: list[Card]
    credit: str


def chosen_rooms(
    data: Sequence[DataRoom], rooms: Sequence[JudgedRoom], model: str, most: int
) -> list[int]:
    """Recordings first, measured ones before others, then rooms from the model's best to its worst
    tau, evenly spaced."""
    recordings = [at for at, each in enumerate(data) if each.recorded is not None]
    recordings = sorted(recordings, key=lambda at: bool(np.isnan(rooms[at].measured).all()))[:most]
    taus = [
        (float(known_taus(room.predictions[model][None], room.measured[None])[0]), at)
        for at, room in enumerate(rooms)
        if data[at].recorded is None
    ]
    ordered = [at for tau, at in sorted(taus, reverse=True) if not np.isnan(tau)]
    left = min(most - len(recordings), len(ordered))
    if left < 1:
        return recordings
    places = np.linspace(0, len(ordered) - 1, left).round().astype(int)
    return [*recordings, *(ordered[place] for place in places)]


def room_chart(
    data: DataRoom, room: JudgedRoom, models: Sequence[Model], options: EvaluationOptions
) -> RoomChart:
    start_ms, end_ms = int(room.start_ms[0]), int(room.start_ms[-1]) + room.segment_ms
    span_ms = end_ms - start_ms
    true = data.recorded.true if data.recorded is not None else np.full(len(room), np.nan)
    ctrs = [room.measured, true] + [
        room.predictions[model.name] for model in models if not model.is_energy
    ]
    known = np.concatenate(ctrs)
    top = round_top(known[~np.isnan(known)].tolist())

    def x(time_ms: float) -> float:
        return round((time_ms - start_ms) / span_ms * WIDTH, 1)

    def line(values: NDArray[np.floating], scale: float) -> Line:
        """Pieces of a line through the segments' ends, apart where something is missing."""
        pieces: list[list[str]] = [[]]
        before_ms = start_ms
        for at, value in zip(room.start_ms.tolist(), values.tolist(), strict=True):
            if np.isnan(value) or at != before_ms:
                pieces.append([])
            before_ms = at + room.segment_ms
            if not np.isnan(value):
                y = round((1 - min(value / scale, 1)) * HEIGHT, 1)
                pieces[-1].append(f"{x(at + room.segment_ms / 2)},{y}")
        # A segment alone is a short level line.
        return [" ".join(piece if len(piece) > 1 else piece * 2) for piece in pieces if piece]

    intervals = true_intervals(room, best_segments(room.measured, options.top_share))
    lanes = [Lane("truth", [(x(i.start_ms), x(i.end_ms) - x(i.start_ms), True) for i in intervals])]
    curves = []
    found: dict[str, list[Detected]] = {}
    right: dict[str, set[int]] = {}
    for model in models:
        name = model.name
        found[name] = detect(room, name, options.detector, is_energy=model.is_energy)
        pairs = matches(found[name], intervals, options.tolerance * room.segment_ms)
        right[name] = {highlight for highlight, _ in pairs}
        stretches = [
            (x(each.start_ms), x(each.end_ms) - x(each.start_ms), number in right[name])
            for number, each in enumerate(found[name])
        ]
        lanes.append(Lane(name, stretches))
        predicted = room.predictions[name]
        tau = float(known_taus(predicted[None], room.measured[None])[0])
        scale = 1.0 if model.is_energy else top
        curves.append(
            Curve(name, line(predicted, scale), model.is_energy, None if np.isnan(tau) else tau)
        )
    first = models[0]
    recording = data.recorded.recording if data.recorded is not None else None
    return RoomChart(
        title=(recording.title if recording else "") or room.room_id,
        told=f"room {room.room_id}, {len(room)} segments, {int(room.viewers.sum()):,} impressions",
        note=recording.note if recording else "",
        measured=line(room.measured, top),
        true=line(true, top),
        curves=curves,
        lanes=lanes,
        top=top,
        ticks=[
            (x(start_ms + offset), clock(offset)) for offset in range(0, span_ms, tick_ms(span_ms))
        ],
        alignment=_alignment(data, models),
        cards=_cards(data, room, found[first.name], right[first.name]),
        credit=" ".join(f"{each.text} ({each.licence})." for each in recording.credits)
        if recording
        else "",
    )


def _cards(
    data: DataRoom, room: JudgedRoom, found: Sequence[Detected], right: set[int]
) -> list[Card]:
    """The highlights of a recording with the key frames of their peaks."""
    if data.recorded is None:
        return []
    recording, windows = data.recorded.recording, data.recorded.windows
    segments = {window.start_ms: window.segments[-1] for window in windows}
    times = [key_frame_ms(segments[each.peak_start_ms]) for each in found]
    offsets = sorted({time - recording.started_ms for time in times if time is not None})
    pictures = {
        frame.offset_ms + recording.started_ms: jpeg_url(frame.image, 240)
        for frame in recording.read_frames(offsets)
    }
    cards = []
    for number, (each, time) in enumerate(zip(found, times, strict=True)):
        at = int(np.searchsorted(room.start_ms, each.peak_start_ms))
        measured = float(room.measured[at])
        told = f"peak {100 * each.peak:.0f} %"
        if not np.isnan(measured):
            told += f", measured {100 * measured:.0f} %"
        known = room.intervals is not None or not np.isnan(room.measured).all()
        cards.append(
            Card(
                label=f"H{number + 1}",
                time=f"{clock(each.start_ms - recording.started_ms)} to"
                f" {clock(each.end_ms - recording.started_ms)}",
                told=told,
                is_right=number in right if known else None,
                picture=pictures.get(time) if time is not None else None,
            )
        )
    return cards


def _alignment(data: DataRoom, models: Sequence[Model]) -> Alignment | None:
    """The map of the first model that has a network."""
    network = next((model.network for model in models if model.network is not None), None)
    if network is None or not data.room.text_features.shape[1]:
        return None
    found = alignment_map(network, data.room)
    if found is None:
        return None
    rows, columns = found.similarity.shape
    larger = int((found.shuffled > found.distance).sum())
    return Alignment(
        similarity=_map(found.similarity),
        # Chances far below 1 are what shows where the path is unsure.
        expected=_map(np.sqrt(found.expected)),
        rows=rows,
        columns=columns,
        told=f"soft-DTW distance {found.distance:.2f} in order, {found.shuffled.mean():.2f} on"
        f" average over {SHUFFLES} shuffled orders of the pictures, {larger} of them larger",
    )


def _map(values: NDArray[np.floating]) -> str:
    """A pixel a cell, from white for the lowest to dark for the highest."""
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / (high - low if high > low else 1)
    places = np.linspace(0, 1, len(_MAP_COLOURS))
    channels = [
        np.interp(shares, places, [colour[channel] for colour in _MAP_COLOURS])
        for channel in range(3)
    ]
    return png_url(Image.fromarray(np.stack(channels, axis=2).round().astype(np.uint8)))
