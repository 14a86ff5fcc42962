"""A quantized policy as training, export and evaluation see it: the float policy's batches, the device's integers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from vla_datasets.keys import tile_table
from vla_models.policy import Batch, GraphSpec, Policy
from vla_models.quantized.graph import QuantizedGraph
from vla_models.quantized.skeleton import decode
from vla_models.quantized_config import QuantizedConfig

__all__ = ["QuantizedPolicy"]

_STEPS = 4  # of an output that ONNX Runtime, which multiplies scales in float32, may be off after rare ties


class QuantizedPolicy(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Weights are zero until a state is loaded; those of `base`, the float policy, do not count."""

    def __init__(self, config: QuantizedConfig, base: Any) -> None:
        super().__init__()
        self.config = config
        self.__dict__["_base"] = base  # no submodule: its weights are no part of the state
        for name in Policy.__annotations__.keys() - {"config"}:  # how its training data is read
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))
        self.graph = QuantizedGraph(decode(config.graph))

    def forward(self, *inputs: torch.Tensor) -> Any:
        """What the float policy returns, as the device computes it; inputs behind the graph's are left."""
        found = self.graph(*inputs[: len(self.graph.model.graph.inputs)])
        wrap = getattr(self.__dict__["_base"], "training_outputs", None)
        return found if wrap is None else wrap(*found)

    def prepare(self, samples: Mapping[str, Any]) -> Batch:
        """The float policy's batch, of pixels."""
        return cast(Policy, self.__dict__["_base"]).prepare(_untiled(samples))

    def graphs(self) -> tuple[GraphSpec, ...]:
        """The float policy's graph; exported it has Q/DQ."""
        (base,) = cast(Policy, self.__dict__["_base"]).graphs()
        graph = self.graph
        tolerance = _STEPS * graph.step
        return (GraphSpec(base.name, graph, base.example, base.outputs, to_onnx=graph.to_onnx, tolerance=tolerance),)


def _untiled(samples: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of tiles (N, steps, H / tile, W / tile) as the pixels (N, steps, H, W, 3): the graph takes no tiles."""
    found = dict(samples)
    for key in samples:
        table = found.pop(tile_table(key), None)
        if table is not None:
            found[key] = table[samples[key].long()].transpose(3, 4).flatten(4, 5).flatten(2, 3)
    return found
