"""The hidden truth of simulated rooms: who streams, what happens, and what it does to the CTR.

A room follows a programme of activities. Its CTR in a segment is

    ctr = sigmoid(mean_logit + logit_spread * z)
    z = sqrt(p) * picture + sqrt(t) * text + sqrt(u) * streamer

where the three parts are independent, of mean 0 and variance 1 over all segments, and p + t + u = 1
are the shares of the CTR's variance that the config sets. `picture` is what one sees (the activity
and how intense it is), `text` what is said (how good the talk is, whatever is shown), `streamer`
what only somebody knows who knows the streamer: how popular they are, and how much more or less
than elsewhere their audience likes an activity from them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from limelight.kernels.energy import SEGMENT_MS

ACTIVITIES = ("talk", "dance", "pk", "product", "idle")
# What an activity is worth by itself, before intensity; standardised below.
APPEAL = (0.0, 1.2, 0.9, -0.3, -1.6)
# Mean length in segments of 30 s, and how likely each activity follows another.
_MEAN_SEGMENTS = np.array([3.5, 2.5, 3.0, 3.0, 2.0])
_FREQUENCY = np.array([0.34, 0.18, 0.16, 0.17, 0.15])
# Autocorrelation, from one segment to the next, of how intense a thing is and how good the talk.
_INTENSITY_MEMORY = 0.5
_TALK_MEMORY = 0.6
# Of the variance of the picture's part, what the intensity owes; the activity owes the rest.
_INTENSITY_SHARE = 0.45
# Of the streamer's part, what popularity owes; taste for activities owes the rest.
_POPULARITY_SHARE = 0.5

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """The simulated platform. Shares are of the variance of the true CTR's logit; they add up to 1.

    `median_viewers` see a room in a segment, more or less by `viewer_spread` (of the logarithm);
    the fewer, the noisier the measured CTR. `min_viewers` are needed for a label. `appeal` is what
    each activity is worth: another one is a platform whose audience has come to like other things.
    """

    picture_share: float = 0.55
    text_share: float = 0.25
    streamer_share: float = 0.20
    mean_logit: float = -1.4
    logit_spread: float = 0.55
    num_streamers: int = 80
    segments_a_room: int = 60
    median_viewers: float = 800.0
    viewer_spread: float = 0.8
    min_viewers: int = 100
    appeal: tuple[float, ...] = APPEAL

    def __post_init__(self) -> None:
        shares = (self.picture_share, self.text_share, self.streamer_share)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError(f"shares: found {shares}, expected numbers from 0 that add up to 1")
        if len(self.appeal) != len(ACTIVITIES) or len(set(self.appeal)) < 2:
            raise ValueError(
                f"appeal: found {self.appeal}, expected a number for each of {ACTIVITIES}, not all"
                " the same"
            )
        for name in ("num_streamers", "segments_a_room", "min_viewers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 1")
        for name in ("median_viewers", "logit_spread"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected more than 0")


@dataclass(frozen=True, slots=True)
class Streamer:
    """One streamer: popularity, taste (A,) of their audience, speech ahead (segments), a look."""

    streamer_id: str
    popularity: float
    taste: Floats
    speech_lead_segments: int
    look: int


@dataclass(frozen=True, slots=True)
class RoomTruth:
    """One room's S segments as they really are; the parts are standardised, see the module."""

    room_id: str
    streamer: Streamer
    activity: Integers  # (S,) into ACTIVITIES
    intensity: Floats  # (S,)
    talk: Floats  # (S,)
    picture_part: Floats  # (S,)
    streamer_part: Floats  # (S,)
    ctr: Floats  # (S,) true
    chatter: Floats  # (S,) of variance 1: how talkative the audience is, whatever happens
    viewers: Integers  # (S,)
    clicks: Integers  # (S,)
    min_viewers: int

    def __len__(self) -> int:
        return len(self.ctr)

    @property
    def duration_ms(self) -> int:
        return len(self) * SEGMENT_MS

    @property
    def excitement(self) -> Floats:
        """(S,) how much the audience is moved: what comments, gifts and likes are about."""
        return 0.8 * self.picture_part + 0.6 * self.talk

    @property
    def answered(self) -> Floats:
        """(S,) the excitement that comments answer to: mostly that of the segment before.

        So features tell it. The written comments of recordings come 5 to 40 s after what they
        answer, and about two thirds of them still in its segment.
        """
        before = np.concatenate([[0.0], self.excitement[:-1]])
        mixed: Floats = 0.7 * before + 0.3 * self.excitement
        return mixed

    @property
    def comment_rate(self) -> Floats:
        """(S,) comments a segment, 1 on the average: a little what happens, mostly chatter.

        In real rooms the number of comments says little; what they say, more.
        """
        rate: Floats = np.exp(0.15 * self.answered + 0.6 * self.chatter - 0.2)
        return rate

    @property
    def measured_ctr(self) -> NDArray[np.float32]:
        """(S,) clicks a viewer, NaN where fewer than the minimum looked."""
        ratio = self.clicks / np.maximum(self.viewers, 1)
        return np.where(self.viewers >= self.min_viewers, ratio, np.nan).astype(np.float32)

    @property
    def spoken_activity(self) -> Integers:
        """(S,) the activity that is talked about: a later one if speech runs ahead, or an earlier.

        At the room's ends it is the last one that there is.
        """
        at = np.arange(len(self)) + self.streamer.speech_lead_segments
        spoken: Integers = self.activity[at.clip(0, len(self) - 1)]
        return spoken


