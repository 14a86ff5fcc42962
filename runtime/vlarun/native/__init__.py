"""The fast form of `sim`: packets prepared once per program, executed by a small library in C++.

Not here: what packets mean in numpy (`execute/`), which the library equals byte for byte.
"""

from vlarun.native.binding import Memory, Step, library
from vlarun.native.steps import NativeStep, make_step

__all__ = ["Memory", "NativeStep", "Step", "library", "make_step"]
