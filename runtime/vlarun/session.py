"""The Python interface: a program, a backend, ONNX names and shapes in and out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import bundle, hardware, hazards, timing
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.program import Program
from vla_isa.trace import packet_lines
from vlarun.backends import create
from vlarun.backends.base import Backend, RunResult, entry_packet
from vlarun.backends.ref import RefBackend
from vlarun.errors import MachineError
from vlarun.finish import to_output
from vlarun.inputs import check_inputs, to_integers, to_real
from vlarun.progress import track
from vlarun.stats import chrome_trace, run_stats

__all__ = ["Session", "load_program", "raise_for_status"]

Array = NDArray[Any]


def load_program(program: str | Path | Program, config: str | None = None) -> Program:
    """Load a program file (or take a program) and check that it is for `config`, where one is given.

    Raises:
        ProgramError: damaged, or for another config.
        ConfigError: unknown config.
    """
    loaded = program if isinstance(program, Program) else bundle.load(program)
    if isinstance(loaded, bundle.Bundle):
        raise ProgramError("the program has host parts; open it with vlarun.open_session, which takes any program")
    if config is not None and hardware.load(config) != loaded.config:
        raise ProgramError(
            f"the program was compiled for '{loaded.config.name}', which is not '{config}'; "
            f"compile it again with --config {config}"
        )
    return loaded


def raise_for_status(program: Program, result: RunResult) -> None:
    """Raise where the machine stopped with an error code.

    Raises:
        MachineError: names the code, the packet and its address.
    """
    if result.status is ErrorCode.OK:
        return
    lines = packet_lines(program)
    line = result.error_address // PACKET_BYTES
    where = f"packet {lines.index(line)}" if line in lines else "no packet of the program"
    raise MachineError(
        f"the machine stopped with {result.status.name} at {where} "
        f"(address 0x{result.error_address:x}): {result.message}"
    )


class Session:
    """A program ready to run on one backend.

    Args:
        program: a path to `prog.bin`, or a Program.
        backend: "sim", "rtl", "ref", or a backend object.
        config: refuse a program that is not for this hardware config.
        check: run the hazard checker first.
        onnx: the model of `ref`.

    Raises:
        VlaError: the program, config or backend is refused.
    """

    def __init__(
        self,
        program: str | Path | Program,
        backend: str | Backend = "sim",
        *,
        config: str | None = None,
        check: bool = False,
        onnx: str | Path | None = None,
    ) -> None:
        self.backend = create(backend, onnx=onnx) if isinstance(backend, str) else backend
        self.program = load_program(program, config)
        if check:
            hazards.check(self.program)
        self.result: RunResult | None = None
        self._entry: str | None = None
        self._runs, self._seconds = 0, 0.0

    @cached_property
    def _reports(self) -> dict[str | None, timing.TimingReport]:
        return {}

    def run(self, inputs: Mapping[str, Any], raw: bool = False, entry: str | None = None) -> dict[str, Array]:
        """Run once, or N times where the inputs have N items on axis 0.

        Args:
            inputs: ONNX input name -> float32 array of the ONNX shape (or N on axis 0 where it is 1); an
                array of an integer type is taken as already quantized.
            raw: outputs as the device's int8, else as real numbers of the ONNX dtype.
            entry: entry point.

        Returns: ONNX output name -> array; N runs joined on axis 0.

        Raises:
            InputError: the inputs do not fit the program.
            MachineError: the machine stopped with an error.
        """
        batch = check_inputs(self.program, inputs)
        entry_packet(self.program, entry)
        start = time.perf_counter()
        runs = [
            self._run_once(arrays, raw, entry)
            for arrays in track(list(batch.items()), f"running on {self.backend.name}")
        ]
        self._entry, self._runs, self._seconds = entry, batch.runs, time.perf_counter() - start
        if batch.runs == 1:
            return runs[0]
        return {name: np.concatenate([np.atleast_1d(r[name]) for r in runs]) for name in runs[0]}

    def _run_once(self, arrays: dict[str, Array], raw: bool, entry: str | None) -> dict[str, Array]:
        if isinstance(self.backend, RefBackend) and not raw:
            self.result = RunResult({})
            reals = {
                t.name: a if (a := arrays[t.name]).dtype.kind == "f" else to_real(a, t) for t in self.program.inputs
            }
            return self.backend.run_reals(self.program, reals)
        self.result = self.backend.run(self.program, to_integers(self.program, arrays), entry)
        raise_for_status(self.program, self.result)
        if raw:
            return dict(self.result.outputs)
        return {t.name: to_output(self.result.outputs[t.name], t) for t in self.program.outputs}

    def timing(self, entry: str | None = None) -> timing.TimingReport:
        """The performance model's report of an entry point, computed once."""
        if entry not in self._reports:
            self._reports[entry] = timing.estimate(self.program, entry)
        return self._reports[entry]

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the last `run`, as `vlarun --stats` writes them.

        Raises:
            MachineError: nothing ran yet.
        """
        if self.result is None:
            raise MachineError("there are no statistics before a run; call run() first")
        return run_stats(
            self.program, self.backend.name, self.timing(self._entry), self.result, self._runs, self._seconds
        )

    @property
    def trace(self) -> dict[str, Any]:
        """The last run's packets on the queues as a Chrome trace."""
        return chrome_trace(self.program, self.timing(self._entry))
