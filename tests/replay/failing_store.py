"""A store whose every step can be the one that fails, or the last before a crash."""

import errno
import os
import signal
from typing import Any

from limelight.replay.store import Store


class PowerCut(BaseException):
    """Nothing runs after it: no handler, no clean-up."""


class FailingStore(Store):
    """Fails at its `fail_at`-th step, counted from 0; a write then leaves half of its bytes.

    Args:
        how: `full` for a full disk, from that step on while `is_broken`; `cut` for a power cut;
            `kill` for SIGKILL of this process.
    """

    def __init__(self, root: str, fail_at: int | None = None, how: str = "full") -> None:
        super().__init__(root)
        self.fail_at = fail_at
        self.how = how
        self.steps = 0

    def _write(self, path: str, data: Any) -> None:
        if self._fails(after=False):
            if self.is_local:
                half = bytes(data)[: len(data) // 2]
                super()._write(path, half)
            self._fail()
        super()._write(path, data)
        if self._fails(after=True):
            self._fail()

    def _rename(self, unfinished: str, path: str) -> None:
        if self._fails(after=False):
            self._fail()
        super()._rename(unfinished, path)
        if self._fails(after=True):
            self._fail()

    def _remove(self, path: str) -> None:
        if self._fails(after=False):
            self._fail()
        super()._remove(path)
        if self._fails(after=True):
            self._fail()

    def _fails(self, after: bool) -> bool:
        """Each step has a moment before it and one behind it."""
        if after and self.how == "full":
            return False  # what has been done has not failed
        self.steps += 1
        return self.steps - 1 == self.fail_at

    def _fail(self) -> None:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "cut":
            raise PowerCut
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
