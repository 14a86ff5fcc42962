"""Is the program what the user's model computes? ONNX Runtime on the file as it was given is the reference.

nodes.py    every tensor of the device beside ONNX Runtime on the same integers, in the model that was compiled
source.py   the same in the user's model, where it is quantized; the rewritten float model beside the user's
graphs.py   all of them for each of several graphs, and their program beside the graphs alone
loss.py     decibels between the program and the user's float model, by output and by part of an output
program.py  `vlac compile --verify`: all of them, as a table
report.py   what `vlac compile` prints of it, and the line about the loss that every compile prints
"""

from vla_toolchain.verify.nodes import NodeCheck, check_nodes, device_tensors, joined
from vla_toolchain.verify.reference import exact_reference

__all__ = ["NodeCheck", "check_nodes", "device_tensors", "exact_reference", "joined"]
