"""Runs every benchmark of this folder: `python -m tests.bench`, or some: `... engine`.

A benchmark is a module with `run() -> Result`, or a list of them. They are written to
docs/benchmarks/ as JSON and into docs/benchmarks.md as tables, between markers of its own.
"""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from tests.bench.result import Result

REPOSITORY_ROOT = Path(__file__).parents[2]
TABLES = REPOSITORY_ROOT / "docs" / "benchmarks.md"
RECORDS = REPOSITORY_ROOT / "docs" / "benchmarks"
TITLE = "# Benchmarks\n\nWritten by `make bench`.\n"
NOT_BENCHMARKS = {"__main__", "result"}


def main(wanted: list[str]) -> None:
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    names = [name for name in names if name not in NOT_BENCHMARKS]
    if unknown := set(wanted) - set(names):
        raise SystemExit(f"found {sorted(unknown)}, expected some of {names}")
    if len(wanted or names) > 1:
        # Each in a process of its own: threads that one library leaves spinning slow the next.
        for name in wanted or names:
            subprocess.run([sys.executable, "-m", "tests.bench", name], check=True)
        return
    machine = {"hardware": hardware(), "commit": commit()}
    print(f"{machine['hardware']}, commit {machine['commit']}")
    found: Result | list[Result] = import_module(f"tests.bench.{wanted[0]}").run()
    results = [found] if isinstance(found, Result) else found
    for result in results:
        print(f"\n{result.title}\n{result.table()}\n{result.note}", flush=True)
    record(wanted[0], results, machine)


def record(name: str, results: list[Result], machine: dict[str, str]) -> None:
    RECORDS.mkdir(parents=True, exist_ok=True)
    tables = [asdict(result) for result in results]
    written = tables[0] if len(tables) == 1 else {"tables": tables}
    text = json.dumps({**machine, **written}, indent=2, ensure_ascii=False)
    (RECORDS / f"{name}.json").write_text(text + "\n")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    where = f"{machine['hardware']}; commit {machine['commit']}."
    parts = [f"## {each.title}\n\n{each.table()}\n\n{each.note} {where}\n" for each in results]
    section = "\n".join([begin, *parts]) + f"{end}\n"
    page = TABLES.read_text() if TABLES.exists() else TITLE
    between = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}\n", re.DOTALL)
    if between.search(page):
        page = between.sub(lambda _: section, page)
    else:
        page = f"{page.rstrip()}\n\n{section}"
    TABLES.write_text(page)


def hardware() -> str:
    """The processor's name and its cores, as far as this system tells."""
    name = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", cpu_info.read_text(), re.MULTILINE)
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def commit() -> str:
    """The commit measured, `-dirty` if anything but the results themselves has been changed."""
    name = _git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{name}-dirty" if _git("status", "--porcelain", "--", ".", ":!docs") else name


def _git(*command: str) -> str:
    found = subprocess.run(
        ["git", *command], cwd=REPOSITORY_ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


if __name__ == "__main__":
    main(sys.argv[1:])
