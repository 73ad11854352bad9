"""`python -m tests.chaos`: many seeded runs, and docs/reliability.md written of them.

Each finished run is kept as a file in `--work`, so that a campaign can be interrupted and goes on
where it was. Status 1 if anything was lost, doubled or wrong in any run.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from tests.chaos.faults import Schedule, schedule
from tests.chaos.report import DOCUMENT, read_verdict, write_report
from tests.chaos.run import run, undisturbed
from tests.chaos.verdict import Verdict, judge

REPOSITORY_ROOT = Path(__file__).parents[2]


async def campaign(seeds: int, jobs: int, work: Path) -> list[Verdict]:
    """Verdicts of all seeds, those that are kept already included."""
    work.mkdir(parents=True, exist_ok=True)
    expected = undisturbed()
    print("a run without faults ...", flush=True)
    quiet = Schedule((), restless=False)
    verdict = judge(-1, quiet, expected, await run(quiet, -1, work / "without-faults"))
    if verdict.failed:
        raise SystemExit(f"the run without faults differs from the direct pass: {verdict}")
    places = asyncio.Semaphore(jobs)

    async def one(seed: int) -> Verdict:
        kept = work / f"seed-{seed}.json"
        if kept.exists():
            return read_verdict(kept.read_text())
        async with places:
            planned = schedule(seed)
            ran = await run(planned, seed, work / f"seed-{seed}")
        verdict = replace(judge(seed, planned, expected, ran), commit=commit())
        kept.write_text(json.dumps(asdict(verdict)) + "\n")
        said = "FAILED" if verdict.failed else "nothing lost"
        print(f"seed {seed}: {', '.join(verdict.faults)}: {said}, {verdict.seconds} s", flush=True)
        return verdict

    return list(await asyncio.gather(*(one(seed) for seed in range(seeds))))


def commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY_ROOT, capture_output=True, text=True
    )
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=55)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--work", type=Path, default=Path("chaos-work"))
    options = parser.parse_args()
    verdicts = asyncio.run(campaign(options.seeds, options.jobs, options.work))
    write_report(verdicts)
    print(f"written: {DOCUMENT.relative_to(REPOSITORY_ROOT)}")
    sys.exit(any(verdict.failed for verdict in verdicts))


if __name__ == "__main__":
    main()
