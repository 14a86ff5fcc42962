"""Load-time checks of a whole program: every fixed address is inside its memory before anything runs.

Not here: the order of accesses (`hazards.py`) and the bytes of the file (`image.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from vla_isa.check_signature import check_signature
from vla_isa.check_tasks import check_tasks
from vla_isa.encoding import illegal
from vla_isa.errors import ProgramError
from vla_isa.fields import PACKET_BYTES
from vla_isa.hardware import HEAP_BYTES, LINE_BYTES
from vla_isa.instructions import ErrorCode
from vla_isa.integer import INT8
from vla_isa.intervals import Intervals, merge
from vla_isa.program import MAX_SCALE, Interface, IoTensor, Program, Segment
from vla_isa.trace import Step, packets, walk

__all__ = ["MAX_DATA_BYTES", "validate"]

MAX_DATA_BYTES = 1 << 34  # more than any machine here has; a 32-bit line address reaches further
_SPARE_FACTOR, _SPARE_BYTES = 4, 1 << 20  # data space that a program may leave unused


def validate(
    program: Program,
    *,
    allow_illegal: bool = False,
    run: Callable[[Iterable[Step]], Iterable[Step]] = lambda steps: steps,
) -> None:
    """Refuse a program that would touch anything outside its memories.

    Args:
        program: any program, from a file or from the compiler.
        allow_illegal: accept packets that dispatch refuses; execution paths are checked up to them.
        run: gets the steps of each entry point's run and hands them on, as `hazards.checking` does.

    Raises:
        ProgramError: naming the part, the value and the limit.
    """
    _check_spaces(program)
    for graph in _graphs(program):
        _check_io(program, graph)
    _check_segments(program)
    words = packets(program)
    if not program.entries:
        raise ProgramError("the program has no entry point")
    _check_others(program)
    check_tasks(program)
    for name, entry in program.entries.items():
        if not 0 <= entry < len(words):
            raise ProgramError(f"entry point '{name}' is packet {entry}, but there are {len(words)} packets")
    for source in program.sources:
        if not 0 <= source.packet < len(words):
            raise ProgramError(f"the source map names packet {source.packet} of {len(words)}")
    if not allow_illegal:
        for number, data in enumerate(words):
            code, reason = illegal(data, program.config)
            if code is not ErrorCode.OK:
                raise ProgramError(f"packet {number} is illegal ({code.name}): {reason}")
    touched = []
    for entry in program.entries.values():
        for step in run(walk(program, entry, stop_at_illegal=allow_illegal)):
            touched += [access.words for access in step.accesses if access.space == "data"]
    _check_size(program, touched)


def _graphs(program: Program) -> list[Interface]:
    return [program.interface, *program.others.values()]


def _check_others(program: Program) -> None:
    """Refuse graphs that are no entry point's, or two that mean other things by the same lines."""
    first, *rest = program.entries
    if program.others and set(program.others) != set(rest):
        raise ProgramError(
            f"the program has entry points {', '.join(program.entries)}, but graphs of {', '.join(program.others)}; "
            f"all but '{first}' must have one"
        )
    known: dict[int, IoTensor] = {}
    for graph in _graphs(program) if program.others else []:
        for t in (*graph.inputs, *graph.outputs):
            other = known.setdefault(t.line, t)
            mine, theirs = (t.layout, t.scale, t.zero_point), (other.layout, other.scale, other.zero_point)
            if mine != theirs:
                raise ProgramError(
                    f"'{t.name}' and '{other.name}' lie at data line {t.line}, with another layout, scale or zero point"
                )


def _check_spaces(program: Program) -> None:
    hw, size = program.config, program.data_bytes
    if not 0 < size <= MAX_DATA_BYTES or size % LINE_BYTES:
        raise ProgramError(f"data_bytes is {size}; it must be a multiple of {LINE_BYTES} up to {MAX_DATA_BYTES}")
    weights = program.weights
    if weights.dtype != np.int8 or weights.ndim != 2 or weights.shape[1] != hw.weight_word_bytes:
        raise ProgramError(
            f"weights are {weights.dtype} {list(weights.shape)}; on '{hw.name}' they are int8 "
            f"[words, {hw.weight_word_bytes}]"
        )


