"""Parts of a video as files of their own."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from limelight.replay.exports.highlights import ExportFailed
from limelight.replay.frames import FrameReader, open_video, picture_stream
from limelight.replay.media_url import Video

_SEEK_BACK_S = (0, 2, 10, 60)
# The same clip is the same bytes: Matroska would be given a random id.
_REPRODUCIBLE = {"fflags": "+bitexact"}
_MP4 = (".mp4", ".m4v", ".mov", ".flv")


def clip_suffix(video: Video) -> str:
    """A container that takes what the video's own does."""
    return ".mp4" if video.suffix.lower() in _MP4 else ".mkv"


def parts_of(start_ms: int, end_ms: int, duration_ms: int, *, loop: bool) -> list[tuple[int, int]]:
    """Where `[start_ms, end_ms)` lies in a video; several parts where it starts over.

    Raises:
        ExportFailed: it does not lie in the video.
    """
    is_inside = 0 <= start_ms < end_ms and (loop or end_ms <= duration_ms)
    if not is_inside:
        raise ExportFailed(
            f"clip: found {start_ms / 1000:.1f} to {end_ms / 1000:.1f} s, expected a part of a"
            f" video of {duration_ms / 1000:.1f} s"
        )
    parts = []
    while start_ms < end_ms:
        own_ms = start_ms % duration_ms
        length_ms = min(end_ms - start_ms, duration_ms - own_ms)
        parts.append((own_ms, own_ms + length_ms))
        start_ms += length_ms
    return parts


def cut_clip(video: Video, parts: list[tuple[int, int]], out: Path, *, exact: bool) -> None:
    """Write parts of a video, in ms, as one file; times begin at 0.

    Without `exact` the packets are copied, from the key frame at or before each part's start. With
    it pictures and sound are encoded anew and begin where the part does.

    Raises:
        ExportFailed: the file cannot be written, a full disk for one; nothing is left of it.
        MalformedRecording: it is no video.
    """
    unfinished = out.with_name(f".{out.stem}.unfinished{out.suffix}")
    try:
        with ExitStack() as stack:
            target = stack.enter_context(av.open(str(unfinished), "w", options=_REPRODUCIBLE))
            if exact:
                _encode(video, parts, target)
            else:
                _copy(video, parts, target)
        unfinished.replace(out)
    except (OSError, av.FFmpegError, ValueError) as error:
        # PyAV's word for a codec that the container does not take is a ValueError.
        reason = getattr(error, "strerror", None) or error
        raise ExportFailed(f"{out}: found {reason}, expected a clip to be written") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _streams(video: Video, source: Any) -> list[Any]:
    return [picture_stream(video, source), *source.streams.audio]


