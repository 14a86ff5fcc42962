"""The reference: the program's ONNX model in ONNX Runtime, in float.

The model is the one given, or the one that `vlac compile --embed-onnx` put into the program (`Program.onnx`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.numerics import quantize
from vla_isa.package import Package
from vla_isa.program import Program
from vla_isa.signature import HostOp
from vla_isa.tasks import DENSE
from vlarun.backends.base import Backend, Integers, Loaded, Model, Reals, RunResult, checked
from vlarun.errors import BackendError
from vlarun.onnx_runtime import OnnxSession

__all__ = ["RefBackend", "RefOptions"]


@dataclass(frozen=True)
class RefOptions:
    """`onnx`: the model's file; None: the model embedded in the program."""

    onnx: str | Path | None = None


class RefBackend(Backend):
    """Runs the ONNX model; integers in and out are converted with the program's scales where it has them there."""

    name = "ref"

    def __init__(self, options: RefOptions | None = None) -> None:
        self.options = options or RefOptions()

    def load(self, program: Program) -> Loaded:
        """See `Backend.load`; cycles and memories are unknown here; entry points are all the same (see `check_entry`).

        Raises:
            BackendError: no model, or a broken one.
        """
        return _Integers(program, self.model(program))

    def model(self, program: Program | Package) -> Model:
        """See `Backend.model`: reals of the ONNX shapes, without the program's input and output rounding.

        Raises:
            BackendError: no model, a broken one, or one whose inputs or outputs are not the program's.
        """
        if isinstance(program, Program) and program.others:
            raise BackendError(
                f"the program is of several graphs ({', '.join(program.entries)}), and --backend ref runs one ONNX "
                "model; compile the graph that you look for alone"
            )
        return _OnnxModel(program, self.options.onnx)

    def check_entry(self, program: Program, entry: str | None) -> None:
        """See `Backend.check_entry`: the model knows no tasks.

        Raises:
            BackendError: the entry point is a task.
        """
        name = next(iter(program.entries)) if entry is None else entry
        if program.tasks is not None and DENSE not in name.split("+"):
            raise BackendError(
                f"backend 'ref' runs the whole model, and entry point '{name}' is a task, with dead blocks; run "
                f"'{DENSE}', or another backend"
            )


class _OnnxModel(Model):
    """The model of a program in ONNX Runtime."""

    def __init__(self, program: Program | Package, path: str | Path | None) -> None:
        self._session = _session(program, path)
        inputs, outputs = (
            (program.inputs, program.outputs)
            if isinstance(program, Package)
            else (program.model_inputs, program.model_outputs)
        )
        self._names = [v.name for v in outputs]
        self._kinds = {i.name: i.type for i in self._session.inputs}
        found = {o.name for o in self._session.outputs}
        missing = ({v.name for v in inputs} ^ set(self._kinds)) | (set(self._names) - found)
        if missing:
            raise BackendError(f"the ONNX model is not this program's: {', '.join(sorted(missing))} is not in both")

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Reals:
        """See `Model.run`.

        Raises:
            BackendError: ONNX Runtime refuses.
        """
        feeds = {n: np.asarray(inputs[n], _DTYPES.get(kind, np.float32)) for n, kind in self._kinds.items()}
        return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))


class _Integers(Loaded):
    """The model between a program's integers."""

    def __init__(self, program: Program, model: Model) -> None:
        self.program, self._model = program, model

    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        """See `Loaded.run`."""
        reals = (self._model.run(_model_inputs(self.program, each)) for each in checked(self.program, inputs))
        return [RunResult(_device_outputs(self.program, each)) for each in reals]


def _session(program: Program | Package, path: str | Path | None) -> OnnxSession:
    if path and Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
        raise BackendError(f"the ONNX model '{path}' is a device or a pipe; give a file")  # there may be no end of it
    try:
        model = Path(path).read_bytes() if path else _embedded(program)
    except OSError as e:
        raise BackendError(f"the ONNX model '{path}' cannot be read: {e.strerror}") from e
    return OnnxSession(model, "the model")


def _model_inputs(program: Program, inputs: Integers) -> Reals:
    """The model's inputs of the device's integers, where the host computes nothing in between.

    Raises:
        BackendError: it does.
    """
    signature, found = program.model, {}
    for tensor, number in zip(program.inputs, signature.feeds, strict=True):
        value = signature.value(number)
        if isinstance(value, HostOp):
            raise BackendError(
                f"backend 'ref' cannot start from the integers of '{tensor.name}': the model begins in front of them "
                f"({value.function}); run with real inputs and outputs"
            )
        q = inputs[tensor.name].astype(np.float32)
        real = (q - tensor.zero_point) * np.float32(tensor.scale)
        found[value.name] = real if value.dtype == "float32" else (q + 128 * (value.dtype == "uint8"))
    zeros = {v.name: np.zeros(v.shape, v.dtype) for v in signature.inputs}
    return zeros | {v.name: found[v.name].astype(v.dtype) for v in signature.inputs if v.name in found}


def _device_outputs(program: Program, reals: Reals) -> dict[str, NDArray[np.int8]]:
    """The device's integers of the model's outputs, where the host computes nothing behind it."""
    signature, found = program.model, dict[str, NDArray[np.int8]]()
    for output in signature.outputs:
        value = signature.value(output.source)
        if not isinstance(value, HostOp) or value.function != "Device" or value.dtype != "float32":
            last = value.function if isinstance(value, HostOp) else "an input"
            raise BackendError(
                f"backend 'ref' has no integers for '{output.name}': the model goes on behind them ({last}); run "
                "without raw outputs"
            )
        tensor = program.outputs[value.numbers[0]]
        found[tensor.name] = quantize(reals[output.name], tensor.scale, tensor.zero_point)
    return found


_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(bool)": np.bool_,
}


def _embedded(program: Program | Package) -> bytes:
    if not program.onnx:
        raise BackendError("backend 'ref' needs the ONNX model: give --onnx MODEL.onnx, or compile with --embed-onnx")
    return program.onnx
