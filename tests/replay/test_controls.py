"""Keys of a real pseudo-terminal and real signals."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable

import pytest

from limelight.replay.controls import controlled
from limelight.replay.pace import Pace

if sys.platform == "win32":
    pytest.skip("neither terminals nor SIGUSR1", allow_module_level=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_space_and_p_pause_and_go_on_and_other_keys_do_nothing() -> None:
    import termios

    ours, theirs = os.openpty()
    before = termios.tcgetattr(theirs)
    pace = Pace(1)
    try:
        with controlled(pace, theirs) as has_keys:
            assert has_keys
            assert not termios.tcgetattr(theirs)[3] & (termios.ICANON | termios.ECHO)
            os.write(ours, b"x ")
            await until(lambda: pace.is_paused)
            os.write(ours, b"qp")
            await until(lambda: not pace.is_paused)
        assert termios.tcgetattr(theirs) == before
        os.write(ours, b" \n")
        await asyncio.sleep(0)
        assert not pace.is_paused
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)


async def test_without_a_terminal_sigusr1_pauses_and_goes_on() -> None:
    pace = Pace(1)
    with controlled(pace) as has_keys:
        assert not has_keys
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: pace.is_paused)
        os.kill(os.getpid(), signal.SIGUSR1)
        await until(lambda: not pace.is_paused)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_stops_and_the_next_one_is_pythons_again(number) -> None:
    handler = signal.getsignal(number)
    pace = Pace(1)
    with controlled(pace):
        assert signal.getsignal(number) != handler
        os.kill(os.getpid(), number)
        await until(lambda: pace.is_stopped)
        assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    signal.signal(number, handler)
