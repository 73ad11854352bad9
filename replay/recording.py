"""A recorded stream: its manifest, and its comments, speech, engagement and pictures on one clock.

The clock counts ms from the recording's start. What a part's offset moves before the start, or
behind a stated `duration_ms`, is not part of the recording and is left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from limelight.replay.readers.formats import (
    COMMENT_FORMATS,
    ENGAGEMENT_FORMATS,
    SPEECH_FORMATS,
    sniff_format,
)
from limelight.replay.readers.lines import CommentLine, EngagementLine, SpeechLine
from limelight.replay.readers.malformed import MalformedRecording as MalformedRecording
from limelight.replay.recording_manifest import (
    MANIFEST_NAME,
    Credit,
    Manifest,
    TextPart,
    VideoPart,
    read_manifest,
)

if TYPE_CHECKING:
    from limelight.replay.frames import VideoFrame


@dataclass(frozen=True)
class Recording:
    """One recording; a part is None where it is missing. Reading streams from the files."""

    folder: Path
    room_id: str
    streamer_id: str
    title: str
    note: str
    started_ms: int
    align_to_start: bool
    stated_duration_ms: int | None
    video: VideoPart | None
    comments: TextPart | None
    asr: TextPart | None
    engagement: TextPart | None
    credits: tuple[Credit, ...]

    @cached_property
    def duration_ms(self) -> int:
        """What the manifest states, else the end of the longest part.

        Everything lies in `[0, duration_ms)`. Without a statement the parts are read through once.
        A looping video has no end of its own: it counts only when it is alone.

        Raises:
            MalformedRecording: a part cannot be read, or there is nothing in any of them.
        """
        if self.stated_duration_ms is not None:
            return self.stated_duration_ms
        duration_ms = max((end_ms for end_ms in self._ends_ms()), default=0)
        if self.video and (duration_ms <= 0 or not self.video.loop):
            duration_ms = max(duration_ms, self.video.offset_ms + self._video_duration_ms())
        if duration_ms <= 0:
            path = self.folder / MANIFEST_NAME
            raise MalformedRecording(path, None, "nothing in any part", "at least one line")
        return duration_ms

    def read_comments(self) -> Iterator[CommentLine]:
        """Comments in file order, which need not be the order of time.

        Raises:
            MalformedRecording: the file breaks off or is broken; what came before is yielded.
        """
        if self.comments is None:
            return
        for line in COMMENT_FORMATS[self.comments.format or ""](self.comments.path):
            offset_ms = line.offset_ms + self.comments.offset_ms
            if self._is_inside(offset_ms):
                yield CommentLine(offset_ms, line.user, line.text)

    def read_speech(self) -> Iterator[SpeechLine]:
        """Speech in file order; a piece that runs across the start or the end is cut there.

        Raises:
            MalformedRecording: the file breaks off or is broken; what came before is yielded.
        """
        if self.asr is None:
            return
        for line in SPEECH_FORMATS[self.asr.format or ""](self.asr.path):
            interval = self._inside(line.start_ms, line.end_ms, self.asr.offset_ms)
            if interval is not None:
                yield SpeechLine(*interval, line.text)

    def read_engagement(self) -> Iterator[EngagementLine]:
        """Engagement in file order; an interval across the start or the end is cut there.

        Raises:
            MalformedRecording: the file breaks off or is broken; what came before is yielded.
        """
        if self.engagement is None:
            return
        for line in ENGAGEMENT_FORMATS[self.engagement.format or ""](self.engagement.path):
            interval = self._inside(line.start_ms, line.end_ms, self.engagement.offset_ms)
            if interval is not None:
                yield EngagementLine(*interval, line.counts)

    def read_frames(self, offsets_ms: Iterable[int]) -> Iterator["VideoFrame"]:
        """The picture at each of the ascending offsets that the video covers.

        Raises:
            MalformedRecording: the video is damaged; what comes before is yielded.
        """
        from limelight.replay.frames import VideoFrame, read_frames

        if self.video is None:
            return
        start_ms = self.video.offset_ms
        positions_ms = (
            offset_ms - start_ms
            for offset_ms in offsets_ms
            if offset_ms >= max(0, start_ms) and self._is_inside(offset_ms)
        )
        for frame in read_frames(self.video.path, positions_ms, loop=self.video.loop):
            yield VideoFrame(frame.offset_ms + start_ms, frame.image)

    def _is_inside(self, offset_ms: int) -> bool:
        end_ms = self.stated_duration_ms
        return offset_ms >= 0 and (end_ms is None or offset_ms < end_ms)

    def _inside(self, start_ms: int, end_ms: int, part_offset_ms: int) -> tuple[int, int] | None:
        start_ms, end_ms = start_ms + part_offset_ms, end_ms + part_offset_ms
        # A single event at 0 is inside; an interval that ends there is not.
        is_before = end_ms < 0 or start_ms < end_ms == 0
        if is_before or not self._is_inside(max(start_ms, 0)):
            return None
        return max(start_ms, 0), min(end_ms, self.stated_duration_ms or end_ms)

    def _ends_ms(self) -> Iterator[int]:
        for comment in self.read_comments():
            yield comment.offset_ms + 1
        for speech in self.read_speech():
            yield max(speech.end_ms, speech.start_ms + 1)
        for count in self.read_engagement():
            yield max(count.end_ms, count.start_ms + 1)

    def _video_duration_ms(self) -> int:
        from limelight.replay.frames import FrameReader

        if self.video is None:
            return 0
        with FrameReader(self.video.path) as reader:
            return reader.duration_ms


def load_recording(folder: Path) -> Recording:
    """The recording in `folder`; its manifest is checked, and each file's format told.

    The files themselves are read by `read_comments` and the others.

    Raises:
        MalformedRecording: see `read_manifest`; also a format that is unknown, or fits its part
            not.
    """
    manifest = read_manifest(folder)
    return Recording(
        folder=folder,
        room_id=manifest.room_id,
        streamer_id=manifest.streamer_id,
        title=manifest.title,
        note=manifest.note,
        started_ms=_epoch_ms(manifest),
        align_to_start=manifest.align_to_start,
        stated_duration_ms=manifest.duration_ms,
        video=manifest.video,
        comments=_with_format(folder, "comments", manifest.comments, COMMENT_FORMATS),
        asr=_with_format(folder, "asr", manifest.asr, SPEECH_FORMATS),
        engagement=_with_format(folder, "engagement", manifest.engagement, ENGAGEMENT_FORMATS),
        credits=manifest.credits,
    )


def _epoch_ms(manifest: Manifest) -> int:
    return round(manifest.started_at.timestamp() * 1000)


def _with_format(
    folder: Path, key: str, part: TextPart | None, known: Iterable[str]
) -> TextPart | None:
    """`part` with its format filled in, one that can hold this kind of part."""
    if part is None:
        return None
    try:
        name = part.format or sniff_format(part.path)
    except OSError as error:
        found = f"an unreadable file ({error.strerror})"
        raise MalformedRecording(part.path, None, found, "a readable file") from error
    if name not in known:
        where = f"key {key}.format" if part.format else f"key {key}.file"
        expected = ", ".join(known)
        raise MalformedRecording(folder / MANIFEST_NAME, where, f"format {name}", expected)
    return replace(part, format=name)
