"""What travels on the topics: parsing and writing, with every input checked.

Source records (comments, speech, frame features, engagement) are parsed into frozen models;
`MalformedRecord` says what was found and expected. Marks travel in Kafka headers, so that a
reader can tell them from data without parsing a value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from limelight.engine.errors import LimelightError

Headers = list[tuple[str, bytes]]
R = TypeVar("R", bound=BaseModel)

RoomId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
# Up to the year 2200: a time in microseconds or nanoseconds is refused instead of believed.
TIME_LIMIT_MS = 7_258_118_400_000
# Room for the largest encoders; 20 segments of it stay well under a Kafka message's usual limit.
MAX_FEATURE_SIZE = 4_096
# More than any room has, and safe in every JSON reader.
Count = Annotated[int, Field(ge=0, lt=2**53)]
# The assembler keeps less of a segment; a longer one would not fit the records that follow.
Text = Annotated[str, Field(max_length=20_000)]
EventTimeMs = Annotated[int, Field(ge=0, lt=TIME_LIMIT_MS)]


class MalformedRecord(LimelightError):
    """A Kafka message that cannot be read."""


class _SourceRecord(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    room_id: RoomId
    streamer_id: str = Field("", max_length=200)
    room_started_ms: EventTimeMs | None = None


class Comment(_SourceRecord):
    event_time_ms: EventTimeMs
    text: str
    user: str = Field("", max_length=200)
    comment_id: str = Field("", max_length=200)


class Speech(_SourceRecord):
    start_ms: EventTimeMs
    end_ms: EventTimeMs
    text: str

    @property
    def event_time_ms(self) -> int:
        """A recogniser knows a line when it ends, so that is when it enters the log."""
        return self.end_ms


class FrameFeature(_SourceRecord):
    event_time_ms: EventTimeMs
    encoder_id: str = Field(max_length=200)
    encoder_revision: str = Field(max_length=200)
    # Base64 of float16, little endian; two bytes a number are 8 characters for 3 numbers.
    feature: str = Field(max_length=MAX_FEATURE_SIZE * 8 // 3 + 4)
    # Where the picture stood in `frames`: a feature sent twice after a crash is one feature.
    frame_offset: int


class Engagement(_SourceRecord):
    start_ms: EventTimeMs
    end_ms: EventTimeMs
    impressions: float | None = None
    clicks: float | None = None
    gifts: float | None = None
    likes: float | None = None
    follows: float | None = None
    enters: float | None = None
    exits: float | None = None
    comments: float | None = None
    paid: Mapping[str, float] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FrameHeaders:
    """The headers of a `frames` record, whose value is the encoded image itself."""

    room_id: str
    streamer_id: str
    event_time_ms: int
    room_started_ms: int | None

    def encode(self) -> Headers:
        return _headers(
            room_id=self.room_id,
            streamer_id=self.streamer_id,
            event_time_ms=self.event_time_ms,
            room_started_ms=self.room_started_ms,
        )


@dataclass(frozen=True, slots=True)
class Watermark:
    """Nothing older than `event_time_ms` follows in this topic-partition, except late data.

    `for_silent_source` says that the source itself was silent and the assembler marked for it.
    """

    event_time_ms: int
    for_silent_source: bool = False

    def encode(self) -> Headers:
        silent = "true" if self.for_silent_source else None
        return _headers(
            kind="watermark", event_time_ms=self.event_time_ms, for_silent_source=silent
        )


@dataclass(frozen=True, slots=True)
class RoomEnd:
    """The room went off air at `event_time_ms`; travels on `comments`, keyed by the room."""

    room_id: str
    event_time_ms: int
    room_started_ms: int | None

    def encode(self) -> Headers:
        return _headers(
            kind="room-end",
            room_id=self.room_id,
            event_time_ms=self.event_time_ms,
            room_started_ms=self.room_started_ms,
        )


def _headers(**values: str | int | None) -> Headers:
    return [(name, str(value).encode()) for name, value in values.items() if value is not None]


def header_map(headers: Iterable[tuple[str, bytes]] | Mapping[str, bytes] | None) -> dict[str, str]:
    """The headers as text; of two with one name the last counts."""
    if not headers:
        return {}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return {name: bytes(value or b"").decode("utf-8", "replace") for name, value in pairs}


def first_problem(error: ValidationError) -> str:
    """The first field that does not fit: its name, what was found and expected."""
    first = error.errors(include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"found {repr(first.get('input'))[:60]}, expected JSON: {first['ctx']['error']}"
    where = ".".join(str(part) for part in first["loc"]) or "value"
    if first["type"] == "missing":
        return f"{where}: found no such field, expected one"
    return f"{where}: found {repr(first.get('input'))[:60]}, expected: {first['msg']}"


def parse_mark(headers: Mapping[str, str]) -> Watermark | RoomEnd | None:
    """The mark that the headers spell, None for a record that carries data.

    Raises:
        MalformedRecord: an unknown kind, or a mark without a proper time.
    """
    kind = headers.get("kind")
    if kind is None:
        return None
    if kind == "watermark":
        return Watermark(
            _header_ms(headers, "event_time_ms"), headers.get("for_silent_source") == "true"
        )
    if kind == "room-end":
        started = _header_ms(headers, "room_started_ms") if "room_started_ms" in headers else None
        return RoomEnd(_header_room(headers), _header_ms(headers, "event_time_ms"), started)
    raise MalformedRecord(f"header kind: found {kind!r:.40}, expected 'watermark' or 'room-end'")


def parse_frame_headers(headers: Mapping[str, str]) -> FrameHeaders:
    """Whose picture it is and when it was taken.

    Raises:
        MalformedRecord: a header is missing or no number.
    """
    started = _header_ms(headers, "room_started_ms") if "room_started_ms" in headers else None
    return FrameHeaders(
        room_id=_header_room(headers),
        streamer_id=headers.get("streamer_id", "")[:200],
        event_time_ms=_header_ms(headers, "event_time_ms"),
        room_started_ms=started,
    )


def _header_room(headers: Mapping[str, str]) -> str:
    room_id = headers.get("room_id", "")
    if not 0 < len(room_id) <= 200 or "\x00" in room_id:
        raise MalformedRecord(
            f"header room_id: found {room_id!r:.40}, expected 1 to 200 characters"
        )
    return room_id


def _header_ms(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name)
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 13:
        raise MalformedRecord(
            f"header {name}: found {text!r:.40}, expected milliseconds since 1970 as digits"
        )
    if int(text) >= TIME_LIMIT_MS:
        raise MalformedRecord(f"header {name}: found {text}, expected a time before the year 2200")
    return int(text)


def parse_json(value: bytes | None, *, max_bytes: int) -> Any:
    """The JSON value of a message, its size checked first.

    Raises:
        MalformedRecord: empty, too large, or not JSON.
    """
    if not value:
        raise MalformedRecord("value: found nothing, expected JSON")
    if len(value) > max_bytes:
        raise MalformedRecord(f"value: found {len(value)} bytes, expected at most {max_bytes}")
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise MalformedRecord(
            f"value: found {bytes(value[:24])!r}, expected JSON ({error})"
        ) from error


def parse_record(model: type[R], fields: Any) -> R:
    """`fields` as a checked `model`.

    Raises:
        MalformedRecord: names the first field that does not fit, what was found and expected.
    """
    try:
        # What model_validate calls, after it has looked at arguments that nobody gives here.
        parsed: R = model.__pydantic_validator__.validate_python(fields)
        return parsed
    except ValidationError as error:
        raise MalformedRecord(first_problem(error)) from error


def to_json(record: BaseModel) -> bytes:
    """The record's own fields; what is not set is left out."""
    return orjson.dumps(record.model_dump(exclude_none=True, exclude_defaults=True))
