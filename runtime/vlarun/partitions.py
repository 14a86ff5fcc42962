"""Run a program with host partitions: device ones on a backend, host ones in ONNX Runtime, values handed on by name.

Host partitions compute in float32 as ONNX Runtime does, so device partitions get the same integers on every backend.
Not here: programs without host partitions (`session.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa.errors import BadUsageError
from vla_isa.input_arrays import read_runs
from vla_isa.package import HostPartition, Package, load, reads_and_makes
from vla_isa.program import Program
from vla_isa.signature import Value
from vlarun.backends import chosen
from vlarun.backends.base import Backend
from vlarun.compare import compare
from vlarun.errors import BackendError, InputError, MachineError
from vlarun.host_model import check_host_model
from vlarun.inputs import check_inputs, to_integers
from vlarun.onnx_runtime import OnnxSession
from vlarun.outputs import raw_outputs, real_outputs
from vlarun.progress import track
from vlarun.session import Session

__all__ = ["HostRunner", "PackageSession", "compare_partitions", "open_session", "unused_inputs"]

Array = NDArray[Any]
_NAMED = 3
MOST_AT_ONCE = 32  # runs that go from part to part together; their values in between are all kept


def open_session(
    program: str | Path | Program | Package,
    backend: str | Backend = "sim",
    *,
    config: str | None = None,
    check: bool = False,
    onnx: str | Path | None = None,
) -> Session | PackageSession:
    """A `Session`, or a `PackageSession` where the program has host partitions; the arguments are `Session`'s.

    Raises:
        VlaError: the program, config or backend is refused.
    """
    made = chosen(backend, onnx)
    found = program if isinstance(program, Program | Package) else load(program)
    if isinstance(found, Package):
        return PackageSession(found, made, config=config, check=check)
    return Session(found, made, config=config, check=check)


def compare_partitions(package: Package, backends: tuple[Backend, Backend], arrays: Mapping[str, Array]) -> str | None:
    """The first difference between two backends in any device partition, fed with what the first one made, or None.

    Raises:
        VlaError: a backend or a host partition cannot run, or a backend knows no parts.
    """
    if any(b.model(package) is not None for b in backends):
        raise BadUsageError(
            "backend 'ref' runs the whole ONNX model, so there is no partition to compare; compare the outputs of "
            "`vlarun --backend ref` and of another backend"
        )
    values = dict(arrays)
    for number, part in enumerate(package.partitions):
        if isinstance(part, HostPartition):
            values |= HostRunner(part).run(values)
            continue
        inputs = {v.name: values[v.name] for v in part.model_inputs}
        difference = compare(part, backends, to_integers(part, inputs))
        if difference is not None:
            return f"partition {number}: {difference.message((backends[0].name, backends[1].name))}"
        values |= Session(part, backends[0]).run(inputs)
    return None


class HostRunner:
    """One host partition, ready to run."""

    def __init__(self, part: HostPartition) -> None:
        check_host_model(part)
        self.part, self.seconds = part, 0.0
        self._session = OnnxSession(part.model, f"a host partition ({self.names})", integers=True)

    @property
    def names(self) -> str:
        """Its nodes, the first few."""
        rest = len(self.part.nodes) - _NAMED
        return ", ".join(n.node for n in self.part.nodes[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")

    def run(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name; `seconds` is the time of the last run.

        Raises:
            BackendError: ONNX Runtime refuses to run it.
        """
        start = time.perf_counter()
        found = self._session.run(self.part.outputs, {n: np.asarray(values[n]) for n in self.part.inputs})
        self.seconds = time.perf_counter() - start
        return dict(zip(self.part.outputs, found, strict=True))


