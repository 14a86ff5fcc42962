"""The reference: the program's ONNX model in ONNX Runtime, in float.

The model is the one given, or the one that `vlac compile --embed-onnx` put into the program (`Program.onnx`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vla_isa.bundle import Bundle
from vla_isa.numerics import quantize
from vla_isa.program import Program
from vlarun.backends.base import Integers, RunResult
from vlarun.errors import BackendError

__all__ = ["RefBackend"]

Reals = dict[str, NDArray[Any]]


class RefBackend:
    """Runs the ONNX model; integers in and out are converted with the program's scales."""

    name = "ref"

    def __init__(self, onnx: str | Path | None = None) -> None:
        self._onnx = onnx
        self._session: onnxruntime.InferenceSession | None = None
        self._for: Program | Bundle | None = None

    def run(self, program: Program, inputs: Integers, entry: str | None = None) -> RunResult:
        """See `Backend.run`. Cycles and memories are unknown here; `entry` is ignored."""
        finished = [t for t in program.outputs if t.finish]
        if finished:
            raise BackendError(
                f"backend 'ref' has no integers for {', '.join(repr(t.name) for t in finished)}: the model goes on "
                f"behind them ({finished[0].finish[0].function}); run without raw outputs"
            )
        reals = {
            t.name: ((inputs[t.name].astype(np.float32) - t.zero_point) * np.float32(t.scale)) for t in program.inputs
        }
        outputs = self.run_reals(program, reals)
        return RunResult({t.name: quantize(outputs[t.name], t.scale, t.zero_point) for t in program.outputs})

    def run_reals(self, program: Program | Bundle, inputs: Mapping[str, NDArray[Any]]) -> Reals:
        """Real numbers of the ONNX shapes in and out, without the program's input and output rounding.

        Raises:
            BackendError: no model, a broken one, or one whose inputs or outputs are not the program's.
        """
        session = self._load(program)
        kinds = {i.name: i.type for i in session.get_inputs()}
        names = [t.name for t in program.outputs]
        found = {o.name for o in session.get_outputs()}
        missing = ({t.name for t in program.inputs} ^ set(kinds)) | (set(names) - found)
        if missing:
            raise BackendError(f"the ONNX model is not this program's: {', '.join(sorted(missing))} is not in both")
        feeds = {n: np.asarray(inputs[n], _DTYPES.get(kinds[n], np.float32)) for n in kinds}
        try:
            return dict(zip(names, session.run(names, feeds), strict=True))
        except Exception as e:  # ONNX Runtime raises its own classes, without a common base
            raise BackendError(f"ONNX Runtime refuses to run the model: {e}") from e

    def _load(self, program: Program | Bundle) -> onnxruntime.InferenceSession:
        if self._session is not None and self._for is program:
            return self._session
        try:
            model = Path(self._onnx).read_bytes() if self._onnx else _embedded(program)
        except OSError as e:
            raise BackendError(f"the ONNX model '{self._onnx}' cannot be read: {e.strerror}") from e
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # see run_reals
            raise BackendError(f"ONNX Runtime cannot load the model: {e}") from e
        self._session, self._for = session, program
        return session


_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
}


def _embedded(program: Program | Bundle) -> bytes:
    if not program.onnx:
        raise BackendError("backend 'ref' needs the ONNX model: give --onnx MODEL.onnx, or compile with --embed-onnx")
    return program.onnx
