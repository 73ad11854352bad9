"""A log read as rooms to learn from."""

from pathlib import Path

import numpy as np
import pytest

from limelight.replay.feature_log.compaction import compact
from limelight.replay.feature_log.errors import EmptyInterval, MalformedLog, MixedEncoders
from limelight.replay.feature_log.labels import LabelReport
from limelight.replay.feature_log.reading import FeatureLog, LoggedRoom
from limelight.replay.store import Store
from tests.replay.feature_log.logs import write
from tests.replay.feature_log.records import (
    ENCODER,
    SEGMENT_MS,
    START_MS,
    engagement_record,
    feature_of,
    window_record,
)

HOUR = 120  # segments
END_MS = START_MS + 3 * HOUR * SEGMENT_MS


def at_ms(index: int) -> int:
    return START_MS + index * SEGMENT_MS


def windows(room_id: str, indices: range, first_offset: int = 0, **options) -> list:
    return [
        window_record(room_id, index, first_offset + at, **options)
        for at, index in enumerate(indices)
    ]


def engagements(room_id: str, indices: range, first_offset: int = 0, **options) -> list:
    return [
        engagement_record(room_id, index, first_offset + at, **options)
        for at, index in enumerate(indices)
    ]


def rooms_of(root: Path, start_ms=START_MS, end_ms=END_MS, **options) -> list[LoggedRoom]:
    log = FeatureLog(root, label_delay_s=60)
    return list(log.rooms(start_ms, end_ms, **options))


@pytest.mark.parametrize("compacted", [False, True])
def test_a_room_comes_back_as_it_was_served_with_its_labels(tmp_path: Path, compacted) -> None:
    indices = range(100, 150)  # over the hour's end
    write(str(tmp_path), windows("room", indices), flush_every=7)
    write(str(tmp_path), engagements("room", range(100, 148)), flush_every=9)
    if compacted:
        compact(Store(tmp_path), settle_hours=-1)
    report = LabelReport()
    (room,) = rooms_of(tmp_path, report=report)
    assert (room.room_id, room.streamer_id) == ("room", "streamer of room")
    assert room.segment_indices.tolist() == list(indices)
    assert room.start_ms.tolist() == [at_ms(index) for index in indices]
    assert np.array_equal(room.frame_features, [feature_of("room", index) for index in indices])
    assert room.present.tolist() == [[True, bool(index % 3 or index % 2)] for index in indices]
    assert room.texts[1] == ("room speaks 101", ("666", "a 101"))
    # The last record ends with segment 147; 60 s before that is the end of segment 145.
    expected = [index % 10 / 100 if index <= 145 else np.nan for index in indices]
    assert room.ctr == pytest.approx(expected, nan_ok=True)
    assert room.counts[:48, 0].tolist() == [100] * 48
    assert report == LabelReport(labelled=46, too_early=4, engagement=48)


class Lengths:
    """A text encoder whose feature is how much text there is."""

    feature_size = 2

    def encode(self, texts):
        return np.array([[len(speech), len(comments)] for speech, comments in texts], np.float32)


def test_the_form_that_training_reads_has_encoded_texts(tmp_path: Path) -> None:
    write(str(tmp_path), [*windows("room", range(6)), *engagements("room", range(9))])
    (logged,) = rooms_of(tmp_path)
    room = logged.labelled(Lengths())
    assert room.text_features.tolist() == [[0, 0], [13, 2], [13, 0], [0, 2], [13, 0], [13, 2]]
    assert room.present[:, 1].tolist() == [False, True, True, True, True, True]
    assert np.array_equal(room.ctr, logged.ctr)
    assert len(room) == 6


def test_gaps_split_a_room_and_repeated_segments_count_once(tmp_path: Path) -> None:
    sent = [*windows("a", range(3)), *windows("a", range(1, 3), 3), *windows("a", range(5, 7), 5)]
    sent += windows("b", range(4), 7)
    sent += windows("c", range(3), partition=2)
    write(str(tmp_path), sent, flush_every=4)
    report = LabelReport()
    found = sorted(
        (room.room_id, room.segment_indices.tolist()) for room in rooms_of(tmp_path, report=report)
    )
    assert found == [("a", [0, 1, 2]), ("a", [5, 6]), ("b", [0, 1, 2, 3]), ("c", [0, 1, 2])]
    assert (report.repeated, report.too_early, report.segments) == (2, 12, 12)


def test_only_segments_that_start_in_the_time_are_read(tmp_path: Path) -> None:
    write(str(tmp_path), [*windows("room", range(10)), *engagements("room", range(20))])
    (room,) = rooms_of(tmp_path, at_ms(3), at_ms(7))
    assert room.segment_indices.tolist() == [3, 4, 5, 6]
    assert not np.isnan(room.ctr).any()
    pieces = rooms_of(tmp_path, at_ms(3), at_ms(8), max_segments=2)
    assert [piece.segment_indices.tolist() for piece in pieces] == [[3, 4], [5, 6], [7]]


