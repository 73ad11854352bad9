"""`limelight bench`: what the parts cost on this machine."""

from pathlib import Path
from typing import Annotated

import typer

bench_app = typer.Typer(help="Measure on this machine what the parts cost.", no_args_is_help=True)


@bench_app.callback()
def _group() -> None:
    """Keeps `engine` a command of its own: Typer runs an only command without its name."""


@bench_app.command()
def engine(
    quick: Annotated[bool, typer.Option(help="A minute's look, not for the record.")] = False,
    out: Annotated[Path | None, typer.Option(help="Store every figure there, as JSON.")] = None,
    only: Annotated[str, typer.Option(help="Some of step,networks,encoders,serving.")] = "",
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    preset: Annotated[str, typer.Option(help="The network of the step: base or tiny.")] = "base",
    rooms: Annotated[str, typer.Option(help="Rooms of a step, such as 64,256.")] = "",
    threads: Annotated[int, typer.Option(help="Of torch; 0 finds out the fastest.")] = 0,
    texts: Annotated[
        Path | None,
        typer.Option(help="Real texts, one segment's a line: speech, then comments, tabs between."),
    ] = None,
) -> None:
    """Steps, encoders and whole scorers, against peers and against the machine's own limits.

    A GPU machine without Kafka runs the same as python -m limelight.engine.bench.
    """
    from limelight.engine.bench.options import Options, measure

    measure(
        Options(
            quick=quick,
            out=out,
            only=only,
            device=device,
            preset=preset,
            rooms=rooms,
            threads=threads,
            texts=texts,
        ),
        tell=typer.echo,
    )
