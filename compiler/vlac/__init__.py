"""The compiler: an ONNX model in, a program for the accelerator out.

    program = vlac.compile_model("policy.onnx", "u50", vlac.CompileOptions(calibration="calib.npz"))
    vla_isa.image.save(program, "prog.bin")

Imports vla_isa and the ONNX stack, both when they are first used; never torch, never the runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vla_isa import __version__
from vla_isa.lazy import from_modules

if TYPE_CHECKING:
    from vlac.api import compile_file, compile_model
    from vlac.graphs import compile_graphs
    from vlac.missions import compile_missions
    from vlac.options import CompileOptions

__all__ = ["CompileOptions", "__version__", "compile_file", "compile_graphs", "compile_missions", "compile_model"]

__getattr__ = from_modules(
    __name__,
    {
        "CompileOptions": "vlac.options",
        "compile_file": "vlac.api",
        "compile_graphs": "vlac.graphs",
        "compile_missions": "vlac.missions",
        "compile_model": "vlac.api",
    },
)