def _copy(video: Video, parts: list[tuple[int, int]], target: Any) -> None:
    outputs: dict[int, Any] = {}
    newest: dict[int, int] = {}
    at_s = Fraction(0)
    for start_ms, end_ms in parts:
        with open_video(video) as source:
            streams = _streams(video, source)
            pictures = streams[0]
            for stream in streams:
                if stream.index not in outputs:
                    outputs[stream.index] = target.add_stream_from_template(stream)
            origin_s = (pictures.start_time or 0) * pictures.time_base
            end_s = origin_s + Fraction(end_ms, 1000)
            first_s = None
            for packet in _packets(video, source, streams, origin_s + Fraction(start_ms, 1000)):
                shown_s = packet.pts * packet.time_base
                if first_s is None:
                    first_s = shown_s
                if shown_s < first_s and packet.stream is not pictures:
                    continue  # sound of before the first picture
                if packet.dts * packet.time_base >= end_s:
                    if packet.stream is pictures:
                        break
                    continue
                shift = round((at_s - first_s) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                index = packet.stream.index
                # Where parts meet, sound may overlap by a packet.
                if packet.dts <= newest.get(index, packet.dts - 1):
                    continue
                newest[index] = packet.dts
                packet.stream = outputs[index]
                target.mux(packet)
            at_s += end_s - (end_s if first_s is None else first_s)


def _packets(video: Video, source: Any, streams: list[Any], start_s: Fraction) -> Iterator[Any]:
    """Packets from the key frame at or before a time on, in the file's order."""
    pictures = streams[0]
    with FrameReader(video) as reader:
        found = reader.key_frame_before(int(start_s / pictures.time_base))
    for back_s in (*_SEEK_BACK_S, None) if found is not None else (None,):
        # A container may land behind what was asked for; the last try begins at its beginning.
        seek_s = 0 if back_s is None else max(0, start_s - back_s)
        source.seek(int(seek_s / pictures.time_base), stream=pictures, backward=True)
        first = True
        begun = False
        for packet in _timed(source.demux(streams), pictures):
            if not begun and packet.stream is pictures and packet.is_keyframe:
                if first and found is not None and back_s is not None and packet.pts > found[1]:
                    break
                first = False
                begun = found is None or packet.pts >= found[1]
            if begun:
                yield packet
        else:
            return


def _timed(packets: Iterable[Any], pictures: Any) -> Iterator[Any]:
    """The packets that can be placed in time.

    Matroska keeps no decoding times. Where pictures are coded in another order than they are shown,
    FFmpeg can give none to the first after a seek, the key frame among them: these get the ticks
    before the first that is known.
    """
    held: list[Any] = []
    known = False
    for packet in packets:
        if packet.pts is None or (packet.dts is None and (known or packet.stream is not pictures)):
            continue
        if packet.dts is None or (held and packet.stream is not pictures):
            held.append(packet)
            continue
        if held:
            _place_before(packet.dts, held)
            yield from held
            held = []
        known = known or packet.stream is pictures
        yield packet
    if held:
        _place_before(min(each.pts for each in held if each.dts is None) + 1, held)
        yield from held


def _place_before(dts: int, packets: list[Any]) -> None:
    untimed = [packet for packet in packets if packet.dts is None]
    for back, packet in enumerate(reversed(untimed), 1):
        packet.dts = dts - back


def _encode(video: Video, parts: list[tuple[int, int]], target: Any) -> None:
    outputs: dict[int, Any] = {}
    at_s = Fraction(0)
    for start_ms, end_ms in parts:
        with open_video(video) as source:
            streams = _streams(video, source)
            pictures = streams[0]
            for stream in streams:
                if stream.index not in outputs:
                    outputs[stream.index] = _encoder(stream, target)
            origin_s = (pictures.start_time or 0) * pictures.time_base
            start_s = origin_s + Fraction(start_ms, 1000)
            end_s = origin_s + Fraction(end_ms, 1000)
            shift_s = at_s - start_s

            def encode(
                stream: Any,
                frame: Any,
                start_s: Fraction = start_s,
                end_s: Fraction = end_s,
                shift_s: Fraction = shift_s,
            ) -> None:
                frame.time_base = frame.time_base or stream.time_base  # the last ones have none
                if start_s <= frame.pts * frame.time_base < end_s:
                    frame.pts += round(shift_s / frame.time_base)
                    if stream.type == "video":
                        frame.pict_type = 0  # the encoder's own choice
                    target.mux(outputs[stream.index].encode(frame))

            for packet in _packets(video, source, streams, start_s):
                if packet.dts * packet.time_base >= end_s + 1:
                    break
                for frame in packet.decode():
                    encode(packet.stream, frame)
            for stream in streams:
                for frame in stream.codec_context.decode(None):
                    encode(stream, frame)
            at_s += end_s - start_s
    for output in outputs.values():
        target.mux(output.encode())


def _encoder(stream: Any, target: Any) -> Any:
    if stream.type == "audio":
        return target.add_stream("aac", rate=stream.rate)
    made = target.add_stream("libx264", rate=stream.average_rate or stream.guessed_rate)
    made.width, made.height = stream.width // 2 * 2, stream.height // 2 * 2
    made.pix_fmt = "yuv420p"
    made.options = {"crf": "18", "preset": "veryfast"}
    made.codec_context.time_base = stream.time_base
    return made
