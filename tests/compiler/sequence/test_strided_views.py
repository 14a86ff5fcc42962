"""Chains of moves as views, and views as nodes: what they select is what numpy selects."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlac.rewrite.nodes import Nodes
from vlac.rewrite.sequence.emit import emit
from vlac.rewrite.sequence.views import view_of


@st.composite
def chains(draw):
    """A source's shape and random moves behind it, as a model and the array that numpy makes of arange."""
    shape = tuple(draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=4)))
    x = ir.Value(name="x", shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 18}, name="g")
    value, array = x, np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for number in range(draw(st.integers(1, 5))):
        kinds = (
            ["Transpose", "Reshape", "Slice", "Gather", "Expand", "Unsqueeze", "Tile"] if array.ndim else ["Unsqueeze"]
        )
        kind = draw(st.sampled_from(kinds))
        value, array = _move(draw, graph, kind, number, value, array)
    out = ir.node("Relu", [value])
    out.outputs[0].name, out.outputs[0].shape, out.outputs[0].dtype = "y", value.shape, value.dtype
    graph.append(out)
    graph.outputs.append(out.outputs[0])
    return ir.Model(graph, ir_version=10), shape, array


def _move(draw, graph, kind, number, value, array):
    def const(numbers):
        tensor = ir.tensor(np.array(numbers, np.int64), name=f"c{number}.{len(graph.initializers)}")
        found = ir.Value(name=tensor.name, const_value=tensor)
        graph.register_initializer(found)
        return found

    inputs, attributes = [value], {}
    if kind == "Transpose":
        attributes["perm"] = draw(st.permutations(range(array.ndim)))
        array = array.transpose(attributes["perm"])
    elif kind == "Reshape":
        sizes = [p for n in array.shape for p in (draw(st.sampled_from(_parts(n))))]
        if draw(st.booleans()) and len(sizes) > 1:
            sizes = [sizes[0] * sizes[1], *sizes[2:]]
        inputs.append(const(sizes))
        array = array.reshape(sizes)
    elif kind == "Slice":
        axis = draw(st.integers(0, array.ndim - 1))
        first = draw(st.integers(0, array.shape[axis] - 1))
        step = draw(st.sampled_from([1, 1, 2]))
        inputs += [const([v]) for v in (first, 1 << 40, axis, step)]
        array = array[(slice(None),) * axis + (slice(first, None, step),)]
    elif kind == "Gather":
        axis = draw(st.integers(0, array.ndim - 1))
        pattern = draw(st.sampled_from([0, [0, 0], [-1], [0, 0, 1, 1, 2, 2], [0, 1, 0, 1], [1, 0]]))
        pattern = np.minimum(pattern, array.shape[axis] - 1)
        inputs.append(const(pattern))
        attributes["axis"] = axis
        array = array.take(pattern, axis)
    elif kind == "Tile":
        repeats = [draw(st.sampled_from([1, 1, 2])) for _ in array.shape]
        inputs.append(const(repeats))
        array = np.tile(array, repeats)
    elif kind == "Expand":
        target = [draw(st.sampled_from([1, 2])) if n == 1 else 1 for n in array.shape]
        inputs.append(const(target))
        array = np.broadcast_to(array, np.broadcast_shapes(array.shape, target))
    elif array.ndim < 5:
        inputs.append(const([array.ndim]))
        array = array[..., None]
    else:
        kind = "Identity"
    node = ir.node(kind, inputs, attributes, name=f"n{number}")
    out = node.outputs[0]
    out.name, out.shape, out.dtype = f"v{number}", ir.Shape(array.shape), value.dtype
    graph.append(node)
    return out, array


def _parts(n):
    return [[n], [n, 1], *[[k, n // k] for k in range(2, n) if n % k == 0]]


@settings(max_examples=300, deadline=None)
@given(chains())
def test_a_view_selects_what_the_chain_does(chain):
    model, _, array = chain
    view = view_of(model.graph.outputs[0].producer().inputs[0])
    if view.root.name != "x":
        return
    index = np.full(1, view.offset)
    for size, stride in (atom for axis in view.axes for atom in axis):
        index = (index[:, None] + np.arange(size) * stride).reshape(-1)
    assert view.shape == array.shape
    assert np.array_equal(index, array.reshape(-1))


@settings(max_examples=100, deadline=None)
@given(chains())
def test_nodes_of_a_view_make_it(chain):
    model, shape, array = chain
    node = model.graph.outputs[0].producer()
    view = view_of(node.inputs[0])
    new = Nodes(model.graph, node)
    made = emit(new, view)
    if made is None:
        return
    new.insert()
    node.replace_input_with(0, made)
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString()).run(None, {"x": x})[0]
    assert np.array_equal(found, array)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_heads_are_slices_of_channels(groups):
    """Reshape to heads, Transpose and back is nothing, and so is repeating heads by an Expand that is left out."""
    value = ir.Value(name="x", shape=ir.Shape([1, 6, 32]), type=ir.TensorType(ir.DataType.FLOAT))
    heads = view_of(value).reshape((1, 6, 4, 8)).transpose((0, 2, 1, 3))
    assert heads.reshape((4, 6, 8)).reshape((1, 4, 6, 8)).transpose((0, 2, 1, 3)).is_whole
    repeated = heads.reshape((1, 4, 1, 6, 8)).expand((1, 4, groups, 6, 8)).reshape((1, 4 * groups, 6, 8))
    assert repeated.axes[1] == (((4, 8), (groups, 0)) if groups > 1 else ((4, 8),))
