"""Topic queues: which videos of a topic are offered, in what order, and to whom.

Source: Pu et al., section III-B1.
"""

from collections import Counter, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

# N1, N2 and N3.
RECENT_CLICKS = 128
TOP_TOPICS = 4
CANDIDATES = 600

Video = TypeVar("Video", bound=Hashable)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """The paper's thresholds.

    Args:
        least_exposures: tau 1; a video shown less often is fresh.
        least_ctr: tau 2; a video shown often enough that is clicked less is dropped.
        fresh_share: of all videos that stay in a queue, so many are fresh ones.
    """

    least_exposures: int = 10
    least_ctr: float = 0.07
    fresh_share: float = 0.1

    def __post_init__(self) -> None:
        if self.least_exposures < 0 or not 0 <= self.fresh_share < 1:
            raise ValueError(
                f"least_exposures, fresh_share: found {self.least_exposures}, {self.fresh_share},"
                " expected 0 or more, and 0 to below 1"
            )


@dataclass(slots=True)
class _Counts:
    exposures: int = 0
    clicks: int = 0

    @property
    def ctr(self) -> float:
        return self.clicks / self.exposures if self.exposures else 0.0


@dataclass(slots=True)
class TopicQueues(Generic[Video]):
    """K queues of videos that are counted and ranked as impressions and clicks arrive.

    The paper deletes "videos whose exposure times and click-through rate are less than the
    thresholds" and keeps some fresh ones at random. Read here as: a video with at least tau 1
    exposures stays while its CTR is at least tau 2; one with fewer is fresh, and fresh ones drawn
    at random fill a tenth of the queue (rounded up, so that a topic of fresh videos alone offers
    some). A queue is in the order of CTR, then exposures, then arrival; fresh ones have the CTR
    they have, 0 at first.
    """

    settings: QueueSettings = field(default_factory=QueueSettings)
    seed: int = 0
    _members: dict[int, dict[Video, None]] = field(default_factory=dict)
    _counts: dict[Video, _Counts] = field(default_factory=dict)

    def add(self, video: Video, topics: Iterable[int]) -> None:
        """Put a video into the queues of its topics; a second time adds what is new."""
        self._counts.setdefault(video, _Counts())
        for topic in topics:
            self._members.setdefault(topic, {})[video] = None

    def expose(self, video: Video, *, clicked: bool) -> None:
        """Count one impression; the queues' order follows at once.

        Raises:
            ValueError: a video that was never added.
        """
        if video not in self._counts:
            raise ValueError(f"video: found {video!r}, expected one that was added")
        counts = self._counts[video]
        counts.exposures += 1
        counts.clicks += clicked

    def queue(self, topic: int) -> list[Video]:
        """The videos of a topic as they stand now, the best first; none for an unknown topic."""
        members = list(self._members.get(topic, ()))
        least = self.settings.least_exposures
        fresh = [each for each in members if self._counts[each].exposures < least]
        kept = [
            each
            for each in members
            if self._counts[each].exposures >= least
            and self._counts[each].ctr >= self.settings.least_ctr
        ]
        share = self.settings.fresh_share
        # f of (k + f) videos are fresh: f = k * share / (1 - share), at least one.
        wanted = max(1, -int(-len(kept) * share // (1 - share))) if share else 0
        if wanted < len(fresh):
            # The same ones until the queue's make-up changes, whoever asks.
            rng = np.random.default_rng([self.seed, topic, len(kept), len(fresh)])
            fresh = [fresh[at] for at in sorted(rng.permutation(len(fresh))[:wanted].tolist())]
        kept += fresh if share else []
        return sorted(kept, key=self._rank)

    def _rank(self, video: Video) -> tuple[float, int]:
        counts = self._counts[video]
        return -counts.ctr, -counts.exposures


@dataclass(frozen=True, slots=True)
class RecallSettings:
    """N1 clicked videos are looked at, of their topics the N2 most frequent are used, for N3
    candidates.
    """

    recent_clicks: int = RECENT_CLICKS
    topics: int = TOP_TOPICS
    candidates: int = CANDIDATES

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected at least 1")


class RecentTopics:
    """The topics of one user's latest N1 clicked videos, counted as clicks arrive."""

    def __init__(self, recent_clicks: int = RECENT_CLICKS) -> None:
        self._clicked: deque[tuple[int, ...]] = deque()
        self._recent_clicks = recent_clicks
        self._counts: Counter[int] = Counter()

    def click(self, topics: Iterable[int]) -> None:
        """The user clicked on a video of these topics."""
        self._clicked.append(tuple(topics))
        self._counts.update(self._clicked[-1])
        if len(self._clicked) > self._recent_clicks:
            self._counts.subtract(self._clicked.popleft())

    def top(self, count: int = TOP_TOPICS) -> list[int]:
        """The most frequent topics, at most `count`, equals by their number."""
        seen = [(-number, topic) for topic, number in self._counts.items() if number > 0]
        return [topic for _, topic in sorted(seen)[:count]]


def recall(
    recent: RecentTopics,
    queues: TopicQueues[Video],
    settings: RecallSettings | None = None,
) -> list[Video]:
    """At most N3 candidates for a user, each once; none for a user without clicks.

    The queues of the user's top topics take turns, the most frequent topic first, each giving its
    best video that was not taken yet: the paper says no more than "according to the ranking".
    """
    settings = settings or RecallSettings()
    lists: Sequence[list[Video]] = [queues.queue(topic) for topic in recent.top(settings.topics)]
    found: dict[Video, None] = {}
    for place in range(max((len(each) for each in lists), default=0)):
        for videos in lists:
            if place < len(videos) and len(found) < settings.candidates:
                found.setdefault(videos[place])
    return list(found)
