"""docs/reliability.md: the campaign's counts, between markers, and its records as JSON."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from tests.chaos.faults import FAULTS
from tests.chaos.verdict import FAILURES, Verdict

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS / "reliability.md"
RECORDS = DOCS / "reliability.jsonl"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"


def read_verdict(text: str) -> Verdict:
    """A verdict from the JSON of `asdict`."""
    fields = json.loads(text)
    fields["faults"] = tuple(fields["faults"])
    fields["pauses_s"] = tuple((name, pause_s) for name, pause_s in fields["pauses_s"])
    return Verdict(**fields)


def write_report(verdicts: Sequence[Verdict]) -> None:
    """Put the tables between the document's markers and the records beside it."""
    RECORDS.write_text("".join(json.dumps(asdict(verdict)) + "\n" for verdict in verdicts))
    section = f"{BEGIN}\n{tables(verdicts)}\n{END}"
    between = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    DOCUMENT.write_text(between.sub(lambda _: section, DOCUMENT.read_text()))


def tables(verdicts: Sequence[Verdict]) -> str:
    """Totals, pauses by fault, and every run, as Markdown."""
    failed = [verdict.seed for verdict in verdicts if verdict.failed]
    commits = Counter(verdict.commit for verdict in verdicts)
    where = ", ".join(f"{count} at commit {commit}" for commit, count in commits.items())
    summary = (
        f"{len(verdicts)} runs ({where}), {sum(len(v.faults) for v in verdicts)} faults,"
        f" {sum(v.restless for v in verdicts)} runs with a producer that repeats and reorders,"
        f" {sum(v.workers > 1 for v in verdicts)} with two workers;"
        f" failed: {', '.join(map(str, failed)) or 'none'}."
    )
    totals = [("what", "expected", "lost", "wrong", "twice", "out of order")]
    for what, expected, lost, wrong, twice, order in (
        ("windows", "windows", "windows_lost", "windows_wrong", "", ""),
        ("scores", "scores", "scores_lost", "scores_wrong", "", ""),
        ("highlight events", "highlight_events", "highlights_lost", "highlights_wrong", "", ""),
        ("deliveries", "delivered", "deliveries_lost", "", "delivered_twice", "out_of_order"),
        ("source entries", "", "unaccounted", "", "", ""),
    ):
        cells = [_sum(verdicts, name) for name in (lost, wrong, twice, order)]
        there = sum(getattr(v, expected) + getattr(v, lost) for v in verdicts) if expected else ""
        totals.append((what, str(there), *cells))
    repeats = sum(verdict.repeats_recognised for verdict in verdicts)
    ended = sum(verdict.ended_by_themselves for verdict in verdicts)
    pauses = [("fault", "times", "median pause, s", "longest, s")]
    for name in FAULTS:
        found = [pause for v in verdicts for fault, pause in v.pauses_s if fault == name]
        times = sum(v.faults.count(name) for v in verdicts)
        told = (f"{median(found):.1f}", f"{max(found):.1f}") if found else ("", "")
        pauses.append((name, str(times), *told))
    runs = [("seed", "faults, in order", "workers", "restless", "lost, twice or wrong", "s")]
    for verdict in verdicts:
        bad = {name: getattr(verdict, name) for name in FAILURES if getattr(verdict, name)}
        runs.append(
            (
                str(verdict.seed),
                ", ".join(verdict.faults),
                str(verdict.workers),
                "yes" if verdict.restless else "",
                ", ".join(f"{name} {count}" for name, count in bad.items()) or "0",
                f"{verdict.seconds:.0f}",
            )
        )
    return "\n\n".join(
        [
            summary,
            _table(totals),
            f"{repeats} deliveries came again and were recognised by their id. Processes that ended"
            f" by themselves and were started again: {ended}.",
            _table(pauses),
            "<details><summary>Every run</summary>",
            _table(runs),
            "</details>",
        ]
    )


def _sum(verdicts: Sequence[Verdict], name: str) -> str:
    return str(sum(getattr(verdict, name) for verdict in verdicts)) if name else ""


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
