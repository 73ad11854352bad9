"""`python -m limelight.engine.bench`: the same as `limelight bench engine`, without Kafka."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from limelight.engine.bench.options import Options, measure
from limelight.engine.bench.plan import PRESETS
from limelight.engine.bench.suite import PARTS


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="limelight.engine.bench", description="Measure the engine on this machine."
    )
    parser.add_argument("--quick", action="store_true", help="a minute's look, not for the record")
    parser.add_argument("--out", type=Path, help="store every figure there, as JSON")
    parser.add_argument("--only", default="", help=f"some of {','.join(PARTS)}")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--rooms", default="", help="of a step, such as 64,256")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 finds out the fastest")
    parser.add_argument("--texts", type=Path, help="a file of real texts, one segment's a line")
    try:
        measure(Options(**vars(parser.parse_args(arguments))), tell=_say)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
