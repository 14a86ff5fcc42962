"""Pattern rules of onnxscript on a model, which is let go afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir
from onnxscript.rewriter import RewritePass, pattern, rewrite

__all__ = ["apply_rules", "forget"]


def apply_rules(model: ir.Model, rules: Sequence[pattern.RewriteRule]) -> None:
    """Apply rules in place, and drop what nothing uses afterwards."""
    rewrite(model, rules)
    forget(rules)


def forget(rules: Sequence[pattern.RewriteRule]) -> None:
    """Let rules see a model of one node: each keeps the graph that it saw last, with all constants of it."""
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1]))
    node = ir.node("Softsign", [value])
    graph = ir.Graph([value], node.outputs, nodes=[node], opset_imports={"": 18})
    RewritePass(rules)(ir.Model(graph, ir_version=10))
