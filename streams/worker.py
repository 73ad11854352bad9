"""The worker process: one Faust app with assembler, detector and pusher."""

import gc
import logging
from pathlib import Path

import faust

from limelight.streams.assembler import install_assembler
from limelight.streams.detector import install_detector
from limelight.streams.faust_app import make_app, raise_producer_buffer
from limelight.streams.forgiving_records import forgive_header_names
from limelight.streams.pusher import install_pusher
from limelight.streams.settings import Settings

logger = logging.getLogger(__name__)

# Of Python's cyclic garbage collector. With its usual thresholds it looks at every object of every
# room several times a minute: pauses of half a second with 10,000 rooms. They find next to nothing,
# for what rooms hold has no cycles and goes when nobody refers to it.
_GC_THRESHOLDS = (10_000, 10, 1_000)


def build_worker(settings: Settings, data_dir: Path, ready_file: Path | None = None) -> faust.App:
    """The app with all agents; `ready_file` is created once partitions are assigned and read."""
    forgive_header_names()
    app = make_app(settings.kafka, data_dir)
    install_assembler(app, settings)
    install_detector(app, settings)
    install_pusher(app, settings)

    @app.on_worker_init.connect  # type: ignore[untyped-decorator]
    def raise_buffer(app: faust.App, **kwargs: object) -> None:
        raise_producer_buffer(app)

    if ready_file is not None:

        @app.task()  # type: ignore[untyped-decorator]
        async def announce() -> None:
            while not app.consumer.assignment():
                await app.sleep(0.1)
            await app.tables.wait_until_recovery_completed()
            ready_file.touch()
            logger.info("worker ready")

    return app


def run_worker(settings: Settings, data_dir: Path, ready_file: Path | None) -> None:
    """Run until a signal ends it; exits the process with Faust's status."""
    gc.set_threshold(*_GC_THRESHOLDS)
    app = build_worker(settings, data_dir, ready_file)
    worker = faust.Worker(
        app,
        loglevel=logging.getLevelName(logging.getLogger().level),
        override_logging=False,
        redirect_stdouts=False,
        quiet=True,
    )
    worker.execute_from_commandline()
