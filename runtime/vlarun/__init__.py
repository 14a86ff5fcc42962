"""Run programs of the int8 accelerator: on the bit-accurate Python machine, in Verilator, or as ONNX.

import vlarun
outputs = vlarun.Session("prog.bin", backend="sim").run({"image": array})
"""

from __future__ import annotations

from vlarun.backends.base import RunResult
from vlarun.session import Session

__all__ = ["RunResult", "Session"]
