"""Runs one after the other: begun, resumed, locked, announced, and again after a while."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError

from limelight.engine.errors import LimelightError
from limelight.models.training.trainer import StepSeen
from limelight.replay.feature_log.reading import FeatureLog
from limelight.replay.registry.announcement import announce
from limelight.replay.registry.lease import LEASE_S, Lease, LeaseTaken, lease
from limelight.replay.registry.registry import Registry
from limelight.replay.retraining.run import RetrainingRun, Surroundings
from limelight.replay.retraining.state import RunState, begin, load_state, unfinished
from limelight.replay.store import Store
from limelight.streams import metrics
from limelight.streams.settings import Settings

logger = logging.getLogger(__name__)

LEASE = "retraining"


@dataclass(frozen=True, slots=True)
class Retraining:
    """Everything that runs have in common; `log_root` and `registry_root` are folders or URLs."""

    settings: Settings
    log_root: str
    registry_root: str
    tell: Callable[[str], None]
    on_step: Callable[[StepSeen], None] = lambda seen: None

    @property
    def work(self) -> Path:
        return Path(self.settings.retraining.work)

    def run(self, until_ms: int | None = None) -> RunState:
        """One run to its end: the one that was interrupted, if there is one, else a new one.

        Args:
            until_ms: nothing that was logged for later is looked at; without it all is.

        Raises:
            LeaseTaken: another process retrains for this registry.
            LimelightError, ValueError, OSError: a stage failed; nothing live has changed by it.
        """
        with lease(Store(self.registry_root), LEASE) as held:
            folder = unfinished(self.work)
            if folder is None:
                now_ms = int(time.time() * 1000)
                end_ms = now_ms if until_ms is None else until_ms
                folder = begin(self.work, self.log_root, end_ms, now_ms)
                self.tell(f"run {folder.name} begins")
            else:
                self.tell(f"run {folder.name} goes on at {load_state(folder).stage}")
            state = RetrainingRun(folder, self._around(held)).run()
        metrics.retraining_runs_total.labels(state.outcome).inc()
        return state

    def abandon(self) -> RunState | None:
        """End the interrupted run, if there is one, and withdraw its challenger."""
        with lease(Store(self.registry_root), LEASE) as held:
            folder = unfinished(self.work)
            return None if folder is None else RetrainingRun(folder, self._around(held)).abandon()

    def serve(self, every_s: float, until: Callable[[], bool] = lambda: False) -> None:
        """A run every so many seconds, counted from the beginning of one to that of the next.

        What fails is logged, and the next run is tried in its time; sooner if another process
        held the lease, which a dead one does no longer than a lease lasts.
        """
        while not until():
            began_s, wait_s = time.monotonic(), every_s
            try:
                self.run()
            except LeaseTaken as error:
                logger.info("another process retrains", extra={"reason": str(error)})
                wait_s = min(every_s, LEASE_S)
            except (LimelightError, KafkaError, ValueError, OSError, RuntimeError) as error:
                # RuntimeError: torch's word for missing memory.
                metrics.retraining_runs_total.labels("error").inc()
                logger.error("retraining failed", extra={"reason": str(error)})
            time.sleep(max(0.0, wait_s - (time.monotonic() - began_s)))

    def _around(self, held: Lease) -> Surroundings:
        settings, registry = self.settings, Registry(self.registry_root)
        options = settings.featurelog
        return Surroundings(
            settings=settings,
            log=lambda: FeatureLog(
                self.log_root, min_viewers=options.min_viewers, label_delay_s=options.label_delay_s
            ),
            registry=registry,
            announce=lambda: _announce(registry, settings),
            lease=held,
            tell=self.tell,
            on_step=self.on_step,
        )


def _announce(registry: Registry, settings: Settings) -> None:
    asyncio.run(announce(registry, settings.kafka))
