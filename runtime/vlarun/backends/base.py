"""What every backend is: a program and integers in, integers, status, counters and memories out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_isa import layout
from vla_isa.errors import ProgramError
from vla_isa.hardware import LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.program import IoTensor, Program
from vlarun.memory import load_data

__all__ = ["Backend", "RunResult", "entry_packet", "place_inputs", "take_outputs"]

Integers = Mapping[str, NDArray[np.int8]]


@dataclass
class RunResult:
    """What a run left behind.

    Attributes:
        outputs: ONNX name -> int8 array of the ONNX shape; as memory holds them, whatever the status.
        status: OK, or why the machine stopped.
        error_address: data-space byte address of the packet that caused the error, 0 without one.
        halt_code: code of the HALT that ended the run.
        cycles: cycles from start to done; 0 where the backend does not know.
        counters: the machine's counters by name (see vla_isa.registers.COUNTERS), as far as known.
        memories: "data", "act", "weight", "param" after the run, where the backend has them.
        message: for a person: what the status means here.
    """

    outputs: dict[str, NDArray[np.int8]]
    status: ErrorCode = ErrorCode.OK
    error_address: int = 0
    halt_code: int = 0
    cycles: int = 0
    counters: dict[str, int] = field(default_factory=dict)
    memories: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    message: str = ""


class Backend(Protocol):
    """One way to run a program."""

    name: str

    def run(self, program: Program, inputs: Integers, entry: str | None = None) -> RunResult:
        """Run from an entry point (None: the only or the first one).

        Args: inputs: name -> int8 array of the ONNX shape.

        Raises:
            VlaError: the backend cannot run here, or the watchdog stopped it.
        """
        ...


def entry_packet(program: Program, entry: str | None) -> int:
    """The packet number of an entry point.

    Raises:
        ProgramError: the program has no such entry point.
    """
    if entry is None:
        return next(iter(program.entries.values()), 0)
    if entry not in program.entries:
        raise ProgramError(f"the program has no entry point '{entry}'; it has {', '.join(program.entries)}")
    return program.entries[entry]


def _tensor_bytes(data: NDArray[np.int8], tensor: IoTensor) -> NDArray[np.int8]:
    start = tensor.line * LINE_BYTES
    return data[start : start + tensor.layout.lines * LINE_BYTES]


def place_inputs(program: Program, inputs: Integers, data: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
    """The data space before a run, inputs packed into it (`data`: a copy of `load_data` to fill)."""
    data = load_data(program) if data is None else data
    for tensor in program.inputs:
        _tensor_bytes(data, tensor)[:] = layout.pack(inputs[tensor.name], tensor.layout, tensor.zero_point)
    return data


def take_outputs(program: Program, data: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
    """The outputs in the data space, unpacked to their ONNX shapes."""
    return {t.name: layout.unpack(_tensor_bytes(data, t), t.layout) for t in program.outputs}
