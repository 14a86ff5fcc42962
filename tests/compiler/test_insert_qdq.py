"""Where QuantizeLinear and DequantizeLinear go, and what they hold, worked out by hand on graphs of a few nodes."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from small_graphs import model

from vlac.quantize.insert_qdq import Ranges, activations, insert_qdq, observable


def names(values):
    return [v.name for v in values]


class Pairs:
    """A model with its pairs; the given ranges, and 0..255 for values that have none."""

    def __init__(self, source, ranges=None, constants=None, **options):
        ranges = dict.fromkeys(names(activations(source, **options)), (0.0, 255.0)) | (ranges or {})
        self.model = insert_qdq(source, Ranges(ranges, constants or {}), **options)
        self.nodes = {n.outputs[0].name: n for n in self.model.graph}
        onnx.checker.check_model(ir.to_proto(self.model), full_check=True)

    def _array(self, value):
        return value.const_value.numpy()

    def scale(self, name):
        """Scale and zero point of what reads `name` as QuantizeLinear."""
        (found,) = [n for n in self.model.graph if n.op_type == "QuantizeLinear" and n.inputs[0].name == name]
        return float(self._array(found.inputs[1])), int(self._array(found.inputs[2]))

    def quantized(self):
        """Values behind which a QuantizeLinear stands."""
        return [n.inputs[0].name for n in self.model.graph if n.op_type == "QuantizeLinear"]

    def constant(self, node, index):
        """Integers and scales (and zero point, axis) of a constant input."""
        dq = self.nodes[node].inputs[index].producer()
        assert dq.op_type == "DequantizeLinear"
        axis = dq.attributes.get("axis")
        arrays = [self._array(v).tolist() for v in dq.inputs]
        return (*arrays, None if axis is None else axis.value)

    def reads(self, node):
        """What a node reads: `v!` is the DequantizeLinear behind `v`."""
        found = []
        for value in self.nodes[node].inputs:
            dq = value.producer()
            q = dq.inputs[0].producer() if dq is not None and dq.op_type == "DequantizeLinear" else None
            found.append(value.name if q is None else f"{q.inputs[0].name}!")
        return found


W = {"w": np.float32([[127, 0], [0, -127], [1, 2], [3, 4]])}


# --- which values -----------------------------------------------------------------------------------------------


def test_a_layer_and_its_activation_have_one_pair():
    source = model("a = MatMul(x, w) b = Relu(a) y = MatMul(b, v)", constants=W | {"v": np.float32([[1], [2]])})
    assert names(activations(source)) == ["x", "b", "y"]
    assert names(observable(source)) == ["x", "a", "b", "y"]
    made = Pairs(source)
    assert made.quantized() == ["x", "b", "y.float"]
    assert made.reads("a")[0] == "x!" and made.reads("b") == ["a"] and made.nodes["y"].op_type == "DequantizeLinear"
    assert [v.name for v in made.model.graph.outputs] == ["y"]


@pytest.mark.parametrize(
    ("body", "outputs", "expected"),
    [
        ("a = MatMul(x, w) b = Relu(a) y = Concat <axis = 0> (a, b)", "y", ["x", "a", "b", "y"]),  # a second reader
        ("a = MatMul(x, w) y = Relu(a)", "a, y", ["x", "a", "y"]),  # the model's output
        ("a = MatMul(x, w) y = mine.Relu(a)", "y", ["x", "a"]),  # a reader of another domain
        ("a = MatMul(x, w) y = Clip(a, low)", "y", ["x", "y"]),
        ("a = MatMul(x, w) s = ReduceMax <keepdims = 0> (x) y = Clip(a, s)", "y", ["x", "a", "s", "y"]),
        ("a = MatMul(x, w) y = Sigmoid(a)", "y", ["x", "a", "y"]),
    ],
)
def test_values_that_a_clamp_reads(body, outputs, expected):
    source = model(body, outputs=outputs, constants=W | {"low": np.float32(1)})
    assert names(activations(source)) == expected


def test_a_clamp_that_stays_float_reads_a_rounded_value():
    source = model("a = MatMul(x, w) y = Relu(a)", constants=W)
    assert names(activations(source, exclude=["y"])) == ["x", "a"]
    made = Pairs(source, exclude=["y"])
    assert made.reads("y") == ["a!"]


def test_chains_are_rounded_at_their_ends():
    """2 * sigmoid(x + 1) is one table; what goes on from there is not."""
    constants = W | {"one": np.float32(1), "two": np.float32(2)}
    source = model("a = Add(x, one) b = Sigmoid(a) c = Mul(b, two) y = MatMul(c, w)", constants=constants)
    assert names(activations(source)) == ["x", "c", "y"]
    made = Pairs(source)
    assert made.reads("a") == ["x!", "one"] and made.reads("b") == ["a"] and made.reads("c") == ["b", "two"]
    assert made.reads("y.float")[0] == "c!"
    assert names(activations(source, only=["y"])) == ["c", "y"]
    assert Pairs(source, only=["y"]).reads("a") == ["x", "one"]
    for only in (["a", "b", "c"], ["c"]):  # a chain is named by its last node
        assert names(activations(source, only=only)) == ["x", "c"]
    assert Pairs(source, only=["a", "b", "c"]).reads("a") == ["x!", "one"]


def test_a_chain_whose_result_is_no_number_has_no_pair_there():
    constants = {"w": np.float32([[1, 2, 3, 255]]), "one": np.float32(1), "zero": np.float32(0)}
    source = model("a = Add(x, one) b = Greater(a, zero) y = Where(b, x, w)", constants=constants)
    assert "b" not in names(activations(source))


def test_integers_are_no_activations():
    source = model("a = ArgMax <axis = 1> (x) y = Cast <to = 1> (a)")
    assert names(activations(source)) == ["x"] and names(observable(source)) == ["x", "y"]


def test_a_mask_beside_a_result_is_no_activation():
    source = model("a, m = Dropout(x) y = Where(m, a, x)")
    assert names(activations(source)) == ["x", "a", "y"] and names(observable(source)) == ["x", "a", "y"]


def test_nodes_of_another_domain_stay():
    source = model("a = mine.Relu(x) y = ReduceMean <axes = [0]> (x)", outputs="y, float[1,4] a")
    assert Pairs(source).quantized() == ["x", "y.float"]
    assert Pairs(source).reads("a") == ["x"]


def test_only_what_is_named():
    source = model("a = MatMul(x, w) b = ReduceMean <axes = [0]> (a) y = ReduceMean <axes = [0]> (b)", constants=W)
    assert names(activations(source, only=["a"])) == ["x", "a"]
    made = Pairs(source, only=["a"])
    assert made.reads("a")[0] == "x!" and made.reads("b") == ["a!"] and made.nodes["y"].op_type == "ReduceMean"


def test_operands_that_are_numbers_of_the_operator():
    """Bounds, padding and sizes stay as they are, computed or not."""
    bounds = {"low": np.float32(-1), "high": np.float32(6)}
    source = model("a = ReduceMean <axes = [0]> (x) y = Clip(a, low, high)", constants=bounds)
    assert Pairs(source).reads("y.float")[1:] == ["low", "high"]
    body, inputs = "s = ReduceMax <keepdims = 0> (z) y = Pad(x, pads, s)", "float[1,4] x, float[1,2] z"
    source = model(body, inputs, constants={"pads": np.int64([0, 1, 0, 1])})
    assert names(activations(source)) == ["x", "z", "s", "y"]
    assert Pairs(source).reads("y.float") == ["x!", "pads", "s!"]


# --- scales -----------------------------------------------------------------------------------------------------


def test_scales_are_those_of_the_ranges():
    source = model("a = Neg(x) y = ReduceMean <axes = [0]> (a)")
    made = Pairs(source, {"x": (-128, 127), "a": (0, 127.5), "y": (-255, 0)})
    assert [made.scale(n) for n in ("x", "a", "y.float")] == [(1, 0), (0.5, -128), (1, 127)]


@pytest.mark.parametrize(
    ("node", "constants", "kept"),
    [
        ("Transpose <perm = [1, 0]> (a)", {}, True),
        ("MaxPool <kernel_shape = [2, 2]> (a)", {}, True),
        ("Pad(a, c)", {"c": np.int64([0, 0, 1, 1] * 2)}, True),
        ("Pad(a, c, d)", {"c": np.int64([0, 0, 1, 1] * 2), "d": np.float32(0)}, True),
        ("Pad(a, c, d)", {"c": np.int64([0, 0, 1, 1] * 2), "d": np.float32(3)}, False),
        ('Pad <mode = "edge"> (a, c)', {"c": np.int64([0, 0, 1, 1] * 2)}, True),
        ('Pad <mode = "edge"> (a, c, d)', {"c": np.int64([0, 0, 1, 1] * 2), "d": np.float32(3)}, True),
        ("Resize(a, , c)", {"c": np.float32([1, 1, 2, 2])}, True),
        ('Resize <mode = "nearest"> (a, , c)', {"c": np.float32([1, 1, 2, 2])}, True),
        ('Resize <mode = "linear"> (a, , c)', {"c": np.float32([1, 1, 2, 2])}, False),
        ("Neg(a)", {}, False),
    ],
)
def test_what_moves_values_hands_its_scale_on(node, constants, kept):
    source = model(f"a = Abs(x) y = {node.replace('[1, 0]', '[0, 1, 3, 2]')}", "float[1,1,4,4] x", constants=constants)
    made = Pairs(source, {"x": (-128, 127), "a": (0, 127.5), "y": (0, 63.75)})
    assert made.scale("y.float") == ((0.5, -128) if kept else (0.25, -128))


def test_what_stays_float_hands_no_scale_on():
    source = model("a = Abs(x) b = Transpose(a) y = Neg(b)", "float[4,4] x")
    made = Pairs(source, {"x": (-128, 127), "a": (0, 127.5), "b": (0, 63.75), "y": (0, 63.75)}, exclude=["b"])
    assert made.scale("b") == (0.25, -128) and made.reads("b") == ["a!"]
    made = Pairs(source, {"b": (0, 63.75)}, only=["y"])
    assert made.scale("b") == (0.25, -128) and made.reads("b") == ["a"]


def test_values_of_one_scale_share_its_parameters():
    made = Pairs(model("a = Neg(x) y = ReduceMean <axes = [0]> (a)"))
    kinds = [n for n in made.model.graph if n.op_type.endswith("Linear")]
    assert len({id(v) for n in kinds for v in n.inputs[1:]}) == 2
    made = Pairs(model("a = Neg(x) y = ReduceMean <axes = [0]> (a)"), {"a": (0, 1)})
    assert len(made.model.graph.initializers) == 4


def test_names_say_what_is_rounded():
    made = Pairs(model("a = Neg(x) y = ReduceMean <axes = [0]> (a)"), {"a": (0, 1)})
    assert {"x.quantized", "x.real", "a.quantized", "a.real"} <= made.nodes.keys()
    assert {"x.scale", "x.zero_point", "a.scale", "a.zero_point"} == made.model.graph.initializers.keys()
    value = next(v for n in made.model.graph for v in n.outputs if v.name == "y.float")
    assert value.metadata_props["vlac.label"] == "y"


def test_an_input_is_rounded_once_for_all_that_read_it_on_the_device():
    source = model("a = Neg(x) b = mine.Other(x) y = ReduceMean <axes = [0]> (x)", outputs="a, y, float[1,4] b")
    made = Pairs(source)
    assert made.quantized().count("x") == 1 and made.reads("b") == ["x"]
    assert [n.op_type for n in made.model.graph][:2] == ["QuantizeLinear", "DequantizeLinear"]


def test_what_the_device_makes_is_read_rounded_on_the_host_too():
    made = Pairs(model("a = Neg(x) b = mine.Other(a) y = ReduceMean <axes = [0]> (a)", outputs="y, float[1,4] b"))
    assert made.reads("b") == ["a!"]


# --- constants --------------------------------------------------------------------------------------------------


def test_a_constant_operand_has_the_range_of_its_values_or_of_what_counts():
    source = model("y = Add(x, c)", "float[2,4] x", constants={"c": np.float32([[0, 25.5, 51, 255]])})
    assert Pairs(source).constant("y.float", 1) == ([[-128, -102, -77, 127]], 1.0, -128, None)
    cut = Pairs(source, constants={("y", 1): (0.0, 51.0)}).constant("y.float", 1)
    assert cut[0] == [[-128, 0, 127, 127]] or cut[0] == [[-128, -1, 127, 127]]
    assert cut[1] == pytest.approx(0.2)
    other = Pairs(source, constants={("y", 0): (0.0, 51.0)}).constant("y.float", 1)
    assert other[1] == 1


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_gemm(transposed):
    """Columns of -127..127 and of -254..254; the input's scale is 0.5."""
    w = np.float32([[127, 254], [-1, 2], [0, 0], [5, -6]])
    constants = {"w": w.T if transposed else w, "c": np.float32([3, -4])}
    made = Pairs(model(f"y = Gemm <transB = {transposed}> (x, w, c)", constants=constants), {"x": (0, 127.5)})
    q, scales, axis = made.constant("y.float", 1)
    assert scales == [1, 2] and axis == 1 - transposed
    assert np.array_equal(np.array(q).T if transposed else q, [[127, 127], [-1, 1], [0, 0], [5, -3]])
    assert made.constant("y.float", 2) == ([6, -4], [0.5, 1], 0)


