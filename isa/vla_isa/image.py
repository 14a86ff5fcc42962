"""The program file `prog.bin`: a Program to bytes and back; anything that is not exactly one is refused.

Sections, each checked on its own (see `container.py` for the form around them):

    config       JSON: the hardware config
    heaps        segments: instructions
    constants    segments: parameters, tables, masks
    weights      the weight space: words of B x B bytes, int8
    entries      JSON: entry point -> packet number
    io           JSON: data_bytes, inputs, outputs
    memory_map   JSON: list of MapEntry
    sources      JSON: list of SourceEntry
    manifest     JSON: object
    signature    JSON: the model's inputs and outputs and the host's functions; left out where they are the device's
    arrays       constants of the host, each at the next multiple of 64
    graphs       only of several graphs: a file of this form with `names` (JSON: the entry points but the first) and,
                 for each, `io0`, `signature0`, `arrays0` and so on, as above but without data_bytes
    tasks        only of tasks, JSON: images of the parameters, masked convolutions and their live blocks
    onnx         only where it was asked for: the ONNX model the program was made from (`vlarun --backend ref`)

Segments: count u64, then per segment line u64 and bytes u64, then each segment's bytes padded with zero to
a multiple of 64 from the start of the section.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_isa import hardware
from vla_isa.container import ALIGNMENT, Buffer, read, write
from vla_isa.errors import ConfigError, ProgramError
from vla_isa.files import whole_file
from vla_isa.program import Interface, IoTensor, MapEntry, Program, Segment, SourceEntry
from vla_isa.records import dump_json, from_json, parse_json
from vla_isa.signature_section import dump_signature, load_signature
from vla_isa.tasks import Tasks
from vla_isa.validate import MAX_DATA_BYTES, validate

__all__ = ["OPTIONAL", "SECTIONS", "dumps", "load", "loads", "save"]

SECTIONS = ("config", "heaps", "constants", "weights", "entries", "io", "memory_map", "sources", "manifest")
OPTIONAL = ("signature", "arrays", "graphs", "tasks", "onnx")  # after the others, left out when empty
_OF_A_GRAPH = ("io", "signature", "arrays")


@dataclass(frozen=True)
class _Io:
    data_bytes: int
    inputs: list[IoTensor]
    outputs: list[IoTensor]


@dataclass(frozen=True)
class _Tensors:
    inputs: list[IoTensor]
    outputs: list[IoTensor]


def save(program: Program, path: str | Path) -> None:
    """Write a program file; nothing is left behind when it fails.

    Raises:
        OutputError: the file cannot be written.
        ProgramError: the program holds what a file cannot.
    """
    with whole_file(Path(path)) as temporary, temporary.open("wb") as f:
        for piece in _pieces(program):
            f.write(piece)


def dumps(program: Program) -> bytes:
    """The bytes of a program file."""
    return b"".join(_pieces(program))


def load(path: str | Path, *, allow_illegal: bool = False) -> Program:
    """Read and check a program file; its weights stay in the file (a read-only memory map).

    Args:
        path: what `save` wrote.
        allow_illegal: accept packets that dispatch would refuse.

    Raises:
        ProgramError: unreadable, foreign, newer, truncated, damaged, or an address outside its memory.
    """
    try:
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, "r") if Path(path).stat().st_size else np.zeros(0, np.uint8)
    except OSError as e:
        raise ProgramError(f"'{path}' cannot be read: {e.strerror}") from e
    try:
        return _program(data, allow_illegal)
    except ProgramError as e:
        raise ProgramError(f"'{path}': {e}") from e


def loads(data: bytes | memoryview, *, allow_illegal: bool = False) -> Program:
    """A program from the bytes of its file; see `load`."""
    return _program(np.frombuffer(data, np.uint8), allow_illegal)


def _pieces(program: Program) -> list[Buffer]:
    io = _Io(program.data_bytes, program.inputs, program.outputs)
    weights = np.ascontiguousarray(program.weights, np.int8)
    signature, arrays = dump_signature(program.signature) if program.signature else (b"", b"")
    contents: dict[str, Buffer] = {
        "config": dump_json(program.config.to_dict()),
        "heaps": _dump_segments(program.heaps),
        "constants": _dump_segments(program.constants),
        "weights": weights.reshape(-1).view(np.uint8).data,
        "entries": dump_json(program.entries),
        "io": dump_json(io),
        "memory_map": dump_json(program.memory_map),
        "sources": dump_json(program.sources),
        "manifest": dump_json(program.manifest),
        "signature": signature,
        "arrays": arrays,
        "graphs": _dump_graphs(program.others) if program.others else b"",
        "tasks": dump_json(program.tasks) if program.tasks is not None else b"",
        "onnx": program.onnx,
    }
    return write([(name, contents[name]) for name in (*SECTIONS, *OPTIONAL) if name in SECTIONS or contents[name]])


def _program(data: NDArray[np.uint8], allow_illegal: bool) -> Program:
    sections = read(data.data)
    if "parts" in sections:
        raise ProgramError("the file is a program with host partitions, which this command does not take")
    if tuple(sections) != SECTIONS + tuple(name for name in OPTIONAL if name in sections):
        raise ProgramError(f"the file has sections {', '.join(sections)}; expected {', '.join(SECTIONS)}")

    def json_of(section: str) -> Any:
        return parse_json(sections[section], section)

    try:
        values = from_json(dict[str, Any], json_of("config"), "config")
        config = hardware.from_dict(values, "the program's config")
    except ConfigError as e:
        raise ProgramError(str(e)) from e
    if len(sections["weights"]) % config.weight_word_bytes:
        raise ProgramError(
            f"section 'weights' has {len(sections['weights'])} bytes, not a multiple of {config.weight_word_bytes}"
        )
    weights = np.frombuffer(sections["weights"], np.int8).reshape(-1, config.weight_word_bytes)
    io = from_json(_Io, json_of("io"), "io")
    program = Program(
        config=config,
        heaps=_load_segments(sections["heaps"], "heaps"),
        constants=_load_segments(sections["constants"], "constants"),
        weights=weights,
        data_bytes=io.data_bytes,
        entries=from_json(dict[str, int], json_of("entries"), "entries"),
        inputs=io.inputs,
        outputs=io.outputs,
        memory_map=from_json(list[MapEntry], json_of("memory_map"), "memory_map"),
        sources=from_json(list[SourceEntry], json_of("sources"), "sources"),
        manifest=from_json(dict[str, Any], json_of("manifest"), "manifest"),
        onnx=bytes(sections.get("onnx", b"")),
        signature=load_signature(sections),
        others=_load_graphs(sections["graphs"]) if "graphs" in sections else {},
        tasks=from_json(Tasks, json_of("tasks"), "tasks") if "tasks" in sections else None,
    )
    validate(program, allow_illegal=allow_illegal)
    return program


def _dump_graphs(graphs: dict[str, Interface]) -> bytes:
    sections: list[tuple[str, Buffer]] = [("names", dump_json(list(graphs)))]
    for number, graph in enumerate(graphs.values()):
        signature, arrays = dump_signature(graph.signature) if graph.signature else (b"", b"")
        tensors = dump_json(_Tensors(graph.inputs, graph.outputs))
        parts = (("io", tensors), ("signature", signature), ("arrays", arrays))
        sections += [(f"{name}{number}", data) for name, data in parts if data]
    return b"".join(write(sections))


def _load_graphs(data: memoryview) -> dict[str, Interface]:
    sections = read(data)
    if "names" not in sections:
        raise ProgramError("section 'graphs' has no 'names'; the file is damaged")
    names, used, found = from_json(list[str], parse_json(sections["names"], "names"), "names"), ["names"], {}
    for number, name in enumerate(names):
        mine = {kind: sections[f"{kind}{number}"] for kind in _OF_A_GRAPH if f"{kind}{number}" in sections}
        if "io" not in mine or name in found:
            raise ProgramError(f"section 'graphs' does not say once what entry point '{name}' takes; it is damaged")
        tensors = from_json(_Tensors, parse_json(mine["io"], f"io{number}"), f"io{number}")
        found[name] = Interface(tensors.inputs, tensors.outputs, load_signature(mine))
        used += [f"{kind}{number}" for kind in mine]
    if not names or used != list(sections):
        raise ProgramError(f"section 'graphs' has {', '.join(sections)}; expected {', '.join(used)}")
    return found


def _dump_segments(segments: list[Segment]) -> bytes:
    out = bytearray(struct.pack("<Q", len(segments)))
    for s in segments:
        out += struct.pack("<QQ", s.line, len(s.data))
    for s in segments:
        out += bytes(-len(out) % ALIGNMENT) + s.data
    return bytes(out)


def _load_segments(data: memoryview, section: str) -> list[Segment]:
    def need(ok: bool) -> None:
        if not ok:
            raise ProgramError(f"section '{section}' is inconsistent; the file is damaged")

    need(len(data) >= 8)
    (count,) = struct.unpack_from("<Q", data)
    need(count <= (len(data) - 8) // 16)
    position, segments = 8 + 16 * count, []
    for i in range(count):
        line, size = struct.unpack_from("<QQ", data, 8 + 16 * i)
        start = -(-position // ALIGNMENT) * ALIGNMENT
        need(line < MAX_DATA_BYTES and start + size <= len(data) and not any(data[position:start]))
        segments.append(Segment(line, bytes(data[start : start + size])))
        position = start + size
    need(position == len(data))
    return segments
