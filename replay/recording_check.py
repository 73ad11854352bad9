"""Reading a recording through before it is played, part by part."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from limelight.replay.readers.formats import VIDEO_FORMAT
from limelight.replay.readers.malformed import MalformedRecording
from limelight.replay.recording import Recording

SEGMENT_MS = 30_000


@dataclass(frozen=True, slots=True)
class PartCheck:
    """What one part holds; with a `problem`, what could be read before it.

    `count` is of comments, cues, engagement lines or pictures; times are on the recording's clock.
    """

    part: str
    format: str
    count: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    remark: str = ""
    problem: MalformedRecording | None = None


def check_recording(recording: Recording, advance: Callable[[int], None]) -> Iterator[PartCheck]:
    """Yields a check of each part that is there; `advance` is told how many items were read.

    Of the video the pictures are decoded that a replay would use, each once however often it loops.
    """
    if recording.video is not None:
        check = PartCheck("video", VIDEO_FORMAT)
        yield _checked(check, _picture_times(recording), advance)
    if recording.comments is not None:
        check = PartCheck("comments", recording.comments.format or "")
        comments = ((line.offset_ms, line.offset_ms) for line in recording.read_comments())
        yield _checked(check, comments, advance)
    if recording.asr is not None:
        check = PartCheck("asr", recording.asr.format or "")
        speech = ((line.start_ms, line.end_ms) for line in recording.read_speech())
        yield _checked(check, speech, advance)
    if recording.engagement is not None:
        check = PartCheck("engagement", recording.engagement.format or "")
        engagement = ((line.start_ms, line.end_ms) for line in recording.read_engagement())
        yield _checked(check, engagement, advance)


def _checked(
    check: PartCheck, times_ms: Iterable[tuple[int, int]], advance: Callable[[int], None]
) -> PartCheck:
    count = out_of_order = 0
    first_ms: int | None = None
    last_ms: int | None = None
    previous_ms = 0
    problem: MalformedRecording | None = None
    try:
        for start_ms, end_ms in times_ms:
            count += 1
            out_of_order += start_ms < previous_ms
            previous_ms = start_ms
            first_ms = start_ms if first_ms is None else min(first_ms, start_ms)
            last_ms = end_ms if last_ms is None else max(last_ms, end_ms)
            advance(1)
    except MalformedRecording as error:
        problem = error
    remarks = [check.remark] if check.remark else []
    if out_of_order:
        remarks.append(f"{out_of_order:,} not in the order of time")
    if count == 0 and problem is None:
        remarks.append("nothing inside the recording's time")
    return replace(
        check,
        count=count,
        first_ms=first_ms,
        last_ms=last_ms,
        remark=", ".join(remarks),
        problem=problem,
    )


def _picture_times(recording: Recording) -> Iterator[tuple[int, int]]:
    from limelight.replay.frames import FrameReader, segment_frame_offsets

    if recording.video is None:
        return
    with FrameReader(recording.video.path) as reader:
        end_ms = reader.duration_ms
        if recording.stated_duration_ms is not None:
            end_ms = min(end_ms, recording.stated_duration_ms - recording.video.offset_ms)
        offsets_ms = (
            start_ms + offset_ms
            for start_ms in range(0, max(end_ms, 0), SEGMENT_MS)
            for offset_ms in segment_frame_offsets(SEGMENT_MS)
            if start_ms + offset_ms < end_ms
        )
        for frame in reader.read(offsets_ms, loop=False):
            time_ms = frame.offset_ms + recording.video.offset_ms
            yield time_ms, time_ms
