"""`limelight bench engine` for the record: the tables of docs/benchmarks.md.

The texts that are encoded are those of the bundled recordings, in segments of 30 s.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from limelight.engine.bench.plan import full_plan
from limelight.engine.bench.report import Section
from limelight.engine.bench.suite import run as run_all
from limelight.replay.demo import bundled_recordings
from limelight.replay.recording import Recording, load_recording
from tests.bench.result import Result

THREADS = 2
SEGMENT_MS = 30_000


def run() -> list[Result]:
    torch.set_num_threads(THREADS)
    with TemporaryDirectory() as folder:
        texts = Path(folder) / "the bundled recordings"
        lines = [line for each in bundled_recordings() for line in _segments(load_recording(each))]
        texts.write_text("\n".join(lines), encoding="utf-8")
        plan = replace(full_plan(), texts=texts)
        sections = run_all(plan, tell=lambda section: print(f"\n{section.table()}", flush=True))
    return [_result(section) for section in sections]


def _result(section: Section) -> Result:
    note = section.note
    if section.name == "ceilings":
        note = f"{note} {THREADS} threads, torch {torch.__version__}."
    return Result(section.title, section.columns, tuple(section.cells()), note)


def _segments(recording: Recording) -> Iterator[str]:
    """Each segment's speech and comments, tabs between."""
    speech: dict[int, list[str]] = defaultdict(list)
    comments: dict[int, list[str]] = defaultdict(list)
    for said in recording.read_speech():
        speech[said.start_ms // SEGMENT_MS].append(_plain(said.text))
    for comment in recording.read_comments():
        comments[comment.offset_ms // SEGMENT_MS].append(_plain(comment.text))
    for index in sorted(speech.keys() | comments.keys()):
        yield "\t".join([" ".join(speech[index]), *comments[index]])


def _plain(text: str) -> str:
    return " ".join(text.split())
