"""What a run measured, line by line: JSONL always, TensorBoard when it is installed."""

import json
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any


class MetricsLog:
    """Writes `metrics.jsonl`; what a resumed run will measure again is taken out first."""

    def __init__(self, folder: Path, after_step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        former = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in former if json.loads(line)["step"] <= after_step]
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
        """One line of figures that belong to a step."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if value is not None:
                    self._board.add_scalar(name, value, step)