def test_a_matrix_and_a_vector():
    q, scales, axis = Pairs(model("y = MatMul(x, w)", constants=W)).constant("y.float", 1)
    assert q == W["w"].astype(int).tolist() or np.array_equal(np.array(q) * scales, np.round(W["w"]))
    assert len(scales) == 2 and axis == 1
    made = Pairs(model("y = MatMul(x, w)", constants={"w": np.float32([127, -254, 1, 2])}))
    assert made.constant("y.float", 1) == ([64, -127, 0, 1], 2, None)


@pytest.mark.parametrize(("op", "axis"), [("Conv", 0), ("ConvTranspose", 1)])
def test_a_convolution(op, axis):
    w = np.float32([[[[127]], [[254]]], [[[0]], [[-2]]]])  # [0][1] and [1][0] differ
    w = w if axis else w.transpose(1, 0, 2, 3)
    source = model(f"y = {op}(x, w, c)", "float[1,2,3,3] x", constants={"w": w, "c": np.float32([3, -4])})
    made = Pairs(source, {"x": (0, 127.5)})
    q, scales, found = made.constant("y.float", 1)
    assert scales == [1, 2] and found == axis
    turned = np.array(q) if axis else np.array(q).transpose(1, 0, 2, 3)
    assert turned.reshape(2, 2).tolist() == [[127, 127], [0, -1]]
    assert made.constant("y.float", 2) == ([6, -4], [0.5, 1], 0)


