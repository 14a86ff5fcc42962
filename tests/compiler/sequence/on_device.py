"""A float sequence model through `vlac compile`, on `sim`: its outputs, and every tensor's integers on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from stages import Stage, stages

import vlarun
from vla_isa import hazards
from vla_isa.hardware import load
from vla_isa.signature import HostRun, to_device
from vla_toolchain.verify.nodes import device_tensors
from vla_toolchain.verify.reference import Reference
from vlac import CompileOptions, compile_file
from vlac.ir.evaluate import evaluate
from vlac.passes import Compilation

__all__ = ["Run", "check", "run", "snr"]

TOKENS = 50  # numbers that are drawn
Arrays = dict[str, NDArray[Any]]
LEAST_EQUAL = {
    "norm": 0.99,
    "logits": 0.999,
    "exponents": 1.0,
    "mix": 0.999,
    "less": 0.999,
    "capped": 0.9,
    "high": 1.0,
    "sum": 1.0,
    "rotation": 0.85,
    "lines": 0.9,
    "wide norm": 0.0,
}  # of the values of a stage


@dataclass
class Run:
    """A compiled model and one run of it; `losses` of the outputs are over all runs, in dB."""

    state: Compilation
    inputs: Arrays
    outputs: Arrays
    wanted: Arrays
    stages: list[Stage]
    losses: dict[str, float]

    @property
    def snr(self) -> float:
        """The worst of the outputs, in dB."""
        return min(self.losses.values())

    @property
    def packets(self) -> list[str]:
        return [s.op for s in self.state.program.sources]


def snr(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """Signal to noise in dB."""
    noise = np.square(wanted.astype(np.float64) - found).sum()
    return float(10 * np.log10(np.square(wanted.astype(np.float64)).sum() / max(noise, 1e-30)))


def drawn(model: onnx.ModelProto, rng: np.random.Generator) -> Arrays:
    out = {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == onnx.TensorProto.INT64:
            out[value.name] = rng.integers(0, TOKENS, shape)
        else:
            out[value.name] = rng.standard_normal(shape).astype(np.float32)
    return out


def run(
    model: onnx.ModelProto,
    config: str = "u50",
    *,
    samples: int = 16,
    seed: int = 7,
    fixed: Arrays | None = None,
    over: int = 1,
    **more: Any,
) -> Run:
    """Compile with calibration and run another sample: on `sim` what the operations mean, and stage by stage.

    `fixed` are inputs that are the same in all; the distance from float is `over` so many samples; `more` are options.
    """
    rng = np.random.default_rng(seed)
    calibration = [drawn(model, rng) | (fixed or {}) for _ in range(samples)]
    inputs = drawn(model, rng) | (fixed or {})
    options = {"calibration": calibration, "check": True, **more}
    plain = compile_file(model, load(config), CompileOptions(**options))
    kept = compile_file(model, load(config), CompileOptions(**options, debug_outputs=True))
    hazards.check(kept.program)
    session, reference = vlarun.Session(plain.program, backend="sim"), Reference(model)
    frames = [inputs, *(drawn(model, rng) | (fixed or {}) for _ in range(over - 1))]
    found = [session.run(frame) for frame in frames]
    wanted = [reference.run(frame) for frame in frames]
    losses = {n: snr(*(np.stack([run[n] for run in runs]) for runs in (wanted, found))) for n in wanted[0]}
    raw = vlarun.Session(kept.program, backend="sim").device_outputs(inputs)
    host = HostRun(kept.graph.signature, inputs)
    taken = {
        t: to_device(host.value(kept.graph.input_labels[t][1]), t.scale, t.zero_point, t.stored)
        for t in kept.graph.inputs
    }
    values = evaluate(kept.graph, taken)
    for tensor, q in device_tensors(kept.graph, inputs, raw):
        if tensor in values and tensor not in kept.graph.inputs:
            assert np.array_equal(tensor.to_hwc(q), values[tensor]), tensor.label
    known = {t: v[0] for t, v in values.items() if t.h == 1}  # what is no output has no instruction, or is no matrix
    return Run(plain, inputs, found[0], wanted[0], stages(kept, known), losses)


def check(model: onnx.ModelProto, config: str = "u50", *, least: float = 30.0, **how: Any) -> Run:
    """Run, and hold every stage and the outputs against their limits; `how` is of `run`."""
    found = run(model, config, **how)
    for stage in found.stages:
        assert stage.largest <= (3 if stage.kind == "wide norm" else 1), stage
        assert stage.different <= 3 + (1 - LEAST_EQUAL[stage.kind]) * stage.values, stage
    assert found.snr >= least, found.snr
    return found
