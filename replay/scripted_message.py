"""One message of a replay."""

from dataclasses import dataclass

from limelight.streams.records import Headers


@dataclass(frozen=True, slots=True)
class ScriptedMessage:
    """One message to send when event time reaches `at_ms`; `topic` without prefix."""

    at_ms: int
    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Headers
