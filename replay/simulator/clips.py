"""Simulated clips whose truth is known: what is in them, and what viewers make of it.

A clip is a few seconds of one activity of a streamer. All parts below have mean 0 and about
variance 1 over clips; `opening` is of the first three seconds, `whole` of all.

    play rate  = sigmoid(-0.3 + 0.8 * (0.45 picture + 0.45 sound + 0.5 picture * sound
                                       + 0.35 appeal + 0.25 popularity))       of the opening
    CTR        = sigmoid(-2.2 + 0.6 * (0.45 picture + 0.45 sound + 0.4 picture * sound
                                       + 0.45 appeal + 0.3 popularity))        of the whole
    log views  = 9 + 0.6 cover + 0.45 title + 0.7 popularity + 0.5 ctr part + 0.4 noise

`picture * sound` says that a lively picture wants a lively sound, and a quiet one a quiet sound:
neither tells it alone. `popularity` is the streamer's and hardly seen in a clip. A simulator
rewards what it was built with; what it can tell is whether a model finds it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from limelight.models.audio.sound_statistics import sound_statistics
from limelight.models.datasets.labelled_clip import (
    COUNT_NAMES,
    KEY_FRAMES,
    OPENING_SECONDS,
)
from limelight.replay.simulator.pictures import Artist
from limelight.replay.simulator.sounds import clip_sound
from limelight.replay.simulator.words import clip_title
from limelight.replay.simulator.world import ACTIVITIES, Floats, RoomTruth, World

DAYS = 6
COVER_PIXELS = 64
# Apart from rooms: a clip's number says nothing of a room's.
_TRUTH, _DRAWN, _PLAYED = 20, 21, 22
_SHORTEST_S, _LONGEST_S = 2, 24
_SILENT_RATE, _UNTAGGED_RATE, _UNCATEGORISED_RATE, _UNTITLED_RATE = 0.12, 0.1, 0.15, 0.05
_MEDIAN_IMPRESSIONS = 3_000.0
_SECOND_MEMORY = 0.8
STYLES = ("新人", "搞笑", "唱跳")
_TAGS = {
    "talk": ("聊天", "日常"),
    "dance": ("舞蹈", "音乐"),
    "pk": ("连麦", "对战"),
    "product": ("好物", "特价"),
    "idle": ("休息", "准备"),
}
_COMMON_TAGS = ("直播", "精彩瞬间", "推荐", "每日更新")
_LIVELY_TAGS = ("安静", "普通", "高能")


@dataclass(frozen=True, slots=True)
class ClipTruth:
    """One clip as it really is; (S,) are of its seconds."""

    clip_id: str
    room: RoomTruth  # its segments stand for the clip's seconds
    activity: str
    style: str
    picture: Floats  # (S,)
    sound: Floats | None  # (S,), None where it is silent
    talk: float
    cover_second: int
    play_rate: float
    ctr: float
    log_views: float

    def __len__(self) -> int:
        return len(self.picture)


def clip_truth(world: World, number: int) -> ClipTruth:
    """Clip `number` of a world; the same number is always the same clip."""
    rng = world.rng(number, _TRUTH)
    seconds = int(rng.integers(_SHORTEST_S, _LONGEST_S + 1))
    room = world.room(number, segments=seconds)
    kind = int(room.activity[0])
    picture = _drifting(seconds, rng)
    sound = None if rng.random() < _SILENT_RATE else _drifting(seconds, rng)
    talk, noise = rng.normal(), rng.normal()
    cover_second = int(rng.integers(0, seconds))
    appeal = float(room.picture_part[0] - np.sqrt(0.45) * room.intensity[0]) / np.sqrt(0.55)
    popularity = room.streamer.popularity
    opening = slice(0, OPENING_SECONDS)
    play_part = _attraction(picture[opening], sound, opening, (0.45, 0.45, 0.5))
    play_part += 0.35 * appeal + 0.25 * popularity
    ctr_part = _attraction(picture, sound, slice(None), (0.45, 0.45, 0.4))
    ctr_part += 0.45 * appeal + 0.3 * popularity
    cover = 0.7 * float(picture[cover_second]) + 0.7 * appeal
    return ClipTruth(
        clip_id=f"clip-{number:06d}",
        room=_as_room(room, kind, picture),
        activity=ACTIVITIES[kind],
        style=STYLES[room.streamer.look % len(STYLES)],
        picture=picture,
        sound=sound,
        talk=float(talk),
        cover_second=cover_second,
        play_rate=_sigmoid(-0.3 + 0.8 * play_part),
        ctr=_sigmoid(-2.2 + 0.6 * ctr_part),
        log_views=9 + 0.6 * cover + 0.45 * talk + 0.7 * popularity + 0.5 * ctr_part + 0.4 * noise,
    )


def clip_pictures(
    world: World, number: int, truth: ClipTruth, size: tuple[int, int]
) -> tuple[list[Image.Image], list[Image.Image], Image.Image]:
    """8 key frames of the whole, 3 of the opening, and the cover, of (width, height) pixels."""
    rng, artist = world.rng(number, _DRAWN), Artist(truth.room)
    last = len(truth) - 1
    key_seconds = [
        min(last, len(truth) * (2 * n + 1) // (2 * KEY_FRAMES)) for n in range(KEY_FRAMES)
    ]
    seconds = [*key_seconds, *(min(last, n) for n in range(OPENING_SECONDS)), truth.cover_second]
    # A second has one picture, whoever looks at it.
    drawn = {second: artist.picture(second, rng, size) for second in sorted(set(seconds))}
    pictures = [drawn[second] for second in seconds]
    return pictures[:KEY_FRAMES], pictures[KEY_FRAMES:-1], pictures[-1]


def clip_sound_features(world: World, number: int, truth: ClipTruth) -> NDArray[np.float32]:
    """(P, 128) statistics of the clip's sound; (0, 128) where it is silent."""
    if truth.sound is None:
        return sound_statistics(np.zeros(0, np.float32))
    rng = world.rng(number, _PLAYED)
    return sound_statistics(clip_sound(truth.activity, truth.sound, rng))


