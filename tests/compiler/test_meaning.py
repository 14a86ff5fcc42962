"""What device operations mean, in int64 numpy, is what their programs compute and what ONNX Runtime computes.

Every test that compares with ONNX Runtime (`parity.run_both`) compares meanings with `sim` as well; here are the
graphs of the conformance kit, and the meaning beside ONNX Runtime without any program between them.
"""

import tempfile
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import GraphBuilder
from parity import compile_proto, meaning, random_inputs
from random_graphs import numbered

import vlarun
from vla_isa.hardware import load
from vla_toolchain.conformance.graph_cases import case_id, model
from vla_toolchain.conformance.graph_table import GRAPHS
from vla_toolchain.verify import check_nodes, exact_reference
from vlac import CompileOptions, compile_file
from vlac.device.channel_slice import ChannelSlice
from vlac.device.concat import ConcatOp
from vlac.device.conv import ConvOp
from vlac.device.copy import CopyOp
from vlac.device.gemm import GemmOp
from vlac.device.layout_op import LayoutOp
from vlac.device.pool import PoolOp
from vlac.device.select import SelectOp
from vlac.device.vec import VecOp
from vlac.device.view import View
from vlac.errors import AllocationError, UnsupportedError
from vlac.legalize.legalize import graph_passes
from vlac.legalize.lower import lower


def compiled(graph):
    """A graph of the kit, for `tiny`, with every tensor an output; None where it does not fit."""
    rng = np.random.default_rng(zlib.crc32(case_id(graph).encode()))
    proto = model(graph, rng)
    shapes = {x.name: [d.dim_value for d in x.type.tensor_type.shape.dim] for x in proto.graph.input}
    samples = [{n: rng.uniform(*graph.values, s).astype(np.float32) for n, s in shapes.items()} for _ in range(2)]
    options = CompileOptions(
        calibration=None if graph.operator.endswith("Linear") else samples, debug_outputs=True, check=True
    )
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(proto, Path(folder) / "model.onnx")
        try:
            return compile_file(Path(folder) / "model.onnx", load("tiny"), options)
        except (AllocationError, UnsupportedError):
            return None


@pytest.mark.parametrize("operator", sorted({g.operator for g in GRAPHS}))
def test_programs_compute_what_operations_mean(operator):
    for state in filter(None, (compiled(g) for g in GRAPHS if g.operator == operator)):
        inputs = random_inputs(state.program)
        found = vlarun.Session(state.program, backend="sim").device_outputs(inputs)
        wanted = meaning(state.graph, inputs)
        assert found.keys() == wanted.keys()
        for name, values in wanted.items():
            assert np.array_equal(found[name], values), (operator, name)


@pytest.mark.parametrize("seed", range(8))
def test_meanings_are_those_of_onnx_runtime(seed):
    if not exact_reference():
        pytest.skip("ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
    state = compile_proto(numbered(seed), "u50", calib="random:2", debug_outputs=True)
    inputs = random_inputs(state.program)
    checks = check_nodes(state, inputs, meaning(state.graph, inputs))
    assert checks and not [c for c in checks if c.largest > 2]
    assert sum(c.different for c in checks) <= 2e-3 * sum(c.elements for c in checks)


def test_split_operations_mean_what_the_whole_did():
    g = GraphBuilder("split")
    x = g.conv(g.input("x", (1, 8, 48, 48)), 40, 1)
    pooled = g.model(g.node("GlobalAveragePool", [x], 40), opset=18)
    state = compile_proto(pooled, "tiny", calib="random:1", debug_outputs=True)
    assert [op for op in state.graph.ops if isinstance(op, ChannelSlice)]
    inputs = random_inputs(state.program)
    found = vlarun.Session(state.program, backend="sim").device_outputs(inputs)
    for name, values in meaning(state.graph, inputs).items():
        assert np.array_equal(found[name], values), name


def branches():
    """What random networks lack: pixels folded into channels, a residual, channels side by side."""
    g = GraphBuilder("branches")
    x = g.conv(g.input("image", (1, 3, 16, 16)), 24, 3, 2)
    y = g.node("Add", [x, g.conv(x, 24, 3, relu=False)], 24)
    return g.model(g.conv(g.node("Concat", [y, g.conv(y, 20, 1)], 44, axis=1), 8, 3), opset=18)


def test_no_pass_changes_what_a_graph_computes():
    kinds, residuals, folded = set(), 0, 0
    for proto in (branches(), *map(numbered, (1, 6, 12, 20, 30))):
        state = compile_proto(proto, "u50", calib="random:2")
        inputs, graph, wanted = random_inputs(state.program), lower(state.model), None
        for name, run in graph_passes(state.model, load("u50"), debug_outputs=False):
            run(graph)
            found = meaning(graph, inputs)
            wanted = wanted or found
            assert found.keys() == wanted.keys()
            assert all(np.array_equal(found[key], wanted[key]) for key in wanted), (proto.graph.name, name)
            kinds |= {type(op) for op in graph.ops}
        residuals += sum(isinstance(op, ConvOp) and op.residual is not None for op in graph.ops)
        folded += len(graph.input_layouts)
    assert residuals and folded
    assert kinds == {ConvOp, GemmOp, PoolOp, VecOp, CopyOp, SelectOp, View, ConcatOp, LayoutOp}
