"""What the name of a file of the log says.

segments/date=2026-01-01/hour=07/windows-p00003-o000000000100-000000000199-1of2.parquet

holds every row of that hour which offsets 100 to 199 of partition 3 of `windows` gave; another hour
has the second part of the two.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.feature_log.schema import TOPICS
from limelight.replay.store import UNFINISHED

COMPACTED, PRUNED = "compacted", "pruned"
_FLUSHED = re.compile(r"([a-z-]+)-p(\d+)-o(\d+)-(\d+)-(\d+)of(\d+)\.parquet")
_FOLDER = re.compile(r"date=(\d{4}-\d\d-\d\d)/hour=(\d\d)")


@dataclass(frozen=True, slots=True)
class FlushedName:
    """A range of offsets, `first` to before `end`, of which this is one of `parts` files."""

    dataset: str
    partition: int
    first: int
    end: int
    part: int
    parts: int

    def path(self, hour: int) -> str:
        name = (
            f"{TOPICS[self.dataset]}-p{self.partition:05}-o{self.first:012}-{self.end - 1:012}"
            f"-{self.part}of{self.parts}.parquet"
        )
        return f"{self.dataset}/{hour_folder(hour)}/{name}"


def flushed_name(path: str) -> FlushedName | None:
    """What a path says, None for a file that no flush wrote. A name that is unfinished counts."""
    dataset, _, rest = path.partition("/")
    name = rest.rpartition("/")[2]
    if name.endswith(UNFINISHED):
        name = name.removesuffix(UNFINISHED).rpartition(".")[0]
    found = _FLUSHED.fullmatch(name)
    if found is None or TOPICS.get(dataset) != found[1]:
        return None
    partition, first, last, part, parts = map(int, found.groups()[1:])
    return FlushedName(dataset, partition, first, last + 1, part, parts)


def hour_folder(hour: int) -> str:
    """The folder of an hour, counted since 1970."""
    return datetime.fromtimestamp(hour * HOUR_MS // 1000, UTC).strftime("date=%Y-%m-%d/hour=%H")


def hour_of(path: str) -> int | None:
    """The hour of a file's folder; None for a file that lies in none."""
    found = _FOLDER.search(path)
    if found is None:
        return None
    try:
        day = datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(day.timestamp()) * 1000 // HOUR_MS


def shown_hour(hour: int) -> str:
    return datetime.fromtimestamp(hour * HOUR_MS // 1000, UTC).strftime("%Y-%m-%d %H:00")
