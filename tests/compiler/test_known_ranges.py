"""The rules of ranges that calibration does not decide, each worked out by hand on a graph of a few nodes."""

import numpy as np
import onnx_ir as ir
import pytest
from graphs import GraphBuilder

from vlac.import_onnx import parse_model
from vlac.quantize.known_ranges import Levels, competing, levels, settle_ranges

SHAPE = (1, 4, 6, 6)


def settled(body, observed, winners=None, outputs=()):
    """The settled ranges of the values that `body(g, x)` names, by a dict; the last is an output."""
    g = GraphBuilder("ranges")
    names = body(g, g.input("x", SHAPE))
    model = parse_model(g.model(*(names[o] for o in outputs), [*names.values()][-1], opset=20), "test")[0]
    given = {names.get(name, name): bounds for name, bounds in observed.items()}
    cut = {names.get(name, name): found for name, found in (winners or {}).items()}
    ranges = settle_ranges(model, given, cut)
    back = {value: name for name, value in names.items()}
    constants = {index: bounds for (_, index), bounds in ranges.constants.items()}
    return {back.get(name, name): bounds for name, bounds in ranges.values.items()}, constants


# --- what an operator can give ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "attributes", "known"),
    [
        *((op, {}, (0, 1)) for op in ("Sigmoid", "HardSigmoid")),
        *((op, {}, (-1, 1)) for op in ("Tanh", "Softsign", "Erf", "Sin", "Cos")),
        ("Softmax", {"axis": 1}, (0, 1)),
    ],
)
def test_functions_with_bounds_have_these(op, attributes, known):
    found, _ = settled(lambda g, x: {"y": g.node(op, [x], **attributes)}, {"x": (-2, 2), "y": (0.2, 0.4)})
    assert found["y"] == known


@pytest.mark.parametrize(
    ("bounds", "seen", "expected"),
    [
        ((0, 6), (0, 0.5), (0, 6)),  # of an activation
        ((-1, 8), (0, 0.5), (-1, 8)),
        ((0, 20), (0, 5), (0, 20)),  # 4 times what was seen
        ((0, 20.1), (0, 5), (0, 5)),  # a guard against overflow, not a range
        ((-20, 0), (-5, 0), (-20, 0)),
    ],
)
def test_bounds_of_a_clip_near_what_was_seen_are_its_range(bounds, seen, expected):
    def body(g, x):
        return {"y": g.node("Clip", [x, *(g.constant(np.float32(b)) for b in bounds)])}

    found, _ = settled(body, {"x": (-3, 3), "y": seen})
    assert found["y"] == pytest.approx(expected)


def test_a_relu_that_was_dead_gets_the_size_of_what_came_in():
    found, _ = settled(lambda g, x: {"y": g.node("Relu", [x])}, {"x": (-3, -1), "y": (0, 0)})
    assert found["y"] == (0, 3)


def test_a_concat_holds_what_its_parts_hold():
    def body(g, x):
        a, b = g.node("Sigmoid", [x]), g.node("Relu", [x])
        return {"a": a, "b": b, "y": g.node("Concat", [a, b], 8, axis=1)}

    found, _ = settled(body, {"x": (-2, 3), "a": (0.1, 0.9), "b": (0, 3), "y": (0.1, 2.5)})
    assert found["y"] == (0, 3)
    found, _ = settled(body, {"x": (-2, 3), "a": (0.1, 0.9), "y": (-0.5, 3.5)})  # one part was not observed
    assert found["y"] == (-0.5, 3.5)


def test_what_moves_values_has_their_range():
    def body(g, x):
        a = g.node("Sigmoid", [x])
        return {"a": a, "y": g.node("Transpose", [a], perm=[0, 2, 3, 1])}

    found, _ = settled(body, {"x": (-2, 3), "a": (0.1, 0.9), "y": (0.1, 0.9)})
    assert found["y"] == (0, 1)


