"""QONNX nodes become Q/DQ pairs, by their definition."""

import decimal

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from rewritten import run

from vlac.errors import UnsupportedError
from vlac.quantize.dialects.qonnx import DOMAINS, from_qonnx, uses_qonnx

RNG = np.random.default_rng(0)
X = "float[2,3] x"


def array(found, node, index, number=0):
    """Constant input of the `number`-th node of a type."""
    return [n for n in found.graph if n.op_type == node][number].inputs[index].const_value.numpy()


# --- QONNX ------------------------------------------------------------------------------------------------------


def quant(
    values, *, scale=1.0, zero=0.0, bits=8.0, constant=True, shape=(8,), domain=DOMAINS[0], op="Quant", **attributes
):
    """Quant of a constant, added to the input; or of the input."""
    parameters = {"s": scale, "z": zero, "b": bits} | ({"c": values} if constant else {})
    nodes = [
        helper.make_node(
            op, ["c" if constant else "x", "s", "z", "b"], ["q"], name="quant", domain=domain, **attributes
        )
    ]
    nodes += [helper.make_node("Add", ["x", "q"], ["y"])] if constant else [helper.make_node("Identity", ["q"], ["y"])]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in "xy"]
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), n) for n, v in parameters.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


VALUES = np.float32([-300, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 300])
GRIDS = [
    ({"bits": 8.0}, -128, 127),
    ({"bits": [8.0]}, -128, 127),
    ({"bits": 8.0, "narrow": 1}, -127, 127),
    ({"bits": 8.0, "signed": 0}, 0, 255),
    ({"bits": 8.0, "signed": 0, "narrow": 1}, 0, 254),
    ({"bits": 4.0, "signed": 1}, -8, 7),
    ({"bits": 3.0, "signed": 0}, 0, 7),
    ({"bits": 1.0, "signed": 0}, 0, 1),
]


@pytest.mark.parametrize(("options", "low", "high"), GRIDS, ids=str)
@pytest.mark.parametrize(("scale", "zero"), [(1, 0), (0.5, 0), (2, 1), ([2.0], [1.0])])
@pytest.mark.parametrize("constant", [True, False])
def test_quant(options, low, high, scale, zero, constant):
    """(clip(rint(x / s) + z) - z) * s: half way is decided before the zero point is added, as every sum is whole."""
    model = quant(VALUES, scale=scale, zero=zero, constant=constant, **options)
    assert uses_qonnx(model)
    found = from_qonnx(model)
    assert not uses_qonnx(found) and {o.domain for o in found.opset_import} == {""}
    s, z = np.float32(scale).reshape(-1)[0], np.float32(zero).reshape(-1)[0]
    wanted = (np.clip(np.rint(VALUES / s + (z if constant else 0)) + (0 if constant else z), low, high) - z) * s
    (given,) = run(found, {"x": np.zeros(8, np.float32) if constant else VALUES})
    assert np.array_equal(given, wanted)


ROUNDINGS = {
    "ROUND": decimal.ROUND_HALF_EVEN, "HALF_EVEN": decimal.ROUND_HALF_EVEN, "FLOOR": decimal.ROUND_FLOOR,
    "CEIL": decimal.ROUND_CEILING, "UP": decimal.ROUND_UP, "DOWN": decimal.ROUND_DOWN,
    "HALF_UP": decimal.ROUND_HALF_UP, "HALF_DOWN": decimal.ROUND_HALF_DOWN,
}  # fmt: skip


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_rounding_of_a_constant_quant(mode):
    """As Python's decimal numbers round."""
    values = np.arange(-16, 17, dtype=np.float32) / 4
    (given,) = run(from_qonnx(quant(values, rounding_mode=mode, shape=(33,))), {"x": np.zeros(33, np.float32)})
    assert given.tolist() == [
        int(decimal.Decimal(float(v)).quantize(decimal.Decimal(1), ROUNDINGS[mode])) for v in values
    ]


