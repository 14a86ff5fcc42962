"""The device graph: edits keep uses and producers, and what breaks a rule is found and named."""

import re

import numpy as np
import pytest

from vla_isa.integer import INT16, UINT8
from vla_isa.layout import pack, unpack
from vla_toolchain.vlac_cli import main
from vlac.device.channel_slice import ChannelSlice
from vlac.device.concat import ConcatOp
from vlac.device.conv import ConvOp
from vlac.device.copy import CopyOp
from vlac.device.gemm import GemmOp
from vlac.device.layout_op import LayoutOp
from vlac.device.pool import PoolOp
from vlac.device.select import SelectOp
from vlac.device.vec import VecOp
from vlac.device.view import View
from vlac.emit.transfers import load_rows
from vlac.errors import GraphError
from vlac.ir.graph import Graph, GraphOutput
from vlac.ir.operation import Tensor
from vlac.ir.packet import Region
from vlac.ir.records import Piece, PoolPiece, Requant, Run
from vlac.legalize.legalize import run_graph_passes
from vlac.plan.data_space import DataRegion, layout_of


def tensor(name, shape=(1, 4, 6, 6)):
    return Tensor(name, name, shape, 0.5, 0)


def requant(channels):
    zeros = np.zeros(channels, np.int64)
    return Requant(zeros, zeros, zeros, 0)


def conv(x, out, **changes):
    weight = np.zeros((out.c, x.c, 1, 1), np.int8)
    fields = {"weight": weight, "requant": requant(out.c), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0)}
    return ConvOp("conv", "Conv", [x], out, **(fields | changes))


def chain():
    """A graph of a convolution, a copy of its result, and their sum."""
    x, a, b, y = (tensor(n) for n in ("x", "a", "b", "y"))
    graph = Graph([x], [GraphOutput("y", y.shape, y)], [])
    add = VecOp("add", "Add", [a, b], y, "add", 1, 1, 0, 0)
    for op in (conv(x, a), VecOp.identity("copy", "Copy", a, b), add):
        graph.insert(op)
    graph.verify("setup")
    return graph


# --- edits ------------------------------------------------------------------------------------------------


def test_insert_enters_an_operation_in_its_tensors():
    graph = chain()
    _, copy, add = graph.ops
    c = copy.output.like("c")
    op = VecOp.identity("second", "Copy", copy.output, c)
    graph.insert(op, before=add)
    graph.set_input(add, 1, c)
    graph.verify("test")
    assert graph.ops == [graph.ops[0], copy, op, add]
    assert c.producer is op and c.consumers == [add] and copy.output.consumers == [op]


def test_a_name_that_is_taken_gets_a_number():
    graph = chain()
    for _ in range(2):
        graph.insert(VecOp.identity("another", "Copy", graph.inputs[0], tensor("y")))
    assert [op.output.name for op in graph.ops] == ["a", "b", "y", "y#1", "y#2"]
    graph.verify("test")


def test_an_input_may_be_read_twice_and_dropped():
    graph = chain()
    _, copy, add = graph.ops
    graph.set_input(add, 1, copy.inputs[0])
    graph.erase(copy)
    graph.verify("test")
    assert add.inputs[0].consumers.count(add) == 2
    graph.drop_input(add, 1)
    graph.verify("test")
    assert add.inputs[0].consumers == [add]


def test_a_used_tensor_gets_another_one():
    graph = chain()
    _, copy, add = graph.ops
    graph.replace(copy.output, copy.inputs[0])
    graph.erase(copy)
    graph.verify("test")
    assert add.inputs == [graph.ops[0].output] * 2


def test_operations_take_the_place_of_one():
    graph = chain()
    _, copy, add = graph.ops
    between = copy.output.like("between")
    first = VecOp.identity("first", "Copy", copy.inputs[0], between)
    second = VecOp.identity("second", "Copy", between, copy.output)
    graph.replace_op(copy, first, second)
    graph.verify("test")
    assert graph.ops[1:] == [first, second, add] and copy.output.producer is second


def test_an_operation_absorbs_its_only_reader():
    x, a, y = (tensor(n) for n in ("x", "a", "y"))
    graph = Graph([x], [GraphOutput("y", y.shape, y)], [])
    first, second = conv(x, a), VecOp.identity("copy", "Copy", a, y)
    graph.insert(first)
    graph.insert(second)
    graph.absorb(first, second)
    graph.verify("test")
    assert graph.ops == [first] and first.output is y and y.producer is first and a.producer is None


def test_moving_an_operation_keeps_the_rest():
    graph = chain()
    first, copy, add = graph.ops
    other = VecOp.identity("other", "Copy", first.output, tensor("other"))
    graph.insert(other)
    graph.move(other, behind=first)
    graph.verify("test")
    assert graph.ops == [first, other, copy, add]


