"""Pictures to features: order kept, marks passed on, what is no picture to dlq."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest
from PIL import Image

from limelight.engine.encoders import load_frame_encoder
from limelight.engine.settings import EngineSettings
from limelight.streams.frame_batch import FrameMessage, FrameOutput, encode_frames
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


def test_partitions_are_encoded_together_and_each_keeps_its_order(encoder) -> None:
    mark = header_map(Watermark(5).encode())
    values = [jpeg("red"), b"", b"no picture", jpeg("blue"), b"", jpeg("red")]
    messages = [
        FrameMessage(partition, 100 * partition + k, value, HEADERS if value else mark)
        for partition in (4, 1)
        for k, value in enumerate(values)
    ]
    given = []

    class Counted:
        """The encoder, noting how many pictures each call brings."""

        def __getattr__(self, name: str) -> object:
            return getattr(encoder, name)

        def encode(self, images, digests):
            given.append(len(images))
            return encoder.encode(images, digests)

    with ThreadPoolExecutor(3) as pool:
        outputs = encode_frames(messages, Counted(), EngineSettings(), pool)
    assert given == [6]
    assert [output.partition for output in outputs] == [4] * 6 + [1] * 6
    kinds = ["feature", "mark", "dlq", "feature", "mark", "feature"]
    for first, partition in ((0, 4), (6, 1)):
        part = outputs[first : first + 6]
        assert [kind_of(output) for output in part] == kinds
        features = [orjson.loads(part[k].value) for k in (0, 3, 5)]
        assert [each["frame_offset"] for each in features] == [
            100 * partition + k for k in (0, 3, 5)
        ]
        alone = run(encoder, (jpeg("blue"), HEADERS))[0]
        assert features[1]["feature"] == orjson.loads(alone.value)["feature"]
    assert outputs == encode_frames(messages, encoder, EngineSettings())


def kind_of(output: FrameOutput) -> str:
    return "dlq" if output.topic == "dlq" else "feature" if output.value else "mark"
