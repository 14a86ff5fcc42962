"""What the parts of a program hand to each other for one calibration sample, as the quantized model computes it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vla_isa.package import HostPartition
from vlac.passes import Compilation
from vlac.quantize.float_session import FloatSession

__all__ = ["sample_values"]


def sample_values(state: Compilation) -> dict[str, NDArray[Any]]:
    """The values that host partitions read, by name; nothing where the model came quantized, without samples."""
    if state.package is None or state.quantized is None or not state.quantized.samples:
        return {}
    sample, model = state.quantized.samples[0], state.quantized.model
    read = {name for p in state.package.partitions if isinstance(p, HostPartition) for name in p.inputs}
    names = [v.name or "" for node in model.graph for v in node.outputs if v.name in read]
    found = FloatSession(model, names).run(sample) if names else []
    return {**sample, **dict(zip(names, found, strict=True))}
