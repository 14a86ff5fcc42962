"""Transpose, Slice, Split, Gather, Expand, Tile, DepthToSpace, SpaceToDepth: integers move as they are."""

import numpy as np
import pytest
from graphs import GraphBuilder
from moved import moved
from one_op import check_both, image_graph, refused


def numbers(g, *values):
    return g.constant(np.array(values, np.int64))


def sliced(starts, ends, axes, steps):
    return lambda g, x: g.node("Slice", [x, *(numbers(g, *v) for v in (starts, ends, axes, steps))])


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [4], [2], [1]),
        ([0, 1], [6, 8], [2, 3], [2, 3]),
        ([-1], [-9], [3], [-1]),
        ([16], [20], [1], [1]),
        ([3], [17], [1], [1]),
        ([0], [20], [1], [3]),
        ([5, 2, 1], [18, 6, 7], [1, 2, 3], [2, 2, 1]),
        ([19], [-21], [1], [-1]),
    ],
    ids=str,
)
def test_slice(starts, ends, axes, steps):
    moved(sliced(starts, ends, axes, steps))


def test_slice_of_a_whole_block_costs_nothing():
    def body(g, x):
        y = sliced([16], [32], [1], [1])(g, x)
        g.channels[y] = 16
        return g.conv(y, 8, 1)

    assert "Slice" not in check_both(image_graph(body, 48)).packets


@pytest.mark.parametrize(("axis", "sizes"), [(1, (16, 16)), (1, (5, 20, 7)), (2, (2, 4)), (3, (1, 7))])
def test_split(axis, sizes):
    size = (sizes if axis == 2 else (6,), sizes if axis == 3 else (8,))

    def body(g, x):
        names = [f"part{i}" for i in range(len(sizes))]
        whole = g.node("Split", [x, numbers(g, *sizes)], axis=axis)
        node = g.nodes[-1]
        del node.output[:]
        node.output.extend(names)
        del g.channels[whole]
        for name, n in zip(names, sizes, strict=True):
            g.channels[name] = n if axis == 1 else g.channels[x]
        joined = g.node("Concat", [*reversed(names)], sum(sizes) if axis == 1 else None, axis=axis)
        return g.conv(joined, 9, 3)

    check_both(image_graph(body, sum(sizes) if axis == 1 else 20, (sum(size[0]), sum(size[1]))))


@pytest.mark.parametrize(
    ("axis", "indices"), [(1, [3, 3, 0, 19]), (1, list(range(19, -1, -1))), (2, [5, 0]), (3, [-1, 2, 2, 4]), (1, 7)]
)
def test_gather(axis, indices):
    moved(lambda g, x: g.node("Gather", [x, g.constant(np.array(indices))], axis=axis))


def test_gather_nd():
    def body(g, x):
        last = g.node("Transpose", [x], perm=[0, 2, 3, 1])
        pixels = g.constant(np.array([[[[3, 2], [0, 4]], [[-1, 1], [3, 3]]]]))  # two rows of two
        return g.node("Transpose", [g.node("GatherND", [last, pixels], batch_dims=1)], perm=[0, 3, 1, 2])

    check_both(image_graph(lambda g, x: g.conv(body(g, x), 9, 1), size=(5, 6)))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
@pytest.mark.parametrize("channels", [4, 32, 64])
def test_depth_to_space(mode, channels):
    moved(lambda g, x: g.node("DepthToSpace", [x], blocksize=2, mode=mode), channels)


def test_depth_to_space_by_reordering():
    """The reader of the channels is not the only one, so that the convolution keeps its order."""

    def body(g, x):
        y = g.node("DepthToSpace", [x], 5, blocksize=2)
        return g.conv(g.node("Concat", [g.conv(y, 6, 3, 2), g.conv(x, 4, 1)], 10, axis=1), 5, 1)

    check_both(image_graph(body, 20, (6, 8)))


@pytest.mark.parametrize("channels", [3, 16])
def test_space_to_depth(channels):
    moved(lambda g, x: g.node("SpaceToDepth", [x], blocksize=2), channels)


@pytest.mark.parametrize("repeats", [(1, 1, 2, 3), (1, 2, 1, 1)])
def test_tile(repeats):
    moved(lambda g, x: g.node("Tile", [x, numbers(g, *repeats)]))


def test_expand():
    moved(lambda g, x: g.node("Expand", [x, numbers(g, 1, 20, 5, 8)]), size=(1, 8))


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 1, 3, 2), (0, 3, 1, 2)])
def test_transpose_of_an_input_costs_nothing(perm):
    g = GraphBuilder("transposed")
    shape = [7, 8, 9]
    inverse = np.argsort(perm)
    x = g.input("x", (1, *(np.array([1, *shape])[inverse])[1:].tolist()))
    y = g.node("Transpose", [x], shape[0], perm=perm)
    assert not {"Transpose", "Reorder"} & set(check_both(g.model(g.conv(y, 8))).packets)


@pytest.mark.parametrize("perm", [(0, 2, 3, 1), (0, 1, 3, 2), (0, 3, 1, 2)])
def test_transpose_of_an_output_costs_nothing(perm):
    outcome = check_both(image_graph(lambda g, x: g.node("Transpose", [x], perm=perm)))
    assert "Transpose" not in outcome.packets


def test_channels_last_network():
    """Input and Flatten in channels-last order, as TensorFlow's exports have them."""
    g = GraphBuilder("channels_last")
    x = g.node("Transpose", [g.input("x", (1, 12, 10, 5))], 5, perm=[0, 3, 1, 2])
    y = g.node("Transpose", [g.conv(x, 20, 3)], perm=[0, 2, 3, 1])
    check_both(g.model(g.gemm(g.node("Reshape", [y, numbers(g, 1, 2400)]), 2400, 7)))


