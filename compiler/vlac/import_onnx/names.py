"""Unique names for nodes and values, which later passes use to find a node again."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common as onnx_passes

__all__ = ["name_all"]


class _Generator:
    """An unnamed node is called like its first output."""

    def generate_node_name(self, node: ir.Node) -> str:
        """The node's own name, or its output's."""
        return str(node.name or node.outputs[0].name or node.op_type)

    def generate_value_name(self, value: ir.Value) -> str:
        """The value's own name, or "value"."""
        return str(value.name or "value")


def name_all(model: ir.Model) -> None:
    """Give every node and value a name of its own; names that are unique already stay."""
    onnx_passes.NameFixPass(_Generator())(model)
