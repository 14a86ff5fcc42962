"""What the user calls nodes and values, for messages and names of tensors."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["LABEL", "node_label", "value_label"]

LABEL = "vlac.label"  # metadata of a float value that is not called as in the user's model


def node_label(node: ir.Node) -> str:
    """How a node is named to the user."""
    return node.name or (node.outputs[0].name or "?")


def value_label(value: ir.Value) -> str:
    """How a float value is named to the user: quantizing a model output renames what was computed."""
    return value.metadata_props.get(LABEL) or value.name or "?"