@pytest.mark.parametrize(
    ("attributes", "inherits"),
    [({}, False), ({"ceil_mode": 1}, True), ({"dilations": [2, 2]}, True), ({"dilations": [1, 1]}, False)],
)
def test_averages_that_onnx_runtime_counts_otherwise_have_their_inputs_range(attributes, inherits):
    def body(g, x):
        return {"y": g.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2], **attributes)}

    found, _ = settled(body, {"x": (-2, 3), "y": (-1, 1)})
    assert found["y"] == ((-2, 3) if inherits else (-1, 1))


# --- comparisons ------------------------------------------------------------------------------------------------


def test_what_only_a_maximum_reads_has_the_range_of_the_maxima():
    def body(g, x):
        return {"y": g.node("GlobalMaxPool", [x])}

    found, _ = settled(body, {"x": (-9, 3), "y": (1, 3)})
    assert found["x"] == (-9, 3)  # a model input is nobody's result

    def behind(g, x):
        a = g.node("PRelu", [x, g.constant(np.full((4, 1, 1), 3.0, np.float32))])
        return {"a": a, "y": g.node("GlobalMaxPool", [a])}

    found, _ = settled(behind, {"x": (-3, 3), "a": (-9, 3), "y": (1, 3)})
    assert found["a"] == (1, 3)

    def both(g, x):
        found = behind(g, x)
        return found | {"z": g.node("Mul", [found["a"], found["y"]])}

    found, _ = settled(both, {"x": (-3, 3), "a": (-9, 3), "y": (1, 3), "z": (-9, 9)})
    assert found["a"] == (-9, 3)  # a second reader needs the low values

    found, _ = settled(behind, {"x": (-3, 3), "a": (-9, 3), "y": (1, 3)}, outputs="a")
    assert found["a"] == (-9, 3)  # and so does an output
    found, _ = settled(behind, {"x": (-3, 3), "y": (1, 3)})
    assert "a" not in found  # not observed

    def twice(g, x):
        found = behind(g, x)
        z = g.node("ReduceMax", [found["a"]])
        return found | {"z": z, "end": g.node("Mul", [found["y"], z])}

    observed = {"x": (-3, 3), "a": (-9, 3), "y": (1, 3), "end": (0, 9)}
    assert settled(twice, observed)[0]["a"] == (-9, 3)  # one maximum was not observed
    assert settled(twice, observed | {"z": (0, 2)})[0]["a"] == (0, 3)

    def through_a_transpose(g, x):
        a = behind(g, x)["a"]
        turned = g.node("Transpose", [a], perm=[0, 1, 3, 2])
        return {"a": a, "turned": turned, "y": g.node("MaxPool", [turned], kernel_shape=[2, 2])}

    found, _ = settled(through_a_transpose, {"x": (-3, 3), "a": (-9, 3), "turned": (-9, 3), "y": (1, 3)})
    assert found["a"] == found["turned"] == (1, 3)