def _check_size(program: Program, touched: list[Intervals]) -> None:
    """Refuse a data space much larger than what is used of it: `touched` by packets, loaded, or an input or output."""
    held = [(s.line, s.line + -(-len(s.data) // LINE_BYTES)) for s in (*program.heaps, *program.constants)]
    held += [(t.line, t.line + t.layout.lines) for graph in _graphs(program) for t in (*graph.inputs, *graph.outputs)]
    used, _ = merge(np.concatenate([*touched, np.array(held, np.int64)]))
    lines = int((used[:, 1] - used[:, 0]).sum())
    limit = LINE_BYTES * _SPARE_FACTOR * lines + _SPARE_BYTES
    if program.data_bytes > limit:
        raise ProgramError(
            f"data_bytes is {program.data_bytes}, but the program uses {lines * LINE_BYTES} bytes of the data space; "
            f"the limit for it is {limit}"
        )


def _check_segments(program: Program) -> None:
    if not program.heaps or program.heaps[0].line != 0:
        raise ProgramError("the first instruction heap must lie at data line 0")
    for heap in program.heaps:
        if not heap.data or len(heap.data) % PACKET_BYTES:
            raise ProgramError(
                f"the heap at line {heap.line} has {len(heap.data)} bytes; it must hold whole "
                f"packets of {PACKET_BYTES} bytes, at least one"
            )
    if len(program.heaps[0].data) > HEAP_BYTES:
        raise ProgramError(
            f"the first heap has {len(program.heaps[0].data)} bytes, more than {HEAP_BYTES}; "
            "continue by JUMP in another heap"
        )
    spans = [*(_span(s, "heap") for s in program.heaps), *(_span(s, "constant segment") for s in program.constants)]
    _inside(program, spans)
    spans.sort()
    for (_, end, a), (start, _, b) in pairwise(spans):
        if start < end:
            raise ProgramError(f"{a} and {b} overlap at data line {start}")
    for tensor in [t for graph in _graphs(program) for t in (*graph.inputs, *graph.outputs)]:
        first, last = tensor.line, tensor.line + tensor.layout.lines
        for start, end, what in spans:
            if first < end and start < last:
                raise ProgramError(f"'{tensor.name}' at data lines {first}..{last - 1} overlaps the {what}")


def _span(segment: Segment, what: str) -> tuple[int, int, str]:
    lines = -(-len(segment.data) // LINE_BYTES)
    return segment.line, segment.line + lines, f"{what} at line {segment.line}"


def _inside(program: Program, spans: list[tuple[int, int, str]]) -> None:
    lines = program.data_bytes // LINE_BYTES
    for start, end, what in spans:
        if start < 0 or end > lines:
            raise ProgramError(f"{what} covers data lines {start}..{end - 1}, outside the program's {lines}")


def _check_io(program: Program, graph: Interface) -> None:
    for kind, tensors in (("input", graph.inputs), ("output", graph.outputs)):
        names = [t.name for t in tensors]
        if len(set(names)) != len(names):
            raise ProgramError(f"two {kind}s have the same name: {', '.join(names)}")
        for tensor in tensors:
            _check_tensor(program, kind, tensor)
    if graph.signature is not None:
        layouts = ([t.layout for t in tensors] for tensors in (graph.inputs, graph.outputs))
        check_signature(graph.signature, *layouts)


def _check_tensor(program: Program, kind: str, tensor: IoTensor) -> None:
    where = f"{kind} '{tensor.name}'"
    _inside(program, [(tensor.line, tensor.line + tensor.layout.lines, where)])
    if tensor.layout.block != program.config.block:
        raise ProgramError(
            f"{where} has channel blocks of {tensor.layout.block}; '{program.config.name}' has {program.config.block}"
        )
    if not 0 < tensor.scale <= MAX_SCALE:
        raise ProgramError(f"{where}: scale {tensor.scale!r} is not a positive number up to {MAX_SCALE:.3g}")
    if not INT8.holds(tensor.zero_point):
        raise ProgramError(f"{where}: zero point {tensor.zero_point} is outside {INT8.lo}..{INT8.hi}")
