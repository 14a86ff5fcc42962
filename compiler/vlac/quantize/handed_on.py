"""Which values have the scale of another: an operator that only moves values hands its input's on, and what a Concat
joins is made in the Concat's.

Not here: the scales (`insert_qdq.py`); int16 and caches, which share theirs too (`wide.py`).
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from vlac.ir.geometry import is_image
from vlac.model.reading import attribute, constant_input, shape_of
from vlac.ops import BY_NAME
from vlac.quantize.wide import Forms

__all__ = ["hands_on", "joined_in"]


def hands_on(node: ir.Node) -> bool:
    """Whether an operator's results have the scale of its input: it moves values, and adds none from outside."""
    if not BY_NAME[node.op_type].keeps_scale:
        return False
    if node.op_type == "Pad":
        fill = constant_input(node, 2)
        return bool(attribute(node, "mode", "constant") != "constant" or fill is None or not fill.any())
    return bool(node.op_type != "Resize" or attribute(node, "mode", "nearest") == "nearest")


def joined_in(
    value: ir.Value, device: Collection[ir.Node], stored: Collection[ir.Value], forms: Forms
) -> ir.Value | None:
    """The int8 Concat of rows that a value is made for alone, perhaps moved in between; None where there is none.

    In the Concat's scale it is rounded once, and no packet has to bring it there. Images keep their own scales: a table
    of the layer, or the vector engine beside the array, brings them to the Concat's.

    Args:
        device: nodes that are quantized.
        stored: values that get a pair.
        forms: of the model's values.
    """
    if value.producer() not in device or value.is_graph_output() or len(value.consumers()) != 1:
        return None
    reader = value.consumers()[0]
    if reader not in device or reader.outputs[0] not in stored:
        return None
    found = reader.outputs[0]
    if reader.op_type == "Concat":
        return None if is_image(shape_of(found)) or found in forms.wide or found in forms.cached else found
    return joined_in(found, device, stored, forms) if hands_on(reader) else None