@pytest.mark.parametrize("domain", ["", "other"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_only_what_an_operator_moves_has_the_range_of_its_result(domain, place):
    """The values of a Resize are its first input, and an unknown MaxPool may do anything (place 2: both inputs)."""
    x, y = (ir.Value(name=n, shape=ir.Shape([1]), type=ir.TensorType(ir.DataType.FLOAT)) for n in "xy")
    low = ir.node("PRelu", [x, x], outputs=[y])
    top = ir.node("Resize", [y if place != 1 else x, y] if place else [y], {"mode": "nearest"}, domain=domain)
    top.outputs[0].name, top.outputs[0].dtype = "z", ir.DataType.FLOAT
    graph = ir.Graph([x], [top.outputs[0]], nodes=[low, top], opset_imports={"": 17, "other": 1})
    observed = {"x": (-1.0, 1.0), "y": (-9.0, 2.0), "z": (0.0, 2.0)}
    found = settle_ranges(ir.Model(graph, ir_version=9), observed, {}).values["y"]
    assert found == ((-9, 2) if domain or place else (0, 2))


def test_competing_values():
    """Which values are only compared, through views, and whether the largest wins."""
    names = {}

    def body(g, x):
        for name, op in {"max": "GlobalMaxPool", "conv": "Relu", "min": "ReduceMin"}.items():
            names[name] = g.node("Neg", [x])
            names[f"{name} result"] = g.node(op, [names[name]])
        names["viewed"] = g.node("Neg", [x])
        g.node("ReduceMax", [g.node("Transpose", [names["viewed"]], perm=[0, 2, 3, 1])])
        names["mixed"] = g.node("Neg", [x])
        names["both"] = g.node("Add", [g.node("GlobalMaxPool", [names["mixed"]]), names["mixed"]])
        names["squashed"] = g.node("Neg", [x])
        g.node("GlobalMaxPool", [g.node("Sigmoid", [names["squashed"]])])
        names["output"] = g.node("Neg", [x])
        g.node("GlobalMaxPool", [names["output"]])
        names["opposed"] = g.node("Neg", [x])
        g.node("ReduceMin", [names["opposed"]])
        g.node("ReduceMax", [names["opposed"]])
        names["moved"] = g.node("Neg", [x])
        g.node("Relu", [g.node("Transpose", [names["moved"]], perm=[0, 2, 3, 1])])
        return names["both"], names["output"]

    g = GraphBuilder("competing")
    model = ir.from_proto(g.model(*body(g, g.input("x", SHAPE)), opset=20))
    values = {v.name: v for node in model.graph for v in node.outputs}
    wins = competing(model, [values[name] for name in names.values()])
    back = {value: name for name, value in names.items()}
    assert {back[v.name]: largest for v, largest in wins.items()} == {"max": True, "min": False, "viewed": True}


@pytest.mark.parametrize("largest", [True, False])
def test_levels_are_those_behind_the_last_wide_gap(largest):
    sign = 1 if largest else -1
    array = sign * np.array([-1e9, -np.inf, -2e3, -3, 0.5, 4], np.float32)
    found, masked = levels(array, largest)
    assert (found.low, found.high, masked) == (-3, 4, True)
    found, masked = levels(sign * np.array([-900, 0, 4], np.float32), largest)  # no value says never
    assert (found.low, found.high, masked) == (-900, 4, False)
    found, masked = levels(sign * np.array([-5000, -1000, 4], np.float32), largest)  # no gap below -1000
    assert (found.low, found.high, masked) == (-5000, 4, False)
    found, masked = levels(sign * np.array([-5000, 4], np.float32), largest)
    assert (found.low, found.high, masked) == (4, 4, True)
    for low, masked in ((-15000, False), (-15001, True)):  # a gap of 16 times 1000, and one that is wider
        assert levels(sign * np.array([low, 1000], np.float32), largest)[1] is masked
    assert Levels(-3, 4).joined(Levels(-5, 1)) == Levels(-5, 4)


ROOMS = {"ReduceMax": 0, "ArgMax": 1, "Softmax": 16, "ReduceMin": 0, "ArgMin": 1}


@pytest.mark.parametrize("op", ROOMS)
@pytest.mark.parametrize("seen", [1e9, 0.5])
def test_masked_values_have_room_under_those_that_can_win(op, seen):
    """A quarter of the range for an order, 16 for the shares of a Softmax, none for a maximum; never beyond what was
    seen. Where the least wins, levels are those of the negated values.
    """
    largest = op not in ("ReduceMin", "ArgMin")

    def body(g, x):
        a = g.node("Neg", [x])
        return {"a": a, "y": g.node(op, [a], **({} if op.startswith("Reduce") else {"axis": 1}))}

    def viewed(g, x):
        a = g.node("Neg", [x])
        turned = g.node("Transpose", [a], perm=[0, 1, 3, 2])
        return {"a": a, "y": g.node(op, [turned], **({} if op.startswith("Reduce") else {"axis": 1}))}

    low = max(-1 - ROOMS[op], -1 - seen)
    observed = (-1 - seen, 3) if largest else (-3, 1 + seen)
    for made in (body, viewed):
        found, _ = settled(made, {"x": (-9, 9), "a": observed}, {"a": (Levels(-1, 3), largest)})
        assert found["a"] == ((low, 3) if largest else (-3, -low))


def test_masked_values_that_are_all_equal_have_room_of_their_size():
    def body(g, x):
        a = g.node("Neg", [x])
        return {"a": a, "y": g.node("ArgMax", [a], axis=1)}

    for level, room in ((5.0, 5.0), (0.25, 1.0)):
        found, _ = settled(body, {"x": (-9, 9), "a": (-1e9, level)}, {"a": (Levels(level, level), True)})
        assert found["a"] == (level - room, level)


# --- operands of sums -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_operands_count_as_far_as_the_sum_can_tell(op):
    """y = clamp(a +- b) in -1..6 with a in -2..2: beyond -3..8 (and a 32nd of 11 = 7 + 4) b decides nothing."""
    mask = np.zeros((4, 1, 1), np.float32)
    mask[0], mask[1] = -1e9, 3

    def body(g, x):
        a = g.node("Neg", [x])
        total = g.node(op, [a, g.constant(mask if op == "Add" else -mask)])
        return {"a": a, "sum": total, "y": g.node("Clip", [total, *(g.constant(np.float32(b)) for b in (-1, 6))])}

    observed = {"x": (-2, 2), "a": (-2, 2), "sum": (-1e9, 5), "y": (-1, 5)}
    found, constants = settled(body, observed)
    room = (7 + 4) / 32
    expected = (-3 - room, 3.0)
    assert constants[1] == pytest.approx(expected if op == "Add" else (-3.0, 3 + room))
    assert found["a"] == (-2, 2)


def test_a_computed_operand_of_one_reader_is_cut_and_others_are_not():
    def body(g, x, reads_twice=False):
        a, b = g.node("Neg", [x]), g.node("Mul", [x, g.constant(np.float32(100))])
        found = {"a": a, "b": b, "y": g.node("Clip", [g.node("Add", [a, b]), *map(g.constant, np.float32([0, 6]))])}
        return found | ({"z": g.node("Concat", [found["y"], b], 8, axis=1)} if reads_twice else {})

    observed = {"x": (-2, 2), "a": (-2, 2), "b": (-200, 200), "y": (0, 6)}
    room = 10 / 32
    found, _ = settled(body, observed)
    assert found["b"] == pytest.approx((-2 - room, 8 + room))
    found, _ = settled(lambda g, x: body(g, x, reads_twice=True), observed | {"z": (-200, 200)})
    assert found["b"] == (-200, 200)


@pytest.mark.parametrize("missing", ["a", "b", "y"])
def test_operands_of_a_sum_that_was_not_observed_keep_their_ranges(missing):
    def body(g, x):
        a, b = g.node("Neg", [x]), g.node("Mul", [x, g.constant(np.float32(100))])
        return {"a": a, "b": b, "y": g.node("Clip", [g.node("Add", [a, b]), *map(g.constant, np.float32([0, 6]))])}

    observed = {"x": (-2.0, 2.0), "a": (-2.0, 2.0), "b": (-200.0, 200.0), "y": (0.0, 6.0)}
    del observed[missing]
    assert settled(body, observed)[0] == observed


def test_operands_of_a_product_keep_their_ranges():
    def body(g, x):
        return {"y": g.node("Mul", [x, g.constant(np.full((4, 1, 1), 1e9, np.float32))])}

    assert settled(body, {"x": (-2, 2), "y": (-3, 3)})[1] == {}
