"""What the parts of a program hand to each other for one calibration sample, as the quantized model computes it."""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime
from numpy.typing import NDArray

from vla_isa.bundle import HostPart
from vlac.passes import Compilation

__all__ = ["sample_values"]


def sample_values(state: Compilation) -> dict[str, NDArray[Any]]:
    """The values that host parts read, by name; nothing where the model came quantized, without samples."""
    if state.bundle is None or state.quantized is None or state.qdq is None or not state.quantized.samples:
        return {}
    sample = state.quantized.samples[0]
    read = {name for p in state.bundle.parts if isinstance(p, HostPart) for name in p.inputs}
    probe = onnx.ModelProto()
    probe.CopyFrom(state.qdq)
    names = list(dict.fromkeys(o for n in probe.graph.node for o in n.output if o in read))
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    if not names:
        return dict(sample)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    used = {i.name for i in session.get_inputs()}
    found = session.run(names, {name: array for name, array in sample.items() if name in used})
    return {**sample, **dict(zip(names, found, strict=True))}
