"""The instruction set: table, encoding, numerics, hardware configs, program image, generators.

Everything that the compiler, the runtime and the RTL must agree on is stated here once.
Needs numpy only. Every other package of the project imports this one before anything else, so that ONNX Runtime's
telemetry is off (`telemetry.py`) before ONNX Runtime is loaded.
"""

from vla_isa import telemetry

__all__ = ["__version__"]

__version__ = "0.1.0"

telemetry.switch_off()
