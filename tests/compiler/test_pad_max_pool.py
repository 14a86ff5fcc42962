"""A Pad with "never" in front of a MaxPool is the pool's padding: beside ONNX Runtime on the source model."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graphs import GraphBuilder
from parity import compile_proto
from source_parity import check_real

from vlac.errors import UnsupportedError
from vlac.rewrite.pad_max_pool import pad_max_pools


def padded(pads, value=-1e9, *, axes=None, size=(11, 9), pool=None):
    g = GraphBuilder("pad", 4)
    y = g.conv(g.input("x", (1, 6, *size)), 8, relu=False)
    inputs = [y, g.constant(np.array(pads, np.int64)), g.constant(np.float32(value))]
    y = g.node("Pad", inputs + ([g.constant(np.array(axes, np.int64))] if axes else []))
    return g, g.node("MaxPool", [y], **{"kernel_shape": [3, 3], "strides": [2, 2], **(pool or {})})


def operators(state):
    return [n.op_type for n in state.quantized.reference.graph.node]


@pytest.mark.parametrize("value", [-1e4, -65504.0, -1e9, -3.4028235e38, -np.inf])
def test_any_magnitude(value):
    g, y = padded([0, 0, 1, 1, 0, 0, 1, 1], value)
    assert operators(check_real(g.model(y), 30)) == ["Conv", "MaxPool"]


@pytest.mark.parametrize("sides", [(1, 0, 0, 0), (0, 2, 1, 0), (2, 2, 2, 2), (0, 0, 0, 0)])
@pytest.mark.parametrize(
    "pool",
    [
        {},
        {"strides": [1, 1]},
        {"strides": [3, 2], "ceil_mode": 1},
        {"pads": [0, 0, 0, 0], "dilations": [2, 1]},
        {"auto_pad": "SAME_UPPER"},
        {"auto_pad": "SAME_LOWER", "strides": [1, 2]},
        {"auto_pad": "VALID"},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(11, 9), (8, 8)])
def test_sizes(sides, pool, size):
    """Whatever the result's size, the values are the source's; the Pad stays only where it must, and says so."""
    g, y = padded([0, 0, sides[0], sides[1], 0, 0, sides[2], sides[3]], pool=pool, size=size)
    try:
        state = check_real(g.model(y, opset=22), 28)
    except UnsupportedError as e:
        assert "in front of a MaxPool" in str(e) and max(sides) == 2  # and the pool pads too: 3 of 3 are padding
        return
    assert operators(state) == ["Conv", "MaxPool"]


def test_named_axes_and_two_pools():
    g, y = padded([1, 1], axes=[-1], pool={"kernel_shape": [1, 3], "strides": [1, 1]})
    z = g.node("MaxPool", [g.nodes[-1].input[0]], kernel_shape=[3, 2], strides=[1, 1])
    assert operators(check_real(g.model(y, z, opset=18), 28)) == ["Conv", "MaxPool", "MaxPool"]


def test_one_axis():
    g = GraphBuilder("line", 4)
    y = g.node("Conv", [g.input("x", (1, 6, 20)), g.constant(g.weight(8, 6, 3))], 8)
    y = g.node("Pad", [y, g.constant(np.array([0, 0, 1, 0, 0, 1], np.int64)), g.constant(np.float32(-1e9))])
    check_real(g.model(g.node("MaxPool", [y], kernel_shape=[3], strides=[2])), 28)


def test_other_numbers_are_padded_as_they_are():
    """0 may win over negative values; ONNX Runtime's own optimizer forgets that."""
    g, y = padded([0, 0, 1, 1, 0, 0, 1, 1], 0.0)
    assert operators(check_real(g.model(y), 28)) == ["Conv", "Pad", "MaxPool"]


@pytest.mark.parametrize("pads", [[0, 0, 3, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]])
def test_windows_of_padding_only_are_refused(pads):
    g, y = padded(pads)
    with pytest.raises(UnsupportedError, match=r"A number of -1e4 or less, in front of a MaxPool .* Found pads \[0, "):
        compile_proto(g.model(y))


@pytest.mark.parametrize("number", [1, 2], ids=["Pad", "MaxPool"])
def test_operators_of_other_domains_are_not_these(number):
    g, y = padded([0, 0, 1, 1, 0, 0, 1, 1])
    parsed = ir.from_proto(onnx.shape_inference.infer_shapes(g.model(y)))
    list(parsed.graph)[number].domain = "other"
    pad_max_pools(parsed)
    assert [n.op_type for n in parsed.graph][-2:] == ["Pad", "MaxPool"]
    assert parsed.graph[-1].inputs[0].producer() is parsed.graph[-2]
