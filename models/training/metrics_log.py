"""What a run measured, line by line: JSONL always, TensorBoard when it is installed."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any


class MetricsLog:
    """Writes `metrics.jsonl`; what a resumed run will measure again is taken out first.

    Args:
        folder: where the file lies.
        after_step, epoch: where the run goes on, after so many steps, in that epoch; 0 from the
            start.
    """

    def __init__(self, folder: Path, after_step: int = 0, epoch: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        former = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in former if _is_measured(line, after_step, epoch)]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._board: Any = None
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()

    def write(self, step: int, **values: float | int | None) -> None:
        """One line of figures that belong to a step; null where one is undefined."""
        values = defined(values)
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if value is not None:
                    self._board.add_scalar(name, value, step)


def defined(figures: Mapping[str, float | int | None]) -> dict[str, float | int | None]:
    """The figures, None in the place of NaN and infinity, which JSON cannot hold."""
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in figures.items()
    }


def _is_measured(line: str, after_step: int, epoch: int) -> bool:
    """Whether a line tells of what lies before the step and the epoch where a run goes on."""
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return False  # a crash cut it off
    # The last step of an epoch is over before the epoch is judged.
    return bool(fields["step"] <= after_step and fields.get("epoch", -1) < epoch)
