"""What is fuzzed: functions that take any bytes, and raise only when a reader has failed us.

Each has seeds, made here, for a fuzzer to begin with.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from limelight.engine.errors import DecodeFailed
from limelight.engine.images import decode_image
from limelight.replay.readers.formats import (
    COMMENT_FORMATS,
    ENGAGEMENT_FORMATS,
    SPEECH_FORMATS,
    sniff_format,
)
from limelight.replay.readers.malformed import MalformedRecording
from limelight.streams.assembly import PartitionAssembly
from limelight.streams.records import (
    FrameHeaders,
    Headers,
    MalformedRecord,
    RoomEnd,
    Watermark,
    header_map,
    parse_frame_headers,
    parse_mark,
)
from limelight.streams.settings import AssemblerSettings
from limelight.streams.source_messages import SourceMessage
from limelight.streams.topics import MODALITY_TOPICS
from limelight.streams.window_records import decode_feature, encode_feature

SIZE = (16, 16)
MAX_PIXELS = 250_000
TIME_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Target:
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def read_picture(data: bytes) -> None:
    try:
        image = decode_image(data, max_bytes=100_000, max_pixels=MAX_PIXELS, size=SIZE)
    except DecodeFailed:
        return
    if image.shape != (*SIZE, 3) or image.dtype != np.uint8:
        raise AssertionError(f"found {image.dtype} {image.shape}")


def pictures() -> list[bytes]:
    """Small ones in all ways of writing them that differ for a decoder."""
    gradient = Image.linear_gradient("L").resize((20, 12))
    colour = Image.merge("RGB", [gradient, gradient.rotate(180), gradient])
    clear = colour.convert("RGBA")
    clear.putalpha(gradient)
    ways: list[tuple[Image.Image, str, dict[str, object]]] = [
        (colour, "JPEG", {}),
        (colour, "JPEG", {"progressive": True, "exif": Image.Exif()}),
        (colour.convert("CMYK"), "JPEG", {}),
        (gradient, "JPEG", {}),
        (colour, "PNG", {}),
        (clear, "PNG", {}),
        (colour.quantize(8), "PNG", {"transparency": 0}),
        (gradient.convert("I;16"), "PNG", {}),
        (gradient.convert("1"), "PNG", {}),
        (colour, "PNG", {"save_all": True, "append_images": [clear]}),
        (colour, "WEBP", {}),
        (clear, "WEBP", {"lossless": True}),
        (colour, "WEBP", {"save_all": True, "append_images": [clear]}),
        (colour, "GIF", {}),
    ]
    seeds = []
    for image, kind, options in ways:
        written = BytesIO()
        image.save(written, kind, **options)
        seeds.append(written.getvalue())
    return seeds


def read_feature(data: bytes) -> None:
    try:
        feature = decode_feature(data.decode("latin-1"))
    except MalformedRecord:
        return
    if not np.isfinite(feature).all() or not np.array_equal(
        decode_feature(encode_feature(feature)), feature
    ):
        raise AssertionError("found a feature that does not survive the way")


def features() -> list[bytes]:
    return [
        encode_feature(np.array(values, np.float16)).encode()
        for values in ([0.0], [1.0, -2.5, 65_504.0], [np.inf], [np.nan, 1.0], np.zeros(5_000))
    ]


def read_headers(data: bytes) -> None:
    headers = header_map(_headers_of(data))
    for parse in (parse_mark, parse_frame_headers):
        try:
            found = parse(headers)
        except MalformedRecord:
            continue
        if found is not None and parse(header_map(found.encode())) != found:
            raise AssertionError(f"found {found!r} to be read differently the second time")


def _headers_of(data: bytes) -> Headers:
    """Lines of `name=value`; a name is what aiokafka gives, text, a value any bytes."""
    pairs = (line.partition(b"=") for line in data.split(b"\n"))
    return [(name.decode("utf-8", "replace"), value) for name, _, value in pairs]


def headers() -> list[bytes]:
    known = (
        Watermark(TIME_MS),
        Watermark(TIME_MS, for_silent_source=True),
        RoomEnd("room", TIME_MS, TIME_MS),
        FrameHeaders("房间", "s", TIME_MS, None),
    )
    return [
        b"\n".join(name.encode() + b"=" + value for name, value in each.encode()) for each in known
    ]


def read_message(data: bytes) -> None:
    """One message of each modality topic and the marks that close whatever it opened."""
    settings = AssemblerSettings(window_length=2, idle_segments=1)
    assembly = PartitionAssembly(0, settings, max_message_bytes=10_000, wall_ms=lambda: 0)
    emissions = []
    for topic in MODALITY_TOPICS:
        emissions += assembly.process(SourceMessage(topic, 0, 0, data, {}, lambda: None))
    for offset in (1, 2):
        mark = header_map(Watermark(7_258_032_000_000 + offset).encode())
        for topic in MODALITY_TOPICS:
            emissions += assembly.process(SourceMessage(topic, 0, offset, b"", mark, lambda: None))
    for emission in emissions:
        emission.settle()
    if any(emission.topic == "dlq" and b'"reason":""' in emission.value for emission in emissions):
        raise AssertionError("found a dead letter without a reason")


def messages() -> list[bytes]:
    room = {"room_id": "r", "room_started_ms": TIME_MS, "streamer_id": "s"}
    comment = {**room, "event_time_ms": TIME_MS, "text": "弹幕", "user": "u", "comment_id": "c"}
    speech = {**room, "start_ms": TIME_MS, "end_ms": TIME_MS + 1, "text": "t"}
    encoder = {"encoder_id": "e", "encoder_revision": "r", "frame_offset": 1}
    feature = {**room, "event_time_ms": TIME_MS, "feature": "ADwAPA==", **encoder}
    return [json.dumps(value).encode() for value in (comment, [comment, {}], speech, feature, [])]


FORMATS = {**COMMENT_FORMATS, **SPEECH_FORMATS, **ENGAGEMENT_FORMATS}
NAMES = sorted(FORMATS)


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def read_recording_file(data: bytes) -> None:
    """The first byte says which reader gets the rest; it need not be the one it was written for."""
    if not data:
        return
    file = Path(_folder().name) / "part"
    file.write_bytes(data[1:])
    for read in (sniff_format, FORMATS[NAMES[data[0] % len(NAMES)]]):
        try:
            found = read(file)
            if not isinstance(found, str):
                for _ in found:
                    pass
        except MalformedRecording:
            pass


def recording_files() -> list[bytes]:
    texts = {
        "artplayer-json": '[{"text":"a","time":1.5,"mode":0,"color":"#fff"}]',
        "bilibili-xml": '<?xml version="1.0"?><i>'
        '<d p="1.5,1,25,16777215,1700000000,0,ab,1">a</d></i>',
        "comments-csv": "time_ms,user,text\n1500,u,a\n",
        "danmaku-ass": "[Script Info]\n\n[Events]\nFormat: Layer, Start, End, Style, Text\n"
        "Dialogue: 0,0:00:01.50,0:00:09.00,R2L,{\\move(1,2,3,4)}a\n",
        "engagement-csv": "start_ms,end_ms,impressions,clicks\n0,30000,10,2\n",
        "srt": "1\n00:00:01,500 --> 00:00:02,000\n<i>a</i>\n\n",
        "twitch-json": '{"comments":[{"content_offset_seconds":1.5,"commenter":{"name":"u"},'
        '"message":{"body":"a"}}]}',
        "vtt": "WEBVTT\n\n00:01.500 --> 00:02.000\na\n",
        "whisper-json": '{"segments":[{"start":1.5,"end":2,"text":"a"}]}',
        "youtube-live-chat": '{"replayChatItemAction":{"actions":[{"addChatItemAction":{"item":'
        '{"liveChatTextMessageRenderer":{"message":{"runs":[{"text":"a"}]}}}}}],'
        '"videoOffsetTimeMsec":"1500"}}\n',
    }
    return [bytes([NAMES.index(name)]) + text.encode() for name, text in texts.items()]


TARGETS = {
    "picture": Target(read_picture, pictures),
    "feature": Target(read_feature, features),
    "headers": Target(read_headers, headers),
    "message": Target(read_message, messages),
    "recording": Target(read_recording_file, recording_files),
}
