"""`vlac compile --verify`: every tensor of a program beside ONNX Runtime and beside the float model.

Each node is fed the device's integers (`verify.py`), so differences do not travel and limits can be judged. The
signal-to-noise ratio to the float model does travel: it says where quantization loses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from vla_isa.program import Program
from vlac.api import compile_file
from vlac.passes import Compilation
from vlac.verify import NodeCheck, check_nodes, device_tensors

__all__ = ["Row", "all_values", "table", "verify"]

Arrays = Mapping[str, NDArray[Any]]
_SAMPLES = 4
_OUTPUT = "_QuantizeLinear_Input"  # what ONNX Runtime's quantizer calls the float value of a model output


@dataclass(frozen=True)
class Row:
    """One tensor over all samples: the comparison, and powers of signal and noise against the float model."""

    check: NodeCheck
    signal: float = 0.0
    noise: float = 0.0

    @property
    def snr(self) -> float | None:
        """Signal-to-noise ratio in dB; None where the float model lacks the tensor or nothing differs."""
        return float(10 * np.log10(self.signal / self.noise)) if self.signal > 0 and self.noise > 0 else None

    def joined(self, other: Row) -> Row:
        """Both as one."""
        a, b = self.check, other.check
        check = replace(
            a,
            elements=a.elements + b.elements,
            different=a.different + b.different,
            largest=max(a.largest, b.largest),
        )
        return Row(check, self.signal + other.signal, self.noise + other.noise)


def verify(
    state: Compilation, run: Callable[[Program, Arrays], Arrays], on_progress: Callable[[str], None]
) -> list[Row]:
    """Compile once more with every tensor kept, run all device parts on a few samples, and compare them.

    Args:
        state: what `compile_file` returned.
        run: runs a program on real inputs and gives the device's outputs by name.

    Samples are the first calibration samples, or random numbers where the model was quantized by another tool.
    """
    kept = compile_file(
        state.given or state.path, state.hw, replace(state.options, keep_all=True, dump_after={}), on_progress
    )
    on_progress("verify")
    assert kept.qdq is not None and kept.quantized is not None
    samples = kept.quantized.samples[:_SAMPLES] or [_random_inputs(kept.qdq, seed) for seed in range(_SAMPLES)]
    rows: dict[tuple[int, str], Row] = {}
    for inputs in samples:
        reals = all_values(kept.quantized.reference or kept.qdq, inputs)
        handed = {**all_values(kept.qdq, inputs), **inputs} if kept.parts else inputs
        for number, part in enumerate(kept.parts or [kept]):
            assert part.program is not None
            feeds = {v.name: handed[v.name] for v in part.program.model_inputs}
            for row in _compared(part, feeds, run(part.program, feeds), reals):
                key = number, row.check.name
                rows[key] = rows[key].joined(row) if key in rows else row
    return list(rows.values())


def _compared(part: Compilation, feeds: Arrays, outputs: Arrays, reals: Arrays) -> list[Row]:
    assert part.graph is not None
    device = {t.label: (t, q) for t, q in device_tensors(part.graph, feeds, outputs)}
    rows = []
    for check in check_nodes(part, feeds, outputs):
        tensor, q = device[check.name]
        name = check.name.removesuffix(_OUTPUT)
        check, real = replace(check, name=name), reals.get(name)
        if real is None or real.shape != q.shape:
            rows.append(Row(check))
            continue
        noise = (q.astype(np.float64) - tensor.zero_point) * tensor.scale - real
        rows.append(Row(check, float((real.astype(np.float64) ** 2).sum()), float((noise**2).sum())))
    return rows


def table(rows: list[Row]) -> str:
    """The rows for a person, one line per tensor."""
    width = max((len(r.check.name) for r in rows), default=4)
    lines = [f"{'node':<{width}} {'values':>10} {'max LSB':>8} {'equal':>10} {'SNR to float':>13}"]
    for row in rows:
        c, snr = row.check, "-" if row.snr is None else f"{row.snr:.1f} dB"
        equal = 100 * (1 - c.different / max(c.elements, 1))
        lines.append(f"{c.name:<{width}} {c.elements:>10} {c.largest:>8} {equal:>8.3f} % {snr:>13}")
    return "\n".join(lines)


def all_values(model: onnx.ModelProto, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Every value that a model computes from `inputs` in ONNX Runtime."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    given = {o.name for o in probe.graph.output}
    names = dict.fromkeys(n for node in probe.graph.node for n in node.output if n)
    probe.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted, used = [o.name for o in session.get_outputs()], {i.name for i in session.get_inputs()}
    return dict(zip(wanted, session.run(wanted, {n: a for n, a in inputs.items() if n in used}), strict=True))


def _random_inputs(model: onnx.ModelProto, seed: int) -> dict[str, NDArray[Any]]:
    """Seeded numbers for the inputs of a model: normal where real, all values of the type where integers."""
    rng = np.random.default_rng(seed)
    out: dict[str, NDArray[Any]] = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        dtype, shape = helper.tensor_dtype_to_np_dtype(kind.elem_type), [d.dim_value for d in kind.shape.dim]
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            out[value.name] = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        else:
            out[value.name] = rng.standard_normal(shape).astype(dtype)
    return out
