"""What the engine answers about a window."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from limelight.engine.window import Window


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why the number decided on is what it is, in terms that a person can look up in the room.

    `modality_shares` sum to 1, or are all 0 if no modality raised the number; empty where they
    were not asked for. `key_frame_ms` is None for a segment without a picture. `speech` is what was
    said in the segment, its beginning if that is long.
    """

    modality_shares: Mapping[str, float]
    strongest_comments: tuple[str, ...]
    key_frame_ms: int | None
    comment_count: int
    speech: str = ""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the challenger makes of the same segment; nothing is decided by it."""

    model_version: str
    ctr: float


@dataclass(frozen=True, slots=True)
class Score:
    """A room's newest segment, scored.

    `ctr` is the network's click-through rate and `energy` the room's comment energy, both in
    [0, 1]. `decision` is the one of them that `decided_by` names: the network's once it was
    trained, else the energy. `comment_lag_ms` says how far comments run behind the picture, where
    that shows; it is worked out for every tenth segment. `shadow` is there while a challenger is.
    """

    room_id: str
    streamer_id: str
    room_started_ms: int | None
    segment_index: int
    start_ms: int
    end_ms: int
    ctr: float
    energy: float
    decided_by: Literal["energy", "network"]
    decision: float
    model_version: str
    reasons: Reasons
    final: bool
    comment_lag_ms: int | None = None
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A window that cannot be scored, and why: what was found, what was expected."""

    window: Window
    reason: str
