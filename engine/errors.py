"""The errors that Limelight raises for the world's mistakes.

LimelightError
├── DecodeFailed          bytes that claim to be a picture and are not, or are too large
├── CacheOverflow         more rooms at once than the KV cache has slots
├── EncoderMismatch       a feature made by another encoder or revision than the model expects
├── MalformedRecording    a file of a recording that cannot be read (replay.recording)
├── MalformedRecord       a Kafka message that cannot be read (streams.records)
└── BrokerUnavailable     Kafka does not answer, or a needed port is taken (streams.kafka)

A caller's own mistake (a wrong argument) is a ValueError instead.
"""


class LimelightError(Exception):
    """Base of every error above; its text says what was found and what was expected."""


class DecodeFailed(LimelightError):
    pass


class CacheOverflow(LimelightError):
    pass


class EncoderMismatch(LimelightError):
    pass
