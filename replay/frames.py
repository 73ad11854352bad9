"""Single pictures out of a video, found by seeking, without decoding the whole film."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Any

import av
from av.stream import Disposition
from PIL.Image import Image

from limelight.replay.media_url import MediaUrl, Video
from limelight.replay.readers.malformed import MalformedRecording, Place

MAX_SIDE_PIXELS = 8_192

# Text that FFmpeg would take for a playlist may name other files and addresses.
_HEAD_BYTES = 1_024
_OPEN_OPTIONS = {"protocol_whitelist": "file"}
# A playlist from a server may name pieces on servers, and no file of this machine.
_URL_OPTIONS = {"protocol_whitelist": "http,https,tcp,tls,crypto"}

# A container may land on a key frame behind the one asked for; each further try starts earlier.
_SEEK_BACK_MS = (0, 1_000, 2_000, 4_000, 8_000, 16_000, 60_000)

# A stream's stated end may lie this far behind its last picture, as when the sound is longer.
_END_TOLERANCE_MS = 2_000


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """The picture on screen at `offset_ms` from the video's start, RGB, upright."""

    offset_ms: int
    image: Image


def read_frames(
    video_path: Video, offsets_ms: Iterable[int], *, loop: bool
) -> Iterator[VideoFrame]:
    """Yields the picture at each offset; see `FrameReader.read`."""
    with FrameReader(video_path) as reader:
        yield from reader.read(offsets_ms, loop=loop)


