"""Run cases on a backend, compare its memories with the slow reference, show a matrix.

The suites T0 to T2 and T4 are the runtime's own; others may be handed in (T3 is `vla_toolchain.conformance`'s). Someone
else's machine (`Choice.library`) runs in a process of its own, and shows the memories that it can.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vla_isa import hardware
from vla_isa.errors import BadUsageError, VlaError
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import LINE_BYTES, HardwareConfig
from vla_isa.instructions import ErrorCode
from vlarun.backends import Backend, RtlBackend, SimBackend, run_once
from vlarun.backends.rtl import RtlOptions
from vlarun.conformance import directed_cases, encoding_cases, parallel_cases, random_cases, reference
from vlarun.conformance.isolated import Isolated
from vlarun.conformance.programs import Case
from vlarun.progress import track

__all__ = ["Choice", "Outcome", "Result", "check", "collect", "run", "show"]

Suite = Callable[[HardwareConfig, "Choice"], Iterator[Case]]  # the cases of a choice on a config
SUITES: Mapping[str, Suite] = {
    "T0": lambda hw, choice: encoding_cases.cases(hw),
    "T1": lambda hw, choice: directed_cases.cases(hw),
    "T2": lambda hw, choice: random_cases.cases(hw, choice.programs, choice.seed),
    "T4": lambda hw, choice: parallel_cases.cases(hw, -(-choice.programs // PARALLEL), choice.seed),
}
SPACES = ("data", "act", "weight", "param")
MAX_CYCLES = 5_000_000
SHOWN_FAILURES = 20
PROGRAMS = 80  # random programs of T2
PARALLEL = 10  # so many of them to a program of T4
STALL_PERCENT = 30


@dataclass(frozen=True)
class Choice:
    """Which cases, on what; `library` is someone else's machine, for backend rtl."""

    backend: str = "sim"
    config: str = "u50"
    suites: tuple[str, ...] = tuple(SUITES)
    stalls: str = "off"
    programs: int = PROGRAMS
    seed: int = 0
    match: str = ""
    checked: bool = False
    library: str = ""


@dataclass(frozen=True)
class Result:
    """One case: `problem` is empty where it passed."""

    id: str
    problem: str
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """All results of a choice, and the memories that were compared."""

    choice: Choice
    results: list[Result]
    spaces: tuple[str, ...] = SPACES

    @property
    def passed(self) -> bool:
        """Whether every case passed, and there was one."""
        return bool(self.results) and not any(r.problem for r in self.results)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        results = [asdict(r) for r in self.results]
        return {**asdict(self.choice), "memories": self.spaces, "passed": self.passed, "cases": results}


def collect(choice: Choice, suites: Mapping[str, Suite] = SUITES) -> list[Case]:
    """The cases of a choice from these suites, in their order.

    Raises:
        BadUsageError: unknown suite, or nothing matches.
        ConfigError: unknown config.
    """
    unknown = [s for s in choice.suites if s not in suites]
    if unknown:
        raise BadUsageError(f"unknown suite '{unknown[0]}'; there are {', '.join(suites)}")
    hw = hardware.load(choice.config)
    chosen = [suite for name, suite in suites.items() if name in choice.suites]
    found = [case for suite in chosen for case in suite(hw, choice) if choice.match in case.id]
    if not found:
        raise BadUsageError(f"no case id contains '{choice.match}' in {', '.join(choice.suites)}")
    return found


def run(choice: Choice, suites: Mapping[str, Suite] = SUITES) -> Outcome:
    """Run every case of a choice from these suites.

    Raises:
        BadUsageError: the choice makes no sense, or no case is in it.
        BackendError: the machine cannot be built or loaded, or is not the config.
    """
    if choice.backend not in ("sim", "rtl"):
        raise BadUsageError(f"conformance runs on sim or rtl, not on '{choice.backend}'")
    if choice.library and (choice.backend != "rtl" or choice.checked):
        raise BadUsageError("--library is a machine for --backend rtl, without --checked")
    if choice.backend == "sim" and (choice.stalls != "off" or choice.checked):
        option = "--checked" if choice.checked else f"--stalls {choice.stalls}"
        raise BadUsageError(f"{option} is of the Verilog machine; give --backend rtl with it")
    spaces = _spaces(choice)
    results = []
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(Isolated(check)) if choice.library else check
        for case in track(collect(choice, suites), f"conformance of {choice.backend} {choice.config}"):
            start = time.perf_counter()
            problem = one(case, _backend(choice, case), spaces)
            results.append(Result(case.id, problem, time.perf_counter() - start))
    return Outcome(choice, results, spaces)