class World:
    """All streamers of a seed; rooms are drawn from it, each from a seed of its own."""

    def __init__(self, config: WorldConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        rng = np.random.default_rng([seed, 0])
        count = config.num_streamers
        # Long-term effects: the same for every room of a streamer.
        popularity = _standardised(rng.normal(size=count))
        taste = rng.normal(size=(count, len(ACTIVITIES)))
        taste -= taste.mean(0)
        # Liking one activity more is liking others less: what is left over is popularity.
        taste -= (taste * _time_shares()).sum(1, keepdims=True)
        # Mean square 1 as rooms meet activities, so that the streamer's part has variance 1.
        taste /= np.sqrt((taste**2 * _time_shares()).sum(1).mean())
        leads = rng.choice([-1, 0, 1, 2], size=count, p=[0.25, 0.25, 0.3, 0.2])
        looks = rng.integers(0, 1 << 30, size=count)
        self.streamers = [
            Streamer(f"streamer-{n:04d}", popularity[n], taste[n], int(leads[n]), int(looks[n]))
            for n in range(count)
        ]

    def rng(self, room: int, purpose: int) -> np.random.Generator:
        """Random numbers of one room for one purpose, whatever else was drawn."""
        return np.random.default_rng([self.seed, 1 + room, purpose])

    def room(self, number: int, *, segments: int | None = None) -> RoomTruth:
        """Room `number` of this world; the same number is always the same room."""
        config, rng = self.config, self.rng(number, 0)
        length = segments or config.segments_a_room
        streamer = self.streamers[int(rng.integers(len(self.streamers)))]
        activity = _programme(length, rng)
        intensity = _memory(length, _INTENSITY_MEMORY, rng)
        talk = _memory(length, _TALK_MEMORY, rng)
        appeal = _standardised_appeal(config.appeal)[activity]
        picture = np.sqrt(1 - _INTENSITY_SHARE) * appeal + np.sqrt(_INTENSITY_SHARE) * intensity
        liking = streamer.taste[activity]
        known = (
            np.sqrt(_POPULARITY_SHARE) * streamer.popularity
            + np.sqrt(1 - _POPULARITY_SHARE) * liking
        )
        logit = config.mean_logit + config.logit_spread * (
            np.sqrt(config.picture_share) * picture
            + np.sqrt(config.text_share) * talk
            + np.sqrt(config.streamer_share) * known
        )
        ctr = 1 / (1 + np.exp(-logit))
        size = rng.lognormal(np.log(config.median_viewers), config.viewer_spread)
        viewers = rng.poisson(size * np.exp(0.2 * _memory(length, 0.8, rng)))
        return RoomTruth(
            room_id=f"room-{number:05d}",
            streamer=streamer,
            activity=activity,
            intensity=intensity,
            talk=talk,
            picture_part=picture,
            streamer_part=known,
            ctr=ctr,
            chatter=_memory(length, 0.5, self.rng(number, 6)),
            viewers=viewers,
            clicks=rng.binomial(viewers, ctr),
            min_viewers=config.min_viewers,
        )

    def counts(self, truth: RoomTruth, number: int) -> NDArray[np.float32]:
        """(S, 8) what the platform counts, columns as `COUNT_NAMES`; noisy, as its logs are."""
        rng = self.rng(number, 1)
        moved = np.exp(0.2 * truth.excitement + 0.6 * rng.normal(size=len(truth)))
        rates: tuple[tuple[float, Any], ...] = (
            (0.030, truth.comment_rate),  # comments
            (0.004, moved),  # gifts
            (0.060, moved),  # likes
            (0.002, 1.0),  # follows
            (0.2, 1.0),  # enters
            (0.2, np.exp(-0.1 * truth.excitement)),  # exits
        )
        columns = [truth.viewers, truth.clicks]
        columns += [rng.poisson(rate * factor * truth.viewers) for rate, factor in rates]
        return np.stack(columns, 1).astype(np.float32)


def _time_shares() -> Floats:
    """(A,) how much of the time each activity is on."""
    time = _FREQUENCY * _MEAN_SEGMENTS
    shares: Floats = time / time.sum()
    return shares


def _standardised_appeal(worth: tuple[float, ...]) -> Floats:
    shares, values = _time_shares(), np.array(worth)
    centred = values - (shares * values).sum()
    appeal: Floats = centred / np.sqrt((shares * centred**2).sum())
    return appeal


def _programme(length: int, rng: np.random.Generator) -> Integers:
    """(S,) activities, each on for a geometric number of segments, begun anywhere in one."""
    programme: list[int] = []
    while len(programme) < length:
        chosen = int(rng.choice(len(ACTIVITIES), p=_FREQUENCY))
        programme += [chosen] * int(rng.geometric(1 / _MEAN_SEGMENTS[chosen]))
    return np.array(programme[:length], np.int64)


def _memory(length: int, memory: float, rng: np.random.Generator) -> Floats:
    """(S,) a stationary series of variance 1 whose neighbours correlate by `memory`."""
    series = rng.normal(size=length)
    for at in range(1, length):
        series[at] = memory * series[at - 1] + np.sqrt(1 - memory**2) * series[at]
    return series


def _standardised(values: Floats) -> Floats:
    if len(values) < 2:
        return values
    standardised: Floats = (values - values.mean()) / values.std()
    return standardised
