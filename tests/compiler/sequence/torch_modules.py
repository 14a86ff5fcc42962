"""A function as a PyTorch module, so that a spelling is one line."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["Fn"]


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
