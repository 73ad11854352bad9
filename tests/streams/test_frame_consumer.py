"""How many threads decode; the loop itself is in test_frame_pipeline.py and on a real broker."""

import os
import subprocess
import sys

import pytest

from limelight.streams.frame_consumer import decode_threads


def test_a_number_that_is_set_is_taken() -> None:
    assert decode_threads(7) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="cores are given to a process")
def test_one_core_is_left_to_the_encoder_and_one_thread_decodes_at_least() -> None:
    cores = os.sched_getaffinity(0)
    assert decode_threads(0) == max(1, len(cores) - 1)
    told = f"import os; os.sched_setaffinity(0, {{{min(cores)}}})\n"
    told += "from limelight.streams.frame_consumer import decode_threads; print(decode_threads(0))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
