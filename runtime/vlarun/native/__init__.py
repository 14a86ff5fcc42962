"""The fast form of `sim`: packets prepared once per program, executed by a small library in C++.

Not here: what packets mean in numpy (`execute/`), which the library equals byte for byte.
"""

from vlarun.native.arrays import dequantize, pack_into, quantize, unpack
from vlarun.native.binding import Memory, Step, library
from vlarun.native.step import NativeStep
from vlarun.native.steps import make_step

__all__ = ["Memory", "NativeStep", "Step", "dequantize", "library", "make_step", "pack_into", "quantize", "unpack"]
