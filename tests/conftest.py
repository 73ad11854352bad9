"""What holds for all tests."""

import logging
import os
import sys
from collections.abc import Iterator

import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores: more threads each would wait for one another.
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _commands_leave_nothing() -> Iterator[None]:
    """A command that a test calls sets up logging and settings of the process of all tests."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    # Where there is neither Kafka nor its settings, nobody has read them.
    if (module := sys.modules.get("limelight.streams.settings")) is not None:
        module.settings.cache_clear()
