"""What is in a log, and what is wrong with it: `limelight log inspect`."""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field
from typing import Any

from limelight.replay.feature_log.catalogue import open_parquet
from limelight.replay.feature_log.errors import MalformedLog
from limelight.replay.feature_log.labels import LabelReport
from limelight.replay.feature_log.names import COMPACTED, shown_hour
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.feature_log.rows import HOUR_MS
from limelight.replay.feature_log.schema import SCHEMAS, described

# Hours so far from all others, with so small a share of the rows, come from a wrong clock.
_FAR_HOURS, _FAR_SHARE = 7 * 24, 0.01


@dataclass(slots=True)
class DatasetSummary:
    """One dataset; `far_hours` are those that a wrong clock seems to have made."""

    files: int = 0
    compacted_files: int = 0
    size_bytes: int = 0
    rows: int = 0
    hours: int = 0
    first_hour: str = ""
    last_hour: str = ""
    far_hours: list[str] = field(default_factory=list)
    schema_versions: list[int] = field(default_factory=list)
    # By partition: offsets that no file has between those that one has, and the next to be written.
    missing_offsets: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    next_offsets: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Inspection:
    """A log's contents; `problems` are files that cannot be read, `leftovers` unfinished ones."""

    root: str
    datasets: dict[str, DatasetSummary] = field(default_factory=dict)
    rooms: int = 0
    encoders: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    shadow_models: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def inspect(log: FeatureLog) -> Inspection:
    """Read all of a log but its features and texts.

    A file that cannot be read is one of the problems, and stays out of the rest.
    """
    found = log.files.found
    result = Inspection(root=log.root, leftovers=list(found.leftovers))
    unreadable = _check_files(log, result)
    if unreadable:
        files = tuple(file for file in found.files if file.path not in unreadable)
        log.files.found = type(found)(files, found.leftovers)
    rows: dict[str, Counter[int]] = {dataset: Counter() for dataset in SCHEMAS}
    rooms: set[str] = set()
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for dataset in SCHEMAS:
        for table in log.files.rows(dataset, -(2**62), 2**62, ("start_ms", *_COUNTED[dataset])):
            rows[dataset][int(table["start_ms"][0].as_py()) // HOUR_MS] += len(table)
            rooms.update(table["room_id"].unique().to_pylist())
            for name, columns in _NAMED[dataset].items():
                for values in zip(*(table[each].to_pylist() for each in columns), strict=True):
                    if values[0] is not None:
                        counts[name][" ".join(values)] += 1
    result.rooms = len(rooms)
    result.encoders, result.models, result.shadow_models = (
        dict(sorted(counts[name].items())) for name in ("encoders", "models", "shadow_models")
    )
    for dataset, by_hour in rows.items():
        _summarise(result.datasets[dataset], by_hour)
    if rows["segments"]:
        report: LabelReport = log.label_report(
            min(rows["segments"]) * HOUR_MS, (max(rows["segments"]) + 1) * HOUR_MS
        )
        result.labels = {"segments": report.segments, **asdict(report)}
    return result


_NAMED: dict[str, dict[str, tuple[str, ...]]] = {
    "segments": {"encoders": ("encoder_id", "encoder_revision")},
    "scores": {"models": ("model_version",), "shadow_models": ("shadow_model_version",)},
    "engagement": {},
}
_COUNTED = {
    dataset: ("room_id", *(column for columns in named.values() for column in columns))
    for dataset, named in _NAMED.items()
}


def _check_files(log: FeatureLog, result: Inspection) -> set[str]:
    """Count the files, and read each one's own description; gives those that cannot be read."""
    found, store = log.files.found, log.files.store
    unreadable = set()
    versions: defaultdict[str, set[int]] = defaultdict(set)
    result.datasets = {dataset: DatasetSummary() for dataset in SCHEMAS}
    for file in found.files:
        summary = result.datasets[file.dataset]
        summary.files += 1
        summary.compacted_files += file.kind == COMPACTED
        summary.size_bytes += file.size_bytes
        try:
            with open_parquet(store, file.path) as opened:
                about = described(opened, store.full(file.path))
            versions[file.dataset].add(about["schema_version"])
        except MalformedLog as error:
            result.problems.append(str(error))
            unreadable.add(file.path)
    for (dataset, partition), offsets in sorted(found.written.items()):
        summary = result.datasets[dataset]
        summary.schema_versions = sorted(versions[dataset])
        summary.next_offsets[partition] = offsets.end
        if holes := offsets.holes():
            summary.missing_offsets[partition] = list(holes)
    return unreadable


def _summarise(summary: DatasetSummary, by_hour: Counter[int]) -> None:
    summary.rows, summary.hours = by_hour.total(), len(by_hour)
    if by_hour:
        far = far_hours(by_hour)
        near = [hour for hour in by_hour if hour not in far]
        summary.first_hour, summary.last_hour = shown_hour(min(near)), shown_hour(max(near))
        summary.far_hours = [shown_hour(hour) for hour in sorted(far)]


def far_hours(by_hour: Counter[int]) -> set[int]:
    """Hours that stand alone: few rows, days away from all others."""
    groups: list[list[int]] = []
    for hour in sorted(by_hour):
        if groups and hour - groups[-1][-1] <= _FAR_HOURS:
            groups[-1].append(hour)
        else:
            groups.append([hour])
    enough = _FAR_SHARE * by_hour.total()
    return {
        hour
        for group in groups
        if len(groups) > 1 and sum(by_hour[hour] for hour in group) < enough
        for hour in group
    }