def _spaces(choice: Choice) -> tuple[str, ...]:
    """The memories that the backend shows; refuses a machine that cannot be had."""
    hw = hardware.load(choice.config)
    if choice.backend == "sim":
        return SPACES
    return ("data", *_rtl(choice).machine(hw).peeks)


def _backend(choice: Choice, case: Case) -> Backend:
    if choice.backend == "sim":
        return SimBackend()
    stalls = STALL_PERCENT if choice.stalls == "random" else 0
    seed = zlib.crc32(f"{choice.seed} {case.id}".encode())
    return _rtl(choice, stall_percent=stalls, stall_seed=seed, max_cycles=MAX_CYCLES)


def _rtl(choice: Choice, **memory: int) -> RtlBackend:
    flavour = "checked" if choice.checked else "fast"
    return RtlBackend(RtlOptions(choice.library or None, flavour, **memory))


def check(case: Case, backend: Backend, spaces: tuple[str, ...] = SPACES) -> str:
    """What is wrong with a backend's run of a case, its memories of `spaces` included; empty where nothing is."""
    try:
        result = run_once(backend, case.program, {})
    except VlaError as e:
        return str(e)
    wanted = {"error_address": case.stop_at or 0}
    if case.status is ErrorCode.OK:
        wanted["halt_code"] = case.halt_code
    if result.status is not case.status:
        return f"status is {result.status.name}, expected {case.status.name}"
    for name, value in wanted.items():
        found = getattr(result, name)
        if found != value:
            return f"{name} is {found}, expected {value}"
    compared = spaces if case.status is ErrorCode.OK else ("data",)
    return _memory_problem(case, {name: result.memories[name] for name in compared})


def _memory_problem(case: Case, memories: dict[str, Any]) -> str:
    """The first word of any of the memories that differs from the reference's."""
    entry = next(iter(case.program.entries.values()))
    expected = reference.run(case.original or case.program, entry, case.stop_at, case.visits)
    for heap in (case.original or case.program).heaps:
        expected.data[heap.line * LINE_BYTES :][: len(heap.data)] = 0
    for heap in case.program.heaps:  # another schedule has other instructions
        expected.data[heap.line * LINE_BYTES :][: len(heap.data)] = np.frombuffer(heap.data, np.int8)
    right = {
        "data": expected.data.reshape(-1, PACKET_BYTES),
        "act": expected.act,
        "weight": expected.weight,
        "param": expected.param.view(np.int8),
    }
    for space, memory in memories.items():
        wanted = right[space]
        found = memory.reshape(wanted.shape)
        unequal = np.argwhere(found != wanted)
        if len(unequal):
            word, byte = (int(i) for i in unequal[0])
            unit = "line" if space == "data" else "word"
            return (
                f"{space} {unit} {word} byte {byte} is {found[word, byte]}, expected {wanted[word, byte]} "
                f"({len(unequal)} bytes differ)"
            )
    return ""


def show(outcome: Outcome) -> None:
    """Print the matrix: groups of cases by suite and subject, and the first failures."""
    choice = outcome.choice
    groups: dict[str, list[Result]] = {}
    for result in outcome.results:
        suite, subject = result.id.split(".")[:2]
        groups.setdefault(suite if suite in ("T2", "T4") else f"{suite}.{subject}", []).append(result)
    machine = Path(choice.library).name if choice.library else choice.backend
    less = "" if outcome.spaces == SPACES else ", data memory only"
    table = Table(title=f"conformance: {machine}, {choice.config}, stalls {choice.stalls}{less}")
    for column in ("group", "cases", "passed", "failed", "seconds"):
        table.add_column(column, justify="left" if column == "group" else "right")
    for name, results in groups.items():
        failed = sum(bool(r.problem) for r in results)
        table.add_row(
            name, str(len(results)), str(len(results) - failed), str(failed), f"{sum(r.seconds for r in results):.1f}"
        )
    console = Console()
    console.print(table)
    failures = [r for r in outcome.results if r.problem]
    for r in failures[:SHOWN_FAILURES]:
        console.print(f"FAILED {r.id}: {r.problem}", markup=False, highlight=False, soft_wrap=True)
    if len(failures) > SHOWN_FAILURES:
        console.print(f"... and {len(failures) - SHOWN_FAILURES} more; --json FILE lists all of them")
    console.print(f"{len(outcome.results) - len(failures)} of {len(outcome.results)} cases passed")
