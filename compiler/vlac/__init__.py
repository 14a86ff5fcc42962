"""The compiler: an ONNX model in, a program for the accelerator out.

    program = vlac.compile_model("policy.onnx", vla_isa.hardware.load("u50"), CompileOptions(calibration="calib.npz"))

Imports vla_isa and the ONNX stack; never torch, never the runtime.
"""

from vlac.api import compile_file, compile_model
from vlac.options import CompileOptions

__all__ = ["CompileOptions", "compile_file", "compile_model"]
