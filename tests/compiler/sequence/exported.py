"""Export a PyTorch module as users do, and what a module of the corpus is: its spelling, inputs and what it becomes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import onnx
import torch

__all__ = ["EXPORTERS", "Case", "Fn", "exported"]

# exporter and opset, as `torch.onnx.export` takes them
EXPORTERS = {
    "dynamo-18": {"dynamo": True, "opset_version": 18},
    "dynamo-23": {"dynamo": True, "opset_version": 23},
    "legacy-17": {"dynamo": False, "opset_version": 17},
}


class Fn(torch.nn.Module):
    """A function as a module; its keywords are parameters, buffers or modules."""

    def __init__(self, function: Callable[..., object], **parts: object) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            if isinstance(part, torch.Tensor) and part.is_floating_point():
                part = torch.nn.Parameter(part, requires_grad=False)
            elif isinstance(part, torch.Tensor):
                self.register_buffer(name, part)
                continue
            setattr(self, name, part)

    def forward(self, *inputs: torch.Tensor) -> object:
        return self.function(self, *inputs)


@dataclass(frozen=True)
class Case:
    """One spelling.

    Attributes:
        what: how the documentation calls it.
        make: the module and its inputs; called once, after a fixed seed.
        nodes: canonical nodes that must come out, by operator.
        gone: operators that must not.
        exporters: those that can export it; the others are skipped with `why`.
    """

    name: str
    family: str
    what: str
    make: Callable[[], tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]
    nodes: dict[str, int] = field(default_factory=dict)
    gone: tuple[str, ...] = ("Softmax",)
    exporters: tuple[str, ...] = tuple(EXPORTERS)
    why: str = ""


@cache
def exported(case: Case, exporter: str) -> tuple[onnx.ModelProto, dict[str, object]]:
    """The ONNX model of a case and inputs for it by name."""
    torch.manual_seed(0)
    module, inputs = case.make()
    module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            model = _export(module, inputs, **EXPORTERS[exporter])
        finally:
            logging.disable(logging.NOTSET)
    names = [v.name for v in model.graph.input]
    assert len(names) == len(inputs), names
    return model, {name: x.numpy() for name, x in zip(names, inputs, strict=True)}


def _export(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], **how: object) -> onnx.ModelProto:
    if how["dynamo"]:
        return torch.onnx.export(module, inputs, verbose=False, **how).model_proto
    file = io.BytesIO()
    torch.onnx.export(module, inputs, file, **how)
    return onnx.load_from_string(file.getvalue())


Case.__hash__ = lambda self: hash(self.name)  # its dicts are not changed
