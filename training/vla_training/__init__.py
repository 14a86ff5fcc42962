"""Train policies from demonstrations, export calibration data and measure success in closed loop.

The way of the data: train -> export -> calibrate -> (vlac compile) -> evaluate; `demo` does all of it.
A policy that LeRobot saved comes in by `import-lerobot`, in the place of train.
"""

from vla_isa import __version__

__all__ = ["__version__"]
