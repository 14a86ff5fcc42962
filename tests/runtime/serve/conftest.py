"""A server of the hand-made program in a process of its own, as a user starts it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Serve = Callable[..., "contextlib.AbstractContextManager[Running]"]


class Running:
    """The process, its ports, and after its end what it printed."""

    def __init__(self, process: subprocess.Popen[str], port: int, tcp_port: int) -> None:
        self.process, self.port, self.tcp_port = process, port, tcp_port
        self.output = ""

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(by)
        self.output, self.errors = self.process.communicate(timeout=30)
        return self.process.returncode


@contextlib.contextmanager
def running(program: Path, *options: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "vlarun", "serve", str(program), "--port", "0", "--tcp", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", first)
        assert found, first + process.communicate(timeout=30)[1]
        framed = re.search(r"Framed TCP: 127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert framed
        yield Running(process, int(found[1]), int(framed[1]))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def serve(program_file: Path) -> Serve:
    return lambda *options: running(program_file, *options)
