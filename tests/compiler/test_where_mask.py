"""A choice by a constant mask as a product and a sum: which choices, and what they compute in ONNX Runtime."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vlac.rewrite.where_mask import where_masks

MASK = np.array([[True, False, True], [False, False, True]])


def choice(first, second, kind=TensorProto.FLOAT, mask=MASK, domain=""):
    """Where(mask, first, second): operands are arrays, or "x" for the model input [2, 3]."""
    constants = {"m": mask} | {n: a for n, a in (("a", first), ("b", second)) if not isinstance(a, str)}
    inputs = [name if name in constants else "x" for name in ("a", "b")]
    nodes = [helper.make_node("Where", ["m", *inputs], ["y"], domain=domain)]
    infos = [helper.make_tensor_value_info(name, kind, [2, 3]) for name in "xy"]
    initializers = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items() if a is not None]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], initializers)
    opsets = [helper.make_opsetid(d, 17) for d in {"", domain}]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def rewritten(model):
    found = ir.from_proto(model)
    where_masks(found)
    return ir.to_proto(found), [n.op_type for n in found.graph]


@pytest.mark.parametrize("constant", [np.float32(-1e9), np.float32([[1, 2, 3]]), np.ones((2, 3), np.float32)], ids=str)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("mask", [MASK, MASK[:1], np.array(True)], ids=str)
def test_what_is_chosen_is_exact(constant, side, mask):
    model = choice(*(("x", constant) if side else (constant, "x")), mask=mask)
    found, ops = rewritten(model)
    assert ops == ["Mul", "Add"]
    onnx.checker.check_model(found, full_check=True)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    wanted, given = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": x})[0] for m in (model, found))
    assert np.array_equal(wanted, given)


@pytest.mark.parametrize(
    "model",
    [
        choice("x", np.int64(3), TensorProto.INT64),
        choice("x", np.float32(3), domain="mine"),
        choice("x", "x"),
        choice(np.float32(1), np.float32(2)),
    ],
    ids=["integers", "another domain", "two computed values", "two constants"],
)
def test_other_choices_stay(model):
    assert rewritten(model)[1] == ["Where"]
