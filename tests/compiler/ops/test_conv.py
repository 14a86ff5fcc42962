"""Conv: every attribute, bit for bit within 1 LSB of ONNX Runtime."""

import numpy as np
import pytest
from graphs import GraphBuilder
from one_op import check_both, image_graph, refused
from parity import compile_proto, run_parity

from vlac.errors import UnsupportedError


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


@pytest.mark.parametrize(
    "attributes",
    [
        {"kernel": (17, 17), "pads": [8, 8, 8, 8]},
        {"kernel": (31, 3), "pads": [15, 1, 15, 1], "channels": 5},
        {"strides": [5, 5], "kernel": (5, 5)},
        {"strides": [8, 8], "kernel": (8, 8), "pads": [3, 0, 4, 0]},
        {"strides": [6, 1], "kernel": (9, 18), "pads": [2, 9, 3, 8]},
        {"strides": [7, 9], "kernel": (3, 2), "group": 4},
        {"kernel": (19, 19), "pads": [9, 9, 9, 9], "channels": 20, "out": 20, "group": 20},
        {"kernel": (2, 2), "dilations": [32, 1], "size": (40, 6), "channels": 3},
        {"strides": [5, 2], "kernel": (16, 3), "dilations": [2, 2], "size": (40, 9), "pads": [3, 1, 3, 1]},
    ],
    ids=str,
)
def test_large_kernels_and_strides_are_folded(attributes):
    check_both(conv_model(**{"size": (23, 21), "channels": 8, **attributes}))


def test_patches_of_an_image_are_packed_by_the_host():
    g = GraphBuilder("patches")
    y = g.node("Conv", [g.input("x", (1, 3, 64, 64)), g.constant(g.weight(48, 3, 16, 16))], 48, strides=[16, 16])
    assert "copy" not in {p.lower() for p in check_both(g.model(y)).packets}


@pytest.mark.parametrize(("group", "dilation"), [(2, 2), (4, 3), (24, 2), (24, 5), (3, 1)])
@pytest.mark.parametrize("stride", [1, 2])
def test_groups_with_dilation_and_stride(group, dilation, stride):
    pad = dilation
    check_both(conv_model(24, 48, group=group, dilations=[dilation] * 2, strides=[stride] * 2, pads=[pad] * 4))


def test_large_rules_are_refused_together():
    g = GraphBuilder("bad")
    x = g.input("x", (1, 4, 140, 140))
    a = g.node("Conv", [x, g.constant(g.weight(4, 4, 117, 117))], 4)
    b = g.node("Conv", [a, g.constant(g.weight(4, 4, 1, 1))], 4, strides=[131, 1])
    refused(
        g.model(b),
        "2 nodes",
        "Conv x 2 ('conv0', 'conv1') cannot run on 'u50': The kernel must not exceed 15x15, the stride 4",
        "Found kernel 117x117",
        "stride 131x1",
    )


def test_accumulator_that_could_wrap_is_refused():
    g = GraphBuilder("wide")
    x = g.input("x", (1, 4096, 9, 9))
    w = g.constant(np.ones((16, 4096, 9, 9), np.float32))
    with pytest.raises(Exception, match=r"accumulator|weight scratchpad"):
        run_parity(g.model(g.node("Conv", [x, w], 16)))


def test_two_large_convolutions_of_one_image_fold_it_each():
    def body(g, x):
        return g.conv(g.node("Concat", [g.conv(x, 6, 3, 5), g.conv(x, 9, 1, 5, pads=[0] * 4)], 15, axis=1), 4, 1)

    check_both(image_graph(body))


def test_dilation_of_one_axis_beside_a_large_stride_of_the_other():
    def body(g, x):
        w = g.constant(g.weight(9, 20, 7, 2))
        return g.node("Conv", [x, w], 9, strides=[1, 7], dilations=[3, 1], pads=[5, 0, 6, 3])

    check_both(image_graph(body))


def test_groups_across_a_block_of_outputs_need_the_weights_of_all():
    """Eight groups of five channels with one output each: one block of outputs reads all forty channels."""
    g = GraphBuilder("groups")
    w = g.constant(g.weight(8, 5, 20, 20))
    model = g.model(g.node("Conv", [g.input("x", (1, 40, 21, 21)), w], 8, group=8, pads=[7] * 4))
    with pytest.raises(UnsupportedError, match=r"The weights of one block of 8 channels must fit the 2048 words"):
        compile_proto(model, "tiny", calib="random:1")