def test_a_transposed_convolution_of_groups_has_one_scale_for_a_channel_of_each_group():
    """Groups of two channels; biases of 2^30 and more need a scale of 1 and more, in whichever group."""
    w = np.full((2, 2, 1, 1), 0.5, np.float32)
    bias = np.float32([0, 2**30, 2**31, 0])
    source = model("y = ConvTranspose <group = 2> (x, w, c)", "float[1,2,3,3] x", constants={"w": w, "c": bias})
    made = Pairs(source, {"x": (0, 255)})
    assert made.constant("y.float", 1)[1] == [2, 1]
    assert made.constant("y.float", 2) == ([0, 2**30, 2**30, 0], [2, 1, 2, 1], 0)


def test_a_layer_without_bias_and_one_with_a_matrix():
    made = Pairs(model("y = Gemm(x, w)", constants=W))
    assert len(made.nodes["y.float"].inputs) == 2
    made = Pairs(model("y = Gemm(x, w, c)", constants=W | {"c": np.float32([[1, 2]])}))
    assert made.reads("y.float")[2] == "c"


def test_computed_weights_and_biases_are_activations():
    source = model("y = MatMul(x, z)", "float[1,4] x, float[4,2] z")
    assert Pairs(source).reads("y.float") == ["x!", "z!"]
    source = model("y = Gemm(x, w, z)", "float[1,4] x, float[2] z", constants=W)
    assert Pairs(source).reads("y.float")[2] == "z!"
    source = model("y = Gemm(c, z)", "float[4,2] z", constants={"c": np.float32([[1, 2, 3, 255]])})
    made = Pairs(source)
    assert made.reads("y.float") == ["c", "z!"]


def test_a_layer_whose_input_is_not_rounded_stays():
    source = model("a = mine.Other(x) y = MatMul(x, w)", constants=W)
    made = Pairs(source, only=["a"])
    assert made.reads("y") == ["x", "w"]


# --- biases that say never --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [-1e9, -2092, -2091, -1300, 1500, 2244, 2245, 1e9])
def test_a_bias_counts_as_far_as_the_result_can_tell(bias):
    """The result is in -51..204, so a bias under -51 - 8 * 255 or over 204 + 8 * 255 is far.

    The weights reach 3 * 127.5.
    """
    w = np.float32([[1, 1], [0, 2], [0, 0], [0, 0]])
    source = model("y = Gemm(x, w, c)", constants={"w": w, "c": np.float32([1, bias])})
    made = Pairs(source, {"x": (0, 127.5), "y": (-51, 204)})
    q, scales, _ = made.constant("y.float", 2)
    reach = 3 * 127.5 + 255
    expected = bias if -2091 <= bias <= 2244 else np.clip(bias, -51 - reach, 204 + reach)
    assert np.multiply(q, scales) == pytest.approx([1, expected], rel=1e-3)
