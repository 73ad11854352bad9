"""A writer that is killed at any step, by SIGKILL in a process of its own, costs no row."""

import multiprocessing
import signal
from pathlib import Path

import pytest

from limelight.replay.feature_log.catalogue import catalogue
from limelight.replay.store import Store
from tests.replay.feature_log.crashing import KEY, RECORDS, tidy_all, write_all
from tests.replay.feature_log.logs import make_writer, offsets_in

ALL = [(0, offset) for offset in range(RECORDS)]


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.replay.feature_log.crashing"])
    return context


def killed(processes, work, root: Path, fail_at: int) -> None:
    process = processes.Process(target=work, args=(str(root), fail_at))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


def test_a_writer_killed_at_any_step_loses_and_doubles_nothing(processes, tmp_path: Path) -> None:
    # Before and after each write and each rename of nine files.
    steps = write_all(str(tmp_path / "whole"), None)
    assert steps == 36
    for fail_at in range(steps):
        root = tmp_path / str(fail_at)
        killed(processes, write_all, root, fail_at)
        store = Store(root)
        written = catalogue(store).next_offset(*KEY)
        assert offsets_in(store, "engagement") == ALL[:written]
        write_all(str(root), None)
        assert offsets_in(store, "engagement") == ALL
        assert catalogue(store).leftovers == ()


def test_tidying_killed_at_any_step_loses_and_doubles_nothing(processes, tmp_path: Path) -> None:
    write_all(str(tmp_path / "whole"), None)
    steps = tidy_all(str(tmp_path / "whole"), None)
    kept = offsets_in(str(tmp_path / "whole"), "engagement")
    assert kept == [each for each in ALL if each[1] % 3]
    for fail_at in range(steps):
        root = tmp_path / str(fail_at)
        write_all(str(root), None)
        killed(processes, tidy_all, root, fail_at)
        found = offsets_in(str(root), "engagement")
        # The oldest hour may be there still, in whole or in part; nothing else may lack.
        assert [each for each in found if each[1] % 3] == kept
        assert len(set(found)) == len(found)
        store = Store(root)
        assert make_writer(store).begin(catalogue(store), [KEY]) == {KEY: RECORDS}
        tidy_all(str(root), None)
        assert offsets_in(str(root), "engagement") == kept
