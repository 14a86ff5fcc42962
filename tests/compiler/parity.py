"""Compile, run on `sim`, and compare with ONNX Runtime; compare with `rtl`.

With the quantized model, every node fed the same integers; with the model as the test wrote it, so that a broken
rewrite is no more right than a broken instruction: integers of a quantized one, the rewritten floats of another.
"""

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
from vla_isa.signature import HostRun, to_device
from vla_toolchain.verify import NodeCheck, check_nodes, exact_reference
from vla_toolchain.verify.loss import output_loss
from vla_toolchain.verify.qonnx import expanded
from vla_toolchain.verify.reference import Reference
from vla_toolchain.verify.source import DeviceRun, check_rewrite, check_source
from vlac import CompileOptions, compile_file
from vlac.device.matrix import REORDER
from vlac.ir.evaluate import evaluate, output_values
from vlac.ir.graph import Graph
from vlac.ir.operation import Tensor
from vlac.passes import Compilation
from vlarun.backends import RtlBackend, SimBackend
from vlarun.compare import compare
from vlarun.inputs import to_integers

WORST = 8.0  # dB of an output of a test; a value that is lost has 0 and less


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
    model: onnx.ModelProto,
    hw: HardwareConfig | str = "u50",
    *,
    calib: str | None = "random:4",
    debug_outputs: bool = False,
) -> Compilation:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        return compile_file(
            path,
            load(hw) if isinstance(hw, str) else hw,
            CompileOptions(calibration=calib, debug_outputs=debug_outputs),
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
    model: onnx.ModelProto,
    hw: HardwareConfig | str = "u50",
    *,
    calib: str | None = "random:4",
    seed: int = 1,
    worst: float = WORST,
) -> Outcome:
    """Compile with every tensor kept and plainly; both give the same outputs on `sim`, those that operations mean.

    A float model's rewritten form must compute what the model does, and the program nearly so. `checks` compare every
    node with ONNX Runtime, in the quantized model and, where the model is quantized itself, in the model; there are
    none on CPUs where that is not exact.
    """
    kept = compile_proto(model, hw, calib=calib, debug_outputs=True)
    plain = compile_proto(model, hw, calib=calib)
    inputs = random_inputs(kept.program, seed)
    raw = vlarun.Session(kept.program, backend="sim").device_outputs(inputs)
    session = vlarun.Session(plain.program, backend="sim")
    outputs = session.run(inputs, raw=True)
    for name, values in session.device_outputs(inputs).items():
        assert np.array_equal(values, raw[name]), name
    for name, values in meaning(kept.graph, inputs).items():
        assert np.array_equal(values, raw[name]), name
    check_rewritten(model, plain, inputs)
    check_accuracy(model, plain, inputs, worst)
    if not exact_reference():
        return Outcome(plain, [], inputs, outputs)
    checks = check_nodes(kept, inputs, raw)
    missed = uncompared(kept, checks)
    assert not missed, missed
    if plain.quantized.reference is None:
        results = vlarun.Session(kept.program, backend="sim").run(inputs)
        checks += check_source(expanded(model), [DeviceRun(kept, inputs, raw)], as_given(model, inputs), results)
    return Outcome(plain, checks, inputs, outputs)


def meaning(graph: Graph, inputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.int8]]:
    """The device's outputs by the meaning of its operations, without instructions."""
    host = HostRun(graph.signature, inputs)
    taken = {}
    for tensor in graph.inputs:
        real = host.value(graph.input_labels[tensor][1])
        taken[tensor] = to_device(real, tensor.scale, tensor.zero_point)
    return output_values(graph, evaluate(graph, taken))


def as_given(model: onnx.ModelProto, inputs: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """The device's integers as the model's: where it reads uint8, they are offset by 128."""
    unsigned = {i.name for i in model.graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.UINT8}
    return {n: (a.astype(np.int16) + 128).astype(np.uint8) if n in unsigned else a for n, a in inputs.items()}


def check_rewritten(model: onnx.ModelProto, state: Compilation, inputs: dict[str, NDArray[np.generic]]) -> None:
    """The float model that was quantized computes what the model does, on these inputs and in calibration."""
    assert state.quantized is not None
    if state.quantized.reference is not None:
        for sample in (inputs, *state.quantized.samples[:1]):
            wrong = [c for c in check_rewrite(model, state.quantized.reference, sample) if not c.ok]
            assert not wrong, wrong


def check_accuracy(
    model: onnx.ModelProto, state: Compilation, inputs: dict[str, NDArray[np.generic]], worst: float = WORST
) -> None:
    """The program is near the float model: noise of 8 bits and four random calibration samples, nothing worse."""
    assert state.quantized is not None
    if state.quantized.reference is not None:
        found = vlarun.Session(state.program, backend="sim").run(inputs)
        for name, wanted in Reference(model).run(inputs).items():
            if wanted.dtype.kind == "f" and wanted.size >= 16:
                loss = output_loss(name, [wanted], [found[name]])
                assert loss.snr >= worst, loss


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