class PackageSession:
    """As `Session`, for a program with host partitions.

    Args:
        package: what `vla_isa.package.load` gave.
        backend: for the device partitions; `ref` runs the whole ONNX model instead.
        config: refuse a program that is not for this hardware config.
        check: run the hazard checker on every device partition first.

    Raises:
        VlaError: a part or the backend is refused.
    """

    def __init__(self, package: Package, backend: Backend, *, config: str | None = None, check: bool = False) -> None:
        self.package, self.backend = package, backend
        self._model = backend.model(package)
        self._partitions: list[Session | HostRunner] = [
            HostRunner(p) if isinstance(p, HostPartition) else Session(p, backend, config=config, check=check)
            for p in package.partitions
        ]
        self._runs, self._seconds = 0, 0.0

    def prepare(self) -> None:
        """Load every device partition now, not in the first run; see `Session.prepare`."""
        if self._model is None:
            for part in self._partitions:
                if isinstance(part, Session):
                    part.prepare()

    def wanted_inputs(self, raw_input: bool = False, entry: str | None = None) -> tuple[list[Value], set[str]]:
        """What `run` takes, and the names of what may be left out."""
        return self.package.inputs, unused_inputs(self.package)

    def run(
        self, inputs: Mapping[str, Any], raw: bool = False, entry: str | None = None, *, raw_input: bool = False
    ) -> dict[str, Array]:
        """See `Session.run`; inputs are real numbers, `raw` outputs of host partitions are what they computed.

        Raises:
            BadUsageError: an entry point is named (these programs have one way through), or raw input.
        """
        if entry is not None:
            raise BadUsageError(f"a program with host partitions has no entry points; leave out '{entry}'")
        if raw_input:
            raise BadUsageError("a program with host partitions takes real inputs only; run it without raw input")
        batch = read_runs(self.package.inputs, inputs, unused_inputs(self.package))
        self._check_joinable(batch.count)
        start, runs = time.perf_counter(), list(batch.items())
        found = list(track(self._run_each(runs, raw), f"running on {self.backend.name}", len(runs)))
        self._runs, self._seconds = len(found), time.perf_counter() - start
        return batch.joined([{v.name: f[v.name] for v in self.package.outputs} for f in found])

    def _check_joinable(self, runs: int) -> None:
        """Refuse several runs at once where their outputs could not be told apart."""
        dynamic = [v.name for v in self.package.outputs if min(v.shape, default=0) < 0]
        if runs > 1 and dynamic:
            raise InputError(f"output '{dynamic[0]}' has another size in every run; give one input at a time")

    def _run_each(self, runs: list[dict[str, Array]], raw: bool) -> Iterator[dict[str, Array]]:
        """The outputs of every run; some runs at once go from part to part."""
        if self._model is not None:
            yield from map(self._model.run, runs)
            return
        for first in range(0, len(runs), MOST_AT_ONCE):
            every = [_Values(dict(arrays)) for arrays in runs[first : first + MOST_AT_ONCE]]
            for part in self._partitions:
                if isinstance(part, HostRunner):
                    for each in every:
                        each.reals |= part.run(each.reals)
                else:
                    _run_device_part(part, every, raw)
            for each in every:
                self._check_dtypes(each.reals)
                yield each.reals | each.integers

    def _check_dtypes(self, values: dict[str, Array]) -> None:
        for v in self.package.outputs:
            if values[v.name].dtype != v.dtype:
                raise BackendError(f"a partition made '{v.name}' in {values[v.name].dtype}; the program says {v.dtype}")

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the last run: sums over the device partitions, and every part on its own.

        Raises:
            MachineError: nothing ran yet.
        """
        if not self._runs:
            raise MachineError("there are no statistics before a run; call run() first")
        parts: list[dict[str, Any]] = [
            {"kind": "host", "nodes": [n.node for n in p.part.nodes], "wall_seconds": p.seconds}
            if isinstance(p, HostRunner)
            else {"kind": "device", **p.stats}
            for p in self._partitions
        ]
        device = [p for p in parts if p["kind"] == "device"]
        summed = ("cycles", "milliseconds", "macs", "hbm_read_bytes", "hbm_write_bytes")
        totals: dict[str, Any] = {key: sum(p[key] for p in device) for key in summed}
        peak = device[0]["peak_macs_per_cycle"]
        return {
            "backend": self.backend.name,
            "config": device[0]["config"],
            "cycles_from": device[0]["cycles_from"],
            **totals,
            "peak_macs_per_cycle": peak,
            "utilization": totals["macs"] / (totals["cycles"] * peak) if totals["cycles"] else 0.0,
            "wall_seconds": self._seconds,
            "runs": self._runs,
            "host_seconds": sum(p["wall_seconds"] for p in parts if p["kind"] == "host"),
            "parts": parts,
            "instructions": [{"part": i, **row} for i, p in enumerate(parts) for row in p.get("instructions", [])],
        }

    @property
    def cycles(self) -> int:
        """Of the last run: the sum over the device partitions; see `Session.cycles`."""
        return sum(part.cycles for part in self._partitions if isinstance(part, Session))

    @property
    def trace(self) -> dict[str, Any]:
        """The last run as a Chrome trace: one process per part, device partitions in modelled time."""
        events: list[dict[str, Any]] = []
        offset = 0.0
        for number, part in enumerate(self._partitions):
            name = {"ph": "M", "name": "process_name", "pid": number}
            if isinstance(part, HostRunner):
                length = part.seconds * 1e6
                events.append({**name, "args": {"name": f"host: {part.names}"}})
                events.append({"ph": "X", "name": part.names, "pid": number, "tid": 0, "ts": offset, "dur": length})
            else:
                found = part.trace["traceEvents"]
                events.append({**name, "args": {"name": "device"}})
                events += [{**e, "pid": number, **({"ts": e["ts"] + offset} if "ts" in e else {})} for e in found]
                length = max((e["ts"] + e["dur"] for e in found if "ts" in e), default=0.0)
            offset += length
        return {"displayTimeUnit": "ns", "traceEvents": events}


@dataclass
class _Values:
    """What a run has made so far, by name: real numbers, and the integers that `raw` outputs show in their place."""

    reals: dict[str, Array]
    integers: dict[str, Array] = field(default_factory=dict)


def _run_device_part(part: Session, every: list[_Values], raw: bool) -> None:
    """Run one device partition for some runs at once and add what it makes."""
    program = part.program
    batches = [check_inputs(program, {v.name: e.reals[v.name] for v in program.model_inputs}) for e in every]
    results = part.run_each([arrays for batch in batches for arrays in batch.items()])
    for each, batch in zip(every, batches, strict=True):
        own = list(islice(results, batch.count))
        each.reals |= batch.joined([real_outputs(program, host, result.outputs) for host, result in own])
        if raw:
            host, result = own[-1]
            each.integers |= raw_outputs(program, host, result.outputs)


def unused_inputs(package: Package) -> set[str]:
    """Names of model inputs that no partition reads and that are no output."""
    used = {v.name for v in package.outputs}.union(*(reads_and_makes(p)[0] for p in package.partitions))
    return {v.name for v in package.inputs} - used
