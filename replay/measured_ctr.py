"""What viewers did: a recording's clicks an impression, segment by segment, and why if known."""

from collections import defaultdict

from limelight.replay.readers.csv_rows import csv_rows
from limelight.replay.readers.timestamps import whole_ms
from limelight.replay.recording import Recording

TRUTH_NAME = "truth.csv"


def measured_ctrs(
    recording: Recording, segment_ms: int, *, min_impressions: int = 1
) -> dict[int, float]:
    """The CTR of each segment that has one, by the segment's start in ms since the recording's.

    Impressions and clicks count for the segment in which the middle of their interval lies.
    A segment of fewer than `min_impressions`, or of more clicks than impressions, has none.

    Raises:
        MalformedRecording: the engagement cannot be read.
    """
    totals: defaultdict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for line in recording.read_engagement():
        if not {"impressions", "clicks"} <= line.counts.keys():
            continue
        middle_ms = (line.start_ms + line.end_ms) // 2
        total = totals[middle_ms // segment_ms * segment_ms]
        total[0] += line.counts["impressions"]
        total[1] += line.counts["clicks"]
    return {
        start_ms: clicks / impressions
        for start_ms, (impressions, clicks) in sorted(totals.items())
        if impressions >= max(1, min_impressions) and clicks <= impressions
    }


def true_ctrs(recording: Recording) -> dict[int, float]:
    """The CTR that clicks were drawn from, by the segment's start; only simulated rooms have one.

    Raises:
        MalformedRecording: `truth.csv` is not what the simulator writes.
    """
    path = recording.folder / TRUTH_NAME
    if not path.is_file():
        return {}
    rows = csv_rows(path)
    place, header = next(rows)
    if not {"start_ms", "ctr"} <= set(header):
        raise place.malformed_value(list(header), "columns start_ms and ctr")
    found = {}
    for place, row in rows:
        try:
            found[whole_ms(place, row["start_ms"])] = float(row["ctr"])
        except ValueError as error:
            raise place.malformed_value(row["ctr"], "a number") from error
    return found
