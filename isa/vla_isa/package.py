"""A program with host partitions: device programs and ONNX models that run one after the other, in one file.

    parts        JSON: the model's inputs and outputs, and what each part reads and makes
    part0, ...   a whole program file (kind "device") or an ONNX model (kind "host"), in the order they run
    onnx         only where it was asked for: the ONNX model everything was made from

The form around the sections is `container.py`'s, that of a program `image.py`'s. Parts hand each other real
numbers by name; which parts there are is the compiler's choice.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import image
from vla_isa.check_signature import MAX_RANK, check_names, check_value
from vla_isa.container import Buffer, read, write
from vla_isa.errors import ProgramError, check_type
from vla_isa.host_functions import DTYPES
from vla_isa.program import Program
from vla_isa.records import dump_json, from_json, parse_json
from vla_isa.signature import Value

__all__ = [
    "ANY_SIZE",
    "MAX_PARTITIONS",
    "HostNode",
    "HostPartition",
    "Package",
    "PartEntry",
    "Value",
    "dumps",
    "load",
    "loads",
    "reads_and_makes",
]

MAX_PARTITIONS = 62  # of the container's 64 sections
ANY_SIZE = -1  # of an output: another in every run


@dataclass(frozen=True)
class HostNode:
    """A node that runs on the host, and why."""

    node: str
    op: str
    reason: str


@dataclass(frozen=True)
class PartEntry:
    """What the file says of a partition: `kind` is "device" or "host", `nodes` are the host's."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[HostNode, ...]


@dataclass(frozen=True)
class HostPartition:
    """An ONNX model (bytes), the values it reads and makes, and its nodes with the reasons they are here."""

    model: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[HostNode, ...] = ()


@dataclass
class Package:
    """Partitions in the order they run; `inputs` and `outputs` are the model's, in its order."""

    inputs: list[Value]
    outputs: list[Value]
    partitions: list[Program | HostPartition]
    onnx: bytes = b""

    @property
    def programs(self) -> list[Program]:
        """The device partitions."""
        return [p for p in self.partitions if isinstance(p, Program)]


@dataclass(frozen=True)
class _Index:
    inputs: list[Value]
    outputs: list[Value]
    parts: list[PartEntry] = field(default_factory=list)


def reads_and_makes(part: Program | HostPartition) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the values a partition reads and makes."""
    if isinstance(part, HostPartition):
        return part.inputs, part.outputs
    return tuple(v.name for v in part.model_inputs), tuple(v.name for v in part.model_outputs)


def dumps(package: Package) -> bytes:
    """The bytes of the file.

    Raises:
        ProgramError: more parts than the file can hold, or parts that do not fit together.
    """
    _check(package)
    entries = []
    for part in package.partitions:
        kind, nodes = ("host", part.nodes) if isinstance(part, HostPartition) else ("device", ())
        entries.append(PartEntry(kind, *reads_and_makes(part), nodes))
    sections: list[tuple[str, Buffer]] = [("parts", dump_json(_Index(package.inputs, package.outputs, entries)))]
    for number, part in enumerate(package.partitions):
        sections.append((f"part{number}", part.model if isinstance(part, HostPartition) else image.dumps(part)))
    if package.onnx:
        sections.append(("onnx", package.onnx))
    return b"".join(write(sections))


def load(path: str | Path) -> Program | Package:
    """Read and check a file of either kind.

    Raises:
        ProgramError: see `image.load`; a device partition is checked as a program is.
        TypeError: it is no path.
    """
    check_type("program", path, "a file or a Program", str, os.PathLike)
    try:
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r") if Path(path).stat().st_size else np.zeros(0, np.uint8)
    except OSError as e:
        raise ProgramError(f"'{path}' cannot be read: {e.strerror}") from e
    try:
        return loads(data.data)
    except ProgramError as e:
        raise ProgramError(f"'{path}': {e}") from e


def loads(data: bytes | memoryview) -> Program | Package:
    """A program, with host partitions or without, from the bytes of its file."""
    sections = read(memoryview(data))
    if "parts" not in sections:
        return image.loads(data)
    index = from_json(_Index, parse_json(sections["parts"], "parts"), "parts")
    names = ["parts", *(f"part{i}" for i in range(len(index.parts)))]
    if list(sections) not in (names, [*names, "onnx"]):
        raise ProgramError(f"the file has sections {', '.join(sections)}; expected {', '.join(names)}")
    parts: list[Program | HostPartition] = []
    for number, entry in enumerate(index.parts):
        parts.append(_part(entry, sections[f"part{number}"], number))
    package = Package(index.inputs, index.outputs, parts, bytes(sections.get("onnx", b"")))
    _check(package)
    return package


def _part(entry: Any, data: memoryview, number: int) -> Program | HostPartition:
    if entry.kind == "host":
        return HostPartition(bytes(data), entry.inputs, entry.outputs, entry.nodes)
    if entry.kind != "device":
        raise ProgramError(f"partition {number} is of kind '{entry.kind}'; there are device and host")
    try:
        program = image.loads(data)
    except ProgramError as e:
        raise ProgramError(f"partition {number}: {e}") from e
    if reads_and_makes(program) != (entry.inputs, entry.outputs):
        raise ProgramError(f"partition {number} reads and makes other values than the file says")
    return program


def _check(package: Package) -> None:
    """Every partition reads what the model takes or an earlier one made, and every output is made once."""
    if not 0 < len(package.partitions) <= MAX_PARTITIONS:
        raise ProgramError(f"the program has {len(package.partitions)} partitions; a file holds 1 to {MAX_PARTITIONS}")
    if not package.programs:
        raise ProgramError("none of the program's partitions runs on the device")
    _check_values(package)
    known = {v.name for v in package.inputs}
    for number, part in enumerate(package.partitions):
        reads, makes = reads_and_makes(part)
        for name in reads:
            if name not in known:
                raise ProgramError(f"partition {number} reads '{name}', which no earlier partition makes")
        for name in makes:
            if name in known:
                raise ProgramError(f"partition {number} makes '{name}', which exists already")
        known |= set(makes)
    missing = [v.name for v in package.outputs if v.name not in known]
    if missing:
        raise ProgramError(f"no partition makes the output '{missing[0]}'")
    configs = {p.config.name for p in package.programs}
    if len(configs) > 1:
        raise ProgramError(f"the device partitions are for different hardware configs: {', '.join(sorted(configs))}")


def _check_values(package: Package) -> None:
    """What a run takes has a bounded size; what it makes may have sizes that differ between runs."""
    check_names(package.inputs, package.outputs)
    for value in package.inputs:
        check_value(f"model input '{value.name}'", value.shape, value.dtype)
    for value in package.outputs:
        if value.dtype not in DTYPES:
            raise ProgramError(f"model output '{value.name}' has dtype '{value.dtype}'; there are {', '.join(DTYPES)}")
        if min(value.shape, default=ANY_SIZE) < ANY_SIZE or len(value.shape) > MAX_RANK:
            raise ProgramError(
                f"model output '{value.name}' has shape {list(value.shape)}; it must have up to {MAX_RANK} axes, "
                f"and {ANY_SIZE} for a size that differs between runs"
            )