def test_a_segment_without_a_picture_is_masked(tmp_path: Path) -> None:
    write(str(tmp_path), [window_record("room", at, at, picture=at != 1) for at in range(3)])
    (room,) = rooms_of(tmp_path)
    assert room.present[:, 0].tolist() == [True, False, True]
    assert not room.frame_features[1].any()
    none = tmp_path / "none"
    write(str(none), [window_record("room", at, at, picture=False) for at in range(3)])
    (room,) = rooms_of(none)
    assert room.frame_features.shape == (3, 0)


def test_pictures_of_two_encoders_are_refused_or_chosen_from(tmp_path: Path) -> None:
    other = ("tiny", "r2")
    sent = [*windows("room", range(4)), *windows("room", range(4, 6), 4, encoder=other)]
    write(str(tmp_path), sent)
    with pytest.raises(MixedEncoders, match=r"tiny r1 \(4 segments\), tiny r2 \(2 segments\)"):
        rooms_of(tmp_path)
    report = LabelReport()
    (room,) = rooms_of(tmp_path, encoder=other, report=report)
    assert room.segment_indices.tolist() == [4, 5]
    assert report.other_encoder == 4
    (room,) = rooms_of(tmp_path, encoder=ENCODER)
    assert room.segment_indices.tolist() == [0, 1, 2, 3]
    with pytest.raises(MixedEncoders, match=r"found pictures of tiny r1 .*, expected swin r9"):
        rooms_of(tmp_path, encoder=("swin", "r9"))


def test_an_empty_interval_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(EmptyInterval, match="found no segments, expected a feature log"):
        rooms_of(tmp_path)
    write(str(tmp_path), windows("room", range(3)))
    with pytest.raises(EmptyInterval, match="expected a time between 2023-11-14 22:00 and"):
        rooms_of(tmp_path, END_MS, END_MS + 1)
    with pytest.raises(ValueError, match="expected an end behind"):
        rooms_of(tmp_path, START_MS, START_MS)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    write(str(tmp_path), [*windows("room", range(3)), *engagements("room", range(3))])
    (file,) = tmp_path.glob("segments/*/*/*.parquet")
    whole = file.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(MalformedLog, match=rf"{file.name}: found .*, expected a whole Parquet"):
            rooms_of(tmp_path)
    # Damage within the rows, the end still whole.
    file.write_bytes(whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :])
    with pytest.raises(MalformedLog, match=file.name):
        rooms_of(tmp_path)


def test_clicks_for_rooms_that_were_not_logged_are_counted(tmp_path: Path) -> None:
    sent = [*windows("room", range(3)), *engagements("room", range(6))]
    write(str(tmp_path), [*sent, *engagements("stranger", range(2), 6)])
    report = LabelReport()
    rooms_of(tmp_path, report=report)
    assert report.unknown == 3 + 2


def test_a_clock_that_jumps_makes_no_label_early(tmp_path: Path) -> None:
    sent = engagements("room", range(2))
    sent.append(engagement_record("room", 100, 2))  # 49 minutes ahead: believed
    write(str(tmp_path / "near"), [*windows("room", range(10)), *sent])
    assert np.isfinite(rooms_of(tmp_path / "near")[0].ctr).sum() == 2
    sent[2] = engagement_record("room", 2 + HOUR * 24 * 365, 2)  # a year ahead: not believed
    write(str(tmp_path / "far"), [*windows("room", range(10)), *sent])
    report = LabelReport()
    assert np.isnan(rooms_of(tmp_path / "far", report=report)[0].ctr).all()
    assert report.too_early == 10


def test_a_late_correction_changes_the_label(tmp_path: Path) -> None:
    sent = [*windows("room", range(2)), *engagements("room", range(8))]
    write(str(tmp_path), sent)
    assert rooms_of(tmp_path)[0].ctr[1] == pytest.approx(0.01)
    write(str(tmp_path), [engagement_record("room", 1, 8, clicks=50.0)])
    report = LabelReport()
    assert rooms_of(tmp_path, report=report)[0].ctr[1] == pytest.approx(0.5)
    assert report.corrected == 1


def test_a_reader_follows_a_compaction_that_happens_meanwhile(tmp_path: Path) -> None:
    write(str(tmp_path), windows("room", range(9)), flush_every=2)
    log = FeatureLog(tmp_path)
    compact(Store(tmp_path), settle_hours=-1)
    (room,) = log.rooms(START_MS, END_MS)
    assert room.segment_indices.tolist() == list(range(9))