@dataclass(frozen=True, slots=True)
class ClipReception:
    """What is written on a clip and what viewers did; categories may be left empty."""

    title: str
    tags: list[str]
    category: str
    subcategory: str
    impressions: int
    plays: int
    clicks: int
    daily_counts: NDArray[np.float32]  # (D, 5)


def clip_reception(world: World, number: int, truth: ClipTruth) -> ClipReception:
    """The clip's words and counts, drawn from its truth."""
    rng = world.rng(number, _TRUTH + 10)
    impressions = int(rng.lognormal(np.log(_MEDIAN_IMPRESSIONS), 0.8)) + 1
    title = "" if rng.random() < _UNTITLED_RATE else clip_title(truth.activity, truth.talk, rng)
    known = rng.random() >= _UNCATEGORISED_RATE
    return ClipReception(
        title=title,
        tags=_tags(truth, rng),
        category=truth.activity if known else "",
        subcategory=f"{truth.activity}/{truth.style}" if known else "",
        impressions=impressions,
        plays=int(rng.binomial(impressions, truth.play_rate)),
        clicks=int(rng.binomial(impressions, truth.ctr)),
        daily_counts=_daily_counts(truth, rng),
    )


def _tags(truth: ClipTruth, rng: np.random.Generator) -> list[str]:
    if rng.random() < _UNTAGGED_RATE:
        return []
    lively = _LIVELY_TAGS[int(np.searchsorted((-0.5, 0.5), truth.picture.mean()))]
    own = [*_TAGS[truth.activity], truth.style, lively, str(rng.choice(_COMMON_TAGS))]
    return [tag for tag in own if rng.random() < 0.75]


def _daily_counts(truth: ClipTruth, rng: np.random.Generator) -> NDArray[np.float32]:
    """(D, 5) totals at the end of each day: most views come early, the sooner the shorter `tau`."""
    tau = rng.lognormal(np.log(1.5), 0.5)
    reached = 1 - np.exp(-np.arange(1, DAYS + 1) / tau)
    views = np.exp(truth.log_views) * np.maximum.accumulate(
        reached * np.exp(0.03 * rng.normal(size=DAYS))
    )
    moved = float(truth.picture.mean())
    rates = (0.05 * np.exp(0.3 * moved), 0.008 * np.exp(0.2 * truth.talk), 0.004, 0.01)
    columns = [np.floor(views)]
    for rate in rates:
        columns.append(np.floor(columns[0] * min(rate * np.exp(0.15 * rng.normal()), 0.9)))
    assert len(columns) == len(COUNT_NAMES)
    return np.stack(columns, 1).astype(np.float32)


def _attraction(
    picture: Floats, sound: Floats | None, part: slice, weights: tuple[float, float, float]
) -> float:
    """What picture and sound do together; silence is a dull sound."""
    seen = float(picture.mean())
    heard = -1.0 if sound is None else float(sound[part].mean())
    return weights[0] * seen + weights[1] * heard + weights[2] * seen * heard


def _drifting(seconds: int, rng: np.random.Generator) -> Floats:
    """(S,) of variance 1: mostly the clip's own level, a little of each second."""
    drift = np.empty(seconds)
    drift[0] = rng.normal()
    for at in range(1, seconds):
        fresh = np.sqrt(1 - _SECOND_MEMORY**2) * rng.normal()
        drift[at] = _SECOND_MEMORY * drift[at - 1] + fresh
    level: Floats = np.sqrt(0.7) * rng.normal() + np.sqrt(0.3) * drift
    return level


def _as_room(room: RoomTruth, kind: int, picture: Floats) -> RoomTruth:
    """The room with seconds for segments, all of one activity: what an `Artist` draws."""
    return replace(room, activity=np.full(len(picture), kind, np.int64), intensity=picture)


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