# --- what breaks a rule is named --------------------------------------------------------------------------


def lost_use(graph):
    graph.ops[1].output.consumers.clear()


def invented_use(graph):
    graph.ops[1].output.consumers.append(graph.ops[0])


def wrong_producer(graph):
    graph.ops[1].output.producer = graph.ops[0]


def wrong_order(graph):
    graph.ops.reverse()


def lost_operation(graph):
    del graph.ops[2]


def name_twice(graph):
    graph.ops[1].output.name = "a"


def unknown_channel(graph):
    graph.ops[0].output.channel_map = np.array([0, 1, 2, 4])


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        (lost_use, "tensor 'b' is read 1 times by 'add', its list of uses says 0 times"),
        (invented_use, "tensor 'b' is read 0 times by 'conv', its list of uses says 1 times"),
        (wrong_producer, "tensor 'b' does not know that 'copy' makes it"),
        (wrong_order, "tensor 'a' is not made before 'add' reads it"),
        (lost_operation, "tensor 'a' is read 0 times by 'add', its list of uses says 1 times"),
        (name_twice, "tensor 'a' has the name of another tensor"),
        (unknown_channel, "tensor 'a' has a channel map with a channel that does not exist"),
    ],
)
def test_the_pass_and_the_tensor_are_named(broken, text):
    graph = chain()
    passes = [("right", lambda graph: None), ("guilty", broken), ("later", lambda graph: None)]
    with pytest.raises(GraphError, match=re.escape(f"the device graph after 'guilty': {text}; please report this")):
        run_graph_passes(graph, passes, check=True)


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_the_command_checks_when_it_is_asked_to(models, tmp_path, monkeypatch, capsys, options):
    monkeypatch.delenv("VLAC_CHECK")
    guilty = lambda graph: graph.inputs[0].consumers.append(graph.ops[0])  # noqa: E731
    monkeypatch.setattr("vlac.legalize.legalize.pools_first", guilty)
    code = main(["compile", str(models / "net.onnx"), "-o", str(tmp_path / "net.bin"), "--calib", "random:1", *options])
    assert ("the device graph after 'order': tensor 'image" in capsys.readouterr().err) == bool(options)
    assert bool(code) == bool(options)


def test_without_check_nobody_looks():
    run_graph_passes(chain(), [("guilty", lost_use)], check=False)


X, Y, VECTOR = tensor("x"), tensor("y"), tensor("v", (1, 144))
RUN = Run(0, 1, 0, 1, 6)
WHOLE = PoolPiece(0, 6, 0, 6, (1, 1), 0)
NONE = np.zeros(0, np.int64)


def pool(pieces, mode="max", records=(NONE, NONE)):
    return PoolOp("op", "Pool", [X], Y, mode, (1, 1), (1, 1), (0, 0), pieces, "fixed", records, 0)


def copy(pieces, fill=None):
    return CopyOp("op", "Slice", [X], Y, [None], [np.arange(4)], pieces, fill)


def sliced(channels):
    out = tensor("s", (1, 2, 6, 6))
    out.parent = X
    return ChannelSlice("op", "Slice", [X], out, np.array(channels))


def two_inputs():
    op = named(conv(X, Y))
    op.inputs.append(Y)
    return op


def product(weight):
    return GemmOp("op", "Gemm", [VECTOR], VECTOR, weight, requant(144))


def added(other):
    return VecOp("op", "Add", [X, other], Y, "add", 1, 1, 0, 0)


def named(op):
    op.node = "op"
    return op


