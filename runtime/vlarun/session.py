"""The Python interface: a program, a backend, ONNX names and shapes in and out."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vla_isa import hardware, hazards, package, timing
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.program import Carried, Program
from vla_isa.signature import HostRun, Value
from vla_isa.trace import packet_lines
from vlarun.backends import chosen
from vlarun.backends.base import Backend, Loaded, Model, RunResult
from vlarun.errors import InputError, MachineError
from vlarun.inputs import check_inputs, device_integers, wanted_inputs
from vlarun.outputs import raw_outputs, real_outputs, refuse_raw_input
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
    loaded = program if isinstance(program, Program) else package.load(program)
    if isinstance(loaded, package.Package):
        raise ProgramError("the program has host partitions; open it with vlarun.open_session, which takes any program")
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
        self.backend = chosen(backend, onnx)
        self.program = load_program(program, config)
        if check:
            hazards.check(self.program)
        self.result: RunResult | None = None
        self._entry: str | None = None
        self._runs, self._seconds = 0, 0.0
        self._views: dict[str | None, Program] = {}
        self._loads: dict[str | None, Loaded] = {}
        self._reports: dict[str | None, timing.TimingReport] = {}
        self._state: dict[int, Array] = {}  # by data line what the last run left there: the device's integers
        self._real_state: dict[str, Array] = {}  # carried inputs of a backend of real numbers

    @cached_property
    def _model(self) -> Model | None:
        return self.backend.model(self.program)

    def at(self, entry: str | None) -> Program:
        """The program as an entry point sees it: with its inputs, outputs and signature.

        Raises:
            ProgramError: there is no such entry point.
        """
        if entry not in self._views:
            self._views[entry] = self.program.at(entry)
        return self._views[entry]

    def _loaded(self, entry: str | None) -> Loaded:
        """Made by the first run, whose inputs are right, as it may take minutes to build a machine."""
        united = entry is not None and entry not in self.program.entries
        key = (entry or next(iter(self.program.entries))) if self.program.others or united else None
        if key not in self._loads:
            self._loads[key] = self.backend.load(self.at(key))
        return self._loads[key]

    def prepare(self, entry: str | None = None) -> None:
        """Make now what first runs would make, in seconds or minutes: a Verilog machine, a plan of every entry point,
        the performance model's estimate.

        Args:
            entry: only for this entry point, which may be united tasks.

        Raises:
            BackendError: the backend cannot be made ready here.
        """
        if self._model is None:
            for each in (self.program.entries or (None,)) if entry is None else (entry,):
                loaded = self._loaded(each)
                loaded.prepare(each)
                if not loaded.counts_cycles:
                    self.timing(each)

    def another(self) -> Session:
        """A session of the same program with a state of its own; what is loaded or estimated is there once."""
        made = copy.copy(self)
        made._state, made._real_state, made.result = {}, {}, None
        return made

    def wanted_inputs(self, raw_input: bool = False, entry: str | None = None) -> tuple[list[Value], set[str]]:
        """What `run` takes, and the names of what may be left out."""
        return wanted_inputs(self.at(entry), raw_input)

    def run(
        self, inputs: Mapping[str, Any], raw: bool = False, entry: str | None = None, *, raw_input: bool = False
    ) -> dict[str, Array]:
        """Run once, or N times where the inputs hold N runs.

        Args:
            inputs: ONNX input name -> numbers of any dtype, real values of the model's input, of its shape, or of
                N runs (N on axis 0 where it is 1, or on one more leading axis). Unused inputs may be left out; carried
                ones too (`Program.carried`): they are what the last run that made them left, of whichever entry point.
                Before there was one they are zero, but what only another entry point makes is asked for.
            raw: outputs as the device's int8, else as the model's.
            entry: entry point.
            raw_input: `inputs` are the device's integers, by the names of the device's inputs.

        Returns: ONNX output name -> array; N runs joined on axis 0 where it is 1, else on a new leading axis.

        Raises:
            InputError: the inputs do not fit the program.
            MachineError: the machine stopped with an error.
            BackendError: the backend does not run this entry point.
        """
        program = self.at(entry)
        self.backend.check_entry(self.program, entry)
        if raw_input:
            refuse_raw_input(program)
        batch = check_inputs(program, inputs, raw_input)
        carried = [] if raw_input else [c for c in program.carried if c.model_input not in inputs]
        self._require_made(carried)
        runs, what = list(batch.items()), f"running on {self.backend.name}"
        if self._model is not None and not (raw or raw_input):
            start = time.perf_counter()
            found = [self._run_model(self._model, arrays, carried) for arrays in track(runs, what)]
            self.result, self._entry, self._runs = RunResult({}), entry, batch.count
            self._seconds = time.perf_counter() - start
        else:
            show = raw_outputs if raw else real_outputs
            results = track(self.run_each(runs, entry, raw_input, carried), what, len(runs))
            found = [show(program, host, result.outputs) for host, result in results]
        return batch.joined(found)

    def run_each(
        self,
        runs: Sequence[Mapping[str, Array]],
        entry: str | None = None,
        raw_input: bool = False,
        carried: Sequence[Carried] = (),
    ) -> Iterator[tuple[HostRun, RunResult]]:
        """Every run's host values and result, of inputs as `check_inputs` gives them; see `run`.

        As many runs go through the backend at once as it takes best; one after the other where some inputs are
        `carried`, what the run before made.

        Raises:
            MachineError: the machine stopped with an error.
        """
        start = time.perf_counter()
        self._entry, self._runs = entry, len(runs)
        program, loaded = self.at(entry), self._loaded(entry)
        together = 1 if carried else loaded.most_at_once
        lines = self._lines
        for first in range(0, len(runs), together):
            arrays = runs[first : first + together]
            hosts = [HostRun(program.model, {} if raw_input else each) for each in arrays]
            integers = arrays if raw_input else [device_integers(program, host) for host in hosts]
            integers = [{**each, **self._kept(carried)} for each in integers]
            for host, result in zip(hosts, loaded.run(integers, entry), strict=True):
                self.result = result
                raise_for_status(program, result)
                self._state |= {t.line: result.outputs[t.name] for t in program.outputs if t.line in lines}
                self._seconds = time.perf_counter() - start
                yield host, result

    def _require_made(self, carried: Sequence[Carried]) -> None:
        """Refuse a run of state that another entry point makes, and has not made."""
        for c in carried:
            if c.entry is not None and c.line not in self._state:
                raise InputError(
                    f"input '{c.model_input}' is what entry point '{c.entry}' makes (its '{c.model_output}'), which "
                    "has not run in this session; run that first, or give the input"
                )

    @property
    def has_state(self) -> bool:
        """Whether a run of any entry point leaves something for another one."""
        return bool(self._lines)

    @cached_property
    def _lines(self) -> set[int]:
        """Where carried inputs of any entry point lie."""
        return {c.line for entry in self.program.entries for c in self.at(entry).carried}

    def _kept(self, carried: Sequence[Carried]) -> dict[str, Array]:
        """The device's integers of the inputs that a run before made; of none before the first one."""
        return {c.given: self._state[c.line] for c in carried if c.line in self._state}

    def _run_model(self, model: Model, arrays: Mapping[str, Array], carried: Sequence[Carried]) -> dict[str, Array]:
        """One run of the whole model in real numbers."""
        kept = {c.model_input: self._real_state[c.model_input] for c in carried if c.model_input in self._real_state}
        found = model.run({**arrays, **kept})
        self._real_state = {c.model_input: found[c.model_output] for c in self.program.carried}
        return found

    def forget(self) -> None:
        """Let the next run begin with carried inputs of zero."""
        self._state, self._real_state = {}, {}

    def device_outputs(self, inputs: Mapping[str, Any]) -> dict[str, Array]:
        """The integers of every tensor that the device returns, by its own name; one run."""
        self.run(inputs)
        assert self.result is not None
        return dict(self.result.outputs)

    def timing(self, entry: str | None = None) -> timing.TimingReport:
        """The performance model's report of an entry point, computed once."""
        key = entry or next(iter(self.program.entries), None)
        if key not in self._reports:
            self._reports[key] = timing.estimate(self.program, entry)
        return self._reports[key]

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the last `run`, as `vlarun --stats` writes them.

        Raises:
            MachineError: nothing ran yet.
        """
        if self.result is None:
            raise MachineError("there are no statistics before a run; call run() first")
        return run_stats(
            self.at(self._entry), self.backend.name, self.timing(self._entry), self.result, self._runs, self._seconds
        )

    @property
    def cycles(self) -> int:
        """Of the last run: those that the machine counted, or the performance model's.

        Raises:
            MachineError: nothing ran yet.
        """
        if self.result is None:
            raise MachineError("there are no cycles before a run; call run() first")
        counted = self.result.cycles_from == "machine"
        return int((self.result.counters if counted else self.timing(self._entry).counters)["cycles"])

    @property
    def trace(self) -> dict[str, Any]:
        """The last run's packets on the queues as a Chrome trace."""
        return chrome_trace(self.program, self.timing(self._entry))
