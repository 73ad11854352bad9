"""What holds for all tests."""

import logging
import os
from collections.abc import Iterator

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores: more threads each would wait for one another.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _logging_stays() -> Iterator[None]:
    """A command that a test calls sets logging up for its process, which here is all tests'."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
