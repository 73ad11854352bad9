"""What the engine does when the topic `models` changes: load, warm up, follow, take over.

Loading and warming up happen in a thread beside the one that scores. A network that cannot be had
or does not fit is refused with its reason in the log, and everything stays as it was.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from limelight.engine.errors import LimelightError
from limelight.engine.network import load_network
from limelight.engine.room_network import RoomNetwork
from limelight.engine.scorer import Scorer
from limelight.replay.registry.registry import Registry
from limelight.streams import metrics
from limelight.streams.model_topic import ModelPointer, ModelTopic, Pointers, Role, latest

logger = logging.getLogger(__name__)


class ModelUpdates:
    """Brings the scorer's networks in line with the topic.

    Args:
        between_batches: runs a function with the scorer while no batch is scored.
    """

    def __init__(
        self,
        scorer: Scorer,
        between_batches: Callable[[Callable[[], Any]], Awaitable[Any]],
    ) -> None:
        self._scorer = scorer
        self._between_batches = between_batches

    async def follow(self, topic: ModelTopic) -> None:
        """Apply for ever what is written from now on."""
        while True:
            await self.apply(latest(await topic.more()))

    async def apply(self, pointers: Pointers) -> None:
        """Load what the pointers name; a challenger first, for it may be promoted as well."""
        for role in sorted(pointers, key=lambda role: role == "champion"):
            try:
                await self._apply(role, pointers[role])
            except (LimelightError, ValueError, OSError, RuntimeError) as error:
                # RuntimeError: torch's word for missing memory and for tensors that do not fit.
                metrics.models_refused_total.labels(role).inc()
                pointer = pointers[role]
                logger.error(
                    "model refused",
                    extra={
                        "role": role,
                        "version": pointer.version if pointer else None,
                        "reason": str(error),
                    },
                )

    async def _apply(self, role: Role, pointer: ModelPointer | None) -> None:
        networks = self._scorer.networks
        if role == "challenger":
            network = None if pointer is None else await self._loaded(pointer)
            await self._between_batches(lambda: networks.challenge(network))
        else:
            coming = await self._champion(pointer)
            await self._between_batches(lambda: networks.promote(coming))
        version = None if pointer is None else pointer.version
        logger.info("model accepted", extra={"role": role, "version": version})

    async def _champion(self, pointer: ModelPointer | None) -> RoomNetwork | None:
        """The network to come, None if the one that is there shall stay."""
        networks = self._scorer.networks
        if pointer is None:
            return await asyncio.to_thread(self._scorer.ready_network, self._scorer.configured)
        if pointer.version == networks.champion.version:
            return None
        if networks.challenger is not None and networks.challenger.version == pointer.version:
            return networks.challenger
        return await self._loaded(pointer)

    async def _loaded(self, pointer: ModelPointer) -> RoomNetwork:
        return await asyncio.to_thread(self._load, pointer)

    def _load(self, pointer: ModelPointer) -> RoomNetwork:
        folder = Path(pointer.folder)
        if pointer.registry:
            folder = Registry(pointer.registry).local_folder(pointer.version)
        model = load_network(folder)
        found = model.config.model_version
        if found != pointer.version:
            raise ValueError(
                f"model {folder}: found version {found!r}, expected {pointer.version!r}"
            )
        return self._scorer.ready_network(model)