@pytest.mark.parametrize(("groups", "channels"), [(2, 32), (3, 24), (4, 20)])
def test_channel_shuffle_costs_nothing(groups, channels):
    def shuffle(g, x):
        y = g.node("Reshape", [x, numbers(g, 1, groups, channels // groups, 6, 8)])
        return g.node("Reshape", [g.node("Transpose", [y], perm=[0, 2, 1, 3, 4]), numbers(g, 1, channels, 6, 8)])

    outcome = moved(shuffle, channels)
    assert not {"Reshape", "Transpose", "Reorder"} & set(outcome.packets)


def test_pixel_unshuffle_by_reshapes():
    def body(g, x):
        y = g.node("Reshape", [x, numbers(g, 1, 5, 3, 2, 4, 2)])
        return g.node("Reshape", [g.node("Transpose", [y], perm=[0, 1, 3, 5, 2, 4]), numbers(g, 1, 20, 3, 4)])

    moved(body, 5)


def test_small_tensors_move_in_any_way():
    moved(lambda g, x: g.node("Transpose", [x], perm=[0, 2, 1, 3]), 10, (6, 4))


def test_rows_and_channels_change_places_piece_by_piece():
    moved(lambda g, x: g.node("Transpose", [x], perm=[0, 2, 1, 3]), 20, (11, 13))


def test_large_transposes_of_pixels_and_channels_are_refused():
    refused(
        image_graph(lambda g, x: g.conv(g.node("Transpose", [x], 48, perm=[0, 2, 1, 3]), 4), 40, (48, 40)),
        "Transpose 'transpose1': [1, 40, 48, 40] -> [1, 48, 40, 40]",
        "moves data between pixels and channels",
        "at most 1024 values",
    )


def test_a_transposed_vector_of_pixels_among_others():
    """Transpose costs nothing there, but the Concat of rows behind it counts elements in another order."""

    def body(g, x):
        y = g.node("Transpose", [g.node("ReduceMean", [x], axes=[2], keepdims=0)], perm=[0, 2, 1])
        return g.node("ReduceMax", [g.node("Concat", [g.node("Sigmoid", [y]), y], axis=1)], axes=[2], keepdims=1)

    check_both(image_graph(body, 34, (3, 5)), different=0.02)


def test_a_transposed_vector_of_pixels_is_an_output():
    def body(g, x):
        return g.node("Transpose", [g.node("ReduceMax", [x], axes=[2], keepdims=0)], perm=[0, 2, 1])

    check_both(image_graph(body, 34, (3, 5)))


def test_transposed_input_behind_which_the_scale_changes():
    """The host packs the input; the table for Relu's own scale comes behind that."""
    g = GraphBuilder("channels_last")
    x = g.node("Transpose", [g.input("x", (1, 14, 9, 24))], 24, perm=[0, 3, 1, 2])
    check_both(g.model(g.node("GlobalMaxPool", [g.node("Relu", [x])])))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (19, 4), (5, 5)])
def test_channels_last_input_of_a_convolution_that_folds_it(kernel, stride):
    """The host packs it once for both: the program takes the input in the model's shape."""
    g = GraphBuilder("channels_last")
    x = g.node("Transpose", [g.input("x", (1, 20, 20, 3))], 3, perm=[0, 3, 1, 2])
    outcome = check_both(g.model(g.conv(x, 8, kernel, stride)))
    assert outcome.state.program.inputs[0].layout.shape == (1, 20, 20, 3)
    assert not {"Transpose", "Reorder"} & set(outcome.packets)


def test_a_large_kernel_whose_folded_input_is_folded_again():
    g = GraphBuilder("folded")
    w = g.constant(g.weight(3, 13, 19, 1))
    x = g.input("x", (1, 13, 16, 20))
    check_both(g.model(g.node("Conv", [x, w], 3, strides=[4, 1], pads=[4, 0, 17, 0])))


def test_fold_of_a_channels_last_input_that_needs_a_copy():
    """The input is packed in the new order first, so that whole channels are copied."""
    g = GraphBuilder("padded")
    x = g.node("Transpose", [g.input("x", (1, 10, 17, 12))], 12, perm=[0, 3, 1, 2])
    w = g.constant(g.weight(40, 12, 19, 18))
    check_both(g.model(g.node("Conv", [x, w], 40, strides=[2, 5], pads=[0, 13, 16, 7])))


def test_two_reductions_that_arrange_one_tensor():
    g = GraphBuilder("arranged")
    x = g.input("x", (6, 1, 5, 2))
    first = g.node("ReduceMax", [x, g.constant(np.array([1, 2, 3]))], keepdims=0)
    second = g.node("ReduceMean", [x, g.constant(np.array([2]))], keepdims=0)
    check_both(g.model(first, second, opset=18), different=0.2)


@pytest.mark.parametrize("reader", ["HardSwish", "Flatten"])
def test_a_transposed_input_that_is_an_output_too(reader):
    g = GraphBuilder("channels_last")
    y = g.node("Transpose", [g.input("x", (1, 18, 7, 33))], 33, perm=[0, 3, 1, 2])
    check_both(g.model(y, g.node(reader, [y])))


def test_a_transposed_input_that_is_flattened_and_resized():
    """Packed by the host for both readers; unpacked for the one that is an output."""
    g = GraphBuilder("channels_last")
    y = g.node("Transpose", [g.input("x", (1, 14, 19, 4))], 4, perm=[0, 3, 1, 2])
    scales = g.constant(np.array([1, 1, 0.5, 4], np.float32))
    check_both(g.model(g.node("Flatten", [y]), g.node("Resize", [y, "", scales], mode="linear")), different=0.3)
