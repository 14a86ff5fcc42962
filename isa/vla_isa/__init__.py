"""The instruction set: table, encoding, numerics, hardware configs, program image, generators.

Everything that the compiler, the runtime and the RTL must agree on is stated here once.
Needs numpy only.
"""
