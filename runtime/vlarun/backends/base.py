"""What every backend is: it loads a program once, then integers go in and integers, status and counters come out.

Not here: which backends there are (`__init__.py`), names and shapes of a user's arrays (`session.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vla_isa import layout
from vla_isa.errors import InputError, ProgramError, did_you_mean
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.package import Package
from vla_isa.program import IoTensor, Program
from vla_isa.trace import packet_lines

__all__ = [
    "Backend",
    "Integers",
    "Loaded",
    "Model",
    "RunResult",
    "checked",
    "entry_line",
    "place_inputs",
    "run_once",
    "take_outputs",
    "tensor_bytes",
]

Integers = Mapping[str, NDArray[np.int8]]
Reals = dict[str, NDArray[Any]]


@dataclass
class RunResult:
    """What a run left behind.

    Attributes:
        outputs: ONNX name -> int8 array of the ONNX shape; as memory holds them, whatever the status.
        status: OK, or why the machine stopped.
        error_address: data-space byte address of the packet that caused the error, 0 without one.
        halt_code: code of the HALT that ended the run.
        cycles: cycles from start to done; 0 where the backend does not count them.
        cycles_from: who knows the cycles: the "machine" that ran, or only the performance "model".
        counters: the machine's counters by name (see vla_isa.registers.COUNTERS), as far as known.
        memories: "data", "act", "weight", "param" after the run, where they were asked for and the backend has them.
        message: for a person: what the status means here.
    """

    outputs: dict[str, NDArray[np.int8]]
    status: ErrorCode = ErrorCode.OK
    error_address: int = 0
    halt_code: int = 0
    cycles: int = 0
    cycles_from: Literal["machine", "model"] = "model"
    counters: dict[str, int] = field(default_factory=dict)
    memories: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    message: str = ""


class Loaded(ABC):
    """A program on a backend, ready to run.

    Attributes:
        program: the program.
        most_at_once: how many inputs are best given to one `run`.
        counts_cycles: whether results hold the machine's own cycles.
    """

    program: Program
    most_at_once: int = 1
    counts_cycles: bool = False

    @abstractmethod
    def run(self, inputs: Sequence[Integers], entry: str | None = None, *, memories: bool = False) -> list[RunResult]:
        """Run once per input, each from zeroed memories, from an entry point (None: the only or the first one).

        Args:
            inputs: of each run, name -> int8 array of the ONNX shape.
            entry: entry point.
            memories: results hold the memories after the run, where the backend has them.

        Raises:
            InputError: an input is missing, unknown, of another shape, or no integers of the device's type.
            VlaError: the backend cannot run here, or the watchdog stopped it.
        """

    def prepare(self, entry: str | None = None) -> None:  # noqa: B027 - most make nothing in the first run
        """Make now what the first run at an entry point would make."""

    def close(self) -> None:  # noqa: B027 - most backends hold nothing that has to be let go
        """Let go of what the program holds; it is not run again."""


class Model(ABC):
    """The whole model in real numbers, for a backend that is no machine."""

    @abstractmethod
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Reals:
        """The model's outputs of its inputs, by name."""


class Backend(ABC):
    """One way to run programs."""

    name: str

    @abstractmethod
    def load(self, program: Program) -> Loaded:
        """Make everything that does not depend on the inputs.

        Raises:
            VlaError: the program or the backend is refused.
        """

    def model(self, program: Program | Package) -> Model | None:
        """The whole model, which a session then runs in place of programs; None: the backend runs programs."""
        return None

    def check_entry(self, program: Program, entry: str | None) -> None:  # noqa: B027 - most run every entry point
        """Refuse an entry point that the backend cannot run.

        Args:
            program: as it was loaded, not as an entry point sees it.
            entry: entry point, or united tasks; None: the first one.

        Raises:
            BackendError: names it.
        """


def run_once(backend: Backend, program: Program, inputs: Integers, entry: str | None = None) -> RunResult:
    """Load a program, run it on one input, memories and all, and let it go.

    Raises:
        VlaError: see `Loaded.run`.
    """
    loaded = backend.load(program)
    try:
        return loaded.run([inputs], entry, memories=True)[0]
    finally:
        loaded.close()


def entry_line(program: Program, entry: str | None) -> int:
    """The data-space line of an entry point's first packet, what the machine starts from; None: of the first one.

    Raises:
        ProgramError: the program has no such entry point.
    """
    first = next(iter(program.entries), None) if entry is None else entry
    if first is not None and first not in program.entries:
        program.at(first)  # which refuses what there is not
        raise ProgramError(f"entry point '{first}' unites tasks, with masks of its own; load program.at('{first}')")
    return packet_lines(program)[0 if first is None else program.entries[first]]


def tensor_bytes(data: NDArray[np.int8], tensor: IoTensor) -> NDArray[np.int8]:
    """The bytes of a tensor in the data space, a view."""
    start = tensor.line * LINE_BYTES
    return data[start : start + tensor.layout.lines * LINE_BYTES]


def checked(program: Program, inputs: Sequence[Integers]) -> list[Integers]:
    """The device's inputs of each run, held against the program: names, shapes, and integers of the tensor's type.

    Raises:
        InputError: the first thing that is wrong.
    """
    return [_checked(program, each) for each in inputs]


def _checked(program: Program, inputs: Integers) -> Integers:
    wanted = {t.name: t for t in program.inputs}
    if not isinstance(inputs, Mapping) or inputs.keys() != wanted.keys():
        raise _refused(wanted, inputs)
    return {name: _integers(tensor, inputs[name]) for name, tensor in wanted.items()}


def _refused(wanted: Mapping[str, IoTensor], inputs: Any) -> InputError:
    text = ", ".join(f"'{t.name}' {t.layout.type.name} {list(t.layout.shape)}" for t in wanted.values())
    if not isinstance(inputs, Mapping):
        return InputError(f"the inputs of a run are {type(inputs).__name__}; give a mapping of names to arrays: {text}")
    missing = [name for name in wanted if name not in inputs]
    if missing:
        return InputError(f"input {', '.join(map(repr, missing))} is missing; the device takes {text}")
    unknown = next(str(name) for name in inputs if name not in wanted)
    return InputError(f"unknown input '{unknown}'; the device takes {text}.{did_you_mean(unknown, wanted)}")


def _integers(tensor: IoTensor, given: Any) -> NDArray[Any]:
    kind, shape = tensor.layout.type, tensor.layout.shape
    array = np.asarray(given)
    if array.shape != shape:
        raise InputError(f"input '{tensor.name}' has shape {list(array.shape)}; the device takes {list(shape)}")
    if array.dtype == kind.dtype:
        return array
    if array.dtype.kind not in "iu":
        raise InputError(f"input '{tensor.name}' has dtype {array.dtype}; the device takes {kind.name}")
    if array.size and (int(array.min()) < kind.lo or int(array.max()) > kind.hi):
        raise InputError(
            f"input '{tensor.name}' holds {array.min()} to {array.max()}; the device takes {kind.lo}..{kind.hi}"
        )
    return array.astype(kind.dtype)


def place_inputs(program: Program, inputs: Integers, data: NDArray[np.int8]) -> NDArray[np.int8]:
    """Pack the inputs into the data space `data`, a copy of what `load_data` gave; returns it."""
    for tensor in program.inputs:
        tensor_bytes(data, tensor)[:] = layout.pack(inputs[tensor.name], tensor.layout, tensor.zero_point)
    return data


def take_outputs(program: Program, data: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """The outputs in the data space, unpacked to their ONNX shapes."""
    return {t.name: layout.unpack(tensor_bytes(data, t), t.layout) for t in program.outputs}
