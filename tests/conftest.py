"""What holds for all tests."""

import os

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers share the cores: more threads each would wait for one another.
    torch.set_num_threads(1)
