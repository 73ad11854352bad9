"""Where a run stands, in `run.json` of its folder: what a run that was killed goes on from."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

Stage = Literal["collect", "notice", "train", "judge", "register", "shadow", "decide", "ended"]
Outcome = Literal["promoted", "rejected", "skipped", "failed", "abandoned"]
STATE = "run.json"


class RunState(BaseModel):
    """What `run.json` holds; times in ms."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    source: str
    until_ms: int
    stage: Stage = "collect"
    # The version that serves; `pointer` is what the registry says, None for the settings' network.
    champion: str = ""
    pointer: str | None = None
    candidate: str = ""
    cuts: tuple[int, int, int, int] | None = None
    shadow_from_ms: int | None = None
    failures: int = 0
    outcome: Outcome | None = None
    reason: str = ""


def begin(work: Path, source: str, until_ms: int, now_ms: int) -> Path:
    """The folder of a new run."""
    started = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    folder = work / "runs" / started
    number = 1
    while folder.exists():
        number += 1
        folder = work / "runs" / f"{started}-{number}"
    folder.mkdir(parents=True)
    save_state(folder, RunState(id=folder.name, source=source, until_ms=until_ms))
    return folder


def unfinished(work: Path) -> Path | None:
    """The folder of the run that has not come to its end, None if all have."""
    for path in sorted((work / "runs").glob(f"*/{STATE}"), reverse=True):
        if load_state(path.parent).stage != "ended":
            return path.parent
    return None


def load_state(folder: Path) -> RunState:
    """
    Raises:
        ValueError: no state of a run; the text names the file.
        OSError: it cannot be read.
    """
    try:
        return RunState.model_validate_json((folder / STATE).read_bytes())
    except ValidationError as error:
        raise ValueError(
            f"{folder / STATE}: found {error.errors(include_url=False)[0]['msg']}, expected the"
            " state of a run; no other run begins while its folder is there"
        ) from error


def save_state(folder: Path, state: RunState) -> None:
    part = folder / f"{STATE}.part"
    with part.open("w") as file:
        file.write(state.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(folder / STATE)
