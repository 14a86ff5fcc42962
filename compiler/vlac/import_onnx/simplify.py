"""Fold constants and drop what does nothing, by passes and rules of onnxscript that change no value.

Its own `optimize` is not used: some of its rules do (Clip of a Clip with an interval outside the first becomes one with
crossed bounds). Not here: rewrites for the machine (`rewrite/`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript import optimizer
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules

from vlac.import_onnx.direct_outputs import detach_outputs
from vlac.import_onnx.fold import fold_fixed
from vlac.import_onnx.names import name_printably, settle_names, settle_outputs
from vlac.model.apply_rules import forget

__all__ = ["RULES", "kept_identities", "quiet", "simplify"]

_FOLD_LIMIT = 1 << 28  # elements: constants of any layer's size are folded
_ROUNDS = 4
_HIDDEN = "vlac.hidden"

RULES = (
    *rules.mul_by_1_rule.commute(),
    *rules.add_0_rule.commute(),
    rules.sub_0_rule,
    rules.div_by_1_rule,
    rules.dropout_inference_rule,
    rules.dropout_zero_rule,
    rules.cast_cast_rule,
    rules.no_op_cast_rule,
    rules.no_op_expand_rule,
    rules.no_op_transpose_rule,
    rules.collapse_slice2_rule,
    rules.reshape_reshape_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
    rules.squeeze_reshape_1d_rule,
    rules.successive_relu_rule,
    rules.min_min_rule,
    rules.max_max_rule,
    rules.min_max_rule,
    rules.max_min_rule,
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the libraries log about their own steps off the terminal: nothing there is for a user."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "onnxscript")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.CRITICAL)
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)


@quiet()
def simplify(model: ir.Model, *, merge_convs: bool = True) -> None:
    """Simplify a model in place; its functions are inlined, its constants become initializers.

    Args:
        model: the model.
        merge_convs: equal convolutions of one input become one. Not where a task may mask one of them alone.
    """
    optimizer.inline(model)
    name_printably(model)
    outputs = [v.name for v in model.graph.outputs]
    for _ in range(_ROUNDS):
        with kept_identities(model):
            folded = optimizer.fold_constants_ir(
                model,
                onnx_shape_inference=True,
                input_size_limit=_FOLD_LIMIT,
                output_size_limit=_FOLD_LIMIT,
                should_fold=_should_fold,
            )
        rewritten = RewritePass(RULES)(model).modified
        settle_names(model)
        fixed = fold_fixed(model)
        if not (rewritten or folded.modified or fixed):
            break
    forget(RULES)
    settle_outputs(model, outputs)
    detach_outputs(model)
    outputs = [v.name for v in model.graph.outputs]
    for each in (
        passes.RemoveUnusedNodesPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
    ):
        each(model)
    with contextlib.nullcontext() if merge_convs else _distinct_convs(model):
        passes.CommonSubexpressionEliminationPass()(model)
    passes.RemoveUnusedOpsetsPass()(model)
    settle_outputs(model, outputs)


@contextmanager
def _distinct_convs(model: ir.Model) -> Iterator[None]:
    """Let no two convolutions be the same operator to a pass."""
    convs = [n for n in model.graph if n.op_type == "Conv"]
    for number, node in enumerate(convs):
        node.overload = str(number)
    try:
        yield
    finally:
        for node in convs:
            node.overload = ""


@contextmanager
def kept_identities(model: ir.Model) -> Iterator[None]:
    """Hide the Identity nodes of subgraphs from passes that remove them.

    They would make an outer value the output of a body, which is no ONNX, and rename that value.
    """
    bodies = [n for n in ir.traversal.RecursiveGraphIterator(model.graph) if n.graph is not model.graph]
    hidden = [n for n in bodies if n.op_type == "Identity" and n.domain in ("", "ai.onnx")]
    for node in hidden:
        node.domain = _HIDDEN
    try:
        yield
    finally:
        for node in ir.traversal.RecursiveGraphIterator(model.graph):  # also those of an If that was resolved
            if node.domain == _HIDDEN:
                node.domain = ""


def _should_fold(node: ir.Node) -> bool | None:
    """Never Q/DQ, always ConstantOfShape (exporters compute padding with it); None leaves it to the optimizer.

    Operators with several outputs are for `fold_fixed`: the optimizer prints a warning for each.
    """
    known = onnx.defs.has(node.op_type, node.domain)
    if known and onnx.defs.get_schema(node.op_type, domain=node.domain).max_output > 1:
        return False
    return {"QuantizeLinear": False, "DequantizeLinear": False, "ConstantOfShape": True}.get(node.op_type)
