"""Run programs of the int8 accelerator: on the bit-accurate Python machine, in Verilator, or as ONNX.

    outputs = vlarun.Session("prog.bin", backend="sim").run({"image": array})

What is named here is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vla_isa import __version__
from vla_isa.lazy import from_modules

if TYPE_CHECKING:
    from vlarun.backends.base import RunResult
    from vlarun.partitions import PackageSession, open_session
    from vlarun.session import Session

__all__ = ["PackageSession", "RunResult", "Session", "__version__", "open_session"]

__getattr__ = from_modules(
    __name__,
    {
        "PackageSession": "vlarun.partitions",
        "RunResult": "vlarun.backends.base",
        "Session": "vlarun.session",
        "open_session": "vlarun.partitions",
    },
)
