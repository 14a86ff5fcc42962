"""Run programs of the int8 accelerator: on the bit-accurate Python machine, in Verilator, or as ONNX.

import vlarun
outputs = vlarun.Session("prog.bin", backend="sim").run({"image": array})
"""

from __future__ import annotations

from vlarun.backends.base import RunResult
from vlarun.parts import PartsSession, open_session
from vlarun.session import Session

__all__ = ["PartsSession", "RunResult", "Session", "open_session"]
