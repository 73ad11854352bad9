"""The `limelight` command line. Heavy imports wait inside the commands, so that help is quick."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from limelight.engine.errors import LimelightError
from limelight.replay.clip_commands import clips_app
from limelight.replay.commands import demo, replay, verify
from limelight.replay.enrichment.commands import enrich, enricher
from limelight.replay.evaluation.commands import evaluate
from limelight.replay.feature_log.commands import log_app
from limelight.replay.highlight_commands import highlights_app
from limelight.replay.load_commands import load
from limelight.replay.recording_commands import record_app
from limelight.replay.registry.commands import models_app
from limelight.replay.retraining.commands import retrain
from limelight.replay.training_commands import simulate_app, tables, train
from limelight.streams.bench_commands import bench_app
from limelight.streams.dead_letter_commands import dlq_app
from limelight.streams.settings import Settings, settings

app = typer.Typer(
    name="limelight",
    help="Finds the moments worth watching in live rooms while they are still happening.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(record_app, name="record")
app.add_typer(simulate_app, name="simulate")
app.add_typer(clips_app, name="clips")
app.add_typer(dlq_app, name="dlq")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(log_app, name="log")
app.add_typer(highlights_app, name="highlights")
app.command()(demo)
app.command()(replay)
app.command()(verify)
app.command()(load)
app.command()(train)
app.command()(tables)
app.command()(evaluate)
app.command()(retrain)
app.command()(enrich)
app.command()(enricher)

logger = logging.getLogger(__name__)

ReadyFile = Annotated[
    Path | None, typer.Option(help="Create this file once the process is at work.")
]


@app.command()
def worker(
    data_dir: Annotated[Path, typer.Option(help="Where Faust keeps its files.")] = Path(
        ".limelight-worker"
    ),
    ready_file: ReadyFile = None,
) -> None:
    """Assemble windows, detect highlights and push them: the Faust worker."""
    import mode.loop

    if sys.platform != "win32":
        mode.loop.use("uvloop")  # before Faust makes its loop; it is no option of the app
    from limelight.streams import metrics
    from limelight.streams.kafka import create_topics
    from limelight.streams.worker import run_worker

    current = _start()
    logger.info("starting worker", extra={"settings": current.masked()})
    asyncio.run(create_topics(current.kafka))
    metrics.serve(current.metrics)
    run_worker(current, data_dir, ready_file)


@app.command()
def engine(ready_file: ReadyFile = None) -> None:
    """Encode pictures and score windows: the process that owns the device."""
    from limelight.streams import metrics
    from limelight.streams.engine_process import run_engine

    current = _start()
    logger.info("starting engine", extra={"settings": current.masked()})
    metrics.serve(current.metrics)
    asyncio.run(run_engine(current, ready_file))


@app.command()
def broker(
    port: Annotated[int, typer.Option(help="Loopback port to listen on.")] = 9092,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of every topic.")] = 4,
    log_file: Annotated[Path, typer.Option(help="The broker's own output.")] = Path(
        "limelight-broker.log"
    ),
) -> None:
    """Run the embedded Kafka-compatible broker: for one machine, in memory only."""
    from limelight.streams.broker import serve_broker

    _start()
    asyncio.run(serve_broker(port, partitions, log_file, typer.echo))


@app.command()
def listen(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 lets the system choose.")] = 8088,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Receive pushed highlights, check their signatures and print them."""
    from limelight.streams.listen import run_listener

    current = _start()
    asyncio.run(run_listener(current.push.secret.get_secret_value(), host, port))


def _start() -> Settings:
    """The settings, with logging set up by them."""
    from limelight.streams import logs

    # Networks load in the background of a service: no progress bars in its log.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    current = settings()
    logs.configure(current.log_level)
    return current


def main() -> None:
    """Run the command line; a known error is one line on standard error and status 1."""
    try:
        app()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in problem["loc"])
            typer.secho(f"limelight: {error.title} {name}: {problem['msg']}", err=True, fg="red")
        sys.exit(2)
    except (LimelightError, KafkaError, ValueError, OSError) as error:
        typer.secho(f"limelight: {error}", err=True, fg="red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
