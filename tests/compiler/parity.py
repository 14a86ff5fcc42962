"""Compile, run on `sim`, and compare every node with ONNX Runtime fed the same integers; compare with `rtl`."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import vlarun
from vla_isa.hardware import HardwareConfig, load
from vla_isa.program import Program
from vlac import CompileOptions, compile_file
from vlac.ir.graph import REORDER, Tensor
from vlac.passes import Compilation
from vlac.verify import NodeCheck, check_nodes, exact_reference
from vlac.verify_program import all_values
from vlarun.backends import RtlBackend, SimBackend
from vlarun.compare import compare
from vlarun.inputs import to_integers


@dataclass
class Outcome:
    state: Compilation
    checks: list[NodeCheck]
    inputs: dict[str, NDArray[np.generic]]
    raw: dict[str, NDArray[np.int8]]

    @property
    def packets(self) -> list[str]:
        return [s.op for s in self.state.program.sources]


def compile_proto(
    model: onnx.ModelProto, hw: HardwareConfig | str = "u50", *, calib: str | None = "random:4", keep_all: bool = False
) -> Compilation:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return compile_file(
            path, load(hw) if isinstance(hw, str) else hw, CompileOptions(calibration=calib, keep_all=keep_all)
        )


def random_inputs(program: Program, seed: int = 1) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    out = {}
    for v in program.model_inputs:
        if v.dtype in ("int8", "uint8"):
            limits = np.iinfo(v.dtype)
            out[v.name] = rng.integers(limits.min, limits.max + 1, v.shape).astype(v.dtype)
        else:
            out[v.name] = rng.standard_normal(v.shape).astype(v.dtype)
    return out


def run_parity(
    model: onnx.ModelProto,
    hw: HardwareConfig | str = "u50",
    *,
    calib: str | None = "random:4",
    seed: int = 1,
    different: float = 1e-3,
) -> Outcome:
    """Every node within 1 LSB and 99.9 % equal; the kept and the plain program give the same outputs.

    `different` is the share of elements that may differ, for sums whose exact value is often a tie.
    """
    if not exact_reference():
        pytest.skip("ONNX Runtime's int8 convolution is exact only on CPUs with VNNI")
    outcome = run_both(model, hw, calib=calib, seed=seed)
    bad = [c for c in outcome.checks if c.largest > 1 or c.different > different * c.elements]
    assert not bad, bad
    return outcome


def run_both(
    model: onnx.ModelProto, hw: HardwareConfig | str = "u50", *, calib: str | None = "random:4", seed: int = 1
) -> Outcome:
    """Compile with every tensor kept and plainly; both give the same outputs on `sim`.

    `checks` compare every node with ONNX Runtime; there are none on CPUs where that is not exact.
    """
    kept = compile_proto(model, hw, calib=calib, keep_all=True)
    plain = compile_proto(model, hw, calib=calib)
    inputs = random_inputs(kept.program, seed)
    raw = vlarun.Session(kept.program, backend="sim").device_outputs(inputs)
    session = vlarun.Session(plain.program, backend="sim")
    outputs = session.run(inputs, raw=True)
    for name, values in session.device_outputs(inputs).items():
        assert np.array_equal(values, raw[name]), name
    checks = check_nodes(kept, inputs, raw) if exact_reference() else []
    missed = uncompared(kept, checks) if exact_reference() else set()
    assert not missed, missed
    return Outcome(plain, checks, inputs, outputs)


def check_rewritten(model: onnx.ModelProto, outcome: Outcome) -> None:
    """The float model that was quantized computes what the model does, up to float noise."""
    assert outcome.state.quantized is not None and outcome.state.quantized.reference is not None
    before, after = (all_values(m, outcome.inputs) for m in (model, outcome.state.quantized.reference))
    for name in (o.name for o in model.graph.output):
        a, b = before[name], after[name]
        if a.dtype.kind == "f":  # float noise may decide an ArgMax
            assert np.abs(a.astype(np.float64) - b).max() <= 2e-3 * (np.abs(a).max() + 1e-3), name


def check_rtl(state: Compilation, inputs: dict[str, NDArray[np.generic]]) -> None:
    """Every byte of every memory of `sim` and `rtl` is equal after the run."""
    difference = compare(state.program, (SimBackend(), RtlBackend()), to_integers(state.program, inputs))
    assert difference is None, difference.message(("sim", "rtl"))


def uncompared(state: Compilation, checks: list[NodeCheck]) -> set[str]:
    """Tensors an instruction writes that no check covers, by name or in all their readers (copies, Concat parts)."""
    known = {c.name for c in checks}
    ordered = {o.tensor for o in state.graph.outputs if o.source is not None}  # copies for the outputs' layout

    def covered(tensor: Tensor) -> bool:
        readers = [op.output for op in tensor.consumers]
        return tensor.label in known or tensor in ordered or (bool(readers) and all(map(covered, readers)))

    written = [op.output for op in state.graph.ops if op.queue and op.op_type != REORDER]
    return {t.label for t in written if not covered(t)}
