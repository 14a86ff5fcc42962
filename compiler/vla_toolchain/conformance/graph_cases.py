"""T3: graphs of one operator, compiled by vlac; the program must do what the reference says packet by packet.

So the compiler's packets, and not only those made for the other suites, are asked of a machine. The same graphs
have the same ids on every config.
Not here: whether the program is right for the ONNX model; the compiler's own tests compare with ONNX Runtime.
"""

from __future__ import annotations

import math
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vla_isa import layout
from vla_isa.hardware import HardwareConfig
from vla_isa.program import Program, Segment
from vla_toolchain.conformance.graph_sequences import SEQUENCES
from vla_toolchain.conformance.graph_table import GRAPHS as OTHERS
from vla_toolchain.conformance.graph_table import Graph, Input, Node, W
from vlac.api import compile_model
from vlac.errors import AllocationError, UnsupportedError
from vlac.options import CompileOptions
from vlarun.conformance.programs import Case
from vlarun.progress import note

__all__ = ["GRAPHS", "case_id", "cases", "model"]

GRAPHS = (*OTHERS, *SEQUENCES)
OPSET, IR_VERSION, SAMPLES = 24, 11, 2
Rng = np.random.Generator


def case_id(graph: Graph) -> str:
    """Suite, operator, what is particular."""
    return f"T3.{graph.operator}.{graph.what}"


def cases(hw: HardwareConfig, match: str = "") -> Iterator[Case]:
    """The T3 cases of a config whose id contains `match`.

    A graph that vlac refuses there (a large kernel in a small weight scratchpad) is left out, with a note.
    """
    for graph in GRAPHS:
        if match in case_id(graph):
            rng = np.random.default_rng(zlib.crc32(case_id(graph).encode()))
            program = _compile(graph, hw, rng)
            if program is not None:
                yield Case(case_id(graph), _with_inputs(program, rng))


def model(graph: Graph, rng: Rng) -> onnx.ModelProto:
    """The ONNX model of a graph, with seeded weights."""
    nodes: list[onnx.NodeProto] = []
    inputs: list[onnx.ValueInfoProto] = []
    constants: list[onnx.TensorProto] = []

    def named(operand: Any) -> str:
        """The name of an operand, made a model input or a constant where it is new."""
        if isinstance(operand, Node):
            return _output(operand.number, 0)
        if isinstance(operand, Input):
            return str(inputs[operand.number].name)
        if isinstance(operand, str):
            return ""
        if isinstance(operand, tuple) and not isinstance(operand, W):
            inputs.append(helper.make_tensor_value_info(f"x{len(inputs)}", TensorProto.FLOAT, operand))
            return str(inputs[-1].name)
        constants.append(numpy_helper.from_array(_constant(operand, rng), f"c{len(constants)}"))
        return str(constants[-1].name)

    for number, step in enumerate(graph.steps):
        names = [named(operand) for operand in step.operands]
        ends = [_output(number, n) for n in range(step.outputs)]
        nodes.append(helper.make_node(step.operator, names, ends, name=f"{step.operator}.{number}", **step.attributes))
    kind = TensorProto.INT64 if graph.operator in ("ArgMax", "ArgMin") else TensorProto.FLOAT
    outputs = [helper.make_tensor_value_info(name, kind, None) for name in ends]
    proto = helper.make_graph(nodes, case_id(graph), inputs, outputs, constants)
    made = helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return onnx.shape_inference.infer_shapes(made)


def _output(node: int, number: int) -> str:
    return f"y{node}.{number}"


def _constant(operand: Any, rng: Rng) -> NDArray[Any]:
    """Weights, or an array as it is, or float32 or int64 of a list or a number."""
    if isinstance(operand, W):
        fan = max(1, math.prod(operand[1:]))
        weights: NDArray[np.float32] = (rng.standard_normal(operand) * np.sqrt(2 / fan)).astype(np.float32)
        return weights
    if isinstance(operand, np.generic | np.ndarray):
        return np.asarray(operand)
    array = np.asarray(operand)
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def _compile(graph: Graph, hw: HardwareConfig, rng: Rng) -> Program | None:
    """The program of a graph; None where the config is too small for it."""
    proto = model(graph, rng)
    samples = {
        x.name: rng.uniform(*graph.values, (SAMPLES, *(d.dim_value for d in x.type.tensor_type.shape.dim)))
        for x in proto.graph.input
    }
    quantized = graph.operator.endswith("Linear")
    with tempfile.TemporaryDirectory() as folder:
        path, data = Path(folder) / "model.onnx", Path(folder) / "calibration.npz"
        onnx.save(proto, path)
        np.savez(data, allow_pickle=False, **{name: array.astype(np.float32) for name, array in samples.items()})
        try:
            return compile_model(path, hw, CompileOptions(calibration=None if quantized else str(data)))
        except (AllocationError, UnsupportedError) as e:
            note(f"{case_id(graph)} is left out: {str(e).splitlines()[0]}")
            return None


def _with_inputs(program: Program, rng: Rng) -> Program:
    """The program with any integers as its inputs, among its constants; it reads and gives no named tensors."""
    given = []
    for tensor in program.inputs:
        kind = tensor.layout.type
        values = rng.integers(kind.lo, kind.hi + 1, tensor.layout.shape, dtype=kind.dtype)
        given.append(Segment(tensor.line, layout.pack(values, tensor.layout, tensor.zero_point).tobytes()))
    return replace(program, constants=[*program.constants, *given], inputs=[], outputs=[], signature=None)
