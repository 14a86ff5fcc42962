"""Constants in a file beside the model: the same model, whatever their type and size; what is damaged is refused."""

import gc
import weakref

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from vlac.errors import ModelError
from vlac.import_onnx import load_model
from vlac.import_onnx.source import Source

RNG = np.random.default_rng(0)
CONSTANTS = {
    "large": RNG.standard_normal((64, 32)).astype(np.float32),
    "half": RNG.standard_normal((64, 32)).astype(np.float16),
    "integers": RNG.integers(-128, 128, (64, 32)).astype(np.int8),
    "small": RNG.standard_normal(3).astype(np.float32),
    "nothing": np.zeros((0, 5), np.float32),
}


def saved(folder, *, external):
    """A model with these constants and, in a node's attribute, one more; what it computes does not matter here."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in CONSTANTS.items()}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in CONSTANTS]
    value = numpy_helper.from_array(np.arange(2000, dtype=np.float32), "attribute")
    nodes.append(helper.make_node("Constant", [], ["attribute_out"], value=value))
    nodes.append(helper.make_node("Identity", ["x"], ["y"]))
    outputs = [helper.make_tensor_value_info(f"{n}_out", kinds[n], a.shape) for n, a in CONSTANTS.items()]
    outputs.append(helper.make_tensor_value_info("attribute_out", TensorProto.FLOAT, [2000]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    constants = [numpy_helper.from_array(a, n) for n, a in CONSTANTS.items()]
    graph = helper.make_graph(nodes, "constants", ends[:1], [*outputs, ends[1]], constants)
    path = folder / f"{'apart' if external else 'whole'}.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    more = {"save_as_external_data": True, "location": "weights.data", "size_threshold": 0, "convert_attribute": True}
    onnx.save(made, path, **(more if external else {}))
    return path


def test_the_same_model(tmp_path):
    whole, apart = (load_model(saved(tmp_path, external=e)) for e in (False, True))
    assert (tmp_path / "weights.data").stat().st_size >= sum(a.nbytes for a in CONSTANTS.values())
    assert sorted(apart.large) == ["half", "integers", "large"]
    for name, array in apart.large.items():
        assert np.array_equal(array, CONSTANTS[name].astype(whole.large[name].dtype))
    (attribute,) = (n.attribute[0] for n in apart.light.graph.node if n.op_type == "Constant")
    for tensor in (*apart.light.graph.initializer, attribute.t):
        tensor.ClearField("data_location")  # said to be in the model, as it is by default
    assert apart.light == whole.light and apart.opened == whole.opened


@pytest.mark.parametrize("left", [0, 100, 64 * 32 * 4 - 1])
def test_a_file_that_is_cut(tmp_path, left):
    path = saved(tmp_path, external=True)
    data = (tmp_path / "weights.data").read_bytes()
    (tmp_path / "weights.data").write_bytes(data[:left])
    with pytest.raises(ModelError, match=r"apart\.onnx"):
        load_model(path)


@pytest.mark.parametrize(("key", "value"), [("offset", -4), ("length", 1 << 40), ("length", 12), ("offset", 1 << 40)])
def test_a_place_outside_the_file(tmp_path, key, value):
    path = saved(tmp_path, external=True)
    model = onnx.load(path, load_external_data=False)
    (tensor,) = (t for t in model.graph.initializer if t.name == "large")
    next(e for e in tensor.external_data if e.key == key).value = str(value)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"apart\.onnx.*large"):
        load_model(path)


def test_a_constant_that_no_node_reads_any_more_goes():
    """A large model has no room for weights as they were beside what rewrites made of them."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 64]) for name in "xy"]
    weight = numpy_helper.from_array(RNG.standard_normal((64, 64)).astype(np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", values[:1], values[1:], [weight])
    source = Source.of(helper.make_model(graph), "model.onnx")
    model = source.closed(ir.from_proto(source.opened))
    value = model.graph.initializers["w"]
    array = weakref.ref(source.large.pop("w"))
    assert [n.op_type for n in value.consumers()] == ["MatMul"] and np.shares_memory(value.const_value.numpy(), array())
    model.graph[0].replace_input_with(1, model.graph.inputs[0])
    del model.graph.initializers["w"], value
    gc.collect()
    assert array() is None
