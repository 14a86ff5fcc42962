"""The graph of the tokens, of one of them: torch's exporter would trace each anew, which takes minutes.

It traces what is in front of them, and one token behind any number of kept ones; copies of that stand here one behind
another, each with its place and the choice of its bin. Not here: what they compute (`greedy.py`), which the export
holds the graph against.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from vla_models.chunks.names import ACTIONS
from vla_models.export_onnx import traced
from vla_models.flow_autoregressive.vocabulary import COORDINATES
from vla_models.pi_zero.experts import Cache

__all__ = ["greedy_onnx"]

_MANY = 4096  # tokens that could be kept


class _Front(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Keys and values in front of the tokens, one behind another."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, *observation: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return _flat(self.policy.flow.condition(*observation))


class _Token(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """What is said behind one token, and the keys and values up to it."""

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.policy = policy

    def forward(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *kept: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        pairs = tuple(zip(kept[::2], kept[1::2], strict=True))
        said, known = self.policy.said(x, pairs, (cos, sin))
        return said, *_flat(known)


def _flat(kept: Iterable[Cache]) -> tuple[torch.Tensor, ...]:
    return tuple(each for pair in kept for each in pair)


def greedy_onnx(policy: Any, example: Mapping[str, torch.Tensor]) -> onnx.ModelProto:
    """The model of `GreedyDecoder` of a `FlowAutoregressive`.

    Args:
        policy: in evaluation mode.
        example: one observation by name.
    """
    front, token = _traced(policy, example)
    rows, width = policy.vocabulary.rows, policy.vocabulary.larger
    made = _Joined()
    kept = made.copy(front, "front", "front", {name: name for name in example})
    logits = [made.constant(f"logits_{c}", rows[c].T) for c in range(COORDINATES)]
    embeddings = [made.constant(f"embeddings_{c}", rows[c] * width) for c in range(COORDINATES)]
    centres, x = made.constant("centres", policy.centres), made.constant("start", policy.first(1))
    found = []
    for place in range(COORDINATES * policy.config.horizon):
        coordinate = place % COORDINATES
        tables = (policy.token_cos[place : place + 1], policy.token_sin[place : place + 1])
        places = [made.constant(f"{part}_{place}", t) for part, t in zip(("cos", "sin"), tables, strict=True)]
        given = dict(zip((v.name for v in token.graph.input), (x, *places, *kept), strict=True))
        said, *kept = made.copy(token, "token", f"token_{place}", given)
        each = made.node("MatMul", [said, logits[coordinate]], f"logits_of_{place}")
        bins = made.node("ArgMax", [each], f"bin_{place}", axis=-1, keepdims=0)
        found.append(made.node("Gather", [centres, bins], f"middle_{place}"))
        x = made.node("Gather", [embeddings[coordinate], bins], f"embedding_{place}")
    shape = made.constant("shape", torch.tensor([1, -1, COORDINATES]))
    made.node("Reshape", [made.node("Concat", found, "middles", axis=1), shape], ACTIONS)
    made.graph.input.extend(front.graph.input)
    sizes = (1, policy.config.horizon, COORDINATES)
    made.graph.output.append(helper.make_tensor_value_info(ACTIONS, onnx.TensorProto.FLOAT, sizes))
    return helper.make_model(made.graph, opset_imports=front.opset_import, ir_version=front.ir_version)


def _traced(policy: Any, example: Mapping[str, torch.Tensor]) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """What is in front of the tokens, and one of them."""
    with torch.no_grad():
        kept = _Front(policy)(*example.values())
    names = [f"kept_{number}" for number in range(len(kept))]
    front = traced(_Front(policy), example, names)
    first = {"x": policy.first(1), "cos": policy.token_cos[:1], "sin": policy.token_sin[:1]}
    many = {2: torch.export.Dim("kept", min=2, max=_MANY)}
    inputs = {**first, **dict(zip(names, kept, strict=True))}
    outputs = ["said", *(f"next_{name}" for name in names)]
    return front, traced(_Token(policy), inputs, outputs, [*[None] * len(first), (many,) * len(kept)])


class _Joined:
    """A graph of copies of others."""

    def __init__(self) -> None:
        self.graph = onnx.GraphProto(name="autoregressive")
        self._constants: set[str] = set()

    def constant(self, name: str, value: torch.Tensor) -> str:
        """A constant; its name."""
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value.detach().cpu().numpy()), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node; the name of what it makes."""
        self.graph.node.append(helper.make_node(kind, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def copy(self, model: onnx.ModelProto, constants: str, label: str, given: Mapping[str, str]) -> list[str]:
        """The nodes of a model once more; the names of what it makes.

        Args:
            constants: begins the names of its constants, which are there once for all copies.
            label: begins the names of all that the copy makes.
            given: what its inputs are.
        """
        known = {"": "", **given}
        for tensor in model.graph.initializer:
            known[tensor.name] = name = f"{constants}/{tensor.name}"
            if name not in self._constants:
                self._constants.add(name)
                stored = self.graph.initializer.add()
                stored.CopyFrom(tensor)
                stored.name = name
        for node in model.graph.node:
            known |= {name: f"{label}/{name}" for name in node.output if name}
            copy = self.graph.node.add()
            copy.CopyFrom(node)
            copy.name = f"{label}/{node.name}"
            copy.input[:], copy.output[:] = ([known[name] for name in names] for names in (node.input, node.output))
        return [known[value.name] for value in model.graph.output]