def segment_frame_offsets(segment_ms: int, count: int = 3) -> tuple[int, ...]:
    """Centres of `count` equal parts of a segment: 5, 15 and 25 s of 30 s."""
    if segment_ms <= 0 or count <= 0:
        raise ValueError(f"segment_ms {segment_ms}, count {count}: both must be above 0")
    return tuple(segment_ms * (2 * part + 1) // (2 * count) for part in range(count))


class FrameReader:
    """An open video; `decoded_frames` counts what its decoder has given so far.

    Raises:
        MalformedRecording: not a video, no video stream, or pictures above `MAX_SIDE_PIXELS`.
    """

    def __init__(self, path: Video) -> None:
        self.path = path
        self.decoded_frames = 0
        self._place = Place(path)
        self._container = open_video(path)
        # A second handle looks for key frames without disturbing the first one's decoder.
        self._scout = open_video(path)
        try:
            self._stream = picture_stream(path, self._container)
            self._scout_stream = self._scout.streams[self._stream.index]
            self.width = int(self._stream.codec_context.width)
            self.height = int(self._stream.codec_context.height)
            _check_size(self._place, self.width, self.height)
            self._ms_per_tick = 1000 * Fraction(self._stream.time_base)
            self._start_pts = int(self._stream.start_time or 0)
            self.duration_ms = self._stated_duration_ms() or self._scanned_duration_ms()
        except av.FFmpegError as error:
            self.close()
            raise self._place.malformed(f"damage ({error.strerror})", "a video") from error
        except BaseException:
            self.close()
            raise
        self._frames: Iterator[Any] = iter(())
        # Pictures before this are left out where no other is made of them; see `_decoded`.
        self._wanted_pts: int | None = None
        self._left_out_pts = self._start_pts - 1
        self._shown: Any = None
        self._ahead: Any = None

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._container.close()
        self._scout.close()

    def read(self, offsets_ms: Iterable[int], *, loop: bool) -> Iterator[VideoFrame]:
        """Yields the picture at each offset, in the order given; ascending is cheapest.

        With `loop` an offset wraps at the video's duration; without, the first one beyond it ends
        the reading.

        Raises:
            MalformedRecording: the video is damaged or ends before its stated end. What comes
                before the damage is yielded first.
        """
        for offset_ms in offsets_ms:
            if offset_ms < 0:
                raise ValueError(f"offset_ms: found {offset_ms}, expected 0 or more")
            if not loop and offset_ms >= self.duration_ms:
                return
            yield VideoFrame(offset_ms, self._image_at(offset_ms % self.duration_ms))

    def _image_at(self, position_ms: int) -> Image:
        place = Place(self.path, f"at {position_ms / 1000:.1f} s")
        try:
            frame = self._frame_at(position_ms)
            if frame is None:
                raise place.malformed("no picture", f"a video of {self.duration_ms / 1000:.1f} s")
            if frame.is_corrupt:
                raise place.malformed("a damaged picture", "an intact one")
            _check_size(place, frame.width, frame.height)
            image: Image = frame.to_image()
            return image.rotate(frame.rotation, expand=True) if frame.rotation else image
        except av.FFmpegError as error:
            raise place.malformed(f"damage ({error.strerror})", "a picture") from error

    def _frame_at(self, position_ms: int) -> Any:
        """The frame on screen at `position_ms`; None where the file has ended before."""
        target_pts = self._wanted_pts = self._start_pts + int(position_ms / self._ms_per_tick)
        self._move_towards(target_pts)
        self._advance(target_pts)
        if self._left_out_pts > (self._start_pts - 1 if self._shown is None else self._shown.pts):
            # Shown for longer than its packet said: it is needed after all.
            self._wanted_pts = self._shown = self._ahead = None
            self._move_towards(target_pts)
            self._advance(target_pts)
        if self._shown is None:
            # The stated start may lie before the first picture.
            self._start_over()
            self._advance(target_pts)
            if self._shown is None:
                return self._ahead
        if self._ahead is None and not self._covers(target_pts) and self._is_cut_off():
            return None
        return self._shown

    def _move_towards(self, target_pts: int) -> None:
        """Goes to the key frame before the target, unless decoding on gets there sooner."""
        has_started = self._shown is not None and self._shown.pts <= target_pts
        is_ahead_later = self._ahead is not None and self._ahead.pts > target_pts
        if has_started and (is_ahead_later or self._covers(target_pts)):
            return
        found = self.key_frame_before(target_pts)
        if found is None:
            if not has_started:
                self._start_over()
            return
        seek_pts, key_frame_pts = found
        if has_started and key_frame_pts <= self._shown.pts:
            return
        self._container.seek(seek_pts, stream=self._stream, backward=True)
        self._frames = self._decoded()
        self._shown = self._ahead = None

    def key_frame_before(self, target_pts: int) -> tuple[int, int] | None:
        """Where to seek, and the key frame one lands on; None if there is none before the target.

        Only packets are read for this, nothing is decoded.
        """
        for back_ms in _SEEK_BACK_MS:
            seek_pts = max(self._start_pts, target_pts - int(back_ms / self._ms_per_tick))
            self._scout.seek(seek_pts, stream=self._scout_stream, backward=True)
            for packet in self._scout.demux(self._scout_stream):
                if packet.pts is not None and packet.is_keyframe:
                    if packet.pts <= target_pts:
                        return seek_pts, int(packet.pts)
                    break
            if seek_pts == self._start_pts:
                break
        return None

    def key_frame_ms_before(self, position_ms: int) -> int:
        """The time, since the first picture, of the key frame that a cut there begins with."""
        found = self.key_frame_before(self._start_pts + int(position_ms / self._ms_per_tick))
        return 0 if found is None else round((found[1] - self._start_pts) * self._ms_per_tick)

    def _start_over(self) -> None:
        """Opens the file anew: an MPEG transport stream cannot seek to its first key frame."""
        self._container.close()
        self._container = open_video(self.path)
        self._stream = picture_stream(self.path, self._container)
        self._frames = self._decoded()
        self._shown = self._ahead = None

    def _decoded(self) -> Iterator[Any]:
        """The frames from here on, without most of those that end before the wanted moment.

        About half of a film's pictures are referred to by no other (B-frames, usually). The decoder
        leaves them out for next to nothing, and all others come out as ever.
        """
        self._left_out_pts = self._start_pts - 1
        for packet in self._container.demux(self._stream):
            end_pts = None if packet.pts is None else packet.pts + (packet.duration or 0)
            is_before = (
                self._wanted_pts is not None
                and end_pts is not None
                and bool(packet.duration)
                and end_pts <= self._wanted_pts
            )
            self._stream.codec_context.skip_frame = "NONREF" if is_before else "DEFAULT"
            if is_before:
                self._left_out_pts = max(self._left_out_pts, packet.pts)
            yield from packet.decode()

    def _advance(self, target_pts: int) -> None:
        """Decodes until `_shown` is the last frame that starts at or before the target.

        A frame that says how long it is shown needs no look at the next one, kept in `_ahead`.
        """
        while not self._covers(target_pts):
            if self._ahead is not None:
                if self._ahead.pts > target_pts:
                    return
                self._shown, self._ahead = self._ahead, None
                continue
            frame = next(self._frames, None)
            if frame is None:
                return
            self.decoded_frames += 1
            if frame.pts is not None:
                self._ahead = frame

    def _covers(self, target_pts: int) -> bool:
        if self._shown is None:
            return False
        return bool(self._shown.pts <= target_pts < self._shown_end_pts())

    def _shown_end_pts(self) -> int:
        if self._shown is None:
            return self._start_pts
        return int(self._shown.pts + (self._shown.duration or 0))

    def _is_cut_off(self) -> bool:
        """Whether the pictures have ended too early for their stated end."""
        shown_ms = int((self._shown_end_pts() - self._start_pts) * self._ms_per_tick)
        if self.duration_ms - shown_ms <= _END_TOLERANCE_MS:
            return False
        return not self._other_streams_reach_the_end()

    def _stated_duration_ms(self) -> int:
        if self._stream.duration:
            return int(self._stream.duration * self._ms_per_tick)
        return int((self._container.duration or 0) / (av.time_base / 1000))

    def _scanned_duration_ms(self) -> int:
        """For a live download that never got its header: reads on to the end, decoding nothing."""
        if isinstance(self.path, MediaUrl):
            # Of a stream that goes on there is no end to read to.
            raise self._place.malformed("no stated duration", "a recording that has ended")
        end_pts = self._start_pts
        for packet in self._scout.demux(self._scout_stream):
            if packet.pts is not None:
                end_pts = max(end_pts, packet.pts + (packet.duration or 0))
        duration_ms = int((end_pts - self._start_pts) * self._ms_per_tick)
        if duration_ms <= 0:
            raise self._place.malformed("no picture with a time", "a video")
        return duration_ms

    def _other_streams_reach_the_end(self) -> bool:
        """Whether the pictures just end before the sound, so that the file is whole after all."""
        if self._stream.duration:
            return False
        end_s = self.duration_ms / 1000
        self._scout.seek(int(end_s * av.time_base), backward=True)
        for packet in self._scout.demux():
            if packet.pts is not None and packet.stream.index != self._stream.index:
                packet_s = float(packet.pts * packet.time_base)
                if (end_s - packet_s) * 1000 <= _END_TOLERANCE_MS:
                    return True
        return False


def open_video(path: Video) -> Any:
    expected = "a video that FFmpeg can open"
    if isinstance(path, MediaUrl):
        try:
            return av.open(path.url, options=_URL_OPTIONS, timeout=path.timeout_s)
        except av.FFmpegError as error:
            raise MalformedRecording(path, None, error.strerror or str(error), expected) from error
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise MalformedRecording(path, None, "an empty file", expected)
    if not any(byte < 32 and byte not in b"\t\n\r" for byte in head):
        raise MalformedRecording(path, None, f"text that starts {head[:40]!r}", expected)
    try:
        return av.open(f"file:{path}", options=_OPEN_OPTIONS)
    except av.FFmpegError as error:
        found = f"a file that it cannot read ({error.strerror})"
        raise MalformedRecording(path, None, found, expected) from error


def picture_stream(path: Video, container: Any) -> Any:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
    raise MalformedRecording(path, None, f"streams of {kinds}", "a video stream")


def _check_size(place: Place, width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE_PIXELS and 0 < height <= MAX_SIDE_PIXELS):
        raise place.malformed(
            f"pictures of {width} x {height}", f"at most {MAX_SIDE_PIXELS} x {MAX_SIDE_PIXELS}"
        )
