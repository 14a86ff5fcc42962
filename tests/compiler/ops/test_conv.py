"""Conv: every attribute, bit for bit within 1 LSB of ONNX Runtime."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, refused
from parity import run_parity


def conv_model(channels=20, out=24, size=(11, 13), kernel=(3, 3), **attributes):
    g = GraphBuilder("conv")
    x = g.input("x", (1, channels, *size))
    group = attributes.get("group", 1)
    w = g.constant(g.weight(out, channels // group, *kernel))
    b = g.constant(g.rng.standard_normal(out).astype(np.float32))
    return g.model(g.node("Conv", [x, w, b], out, **attributes))


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 1, 1, 1]},
        {"pads": [0, 2, 1, 0]},
        {"strides": [2, 3], "pads": [1, 1, 1, 1]},
        {"strides": [4, 4], "pads": [2, 2, 2, 2], "kernel": (5, 5)},
        {"dilations": [2, 3], "pads": [2, 3, 2, 3]},
        {"kernel": (1, 7), "pads": [0, 3, 0, 3]},
        {"kernel": (15, 15), "pads": [7, 7, 7, 7]},
        {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2], "kernel": (4, 4)},
        {"auto_pad": "VALID"},
    ],
    ids=str,
)
def test_attributes(attributes):
    check_both(conv_model(**attributes))


@pytest.mark.parametrize(
    ("channels", "out", "group"), [(32, 64, 2), (24, 24, 24), (48, 48, 48), (20, 40, 20), (64, 64, 4)]
)
def test_groups_and_depthwise(channels, out, group):
    check_both(conv_model(channels, out, group=group, pads=[1, 1, 1, 1]))


def test_depthwise_uses_the_diagonal_mask():
    outcome = run_parity(conv_model(64, 64, group=64, pads=[1, 1, 1, 1]))
    assert len(outcome.state.program.weights) == 4 * 9  # 4 diagonal blocks of 9 taps, not 16


def test_pruned_blocks_are_masked_out():
    g = GraphBuilder("pruned")
    x = g.input("x", (1, 64, 8, 8))
    weight = g.weight(64, 64, 3, 3)
    weight[16:32, :48] = 0
    weight[48:] = 0
    y = g.node("Conv", [x, g.constant(weight), g.constant(np.ones(64, np.float32))], 64, pads=[1, 1, 1, 1])
    outcome = run_parity(g.model(y))
    assert len(outcome.state.program.weights) == (4 + 1 + 4) * 9


def test_large_rules_are_refused_together():
    g = GraphBuilder("bad")
    x = g.input("x", (1, 4, 40, 40))
    a = g.node("Conv", [x, g.constant(g.weight(4, 4, 17, 17))], 4)
    b = g.node("Conv", [a, g.constant(g.weight(4, 4, 5, 5))], 4, strides=[5, 5])
    refused(
        g.model(b),
        "2 nodes",
        "Conv 'conv0' cannot run on 'u50': The kernel must not exceed 15x15. Found kernel 17x17",
        "stride must not exceed 4. Found stride 5x5",
    )


def test_batch_is_refused():
    g = GraphBuilder("batch")
    refused(g.model(g.conv(g.input("x", (2, 4, 8, 8)), 4)), "batch 1", "input shape [2, 4, 8, 8]")


def test_accumulator_that_could_wrap_is_refused():
    g = GraphBuilder("wide")
    x = g.input("x", (1, 4096, 9, 9))
    w = g.constant(np.ones((16, 4096, 9, 9), np.float32))
    with pytest.raises(Exception, match=r"accumulator|weight scratchpad"):
        run_parity(g.model(g.node("Conv", [x, w], 16)))