def activations(*modes, signed=0, zero=0.0):
    """Quant of the input to nearest even, then Relu and Quant by each of the modes."""
    nodes, name = [helper.make_node("Quant", list("xszb"), ["q"], domain=DOMAINS[0])], "q"
    for i, mode in enumerate(modes):
        nodes.append(helper.make_node("Relu", [name], [f"r{i}"]))
        inputs, name = [f"r{i}", *"szb"], "y" if i == len(modes) - 1 else f"q{i}"
        nodes.append(helper.make_node("Quant", inputs, [name], domain=DOMAINS[0], signed=signed, rounding_mode=mode))
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
    numbers = {"s": 0.5, "z": zero, "b": 8.0}
    tensors = [numpy_helper.from_array(np.float32(v), n) for n, v in numbers.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAINS[0], 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(("mode", "options", "found"), [
    ("ROUND", {}, "nearest-even"), ("HALF_EVEN", {"signed": 1}, "nearest-even"), ("FLOOR", {"signed": 1}, "floor"),
    ("FLOOR", {"zero": 3.0}, "floor"), ("HALF_UP", {}, "half-up"), ("DOWN", {}, "floor"), ("CEIL", {}, None),
    ("HALF_UP", {"signed": 1}, None), ("DOWN", {"signed": 1}, None), ("HALF_UP", {"zero": 3.0}, None),
])  # fmt: skip
def test_rounding_of_activations(mode, options, found):
    """Away from zero is up, and towards it down, only where nothing is less than zero."""
    if found is None:
        with pytest.raises(UnsupportedError, match=f"cannot round an activation by {mode}"):
            from_qonnx(activations(mode, **options))
    else:
        properties = from_qonnx(activations(mode, mode, **options)).metadata_props
        assert {p.key: p.value for p in properties} == {"vlac.rounding": found}


def test_a_program_rounds_in_one_way():
    with pytest.raises(UnsupportedError, match="Quant 'q0' rounds by floor and Quant 'q1' by half-up; a program"):
        from_qonnx(activations("FLOOR", "HALF_UP", "ROUND"))


@pytest.mark.parametrize(("bits", "largest"), [(9.0, 255), (16.0, 32767), (32.0, 2**31 - 1)])
def test_a_bias_of_more_bits(bits, largest):
    (given,) = run(from_qonnx(quant(np.float32([-1e10, 1e10] * 4), bits=bits)), {"x": np.zeros(8, np.float32)})
    assert np.allclose(given[:2], [-largest - 1, largest])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_scale_for_each_index_of_an_axis(axis, zeros):
    values = np.float32([[-300, -2.4, 1.3], [0.6, 2.7, 300]])
    shape = (2, 1) if axis == 0 else (3,)
    scale = np.linspace(0.5, 2, shape[0], dtype=np.float32).reshape(shape)
    zero = np.arange(shape[0], dtype=np.float32).reshape(shape) if zeros else np.float32(1)
    found = from_qonnx(quant(values, scale=scale, zero=zero, shape=(2, 3)))
    wanted = (np.clip(np.rint(values / scale + zero), -128, 127) - zero) * scale
    assert np.allclose(run(found, {"x": np.zeros((2, 3), np.float32)})[0], wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 2.5}, "must be whole numbers"),
        ({"bits": [8.0, 8.0]}, "one bit width"),
        ({"zero": 0.5}, "must be whole numbers"),
        ({"bits": 33.0}, "33 bits signed with 1 scales"),
        ({"bits": 9.0, "signed": 0}, "9 bits unsigned"),
        ({"bits": 9.0, "zero": 1.0}, "9 bits signed"),
        ({"bits": 9.0, "constant": False}, "9 bits signed"),
        ({"scale": np.ones((2, 4))[:, None], "values": np.ones((2, 1, 4)), "shape": (2, 1, 4)}, "8 scales"),
        ({"scale": np.ones(3)}, "3 scales"),
        ({"scale": np.ones(8), "zero": np.ones((8, 1))}, "8 scales"),
        ({"scale": np.ones(8), "zero": np.ones(2)}, "8 scales"),
        ({"zero": np.ones(8)}, "1 scales"),
        ({"scale": np.ones(8), "constant": False}, "8 scales"),
        ({"rounding_mode": "SOME"}, "rounding mode SOME does not exist"),
        ({"rounding_mode": "CEIL", "constant": False}, "cannot round an activation by CEIL"),
    ],
    ids=str,
)
def test_quant_that_is_refused(options, message):
    with pytest.raises(UnsupportedError, match=message):
        from_qonnx(quant(options.pop("values", VALUES), **options))


def test_quant_with_computed_parameters_is_refused():
    model = quant(VALUES)
    del model.graph.initializer[0]
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.FLOAT, []))
    with pytest.raises(UnsupportedError, match="must be constants"):
        from_qonnx(model)
    short = quant(VALUES)
    del short.graph.node[0].input[3]
    with pytest.raises(UnsupportedError, match="must be constants"):
        from_qonnx(short)


@pytest.mark.parametrize(("domain", "op", "uses"), [
    *((d, o, True) for d in DOMAINS for o in ("Quant", "IntQuant")),
    (DOMAINS[0], "BipolarQuant", False), ("mine", "Quant", False),
])  # fmt: skip
def test_which_nodes_are_quant(domain, op, uses):
    model = quant(VALUES, domain=domain, op=op)
    assert uses_qonnx(model) is uses and (from_qonnx(model) is model) is not uses
