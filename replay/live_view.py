"""The demo's live table: one row a room, redrawn a few times a second."""

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from limelight.replay.demo_state import DemoState
from limelight.replay.recording import Recording


class LiveView:
    """A context manager that shows `state` while it changes."""

    def __init__(
        self,
        console: Console,
        recordings: Sequence[Recording],
        state: DemoState,
        base_ms: int,
        speed: float,
    ) -> None:
        self._recordings = recordings
        self._state = state
        self._base_ms = base_ms
        self._speed = speed
        self._offset_ms = 0
        self._duration_ms = max(recording.duration_ms for recording in recordings)
        self._live = Live(
            get_renderable=self._render, console=console, refresh_per_second=4, transient=False
        )

    def __enter__(self) -> "LiveView":
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, traceback)

    def advance(self, offset_ms: int) -> None:
        self._offset_ms = offset_ms

    def _render(self) -> RenderableType:
        rooms = self._state.rooms
        table = Table(pad_edge=False)
        table.add_column("room", overflow="fold")
        for name in ("at", "ctr", "clicked", "energy", "decides", "highlights", "to score"):
            table.add_column(name, justify="right", no_wrap=True)
        for recording in self._recordings:
            table.add_row(*self._row(recording.room_id))
        bar = ProgressBar(total=self._duration_ms, completed=self._offset_ms, width=40)
        pace = f"at {self._speed:g}x" if self._speed else "as fast as possible"
        place = Text(f"{_clock(self._offset_ms)} of {_clock(self._duration_ms)} {pace}")
        # Whatever an untrained network says, it must not look like a prediction.
        trained = any(
            room.newest and room.newest.decided_by == "network" for room in rooms.values()
        )
        remark = "ctr: predicted; clicked: what viewers did, clicks an impression"
        if not trained:
            remark = "ctr: output of an untrained network, no prediction"
        return Group(table, Text(remark, style="dim"), bar, place)

    def _row(self, room_id: str) -> list[str]:
        room = self._state.rooms[room_id]
        score = room.newest
        if score is None:
            return [room_id, "waiting", "", "", "", "", "", ""]
        clicked = room.measured.get(score.start_ms)
        is_open = any(e["data"]["kind"] in ("opened", "updated") for e in room.highlights.values())
        return [
            room_id,
            _clock(score.start_ms - self._base_ms),
            f"{score.ctr:.3f}",
            "" if clicked is None else f"{clicked:.3f}",
            f"{score.energy:.3f}",
            score.decided_by,
            f"{len(room.highlights)}{' (on)' if is_open else ''}",
            f"{room.latency_ms} ms",
        ]


def _clock(offset_ms: int) -> str:
    minutes, seconds = divmod(offset_ms // 1000, 60)
    return f"{minutes}:{seconds:02d}"
