"""Telling the engines what the registry says: from its pointers to the topic `models`."""

from limelight.replay.registry.records import Change
from limelight.replay.registry.registry import Registry
from limelight.streams.model_topic import ROLES, ModelPointer, latest, open_model_topic, point
from limelight.streams.settings import KafkaSettings


def pointer_to(registry: Registry, version: str) -> ModelPointer:
    """What engines are told about a version.

    Raises:
        UnknownVersion, MalformedVersion: it is not there, or not whole.
    """
    folder = registry.local_folder(version)
    return ModelPointer(version=version, folder=str(folder), registry=registry.url)


async def announce(registry: Registry, kafka: KafkaSettings, *, again: bool = False) -> Change:
    """Write to the topic whatever differs there from the registry; gives the registry's pointers.

    Args:
        again: write what does not differ as well, for an engine that has refused it.

    Raises:
        BrokerUnavailable, KafkaError: Kafka does not answer; the registry stays as it is.
        UnknownVersion, MalformedVersion: a version that it points to is not whole.
    """
    while True:
        change = registry.pointers()
        async with open_model_topic(kafka) as topic:
            told = latest(await topic.to_its_end())
        # The challenger last: who has just become champion need not be loaded twice.
        for role in ROLES:
            version = change.version(role)
            pointer = None if version is None else pointer_to(registry, version)
            if again or told.get(role) != pointer:
                await point(kafka, role, pointer)
        # Of two who announce at once the slower one must not have the last word on what is over.
        if registry.pointers().number == change.number:
            return change
