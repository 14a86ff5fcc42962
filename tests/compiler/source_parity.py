"""What the compiled program gives beside ONNX Runtime on the user's own model, without optimizations of either side."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from parity import compile_proto, random_inputs

import vlarun
from vla_isa.hardware import HardwareConfig
from vlac.passes import Compilation

Arrays = dict[str, NDArray[Any]]


def run_source(model: onnx.ModelProto, inputs: Arrays) -> Arrays:
    """The outputs of the model as it was given; every operator runs as the standard defines it."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def check_integers(
    model: onnx.ModelProto, step: float, hw: HardwareConfig | str = "u50", *, inputs: Arrays | None = None
) -> Compilation:
    """Outputs that count in `step` are within 1 of those of the source, and 99.9 % of them are equal."""
    state = compile_proto(model, hw, calib=None)
    inputs = random_inputs(state.program) if inputs is None else inputs
    found = vlarun.Session(state.program, backend="sim").run(inputs)
    for name, values in run_source(model, {n: np.asarray(x, np.float32) for n, x in inputs.items()}).items():
        off = np.rint(np.abs(values.astype(np.float64) - found[name]) / step)
        assert found[name].shape == values.shape
        assert values.any(), f"{name} is zero: the test would say nothing"
        assert off.max() <= 1 and (off > 0).mean() <= 1e-3, (name, off.max(), (off > 0).mean())
    return state


def snr(wanted: NDArray[Any], found: NDArray[Any]) -> float:
    """Signal to noise in dB."""
    signal, noise = (np.square(v.astype(np.float64)).sum() for v in (wanted, wanted - found))
    return float(10 * np.log10(signal / noise)) if noise else float("inf")


def check_real(
    model: onnx.ModelProto, decibel: float, hw: HardwareConfig | str = "u50", *, seed: int = 1
) -> Compilation:
    """A float model, calibrated on random data, gives what the source gives, with at least that SNR per output."""
    state = compile_proto(model, hw, calib="random:8")
    inputs = random_inputs(state.program, seed)
    found = vlarun.Session(state.program, backend="sim").run(inputs)
    wanted = run_source(model, {n: np.asarray(x, np.float32) for n, x in inputs.items()})
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].shape == values.shape
        assert snr(values, found[name]) >= decibel, (name, snr(values, found[name]))
    return state
