"""A whole scorer: windows in, scores out; take-over, steady state, and where the time goes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from limelight.engine.bench.ceilings import Ceilings, name_of
from limelight.engine.bench.made_up import (
    DISTRIBUTION,
    MadeUpRooms,
    Text,
    drawn_pictures,
    drawn_texts,
)
from limelight.engine.bench.plan import Plan
from limelight.engine.bench.report import Row, Section, waiting
from limelight.engine.bench.stages import Stages
from limelight.engine.encoders import load_frame_encoder
from limelight.engine.score import Score
from limelight.engine.scorer import Scorer, load_scorer
from limelight.engine.settings import EngineSettings
from limelight.engine.window import Window
from limelight.models.contentctr.config import tiny

TAKE_OVER_KNOWN = "take-over, texts known"
TAKE_OVER = "take-over, every text encoded"
STEADY = "steady state"
_GPU_TARGET = "< 10 s on a GPU"

# Longer than a logit remembers: 3 layers of 19 segments, and the newest.
_HISTORY = 60
_FOLLOWED = 60
_SAME = 1e-6
_SHOWN = (0, 1, 2, 5, 10, 20, 30, 40, 59)
_ROUNDS = 3


def measure(plan: Plan, ceilings: Ceilings) -> list[Section]:
    rates: list[Row] = []
    stages: list[Row] = []
    pictures = _Pictures(plan)
    for count in plan.serving_rooms:
        found, parts = _serving(plan, pictures, count)
        rates += found
        stages += parts
    if not plan.on_cuda:
        row: Row = {"rooms": 10_000, "what": TAKE_OVER, "target": _GPU_TARGET}
        rates.append(waiting(row, "a GPU"))
    where = f"Bundled networks, {name_of(plan.dtype)} on {plan.device.type}"
    return [
        Section(
            "serving",
            "A scorer at work",
            tuple(rates),
            f"{where}, batches of at most {_settings(plan, 1).max_rooms_per_batch} rooms. Take-"
            "over: every room is new and prefilled from its window of 20 segments. Each new "
            f"segment's text is a new one. Texts: {DISTRIBUTION}.",
        ),
        Section(
            "stages",
            "Where a scorer's time goes",
            tuple(stages),
            f"{where}, steady state; the clock reads cost a little in the first.",
        ),
        _differences(plan, pictures),
    ]


def _serving(plan: Plan, pictures: "_Pictures", count: int) -> tuple[list[Row], list[Row]]:
    """Rates of take-over and steady state, and the latter's stages."""
    rows: list[Row] = []
    fresh = drawn_texts(1)
    if count <= plan.fresh_rooms:
        rooms = pictures.rooms(count, fresh)
        rows.append(_take_over(TAKE_OVER, _scorer(plan, pictures, count), rooms))
    rooms = pictures.rooms(count, _recurring(plan))
    scorer = _scorer(plan, pictures, count)
    # Other rooms have said the recurring texts before, and are gone.
    others = pictures.rooms(plan.known_texts, _recurring(plan)).advance()
    _scored(scorer, [replace(window, final=True) for window in others])
    rows.append(_take_over(TAKE_OVER_KNOWN, scorer, rooms))
    rooms.texts = fresh
    times, parts = [], Stages()
    for _ in range(_ROUNDS if count <= 1_000 else 1):
        windows = rooms.advance()
        with parts:
            start = perf_counter()
            scores = _scored(scorer, windows)
            times.append(perf_counter() - start)
    explained = sum(bool(score.reasons.modality_shares) for score in scores)
    rows.append(
        {
            **_rate(STEADY, count, min(times)),
            "median s": float(np.median(times)),
            "explained %": 100 * explained / count,
        }
    )
    total = sum(times)
    spent: list[Row] = [
        {
            "rooms": count,
            "what": name,
            "us a window": 1e6 * seconds / count / len(times),
            "%": 100 * seconds / total,
        }
        for name, seconds in parts.seconds(total).items()
    ]
    return rows, spent


def _take_over(name: str, scorer: Scorer, rooms: MadeUpRooms) -> Row:
    for _ in range(scorer.model.config.window_length):
        windows = rooms.advance()
    before = scorer.prefills
    start = perf_counter()
    _scored(scorer, windows)
    seconds = perf_counter() - start
    assert scorer.prefills - before == len(windows)
    row = _rate(name, len(windows), seconds)
    if len(windows) == 10_000:
        row["target"] = _GPU_TARGET
    return row


def _rate(name: str, count: int, seconds: float) -> Row:
    return {"rooms": count, "what": name, "s": seconds, "windows/s": round(count / seconds)}


def _differences(plan: Plan, pictures: "_Pictures") -> Section:
    """How scores differ after a take-over from those of a scorer that saw all of the room."""
    count = plan.takeover_rooms
    uninterrupted, successor = (_scorer(plan, pictures, count) for _ in range(2))
    rooms = pictures.rooms(count, _recurring(plan))
    for _ in range(_HISTORY):
        _scored(uninterrupted, rooms.advance())
    largest, mean, ctrs = [], [], []
    for _ in range(_FOLLOWED):
        windows = rooms.advance()
        found = _ctrs(_scored(uninterrupted, windows))
        ctrs.append(found)
        difference = np.abs(found - _ctrs(_scored(successor, windows)))
        largest.append(float(difference.max()))
        mean.append(float(difference.mean()))
    rows: list[Row] = [
        {"segments after": at, "largest difference": largest[at], "mean difference": mean[at]}
        for at in _SHOWN
    ]
    different = [at for at, found in enumerate(largest) if found > _SAME]
    last = different[-1] if different else -1
    note = (
        f"CTRs of {count:,} rooms by the bundled network, {name_of(plan.dtype)}, after "
        f"{_HISTORY} segments of history; segment 0 is the one that the successor prefills. From "
        f"segment {last + 1} on no difference is above {_SAME:g}. The CTRs' standard deviation is "
        f"{np.std(ctrs):.3g}."
    )
    return Section("take_over", "Scores after a take-over", tuple(rows), note)


def _settings(plan: Plan, count: int) -> EngineSettings:
    return EngineSettings(device=str(plan.device), cache_slots=count)


def _scorer(plan: Plan, pictures: "_Pictures", count: int) -> Scorer:
    scorer = load_scorer(_settings(plan, count), pictures.encoder)
    scorer.warm_up()
    return scorer


class _Pictures:
    """The bundled frame encoder's features, and rooms that show them."""

    def __init__(self, plan: Plan) -> None:
        self.encoder = load_frame_encoder("tiny", device=plan.device)
        pictures = drawn_pictures(plan.pictures, *self.encoder.image_size)
        self._features = self.encoder.encode(pictures)

    def rooms(self, count: int, texts: Iterator[Text]) -> MadeUpRooms:
        return MadeUpRooms(
            count,
            window_length=tiny().window_length,
            features=self._features,
            texts=texts,
            encoder=(self.encoder.encoder_id, self.encoder.revision),
        )


def _recurring(plan: Plan) -> Iterator[Text]:
    return cycle(islice(drawn_texts(0), plan.known_texts))


def _scored(scorer: Scorer, windows: Sequence[Window]) -> list[Score]:
    scores = [each for each in scorer.score(windows) if isinstance(each, Score)]
    if len(scores) != len(windows):
        raise RuntimeError(f"scores: found {len(scores)}, expected {len(windows)}")
    return scores


def _ctrs(scores: Sequence[Score]) -> NDArray[np.float64]:
    return np.array([score.ctr for score in scores])
