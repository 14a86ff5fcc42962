"""Layers whose weights are an expert's: one layer for each expert of a Gather, and the operation that chooses one.

Not here: what a layer is (`ops/`), how a program loads the weights of one expert only (`emit/`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from vlac.device.conv import ConvOp
from vlac.device.experts import expert_layers
from vlac.device.gemm import GemmOp
from vlac.errors import UnsupportedError
from vlac.ir.operation import Tensor
from vlac.lowering.context import LoweringContext
from vlac.lowering.weights import Weights, read_experts, read_weights
from vlac.model.labels import node_label
from vlac.model.reading import constant, expert_choice, input_name, shape_of

__all__ = ["insert_layer"]

F32 = NDArray[np.float32]


def insert_layer(
    low: LoweringContext, node: ir.Node, axis: int, make: Callable[[Weights, F32 | None], GemmOp | ConvOp]
) -> None:
    """Add a layer of the graph, or one of several experts'.

    Args:
        axis: of the output channels in the weight, input 1.
        make: a layer of weights and bias.
    """
    choice = expert_choice(node.inputs[1])
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if choice is None:
        array = constant(bias)
        low.graph.insert(make(read_weights(node, 1, axis), None if array is None else array.astype(np.float32)))
        return
    experts = read_experts(node, choice, axis)
    chosen = None if bias is None else expert_choice(bias)
    biases = constant(bias) if chosen is None else constant(chosen.inputs[0])
    if biases is not None:
        rows = len(experts) if chosen is not None else 1
        biases = np.broadcast_to(biases.astype(np.float32).reshape(rows, -1), (len(experts), biases.size // rows))
    made = [make(w, None if biases is None else biases[i]) for i, w in enumerate(experts)]
    first = made[0]
    low.graph.insert(expert_layers(first.node, first.op_type, _number(low, node, choice), made))  # type: ignore[arg-type]


def _number(low: LoweringContext, node: ir.Node, choice: ir.Node) -> Tensor:
    """The item that is the expert's number."""
    value = choice.inputs[1]
    if value is not None and value in low.items:
        return low.items[value]
    if value is not None and value in low.host.numbers:
        return low.item_input(low.host.numbers[value], 1, value.name, shape_of(choice.inputs[0])[0])
    text = f"the number of its expert, {input_name(choice, 1)}, must be an ArgMax's or of the model's inputs"
    raise UnsupportedError([f"{node.op_type} '{node_label(node)}': {text}"])
