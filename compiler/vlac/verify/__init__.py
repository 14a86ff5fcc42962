"""Is the program what the user's model computes? ONNX Runtime on the file as it was given is the reference.

nodes.py    every tensor of the device beside ONNX Runtime on the same integers, in the model that was compiled
source.py   the same in the user's model, where it is quantized; the rewritten float model beside the user's
loss.py     decibels between the program and the user's float model, by output and by part of an output
program.py  `vlac compile --verify`: all of them, as a table; and the line that every compile prints
glue.py     what needs a backend to run programs on
"""

from vlac.verify.nodes import NodeCheck, check_nodes, device_tensors, joined
from vlac.verify.reference import exact_reference

__all__ = ["NodeCheck", "check_nodes", "device_tensors", "exact_reference", "joined"]
