"""Processes that are being started see no interrupt: what they are sent would be cut, and they would say so."""

from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import os, signal, threading, time
from vla_isa.worker_pool import interrupt_held
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # takes the signals that others block
try:
    with interrupt_held():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)
        print("whole")
    print("lost")
except KeyboardInterrupt:
    print("interrupted")
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def heed() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupt_waits_though_another_thread_takes_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=50, preexec_fn=heed
    )
    assert (done.stdout, done.stderr) == ("whole\ninterrupted\nTrue\n", "")
