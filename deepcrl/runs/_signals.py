"""Ctrl-C and SIGTERM, heard at once: Python's own handlers wait until XLA, which may compile for minutes, gives back the
main thread; a thread that reads what the system's handler writes does not."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def hear_signals(heard: Callable[[int], None]) -> Iterator[None]:
    """Has a thread of its own call `heard(count)` at the `count`-th Ctrl-C or SIGTERM that Python handles.

    Outside the main thread signals are not ours, and nothing is heard.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def listen() -> None:
        count = 0
        while number := os.read(reading, 1):
            if number[0] in _SIGNALS:
                count += 1
                heard(count)
        os.close(reading)

    threading.Thread(target=listen, name="deepcrl-signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)  # which ends the thread


@contextlib.contextmanager
def stop_at_signals(say: Callable[[str], None], end: Callable[[], None]) -> Iterator[list[bool]]:
    """Yields a list that is empty until Ctrl-C or SIGTERM, which is told at once. A second one ends the process: after
    `end()`, which puts the terminal in order, with status 130. In a notebook or another interactive session, which is not
    ours to end, it raises `KeyboardInterrupt` as soon as JAX gives back the thread."""
    stop: list[bool] = []

    def heard(count: int) -> None:
        if count == 1:
            again = "interrupts" if is_interactive() else "stops at once"
            say(f"Stopping after this epoch; Ctrl-C again {again}. What was logged and saved is kept.")
        elif not is_interactive():
            with contextlib.suppress(Exception):
                end()
            end_process()

    def on_signal(signum: int, frame: object) -> None:
        if stop:
            raise KeyboardInterrupt
        stop.append(True)

    with hear_signals(heard):
        try:
            previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
        except ValueError:  # not in the main thread
            yield stop
            return
        try:
            yield stop
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def end_process() -> NoReturn:
    """Ends this process with status 130 and what it has printed, without waiting for programs that compile or run."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(130)


def is_interactive() -> bool:
    """Whether a person types into this very process."""
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules
