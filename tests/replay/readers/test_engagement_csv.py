from pathlib import Path

import pytest

from limelight.replay.readers.engagement_csv import read_engagement_csv
from limelight.replay.readers.lines import EngagementLine
from limelight.replay.readers.malformed import MalformedRecording


def read(tmp_path: Path, content: str) -> list[EngagementLine]:
    file = tmp_path / "engagement.csv"
    file.write_text(content, encoding="utf-8", newline="")
    return list(read_engagement_csv(file))


def test_events_are_read(tmp_path: Path) -> None:
    lines = read(tmp_path, "time_ms,kind,amount\r\n52000,superchat,50.0\r\n141000,gift,1\r\n")
    assert lines == [
        EngagementLine(52_000, 52_000, {"superchat": 50.0}),
        EngagementLine(141_000, 141_000, {"gift": 1.0}),
    ]


def test_intervals_are_read_and_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    lines = read(tmp_path, "start_ms,end_ms,impressions,clicks\n0,30000,100,7\n30000,60000,90,\n")
    assert lines == [
        EngagementLine(0, 30_000, {"impressions": 100.0, "clicks": 7.0}),
        EngagementLine(30_000, 60_000, {"impressions": 90.0}),
    ]


EVENTS = "time_ms,kind,amount\n"
INTERVALS = "start_ms,end_ms,clicks\n"


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("start_ms,end_ms\n", "line 1: .*expected time_ms,kind,amount or start_ms,end_ms and any"),
        ("start_ms,end_ms,clicks,shares\n", "line 1: found .*shares"),
        (EVENTS + "1,gift,nan\n", "line 2: found 'nan', expected a finite number"),
        (EVENTS + "1,gift,-1\n", "line 2: found '-1', expected a finite number from 0"),
        (EVENTS + "1,gift,\n", "line 2: found '', expected a number"),
        (EVENTS + "1,Big Gift,1\n", "line 2: found 'Big Gift', expected a kind"),
        (EVENTS + "-1,gift,1\n", "line 2: found '-1'"),
        (INTERVALS + "5,4,1\n", "line 2: found an end at 4 ms"),
        (INTERVALS + "5,6\n", "line 2: found 2 cells"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: str, error: str) -> None:
    with pytest.raises(MalformedRecording, match=error):
        read(tmp_path, content)


@pytest.mark.shared_data
def test_the_real_file_gives_every_event(shared_data: Path) -> None:
    file = shared_data / "bilibili-live-room" / "engagement.csv"
    rows = [line.split(",") for line in file.read_text().split()[1:]]
    lines = list(read_engagement_csv(file))
    assert len(lines) == 52
    assert [(line.start_ms, *line.counts.items()) for line in lines] == [
        (int(time_ms), (kind, float(amount))) for time_ms, kind, amount in rows
    ]
