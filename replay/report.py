"""`report.html`: one self-contained page with each room's curves and its highlights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limelight.engine.score import Score
from limelight.replay.demo_state import DemoState
from limelight.replay.enrichment.shown import Offer, offer
from limelight.replay.frames import read_frames
from limelight.replay.page import clock, jpeg_url, round_top, template, tick_ms
from limelight.replay.recording import Recording

CHART_WIDTH, CHART_HEIGHT = 1000, 220
COMMENTS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Band:
    """A highlight as a stretch of the chart, in chart units."""

    x: float
    width: float
    label: str


@dataclass(frozen=True, slots=True)
class Card:
    """One highlight for people: when, why, what it looked like and what was said."""

    label: str
    start: str
    end: str
    state: str
    reason: str
    picture: str | None
    comments: list[str]
    offer: Offer | None


@dataclass(frozen=True, slots=True)
class RoomChart:
    """Everything the template draws of one room."""

    recording: Recording
    ctr: str
    measured: str
    true: str
    top_ctr: float
    tau: float | None
    comment_lag_ms: int | None
    energy: str
    bars: list[tuple[float, float, float]]
    bands: list[Band]
    cards: list[Card]
    ticks: list[tuple[float, str]]
    trained: bool
    most_comments: int


def write_report(
    recordings: Sequence[Recording],
    state: DemoState,
    out_dir: Path,
    *,
    base_ms: int,
    segment_ms: int,
) -> Path:
    """Write the page about recordings that were played from `base_ms` on, and give its path."""
    page = template("report.html.j2").render(
        rooms=[_chart(recording, state, out_dir, base_ms, segment_ms) for recording in recordings],
        summary=state.summary(),
        width=CHART_WIDTH,
        height=CHART_HEIGHT,
    )
    path = out_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _chart(
    recording: Recording, state: DemoState, out_dir: Path, base_ms: int, segment_ms: int
) -> RoomChart:
    room = state.rooms[recording.room_id]
    scores = [room.scores[index] for index in sorted(room.scores)]
    start_ms = scores[0].start_ms if scores else base_ms
    span_ms = max(1, (scores[-1].end_ms if scores else base_ms + segment_ms) - start_ms)

    def x(time_ms: float) -> float:
        return round((time_ms - start_ms) / span_ms * CHART_WIDTH, 1)

    def line(values: list[tuple[int, float]]) -> str:
        return " ".join(f"{x(t)},{round((1 - v) * CHART_HEIGHT, 1)}" for t, v in values)

    known_ctrs = [*(score.ctr for score in scores), *room.measured.values(), *room.true.values()]
    top_ctr = round_top(known_ctrs)

    def known(ctrs: dict[int, float]) -> str:
        """The line of CTRs by their segment's start."""
        there = [score for score in scores if score.start_ms in ctrs]
        return line([(score.end_ms, ctrs[score.start_ms] / top_ctr) for score in there])

    most = max((score.reasons.comment_count for score in scores), default=0)
    highlights = sorted(room.highlights.values(), key=lambda event: event["data"]["start_ms"])
    return RoomChart(
        recording=recording,
        ctr=line([(score.end_ms, score.ctr / top_ctr) for score in scores]),
        measured=known(room.measured),
        true=known(room.true),
        top_ctr=top_ctr,
        tau=room.tau,
        comment_lag_ms=room.comment_lag_ms,
        energy=line([(score.end_ms, score.energy) for score in scores]),
        bars=[_bar(score, x, most) for score in scores],
        bands=[
            Band(
                x(event["data"]["start_ms"]),
                round(x(event["data"]["end_ms"]) - x(event["data"]["start_ms"]), 1),
                f"H{number}",
            )
            for number, event in enumerate(highlights, start=1)
        ],
        cards=_cards(recording, highlights, out_dir, base_ms),
        ticks=[
            (x(t), clock(t - base_ms))
            for t in range(base_ms, start_ms + span_ms, tick_ms(span_ms))
            if t >= start_ms
        ],
        trained=any(score.decided_by == "network" for score in scores),
        most_comments=most,
    )


def _bar(score: Score, x: Any, most: int) -> tuple[float, float, float]:
    """x, width and height of a segment's comment bar; at most a third of the chart."""
    height = score.reasons.comment_count / most * CHART_HEIGHT / 3 if most else 0.0
    return x(score.start_ms), round(x(score.end_ms) - x(score.start_ms), 1), round(height, 1)


def _cards(
    recording: Recording, highlights: list[dict[str, Any]], out_dir: Path, base_ms: int
) -> list[Card]:
    pictures = _key_frames(recording, highlights, base_ms)
    cards = []
    for number, event in enumerate(highlights, start=1):
        data = event["data"]
        enrichment = data.get("enrichment")
        cards.append(
            Card(
                label=f"H{number}",
                start=clock(data["start_ms"] - base_ms),
                end=clock(data["end_ms"] - base_ms),
                state=data["kind"],
                reason=data["reason"],
                picture=pictures.get(event["subject"]),
                comments=_comments(recording, data["peak"]["start_ms"] - base_ms),
                offer=offer(enrichment, out_dir) if enrichment else None,
            )
        )
    return cards


def _comments(recording: Recording, peak_offset_ms: int) -> list[str]:
    """The first comments from the peak segment's start on."""
    lines = sorted(
        (line for line in recording.read_comments() if line.offset_ms >= peak_offset_ms),
        key=lambda line: line.offset_ms,
    )
    return [f"{clock(line.offset_ms)}  {line.text}" for line in lines[:COMMENTS_SHOWN]]


def _key_frames(
    recording: Recording, highlights: list[dict[str, Any]], base_ms: int
) -> dict[str, str]:
    """The peak's key frame of each highlight as a data URL, by highlight id."""
    if recording.video is None:
        return {}
    wanted = {
        event["data"]["peak"]["key_frame_ms"] - base_ms - recording.video.offset_ms: event[
            "subject"
        ]
        for event in highlights
        if event["data"]["peak"]["key_frame_ms"] is not None
    }
    pictures = {}
    for frame in read_frames(recording.video.path, sorted(wanted), loop=recording.video.loop):
        pictures[wanted[frame.offset_ms]] = jpeg_url(frame.image)
    return pictures
