"""Pausing and ending a replay by hand: keys, where there is a terminal, and signals."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from limelight.replay.pace import Pace

KEYS = b" p"
_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def controlled(pace: Pace, terminal_fd: int | None = None) -> Iterator[bool]:
    """Space or p pauses and goes on, so does SIGUSR1; Ctrl-C and SIGTERM stop, a second one kills.

    Gives whether there is a terminal that keys come from. Windows has neither that nor SIGUSR1:
    there only Ctrl-C counts. To be used where an event loop runs.

    Args:
        terminal_fd: where keys come from; without it standard input, if that is a terminal.
    """
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        if sys.platform == "win32":
            before = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(pace.stop))
            stack.callback(signal.signal, signal.SIGINT, before)
            yield False
            return

        def stop() -> None:
            pace.stop()
            for number in _STOPPING:
                loop.remove_signal_handler(number)

        for number in _STOPPING:
            loop.add_signal_handler(number, stop)
            stack.callback(loop.remove_signal_handler, number)
        loop.add_signal_handler(signal.SIGUSR1, pace.toggle)
        stack.callback(loop.remove_signal_handler, signal.SIGUSR1)
        fd = _foreground_terminal() if terminal_fd is None else terminal_fd
        if fd is not None:
            stack.enter_context(_keys(fd, pace, loop))
        yield fd is not None


def _foreground_terminal() -> int | None:
    """Standard input if it is a terminal of ours: one in the background would be stopped by it."""
    try:
        fd = sys.stdin.fileno()
        if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
            return fd
    except (OSError, ValueError, AttributeError):
        pass
    return None


@contextlib.contextmanager
def _keys(fd: int, pace: Pace, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    import termios
    import tty

    def read() -> None:
        try:
            pressed = os.read(fd, 64)
        except OSError:
            pressed = b""
        if not pressed:
            loop.remove_reader(fd)  # the terminal has gone
        for key in pressed:
            if key in KEYS:
                pace.toggle()

    before = termios.tcgetattr(fd)
    tty.setcbreak(fd, termios.TCSANOW)  # keys at once and unseen; Ctrl-C stays a signal
    loop.add_reader(fd, read)
    try:
        yield
    finally:
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSANOW, before)
