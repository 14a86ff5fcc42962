"""Ranges that follow from the type of an input, worked out by hand."""

import numpy as np
import pytest
from small_graphs import model

from vlac.quantize.input_ranges import known_ranges

CONSTANTS = {"w": np.ones((4, 2), np.float32), "c": np.float32(51), "n": np.float32(-2), "z": np.float32(0),
             "k": np.float32([[1, 2, 3, -4]])}  # fmt: skip


def found(body, kind="uint8", layer="y = MatMul(b, w)"):
    """Of every value in front of a layer that reads b."""
    return known_ranges(model(f"a = Cast <to = 1> (x) {body} {layer}", f"{kind}[1,4] x", constants=CONSTANTS))


@pytest.mark.parametrize(
    ("kind", "ends"), [("uint8", (0, 255)), ("int8", (-128, 127)), ("bool", (0, 1)), ("uint16", None), ("int32", None)]
)
def test_the_ends_of_the_type(kind, ends):
    known = found("b = Div(a, c)", kind)
    if ends is None:
        assert known == {}
    else:
        assert known["a"] == ends and known["b"] == pytest.approx((ends[0] / 51, ends[1] / 51))


@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("b = Sub(a, c)", (-51, 204)),
        ("b = Sub(c, a)", (-204, 51)),
        ("b = Mul(a, n)", (-510, 0)),
        ("b = Mul(a, k)", (-1020, 765)),  # a factor per element, of either sign
        ("b = Max(a, c)", (51, 255)),
        ("b = Neg(a)", (-255, 0)),
        ("b = Tanh(a)", (0, 1)),
        ("b = Div(a, n)", (-127.5, 0)),
        ("b = Div(c, a)", None),  # two branches
        ("d = Sub(a, c) b = Div(c, d)", None),
        ("b = Add(a, a)", (0, 510)),
        ("d = Sub(c, a) b = Add(a, d)", None),  # constant, which the ends do not say
        ("d = Neg(a) b = Mul(a, d)", None),
        ("b = Abs(a)", None),  # not monotone
        ("d = Sub(a, c) b = Abs(d)", None),
        ("b = Log(a)", None),  # -inf at 0
        ("d = Neg(a) b = Concat <axis = 0> (a, d)", (-255, 255)),
        ("b = Reshape(a, s)", (0, 255)),
    ],
)
def test_functions_of_pixels(body, ends):
    constants = CONSTANTS | {"s": np.int64([1, 4])}
    source = model(f"a = Cast <to = 1> (x) {body} y = MatMul(b, w)", "uint8[1,4] x", constants=constants)
    known = known_ranges(source)
    assert known["a"] == (0, 255)
    if ends is None or body == "b = Add(a, a)":  # one operand is all that is looked at
        assert "b" not in known
    else:
        assert known["b"] == pytest.approx(ends)


def test_only_what_the_host_computes_as_real_numbers():
    assert found("b = MatMul(a, v)".replace("v", "w"), layer="y = Relu(b)").keys() == {"a"}
    source = model("a = Cast <to = 6> (x) b = Cast <to = 1> (a) y = MatMul(b, w)", "uint8[1,4] x", constants=CONSTANTS)
    assert known_ranges(source) == {"b": (0, 255)}
    source = model("a = Mul(x, c) y = MatMul(a, w)", "float[1,4] x", constants=CONSTANTS)
    assert known_ranges(source) == {}


def test_inputs_of_both_kinds():
    body = "a = Cast <to = 1> (x) b = Div(a, c) d = Concat <axis = 0> (b, s) y = MatMul(d, w)"
    source = model(body, "uint8[1,4] x, float[1,4] s", constants=CONSTANTS)
    assert known_ranges(source) == {"a": (0, 255), "b": (0, 5)}
