"""The ONNX model inside a host partition is anybody's: what the compiler cannot have made is refused."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from vla_isa.package import HostNode, HostPartition
from vlarun.errors import BackendError
from vlarun.host_model import MAX_ELEMENTS
from vlarun.partitions import HostRunner


def part(constants=(), nodes=None, inputs=(("x", [1, 4]),), size=(1, 4), kind="tensor", model_bytes=None):
    """y = x + k in a host partition."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs]
    make = helper.make_tensor_value_info if kind == "tensor" else helper.make_tensor_sequence_value_info
    graph = helper.make_graph(
        nodes or [helper.make_node("Add", ["x", "k"], ["y"])],
        "host",
        values,
        [make("y", TensorProto.FLOAT, list(size))],
        constants or [numpy_helper.from_array(np.ones(4, np.float32), "k")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data = model.SerializeToString() if model_bytes is None else model_bytes
    return HostPartition(data, ("x",), ("y",), (HostNode("add", "Add", "because"),))


def outside(name="k"):
    """A constant whose numbers are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/hostname")
    return tensor


def in_a_body():
    body = helper.make_graph(
        [helper.make_node("Add", ["x", "inner"], ["t"])],
        "b",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, [1, 4])],
        [outside("inner")],
    )
    return [helper.make_node("If", ["k"], ["y"], then_branch=body, else_branch=body)]


def test_a_good_one_runs():
    x = np.arange(4, dtype=np.float32).reshape(1, 4)
    assert np.array_equal(HostRunner(part()).run({"x": x})["y"], x + 1)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (part(model_bytes=b"no model"), "no ONNX model"),
        (part(constants=[outside()]), "constant 'k' is in another file"),
        (part(nodes=in_a_body()), "constant 'inner' is in another file"),
        (part(nodes=[helper.make_node("Constant", [], ["y"], value=outside("c"))]), "constant 'c' is in another file"),
        (part(inputs=(("x", [1, 4]), ("z", [1]))), "takes x, z and makes y; the file says x and y"),
        (part(size=(1, MAX_ELEMENTS + 1)), f"limit is {MAX_ELEMENTS} values"),
        (part(size=(1, -5)), r"shape \[1, -5\]"),
        (part(nodes=[helper.make_node("SequenceConstruct", ["x"], ["y"])], kind="sequence"), "'y', which is no tensor"),
        (part(nodes=[helper.make_node("NoSuchOperator", ["x"], ["y"])]), r"cannot load a host partition \(add\)"),
    ],
)
def test_what_is_refused(broken, message):
    with pytest.raises(BackendError, match=message):
        HostRunner(broken)


def test_a_run_that_fails_names_the_nodes():
    runner = HostRunner(part())
    with pytest.raises(BackendError, match=r"refuses to run a host partition \(add\)"):
        runner.run({"x": np.zeros((1, 3), np.float32)})
