"""Pictures to features: order kept, marks passed on, what is no picture to dlq."""

import io
import struct
import zlib

import orjson
import pytest
from PIL import Image

from limelight.engine.encoders import load_frame_encoder
from limelight.engine.settings import EngineSettings
from limelight.streams.frame_consumer import FrameMessage, encode_frames
from limelight.streams.records import FrameHeaders, Watermark, header_map
from limelight.streams.window_records import decode_feature

HEADERS = header_map(FrameHeaders("room", "s", 1_700_000_000_000, None).encode())


def jpeg(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (320, 180), colour).save(data, "JPEG")
    return data.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG of that size, of which only the header and one row's worth of pixels are there."""

    def chunk(body: bytes) -> bytes:
        return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(3 * width))
    return b"\x89PNG\r\n\x1a\n" + chunk(header) + chunk(pixels)


@pytest.fixture(scope="module")
def encoder():
    return load_frame_encoder("tiny")


def run(encoder, *messages: tuple[bytes | None, dict[str, str]]):
    frames = [
        FrameMessage(2, 10 + k, value, headers) for k, (value, headers) in enumerate(messages)
    ]
    return encode_frames(frames, encoder, EngineSettings())


def test_marks_keep_their_place_among_the_features(encoder) -> None:
    mark = header_map(Watermark(5).encode())
    outputs = run(encoder, (jpeg("red"), HEADERS), (b"", mark), (jpeg("blue"), HEADERS))
    assert [output.topic for output in outputs] == ["frame-features"] * 3
    assert header_map(outputs[1].headers) == mark
    red, blue = (orjson.loads(outputs[k].value) for k in (0, 2))
    assert (red["frame_offset"], blue["frame_offset"]) == (10, 12)
    assert decode_feature(red["feature"]).shape == (encoder.feature_size,)
    assert red["feature"] != blue["feature"]


def test_a_feature_does_not_depend_on_its_batch(encoder) -> None:
    (alone,) = run(encoder, (jpeg("red"), HEADERS))
    among = run(encoder, (jpeg("red"), HEADERS), (jpeg("blue"), HEADERS), (jpeg("green"), HEADERS))
    assert among[0] == alone


@pytest.mark.parametrize(
    ("value", "headers", "reason"),
    [
        (b"certainly no picture", HEADERS, "expected"),
        (None, HEADERS, "found 0 bytes"),
        (jpeg("red")[:200], HEADERS, "expected"),
        (png_that_claims(50_000, 50_000), HEADERS, "50000"),
        (b"x" * 8_000_001, HEADERS, "8000001 bytes"),
        (jpeg("red"), {}, "header room_id: found ''"),
        (jpeg("red"), {**HEADERS, "event_time_ms": "-4"}, "header event_time_ms: found '-4'"),
    ],
)
def test_what_is_no_frame_goes_to_dlq_and_the_rest_goes_on(encoder, value, headers, reason) -> None:
    bad, good = run(encoder, (value, headers), (jpeg("red"), HEADERS))
    assert (bad.topic, good.topic) == ("dlq", "frame-features")
    letter = orjson.loads(bad.value)
    assert reason in letter["reason"]
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("frames", 2, 10)
