"""Memory that is given back stays with the process: the system clears no pages for what comes next."""

import subprocess
import sys

import pytest

STEP = """
import resource
import numpy as np
from vla_training.allocator import keep_memory
{call}
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for size in (1 << 16, 1 << 20, 1 << 24):
        np.ones(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
step()
print(step())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_the_second_step_has_no_page_faults():
    faults = [
        int(subprocess.run([sys.executable, "-c", STEP.format(call=call)], check=True, capture_output=True).stdout)
        for call in ("", "assert keep_memory()")
    ]
    assert faults[0] > 200 and faults[1] < 20  # huge pages make few of many