WRONG = {
    "groups": (lambda: named(conv(X, Y, group=2)), "it has weights for 8 channels and reads 4"),
    "weights": (lambda: named(conv(X, Y, weight=np.zeros((5, 4, 1, 1), np.int8))), "for 5 channels and writes 4"),
    "steps": (lambda: named(conv(X, Y, strides=(0, 1))), "a stride or dilation is not positive"),
    "records": (lambda: named(conv(X, Y, requant=requant(3))), "it needs records of 4 channels"),
    "clamp": (lambda: named(conv(X, Y, requant=Requant(*[np.zeros(4, np.int64)] * 3, 0, hi=128))), "is no int8"),
    "residual": (two_inputs, "do not fit"),
    "columns": (
        lambda: product(np.zeros((1, 2), np.int8)),
        "weights (1, 2)",
    ),
    "pieces": (lambda: pool([]), "its pieces do not cover the output once"),
    "record": (lambda: pool([WHOLE], "average"), "a piece has no record"),
    "function": (lambda: VecOp("op", "Pow", [X], Y, "pow", 1, 0, 0, 0), "function 'pow' does not exist"),
    "size": (
        lambda: added(tensor("b", (1, 4, 3, 6))),
        "'b' is of another size",
    ),
    "table": (lambda: VecOp.identity("op", "Relu", X, Y, np.zeros(4, np.int8)), "its table is not int8 [256]"),
    "view": (lambda: View("op", "Flatten", [X], Y), "neither side is a vector"),
    "order": (lambda: View("op", "Flatten", [X], VECTOR, np.zeros(144, np.int64)), "its order is no permutation"),
    "concat": (lambda: ConcatOp("op", "Concat", [X, X], Y), "its inputs have not the channels of its output"),
    "slice": (lambda: sliced([1, 4]), "a channel does not exist"),
    "select": (lambda: SelectOp("op", "Gather", [X], Y, np.array([0, 1, 2, 4])), "a channel does not exist"),
    "open": (lambda: copy([Piece(0, 0, 0, Run(0, 1, 0, 1, 5), RUN)]), "it leaves values open"),
    "beyond": (lambda: copy([Piece(0, 0, 0, Run(0, 1, 1, 1, 6), RUN)]), "it reads behind the end of 'x'"),
    "move": (lambda: LayoutOp("op", "Reshape", [X], Y, np.arange(1, 145)), "an element does not exist"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_operation_that_does_not_fit_is_named(what):
    make, text = WRONG[what]
    with pytest.raises(GraphError, match=rf"\w+ 'op': .*{re.escape(text)}"):
        make().verify()


def test_the_same_operations_fit():
    row = added(tensor("b", (1, 4, 1, 1)))
    ops = [conv(X, Y), pool([WHOLE]), copy([Piece(0, 0, 0, RUN, RUN)]), sliced([3, 1]), row]
    ops += [View("op", "Flatten", [X], VECTOR), SelectOp("op", "Gather", [X], Y, np.array([0, 1, 2, -1]))]
    for op in ops:
        op.verify()


# --- integer types ----------------------------------------------------------------------------------------


def test_a_tensor_like_another_has_its_type():
    x = Tensor("x", "image", (1, 4, 6, 6), 0.5, 3, type=UINT8)
    y = x.like("y", shape=(1, 8))
    assert (y.name, y.label, y.shape, y.scale, y.zero_point, y.type) == ("y", "image", (1, 8), 0.5, 3, UINT8)
    assert y.producer is None and not y.consumers and y.constant is None and y.channel_map is None


def test_stored_integers_of_an_unsigned_model_are_moved_down():
    x = Tensor("x", "x", (3,), 0.5, 0, type=UINT8)
    q = x.to_model(np.array([-128, 0, 127], np.int8))
    assert q.dtype == np.uint8 and q.tolist() == [0, 128, 255]
    assert tensor("y").to_model(np.array([-128, 127], np.int8)).tolist() == [-128, 127]


def test_words_of_a_row_follow_the_planes_of_the_type():
    for kind, planes in ((UINT8, 1), (INT16, 2)):
        x = Tensor("x", "x", (1, 20, 3, 7), 0.5, 0, type=kind)
        x.channel_map = np.where(np.arange(24) < 20, np.arange(24), -1)
        assert (x.pitch, x.row_words(8)) == (7, 3 * 7 * planes)
        layout = layout_of(x, x.shape, 8)
        assert (layout.planes, layout.lines) == (planes, 3 * 3 * planes)  # a row of 7 words of 8 bytes is one line


@pytest.mark.parametrize("shape", [(1, 20), (20,), (1, 20, 1, 1)])
def test_a_vector_of_two_planes(shape):
    """Three blocks of 8 channels, each as a line of low bytes and a line of high bytes."""
    x = Tensor("x", "x", shape, 0.5, 0, type=INT16)
    x.channel_map = np.where(np.arange(24) < 20, np.arange(24), -1)
    q = np.array([-32768, 32767, -1, 258, *range(1000, 1016)], np.int16)
    layout = layout_of(x, shape, 8)
    packed = pack(q.reshape(shape), layout)
    lines = packed.reshape(3, 2, 64)
    for channel, value in enumerate(q.tolist()):
        low, high = lines[channel // 8, :, channel % 8].astype(np.uint8).tolist()
        assert low + 256 * high == value % 65536, channel
    assert np.array_equal(unpack(packed, layout), q.reshape(shape))


def test_loads_take_one_plane_after_another():
    source = DataRegion(line=100, row_stride=12, plane_stride=2, w=7, blocks=3, planes=2)
    v = load_rows(source, Region(base=0, row_stride=42, pitch=7, ring=3, planes=2), (1, 3), "x").values
    assert (v["n0"], v["n1"], v["n2"]) == (7, 6, 2) and (v["src"], v["src_stride1"], v["src_stride2"]) == (112, 2, 12)
    assert (v["dst_stride1"], v["dst_stride2"]) == (7, 42)
